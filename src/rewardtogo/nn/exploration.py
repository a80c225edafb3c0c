"""Ways to explore, named once for the command line, for tables and for networks."""

import enum
from typing import Any

from ..types import Scalar
from .distributions import Categorical, EpsilonGreedy, boltzmann
from .policies import StatelessPolicy
from .values import AbstractActionValues


class Exploration(enum.Enum):
    """How actions are chosen, given Q(s, ·)."""

    EPSILON_GREEDY = "epsilon-greedy"
    BOLTZMANN = "boltzmann"


class EpsilonGreedyPolicy(StatelessPolicy[EpsilonGreedy]):
    """The best action by Q(s, ·), and with probability ε any action."""

    action_values: AbstractActionValues
    epsilon: Scalar

    def distribution(self, observation: Any) -> EpsilonGreedy:
        return EpsilonGreedy(self.action_values(observation), self.epsilon)


class BoltzmannPolicy(StatelessPolicy[Categorical]):
    """π(a | s) ∝ exp(Q(s, a)/τ)."""

    action_values: AbstractActionValues
    temperature: Scalar

    def distribution(self, observation: Any) -> Categorical:
        return boltzmann(self.action_values(observation), self.temperature)
