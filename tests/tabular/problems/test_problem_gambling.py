import functools

import gymnasium as gym
import numpy as np
import pytest
from plain_values import optimal_action_values, optimal_values

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import SuccessorMDP


def test_gambler_plays_boldly():
    """Dubins and Savage (1965): with p < 1/2 staking all that is allowed is optimal."""
    mdp = problem("Gambler").mdp
    exact = np.arange(101) / 100
    for _ in range(200):
        low, high = 0.4 * exact[0:101:2], 0.4 + 0.6 * exact[2:101:2]
        exact = np.concatenate([low, high])
    exact[100] = 0
    assert np.allclose(optimal_values(mdp), exact, atol=1e-10)


def test_gamblers_stakes():
    found = problem("Gambler")
    assert isinstance(found.mdp, SuccessorMDP)
    to = np.moveaxis(np.asarray(found.mdp.successor), 2, 0)
    assert found.actions[0] == "stake 1" and found.actions[-1] == "stake 50"
    assert to[30, 9].tolist() == [40, 20] and to[30, 49].tolist() == [60, 0]
    assert to[80, 49].tolist() == [100, 60]
    assert np.isclose(found.mdp.initial[1:100], 1 / 99).all()


CARDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10)


def score(hard, ace):
    return hard + 10 if ace and hard + 10 <= 21 else hard


@functools.cache
def dealer_ends(hard, ace):
    """By counting aces as 1, and 10 more at the end: not how the library does it."""
    total = score(hard, ace)
    if total >= 17:
        return {min(total, 22): 1.0}
    ends = {}
    for card in CARDS:
        for end, p in dealer_ends(hard + card, ace or card == 1).items():
            ends[end] = ends.get(end, 0) + p / 13
    return ends


@functools.cache
def hand_values(hard, ace, shown):
    """What hitting and sticking are worth."""
    total = score(hard, ace)
    hit = 0.0
    for card in CARDS:
        bust = hard + card > 21
        hit += (-1 if bust else max(hand_values(hard + card, ace or card == 1, shown))) / 13
    ends = dealer_ends(shown, shown == 1).items()
    stick = sum(p * ((end > 21 or total > end) - (end <= 21 and end > total)) for end, p in ends)
    return hit, stick


def test_blackjack_against_a_direct_recursion():
    q = optimal_action_values(problem("Blackjack").mdp)
    for soft in (False, True):
        for total in range(12, 22):
            for shown in range(1, 11):
                state = 100 * soft + 10 * (total - 12) + shown - 1
                expected = hand_values(total - 10 * soft, soft, shown)
                assert np.allclose(q[state], expected, atol=1e-12)


def test_blackjacks_return_from_the_deal():
    mdp, worth = problem("Blackjack").mdp, 0.0
    for first in CARDS:
        for second in CARDS:
            for shown in CARDS:
                if {first, second} == {1, 10}:
                    worth += 1 - {1: 4 / 13, 10: 1 / 13}.get(shown, 0)
                else:
                    worth += max(hand_values(first + second, 1 in (first, second), shown))
    assert np.isclose(mdp.initial @ optimal_values(mdp), worth / 13**3, atol=1e-12)
    assert np.isclose(mdp.initial[200:210].sum(), 2 * 4 / 13**2, rtol=1e-12)


def blackjack_policy():
    found = problem("Blackjack")
    stick = optimal_action_values(found.mdp).argmax(axis=1) == found.actions.index("stick")
    return stick[:200].reshape(2, 10, 10)


def test_blackjacks_policy_is_that_of_figure_5_2():
    """The least sum on which to stick, by the dealer's card from the ace to 10."""
    stick = blackjack_policy()
    assert np.all(np.diff(stick.astype(int), axis=1) >= 0)
    least = 12 + 10 - stick.sum(axis=1)
    assert least[0].tolist() == [17, 13, 13, 12, 12, 12, 17, 17, 17, 17]
    assert least[1].tolist() == [19, 18, 18, 18, 18, 18, 18, 18, 19, 19]


def test_blackjack_played_in_gymnasium():
    """Gymnasium's rules with `sab=True` are the same; four standard errors."""
    stick, returns = blackjack_policy(), []
    mdp = problem("Blackjack").mdp
    with gym.make("Blackjack-v1", sab=True) as env:
        env.reset(seed=0)
        for _ in range(4000):
            (total, shown, soft), _ = env.reset()
            ended, reward = False, 0.0
            while not ended:
                action = int(not (total >= 12 and stick[int(soft), total - 12, shown - 1]))
                (total, shown, soft), reward, ended, _, _ = env.step(action)
            returns.append(reward)
    expected = mdp.initial @ optimal_values(mdp)
    assert abs(np.mean(returns) - expected) < 4 * np.std(returns) / np.sqrt(len(returns))


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (0, "hard 12 against an ace"),
        (169, "soft 18 against 10"),
        (203, "natural against 4"),
        (210, "over"),
    ],
)
def test_names_of_blackjacks_states(state, name):
    assert problem("Blackjack").states[state] == name
