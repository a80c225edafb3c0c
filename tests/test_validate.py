import enum
import math

import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo import validate


INSIDE = [(0.0, {}), (1.0, {}), (1, {}), (0.5, {"open_low": True, "open_high": True})]
OUTSIDE = [
    (-1e-9, {}, "[0, 1]"),
    (1.5, {}, "[0, 1]"),
    (math.nan, {}, "[0, 1]"),
    (math.inf, {}, "[0, 1]"),
    (0.0, {"open_low": True}, "(0, 1]"),
    (1, {"open_high": True}, "[0, 1)"),
]


@pytest.mark.parametrize(("value", "ends"), INSIDE)
def test_inside_an_interval(value, ends):
    validate.in_interval("x", value, 0.0, 1.0, **ends)


@pytest.mark.parametrize(("value", "ends", "allowed"), OUTSIDE)
def test_outside_an_interval_names_argument_value_and_range(value, ends, allowed):
    with pytest.raises(ValueError) as caught:
        validate.in_interval("x", value, 0.0, 1.0, **ends)
    assert str(caught.value) == f"`x` must lie in {allowed}; got {value}."


def test_half_lines():
    for value in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"`x` must lie in \(0, inf\)"):
            validate.positive("x", value)
    for value in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"`x` must lie in \[0, inf\)"):
            validate.non_negative("x", value)
    validate.positive("x", 1e-300)
    validate.non_negative("x", 0)
    with pytest.raises(ValueError, match=r"`x` must lie in \[0, 1\]"):
        validate.unit_interval("x", 1.01)


def test_an_array_passes_unread():
    """A swept hyperparameter has no single value."""
    validate.unit_interval("x", jnp.array(7.0))
    validate.positive("x", jnp.array([-1.0, 1.0]))


def test_numbers_of_numpy_are_read():
    validate.unit_interval("x", np.float32(0.5))
    for value in (np.float32(1.5), np.float64("nan"), np.int64(2)):
        with pytest.raises(ValueError, match=r"`x` must lie in \[0, 1\]; got"):
            validate.unit_interval("x", value)


@pytest.mark.parametrize("value", ["0.5", None, [0.5], 0.5j])
def test_what_is_no_number(value):
    with pytest.raises(ValueError) as caught:
        validate.unit_interval("x", value)
    assert str(caught.value).startswith("`x` must be a number; got ")


def test_the_reason_of_a_bound():
    with pytest.raises(ValueError) as caught:
        validate.in_interval("x", 2, 0.0, 1.0, because="else it grows")
    assert str(caught.value) == "`x` must lie in [0, 1]; got 2: else it grows."


class Shape: ...


class Circle(Shape): ...


class Square(Shape): ...


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (0.1, Shape, "one of Circle, Square; got 0.1."),
        (Circle, Shape, "one of Circle, Square; got <class "),
        ("red", Circle, "one of Circle; got 'red'."),
        ("red", Colour, "one of Colour.RED, Colour.BLUE; got 'red'."),
    ],
)
def test_what_is_of_no_kind(value, kind, said):
    with pytest.raises(ValueError) as caught:
        validate.instance("x", value, kind)
    assert str(caught.value).startswith(f"`x` must be {said}")


def test_kinds():
    validate.instance("x", Circle(), Shape)
    validate.instance("x", Colour.RED, Colour)


@pytest.mark.parametrize("value", [0, -3, 1.0, 2.5, True, "3", None, math.nan])
def test_what_is_no_count(value):
    with pytest.raises(ValueError) as caught:
        validate.count("n", value)
    assert str(caught.value) == f"`n` must be a whole number, at least 1; got {value!r}."


def test_counts():
    validate.count("n", 1)
    validate.count("n", 0, least=0)
    with pytest.raises(ValueError, match="at least 2; got 1"):
        validate.count("n", 1, least=2)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cartpol", " Did you mean `CartPole`?"),
        ("PENDULUM", " Did you mean `Pendulum`?"),
        ("q", ""),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(ValueError) as caught:
        validate.one_of("environment", name, ["Pendulum", "CartPole"])
    assert str(caught.value) == f"Unknown environment `{name}`.{hint} Known: CartPole, Pendulum."


def test_a_known_name_passes():
    validate.one_of("environment", "CartPole", ["Pendulum", "CartPole"])
