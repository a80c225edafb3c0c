"""What is measured of what was learned: an evaluator is the recipe's, this is what they are."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..algorithms.protocol import AbstractAlgorithm
from ..devices import spread
from ..nn.policies import AbstractPolicy
from ..sources.task import AbstractTask
from ..types import AbstractShared, Scalar
from .compiled import shape_and_static
from .evaluate import make_evaluator
from .loop import Loop


class Measured(NamedTuple):
    """What an evaluation found, of every seed."""

    items: np.ndarray  # the main figure, `[seed, item]`: a return an episode, a loss a row
    figures: dict[str, np.ndarray]  # `[seed]`, under their tags in `metrics.jsonl`
    lengths: np.ndarray | None = None  # of episodes, `[seed, item]`


Measure = Callable[[PyTree, int], Measured]


class Evaluated(NamedTuple):
    """What there is to evaluate, and how thoroughly."""

    loop: Loop
    task: AbstractTask | None
    num_seeds: int
    num_items: int


class AbstractEvaluator(abc.ABC):
    """What a recipe measures of what was learned, apart from training."""

    @property
    @abc.abstractmethod
    def figure(self) -> str:
        """What the main figure is called: return, loss."""

    @property
    @abc.abstractmethod
    def tag(self) -> str:
        """Its tag among the figures."""

    @property
    @abc.abstractmethod
    def larger_is_better(self) -> bool:
        """Which of two policies is kept as the best."""

    @abc.abstractmethod
    def prepare(self, evaluated: Evaluated) -> Measure:
        """Compile what measures it."""


@dataclasses.dataclass(frozen=True)
class GreedyReturn(AbstractEvaluator):
    """The undiscounted return of the policy's mode on fresh episodes."""

    discount: Scalar | None = None  # for the gauge of action values

    @property
    def figure(self) -> str:
        return "return"

    @property
    def tag(self) -> str:
        return "eval/mean_reward"

    @property
    def larger_is_better(self) -> bool:
        return True

    def prepare(self, evaluated: Evaluated) -> Measure:
        assert evaluated.task is not None
        play = make_evaluator(
            evaluated.task,
            policy_builder(evaluated.loop),
            num_seeds=evaluated.num_seeds,
            num_episodes=evaluated.num_items,
            discount=self.discount,
        )

        def measure(arrays: PyTree, seed: int) -> Measured:
            episodes = play(arrays, seed)
            figures = {
                self.tag: episodes.returns.mean(axis=1),
                "eval/mean_ep_length": episodes.lengths.mean(axis=1),
            }
            if episodes.q_minus_return is not None:
                figures["eval/q_minus_return"] = episodes.q_minus_return.mean(axis=1)
            return Measured(episodes.returns, figures, episodes.lengths)

        return measure


@dataclasses.dataclass(frozen=True)
class HeldOutLoss(AbstractEvaluator):
    """The mean loss on data that were not learned from.

    `loss(learner, state, rows)` gives one number a row, of one seed, by the learner and its state.
    """

    loss: Callable[[Any, Any, Any], Float[Array, " row"]]
    data: AbstractShared

    @property
    def figure(self) -> str:
        return "held-out loss"

    @property
    def tag(self) -> str:
        return "eval/loss"

    @property
    def larger_is_better(self) -> bool:
        return False

    def prepare(self, evaluated: Evaluated) -> Measure:
        learner, restored = evaluated.loop.learner, state_builder(evaluated.loop)
        of_seed = lambda arrays, rows: self.loss(learner, restored(arrays), rows)
        losses = jax.jit(spread(of_seed, evaluated.num_seeds, shared=1))

        def measure(arrays: PyTree, seed: int) -> Measured:
            del seed  # the rows are always the same
            found = np.asarray(losses(arrays, self.data.value))
            return Measured(found, {self.tag: found.mean(axis=1)})

        return measure


def state_builder(loop: Loop) -> Callable[[PyTree], Any]:
    """From one seed's arrays, as a checkpoint holds them, to the learner's state."""
    _, static = shape_and_static(loop.init_learner, jr.key(0))
    return lambda arrays: eqx.combine(arrays, static)


def policy_builder(loop: Loop) -> Callable[[PyTree], AbstractPolicy]:
    """From one seed's arrays, as a checkpoint holds them, to the policy that was learned.

    **Raises:** `ValueError` if what learns has no policy.
    """
    learner, restored = loop.learner, state_builder(loop)
    if not isinstance(learner, AbstractAlgorithm):
        raise ValueError(f"{type(learner).__name__} does not act: there is no policy to play.")
    return lambda arrays: learner.policy(restored(arrays))
