import math

import numpy as np
import pytest

from rewardtogo.lab.theorems import theorem
from rewardtogo.lab.theorems.theorem import Relation


def comparing(compare):
    return lambda left, right, **rest: compare("", np.array(left), np.array(right), **rest)


equal, at_most = comparing(theorem.equal), comparing(theorem.at_most)
less, unequal = comparing(theorem.less), comparing(theorem.unequal)


def test_equal_is_relative_to_the_larger_of_one_and_the_right():
    assert equal(1e-10, 0).holds and not equal(1e-8, 0).holds
    assert equal(1e6 + 1e-4, 1e6).holds and not equal(1e6 + 1e-2, 1e6).holds
    assert equal(1.05, 1, tolerance=0.1).holds


@pytest.mark.parametrize(("left", "holds"), [(0, True), (1 + 1e-10, True), (1 + 1e-8, False)])
def test_at_most_forgives_rounding_only(left, holds):
    assert at_most(left, 1).holds == holds


@pytest.mark.parametrize(("left", "holds"), [(0.5, True), (1, False), (1 - 1e-12, False)])
def test_less_is_strict(left, holds):
    assert less(left, 1).holds == holds


def test_unequal_needs_one_entry_that_differs_by_the_margin():
    assert unequal([1, 2, 3], [1, 2.5, 3]).holds
    assert not unequal([1, 2, 3], [1, 2 + 1e-7, 3]).holds
    assert unequal(1, 1.1, margin=0.05).holds and not unequal(1, 1.1, margin=0.2).holds


@pytest.mark.parametrize("compare", [equal, at_most, less, unequal])
@pytest.mark.parametrize("sides", [(math.nan, 1), (1, math.nan), ([0, math.nan], [1, 1])])
def test_nan_never_holds(compare, sides):
    assert not compare(*sides).holds


def test_the_entry_shown_is_the_one_where_the_claim_holds_least():
    worst = equal([0, 5, 1], [0, 3, 1.5])
    assert (worst.left, worst.relation, worst.right) == (5, Relation.EQUAL, 3)
    assert worst.slack == pytest.approx(3e-9 - 2)
    assert at_most([0, 2], [9, 3]).slack == pytest.approx(1)
    most = unequal([[0, 5]], [[1, 1]])
    assert (most.left, most.right) == (5, 1)


def test_sides_are_broadcast():
    assert equal([[2, 2], [2, 2]], 2).holds
    assert not equal([[2, 2], [2, 3]], 2).holds
