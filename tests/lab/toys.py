"""Two theorems, one of them false in about half of its cases."""

import jax.random as jr
import numpy as np

from rewardtogo.lab.theorems.theorem import Theorem, at_most, equal


def _true(key):
    x = np.asarray(jr.uniform(key))
    return [equal("x + 0 = x", x + 0, x), at_most("x² ≤ x", x**2, x)]


def _false(key):
    x = np.asarray(jr.normal(key))
    return [equal("x = x", x, x), at_most("x ≤ 0", x, np.zeros(()))]


TRUE = Theorem(name="squares", statement="x² ≤ x on [0, 1].", source="school", check=_true)
FALSE = Theorem(name="signs", statement="Normal is negative.", source="nowhere", check=_false)
TOYS = (TRUE, FALSE)
