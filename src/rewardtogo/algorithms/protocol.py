"""What the training loop asks of a learner, and of an algorithm, which acts too."""

import abc
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from ..nn.policies import AbstractBehaviour, AbstractPolicy
from ..types import Metrics


State = TypeVar("State")
Batch = TypeVar("Batch")
Models = TypeVar("Models")


class AbstractLearner[Models, State, Batch](eqx.Module):
    """What learns from batches: its fields are hyperparameters, its state is all that changes."""

    @abc.abstractmethod
    def init(self, models: Models) -> State:
        """The state before any data."""

    @abc.abstractmethod
    def update(self, state: State, batch: Batch, *, key: PRNGKeyArray) -> tuple[State, Metrics]:
        """Learn from one batch; metrics are finite numbers."""


class AbstractAlgorithm[Models, State, Batch](AbstractLearner[Models, State, Batch]):
    """A learner that acts: it gathers its own experience, and what it learned is a policy."""

    @abc.abstractmethod
    def behaviour(self, state: State) -> AbstractBehaviour:
        """How experience is gathered now."""

    @abc.abstractmethod
    def policy(self, state: State) -> AbstractPolicy:
        """What has been learned: evaluation and users act by its mode."""


class AbstractErrorLearner[Models, State, Batch](AbstractAlgorithm[Models, State, Batch]):
    """An algorithm that also returns how large the error of each step was, for its priority."""

    @abc.abstractmethod
    def update_with_errors(
        self, state: State, batch: Batch, *, key: PRNGKeyArray
    ) -> tuple[State, Metrics, Float[Array, "..."]]:
        """`update`, and the error of each step of the batch before it."""


AnyLearner = AbstractLearner[Any, Any, Any]
AnyAlgorithm = AbstractAlgorithm[Any, Any, Any]


def error_learner(learner: AnyLearner) -> AbstractErrorLearner:
    """The learner itself.

    **Raises:** `ValueError` if it does not return its errors.
    """
    if not isinstance(learner, AbstractErrorLearner):
        name = type(learner).__name__
        raise ValueError(f"{name} tells no errors to draw past experience by; DQN does.")
    return learner
