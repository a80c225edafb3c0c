"""Checks of arguments: one clear error, before anything is compiled or stepped.

Each check passes JAX arrays through unread, since a swept hyperparameter has no single value.
"""

import difflib
import enum
import math
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any


def in_interval(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    open_low=False,
    open_high=False,
    because: str = "",
) -> None:
    """Raise `ValueError` unless `value` lies between `low` and `high`; `open_*` excludes an end."""
    if not isinstance(value, numbers.Real):
        if hasattr(value, "dtype"):
            return
        raise ValueError(f"`{name}` must be a number; got {value!r}.")
    number = float(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (math.isfinite(number) and above and below):
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if open_high or math.isinf(high) else "]"
        why = f": {because}" if because else ""
        raise ValueError(f"`{name}` must lie in {left}{low:g}, {high:g}{right}; got {value}{why}.")


def positive(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` is a finite number above zero."""
    in_interval(name, value, 0.0, math.inf, open_low=True)


def non_negative(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` is a finite number, zero or above."""
    in_interval(name, value, 0.0, math.inf)


def unit_interval(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` lies in [0, 1]."""
    in_interval(name, value, 0.0, 1.0)


def count(name: str, value: Any, *, least: int = 1) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"`{name}` must be a whole number, at least {least}; got {value!r}.")


def whole_seed(name: str, value: int) -> None:
    """Raise `ValueError` unless `value` is a seed: a whole number from 0, below 2³¹."""
    count(name, value, least=0)
    if value >= 2**31:
        raise ValueError(f"`{name}` must be below 2**31 = {2**31}; got {value}.")


def instance(name: str, value: Any, kind: type) -> None:
    """Raise `ValueError`, with the members or the subclasses, unless `value` is a `kind`."""
    if isinstance(value, kind):
        return
    allowed = [k.__name__ for k in kind.__subclasses__()] or [kind.__name__]
    if issubclass(kind, enum.Enum):
        allowed = map(str, kind)
    got = " ".join(reprlib.repr(value).split())
    raise ValueError(f"`{name}` must be one of {', '.join(allowed)}; got {got}.")


def unused(name: str, value: Any, needed: str) -> None:
    """Raise `ValueError` where `value`, an option of `needed` alone, is given without it."""
    if value is not None:
        raise ValueError(f"`{name}` is for {needed}, which is not chosen; got {value}.")


def one_of(what: str, name: str, allowed: Iterable[str]) -> None:
    """Raise `ValueError`, with the nearest spelling, unless `name` is among `allowed`."""
    allowed = sorted(allowed)
    if name in allowed:
        return
    by_lower = {choice.lower(): choice for choice in allowed}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f" Did you mean `{by_lower[near[0]]}`?" if near else ""
    raise ValueError(f"Unknown {what} `{name}`.{hint} Known: {', '.join(allowed)}.")
