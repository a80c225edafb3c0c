"""Every statement of the theory, in reading order: `THEOREMS`."""

from . import (
    approximation,
    baselines,
    certificates,
    conservative,
    contraction,
    coupling,
    deterministic,
    difference,
    distances,
    importance,
    improvement,
    offline,
    pathwise,
    prediction,
    preference,
    returns,
    score,
    soft,
    variance,
    visitation,
)
from .theorem import Theorem


THEOREMS: tuple[Theorem, ...] = (
    *score.THEOREMS,
    *variance.THEOREMS,
    *baselines.THEOREMS,
    *returns.THEOREMS,
    *visitation.THEOREMS,
    *difference.THEOREMS,
    *distances.THEOREMS,
    *coupling.THEOREMS,
    *importance.THEOREMS,
    *soft.THEOREMS,
    *deterministic.THEOREMS,
    *pathwise.THEOREMS,
    *improvement.THEOREMS,
    *contraction.THEOREMS,
    *certificates.THEOREMS,
    *prediction.THEOREMS,
    *approximation.THEOREMS,
    *offline.THEOREMS,
    *conservative.THEOREMS,
    *preference.THEOREMS,
)
