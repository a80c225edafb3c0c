"""The methods of tabular control, by name."""

from collections.abc import Callable

from .certainty_equivalence import CertaintyEquivalence
from .dyna import DynaQ, DynaQPlus
from .one_step import AbstractControl, DoubleQLearning, ExpectedSarsa, QLearning, Sarsa


METHODS: dict[str, Callable[..., AbstractControl]] = {
    "q-learning": QLearning,
    "double-q-learning": DoubleQLearning,
    "sarsa": Sarsa,
    "expected-sarsa": ExpectedSarsa,
    "dyna-q": DynaQ,
    "dyna-q+": DynaQPlus,
    "certainty-equivalence": CertaintyEquivalence,
}
"""By the names that the command takes."""
