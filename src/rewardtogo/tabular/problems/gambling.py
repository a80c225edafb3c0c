"""The gambler's problem and blackjack."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ..successors import Outcome, mdp_from_outcomes, successor_mdp
from .boards import uniform
from .problem import Problem


_GOAL = 100
_HEADS = 0.4
# An infinite deck: ace, 2 to 9, and four kinds of card that count 10.
_CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}
_NATURALS, _OVER = 200, 210


def gambler() -> Problem:
    """Sutton and Barto (2018), example 4.3: stakes on a coin with 0.4 for heads, up to 100.

    State s is a capital of s, 0 and 100 are terminal, and reaching 100 pays 1. A stake above what
    is allowed, min(s, 100 − s), is that. There is no stake of 0, with which a game need not end.
    The book names no start: it is uniform over 1 to 99.
    """
    capital = np.arange(_GOAL + 1)
    stakes = np.arange(1, _GOAL // 2 + 1)
    stake = np.minimum(stakes, np.minimum(capital, _GOAL - capital)[:, None])
    to = np.stack([capital[:, None] + stake, capital[:, None] - stake], axis=2)
    terminal = (capital == 0) | (capital == _GOAL)
    mdp = successor_mdp(
        to,
        np.broadcast_to([_HEADS, 1 - _HEADS], to.shape),
        to == _GOAL,
        uniform(~terminal),
        discount=1.0,
        terminal=terminal,
    )
    return Problem(
        name="Gambler",
        mdp=mdp,
        source="Sutton and Barto (2018), example 4.3",
        actions=tuple(f"stake {x}" for x in stakes),
    )


def blackjack() -> Problem:
    """Sutton and Barto (2018), example 5.1, with an infinite deck.

    State 100·(usable ace) + 10·(sum − 12) + (dealer's card − 1), sums of 12 to 21. Below 12 a card
    is always taken, before an episode starts. States 200 to 209 are naturals by the dealer's card:
    they win unless the dealer has one too, whatever is done. State 210 is the end.
    """
    outcomes = [[_hit(s), _stick(s)] for s in range(_OVER)]
    over: list[Outcome] = [(1.0, _OVER, 0.0, True)]
    mdp = mdp_from_outcomes([*outcomes, [over, over]], _dealt(), discount=1.0)
    return Problem(
        name="Blackjack",
        mdp=mdp,
        source="Sutton and Barto (2018), example 5.1",
        states=(*(_name(s) for s in range(_OVER)), "over"),
        actions=("hit", "stick"),
    )


def _parts(state: int) -> tuple[int, bool, int]:
    """Sum, usable ace, dealer's card."""
    return 12 + state // 10 % 10, state >= 100, 1 + state % 10


def _name(state: int) -> str:
    total, soft, shown = _parts(state)
    against = "an ace" if shown == 1 else str(shown)
    hand = "natural" if state >= _NATURALS else f"{'soft' if soft else 'hard'} {total}"
    return f"{hand} against {against}"


def _add(total: int, soft: bool, card: int) -> tuple[int, bool]:
    """A hand with one card more; an ace counts 11 as long as that does not go over 21."""
    if card == 1 and total + 11 <= 21:
        return total + 11, True
    if total + card > 21 and soft:
        return total + card - 10, False
    return total + card, soft


def _hit(state: int) -> list[Outcome]:
    if state >= _NATURALS:
        return _natural(state)
    total, soft, shown = _parts(state)
    outcomes: list[Outcome] = []
    for card, p in _CARDS.items():
        after, still_soft = _add(total, soft, card)
        bust = after > 21
        to = _OVER if bust else 100 * still_soft + 10 * (after - 12) + shown - 1
        outcomes.append((p, to, -1.0 if bust else 0.0, bust))
    return outcomes


def _stick(state: int) -> list[Outcome]:
    if state >= _NATURALS:
        return _natural(state)
    total, _, shown = _parts(state)
    dealer = _dealer(*_add(0, False, shown))
    scores = np.arange(17, 23)
    result = np.where((scores < total) | (scores > 21), 1.0, np.where(scores == total, 0.0, -1.0))
    return [(float(dealer[result == x].sum()), _OVER, x, True) for x in (1.0, 0.0, -1.0)]


def _natural(state: int) -> list[Outcome]:
    _, _, shown = _parts(state)
    draw = {1: _CARDS[10], 10: _CARDS[1]}.get(shown, 0.0)
    return [(1 - draw, _OVER, 1.0, True), (draw, _OVER, 0.0, True)]


@functools.cache
def _dealer(total: int, soft: bool) -> Float[np.ndarray, "6"]:
    """Where the dealer ends who sticks on 17 or more: on 17 to 21, or over."""
    if total >= 17:
        return (np.arange(17, 23) == min(total, 22)).astype(np.float64)
    return np.sum([p * _dealer(*_add(total, soft, card)) for card, p in _CARDS.items()], axis=0)


def _dealt() -> Float[np.ndarray, "211"]:
    """Two cards, and more until the sum is at least 12; the dealer shows any card."""
    initial = np.zeros(_OVER + 1)
    for shown, q in _CARDS.items():
        for first, p in _CARDS.items():
            for total, soft, cards, chance in _hands(*_add(0, False, first), 1, p):
                natural = total == 21 and cards == 2
                hand = _NATURALS if natural else 100 * soft + 10 * (total - 12)
                initial[hand + shown - 1] += q * chance
    return initial


def _hands(
    total: int, soft: bool, cards: int, chance: float
) -> Iterator[tuple[int, bool, int, float]]:
    if cards >= 2 and total >= 12:
        yield total, soft, cards, chance
        return
    for card, p in _CARDS.items():
        yield from _hands(*_add(total, soft, card), cards + 1, chance * p)
