"""What the training loop asks of an algorithm. Nothing is implemented here."""

import abc
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

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


class AbstractErrorLearner[Models, State, Batch](AbstractAlgorithm[Models, State, Batch]):
    """An algorithm that corrects errors, and tells how large each was: what a priority is of."""

    @abc.abstractmethod
    def update_with_errors(
        self, state: State, batch: Batch, *, key: PRNGKeyArray
    ) -> tuple[State, Metrics, Float[Array, "..."]]:
        """`update`, and the error of each step of the batch before it."""


AnyAlgorithm = AbstractAlgorithm[Any, Any, Any]


def error_learner(algorithm: AnyAlgorithm) -> AbstractErrorLearner:
    """The algorithm itself.

    **Raises:** `ValueError` if it does not tell its errors.
    """
    if not isinstance(algorithm, AbstractErrorLearner):
        name = type(algorithm).__name__
        raise ValueError(f"{name} tells no errors to draw past experience by; DQN does.")
    return algorithm
