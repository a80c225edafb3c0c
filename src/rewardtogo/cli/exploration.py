"""How a method of control explores, from the flags that say so."""

from .. import validate
from ..nn.exploration import Exploration
from .flags import given


def exploration_of(kind: Exploration, *, epsilon: float | None, temperature: float | None):
    """What these flags say; **Raises:** `ValueError` for one that belongs to the other kind."""
    from ..td.steps.exploration import BoltzmannExploration, EpsilonGreedyExploration

    if kind is Exploration.BOLTZMANN:
        validate.unused("epsilon", epsilon, "epsilon-greedy exploration")
        return BoltzmannExploration(**given(temperature=temperature))
    validate.unused("temperature", temperature, "boltzmann exploration")
    return EpsilonGreedyExploration(**given(epsilon=epsilon))
