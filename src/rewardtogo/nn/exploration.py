"""Ways to explore, named once for the command line, for tables and for networks."""

import enum
from typing import Any

from ..types import Scalar
from .distributions import Categorical, EpsilonGreedy, boltzmann
from .policies import AbstractPolicy
from .values import AbstractActionValues


class Exploration(enum.Enum):
    """How actions are chosen, given Q(s, ·)."""

    EPSILON_GREEDY = "epsilon-greedy"
    BOLTZMANN = "boltzmann"


class EpsilonGreedyPolicy(AbstractPolicy[EpsilonGreedy]):
    """The best action by Q(s, ·), and with probability ε any action."""

    action_values: AbstractActionValues
    epsilon: Scalar

    def __call__(self, observation: Any, carry: Any) -> tuple[EpsilonGreedy, Any]:
        return EpsilonGreedy(self.action_values(observation), self.epsilon), carry

    def initial_carry(self) -> Any:
        return ()


class BoltzmannPolicy(AbstractPolicy[Categorical]):
    """π(a | s) ∝ exp(Q(s, a)/τ)."""

    action_values: AbstractActionValues
    temperature: Scalar

    def __call__(self, observation: Any, carry: Any) -> tuple[Categorical, Any]:
        return boltzmann(self.action_values(observation), self.temperature), carry

    def initial_carry(self) -> Any:
        return ()
