"""A statement of the theory as something that can be run: the numbers on both its sides."""

import dataclasses
import enum
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike


# NumPy's own type leaves plain numbers out, as checked in tests.
Side = ArrayLike | float | int


class Relation(enum.Enum):
    """What is claimed of the two sides."""

    EQUAL = "="
    AT_MOST = "≤"
    LESS = "<"
    UNEQUAL = "≠"


@dataclasses.dataclass(frozen=True)
class Sides:
    """Both sides of a claim, at the entry where it holds least; `slack` < 0 where it fails."""

    what: str
    left: float
    relation: Relation
    right: float
    slack: float

    @property
    def holds(self) -> bool:
        """Whether the claim is true, up to its tolerance."""
        return self.slack >= 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Theorem:
    """A named statement. `source`: document and section. `check`: what one random case gives."""

    name: str
    statement: str
    source: str
    check: Callable[[PRNGKeyArray], Sequence[Sides]]


def equal(what: str, left: Side, right: Side, *, tolerance: float = 1e-9) -> Sides:
    """Both sides are the same up to `tolerance`, relative to the larger of 1 and |right|."""
    left, right = _sides(left, right)
    slack = tolerance * np.maximum(1, np.abs(right)) - np.abs(left - right)
    return _worst(what, left, Relation.EQUAL, right, slack)


def at_most(what: str, left: Side, right: Side, *, rounding: float = 1e-9) -> Sides:
    """Every left side is no more than its right one, up to `rounding`, relative as in `equal`."""
    left, right = _sides(left, right)
    slack = right - left + rounding * np.maximum(1, np.abs(right))
    return _worst(what, left, Relation.AT_MOST, right, slack)


def less(what: str, left: Side, right: Side, *, margin: float = 1e-9) -> Sides:
    """Every left side is below its right one, by `margin` at least."""
    left, right = _sides(left, right)
    return _worst(what, left, Relation.LESS, right, right - left - margin)


def unequal(what: str, left: Side, right: Side, *, margin: float = 1e-6) -> Sides:
    """The sides differ somewhere by `margin` at least: what a wrong form of a statement does."""
    left, right = _sides(left, right)
    gap = np.abs(left - right)
    where = int(np.argmax(gap))
    slack = float(gap[where] - margin)
    return Sides(what, float(left[where]), Relation.UNEQUAL, float(right[where]), slack)


def _sides(left: Side, right: Side) -> tuple[np.ndarray, np.ndarray]:
    both = np.broadcast_arrays(np.asarray(left, np.float64), np.asarray(right, np.float64))
    return both[0].ravel(), both[1].ravel()


def _worst(
    what: str, left: np.ndarray, relation: Relation, right: np.ndarray, slack: np.ndarray
) -> Sides:
    # NaN counts as the worst of all.
    where = int(np.argmin(np.where(np.isnan(slack), -np.inf, slack)))
    least = float(np.nan_to_num(slack[where], nan=-np.inf))
    return Sides(what, float(left[where]), relation, float(right[where]), least)
