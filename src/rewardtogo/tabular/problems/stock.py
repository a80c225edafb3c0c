"""Decisions about stock: rental cars at two places, and when to cut a forest."""

import math

import numpy as np
from jaxtyping import Float

from ..mdp import tabular_mdp
from .problem import Grid, Problem


_MOST_CARS = 20
_MOST_MOVED = 5
_RENT, _MOVING = 10.0, 2.0


def jacks_car_rental() -> Problem:
    """Sutton and Barto (2018), example 4.2: cars moved overnight between two places.

    State 21·(cars at the first) + (cars at the second), at the end of a day. Action a asks for
    a − 5 cars to be moved from the first to the second: 2 for each one asked for, whether or not it
    is there, so that a policy gains nothing by asking for more. Above 20 at a place, cars leave the
    business. Requests (Poisson, 3 and 4) are met from the cars there at 10 each, and
    returns (Poisson, 3 and 2) can be rented from the next day. Tails are not cut off. What a
    rental day pays is known given the successor up to a noise of exact variance. The book names no
    start: it is uniform. Learners are cut off after 100 days.
    """
    n = _MOST_CARS + 1
    first, second = np.divmod(np.arange(n * n)[:, None], n)
    wanted = np.arange(-_MOST_MOVED, _MOST_MOVED + 1)
    sent = np.clip(wanted, -second, first)
    left, right = (np.minimum(x, _MOST_CARS) for x in (first - sent, second + sent))
    shape = (n * n, len(wanted), n * n)
    p, rent, noise = (table[left] for table in _day(requests=3.0, returns=3.0))
    q, rent_2, noise_2 = (table[right] for table in _day(requests=4.0, returns=2.0))
    transition = (p[..., :, None] * q[..., None, :]).reshape(shape)
    reward = (rent[..., :, None] + rent_2[..., None, :]).reshape(shape)
    mdp = tabular_mdp(
        transition,
        reward - _MOVING * np.abs(wanted)[:, None],
        np.full(n * n, 1 / n**2),
        discount=0.9,
        terminal=np.zeros(n * n, bool),
        reward_noise=noise + noise_2,
    )
    arrows = tuple((-float(a) / _MOST_MOVED, float(a) / _MOST_MOVED) for a in wanted)
    return Problem(
        name="JacksCarRental",
        mdp=mdp,
        source="Sutton and Barto (2018), example 4.2",
        states=tuple(f"{a} and {b} cars" for a in range(n) for b in range(n)),
        actions=tuple(f"move {a}" for a in wanted),
        grid=Grid(shape=(n, n), cell=np.arange(n * n), moves=arrows),
        max_steps=100,
    )


def _day(
    *, requests: float, returns: float
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"], Float[np.ndarray, " n"]]:
    """From n cars in the morning to n′ in the evening: probabilities, and mean pay given both.

    The third is the mean over n′ of the pay's variance given both.
    """
    cars = np.arange(_MOST_CARS + 1)
    chance = np.zeros((len(cars), len(cars), len(cars)))  # of n′ and the number rented, given n
    for n in cars:
        rentals = _capped_poisson(requests, int(n))
        for rented, p in enumerate(rentals):
            kept = n - rented
            chance[n, kept:, rented] = p * _capped_poisson(returns, int(_MOST_CARS - kept))
    p = chance.sum(axis=2)
    mean = np.divide(chance @ cars, p, out=np.zeros_like(p), where=p > 0)
    variance = np.sum(chance * (cars - mean[:, :, None]) ** 2, axis=(1, 2))
    return p, _RENT * mean, _RENT**2 * variance


def _capped_poisson(mean: float, cap: int) -> Float[np.ndarray, " values"]:
    """The distribution of min(X, `cap`) on 0 to `cap`, X Poisson."""
    p = np.array([math.exp(-mean) * mean**k / math.factorial(k) for k in range(cap + 1)])
    p[cap] = 1 - p[:cap].sum()
    return p


def forest() -> Problem:
    """When to cut: the example of Chadès et al. (2014) and of pymdptoolbox, with its 3 states.

    The forest grows older each year, or burns down to state 0 with probability 0.1. Waiting pays
    4 in the oldest state. Cutting leads to state 0 and pays 1, in the oldest state 2 and in the
    youngest nothing. It starts young; learners are cut off after 100 years.
    """
    fire = 0.1
    transition = np.zeros((3, 2, 3))
    transition[:, 0, 0] = fire
    transition[[0, 1, 2], 0, [1, 2, 2]] = 1 - fire
    transition[:, 1, 0] = 1
    reward = [[0.0, 0.0], [0.0, 1.0], [4.0, 2.0]]
    mdp = tabular_mdp(transition, reward, [1.0, 0.0, 0.0], discount=0.9, terminal=np.zeros(3, bool))
    return Problem(
        name="Forest",
        mdp=mdp,
        source="Chadès et al. (2014), MDPtoolbox; pymdptoolbox's `forest`",
        states=("young", "middle", "old"),
        actions=("wait", "cut"),
        max_steps=100,
    )
