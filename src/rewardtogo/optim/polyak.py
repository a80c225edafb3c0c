"""Slow copies of models."""

from typing import TypeVar

import equinox as eqx
import jax

from ..types import Scalar


M = TypeVar("M")


def polyak[M](target: M, online: M, rate: Scalar) -> M:
    """Move each float leaf of `target` part of the way: θ' ← (1 − ρ)θ' + ρθ, ρ being `rate`.

    Lillicrap et al. (2016), algorithm 1. `rate` 1 copies, as a hard update does.
    """

    def move(slow, fast):
        # Not θ' + ρ(θ − θ'), which copies only up to rounding.
        return (1 - rate) * slow + rate * fast if eqx.is_inexact_array(slow) else fast

    return jax.tree.map(move, target, online)
