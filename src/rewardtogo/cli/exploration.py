"""How a method of control explores, and the flags that say so."""

import dataclasses

from .. import validate
from ..nn.exploration import Exploration
from ..td.steps.exploration import BoltzmannExploration, EpsilonGreedyExploration
from .flags import given


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplorationFlags:
    exploration: Exploration = Exploration.EPSILON_GREEDY
    """How actions are chosen."""
    epsilon: float | None = None
    """ε of epsilon-greedy, the share of steps on which any action is taken; 0.3 without one."""
    temperature: float | None = None
    """τ of boltzmann, in units of return; 1 without one."""

    def explores(self) -> BoltzmannExploration | EpsilonGreedyExploration:
        """What these say; **Raises:** `ValueError` for one that belongs to the other kind."""
        if self.exploration is Exploration.BOLTZMANN:
            validate.unused("epsilon", self.epsilon, "epsilon-greedy exploration")
            return BoltzmannExploration(**given(temperature=self.temperature))
        validate.unused("temperature", self.temperature, "boltzmann exploration")
        return EpsilonGreedyExploration(**given(epsilon=self.epsilon))
