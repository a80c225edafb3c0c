"""What the training loop asks of an algorithm. Nothing is implemented here."""

import abc
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ..nn.policies import AbstractBehaviour, AbstractPolicy
from ..types import Metrics


State = TypeVar("State")
Batch = TypeVar("Batch")
Models = TypeVar("Models")


class AbstractAlgorithm[Models, State, Batch](eqx.Module):
    """Who learns: the fields are hyperparameters, the state is everything that changes."""

    @abc.abstractmethod
    def init(self, models: Models) -> State:
        """The state before any data."""

    @abc.abstractmethod
    def update(self, state: State, batch: Batch, *, key: PRNGKeyArray) -> tuple[State, Metrics]:
        """Learn from one batch; metrics are finite numbers."""

    @abc.abstractmethod
    def behaviour(self, state: State) -> AbstractBehaviour:
        """How experience is gathered now."""

    @abc.abstractmethod
    def policy(self, state: State) -> AbstractPolicy:
        """What has been learned: evaluation and users act by its mode."""


AnyAlgorithm = AbstractAlgorithm[Any, Any, Any]
