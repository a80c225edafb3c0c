import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.empirical import empirical_mdp, visit_counts
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.successors import dense


def estimate(rows, *, initial=(0,), num_states=3, num_actions=2, discount=0.9, **settings):
    """The model of rows (s, a, r, s', terminated)."""
    return empirical_mdp(
        *(np.array(column) for column in zip(*rows, strict=True)),
        initial_state=np.array(initial),
        num_states=num_states,
        num_actions=num_actions,
        discount=discount,
        **settings,
    )


BY_HAND = [
    (0, 0, 1.0, 0, False),
    (0, 0, 3.0, 1, False),
    (0, 0, 4.0, 1, False),
    (0, 0, 9.0, 1, False),
    (0, 1, 0.1, 2, True),
    (0, 1, 0.1, 2, True),
    (0, 1, 0.1, 2, True),
    (1, 0, 5.0, 0, False),
    (1, 1, -1.0, 2, True),
]


def optimum(mdp, sweeps=400):
    """Value iteration on dense tables."""
    table = dense(mdp)
    values = np.zeros(table.num_states)
    for _ in range(sweeps):
        values = np.max(table.reward + table.discount * table.transition @ values, axis=1)
    return values


def sampled(mdp, visits, rng):
    """`visits` transitions of every pair of an MDP, rewards with normal noise of deviation ½."""
    s, a, _ = np.indices((*mdp.reward.shape, visits)).reshape(3, -1)
    cumulative = np.cumsum(mdp.transition, axis=2)
    to = np.sum(rng.random(len(s))[:, None] * cumulative[s, a, -1:] >= cumulative[s, a], axis=1)
    noise = np.where(mdp.terminal[s], 0, rng.normal(size=len(s)))
    return s, a, mdp.reward[s, a] + 0.5 * noise, to, mdp.terminal[to]


def test_counts_by_hand():
    s, a = ([row[i] for row in BY_HAND] for i in (0, 1))
    expected = [[4, 3], [1, 1], [0, 0]]
    assert np.array_equal(visit_counts(s, a, num_states=3, num_actions=2), expected)


def test_frequencies_means_and_variances_by_hand(x64):
    mdp = estimate(BY_HAND, initial=[0, 0, 1, 0])
    table = dense(mdp)
    assert np.allclose(table.transition[0, 0], [0.25, 0.75, 0], rtol=1e-15)
    assert np.allclose(table.transition[0, 1], [0, 0, 1], rtol=1e-15)
    assert np.allclose(table.transition[1], [[1, 0, 0], [0, 0, 1]], rtol=1e-15)
    assert np.allclose(mdp.reward, [[17 / 4, 0.1], [5, -1], [0, 0]], rtol=1e-15)
    assert np.allclose(mdp.reward_variance()[0], [np.var([1, 3, 4, 9]), 0], rtol=1e-14)
    assert table.successor_reward is not None
    assert np.allclose(table.successor_reward[0, 0, :2], [1, 16 / 3], rtol=1e-15)
    assert np.array_equal(mdp.terminal, [False, False, True])
    assert np.array_equal(mdp.initial, [0.75, 0.25, 0])


def test_the_order_of_the_logs_does_not_matter():
    shuffled = [BY_HAND[i] for i in (3, 8, 1, 7, 6, 0, 2, 5, 4)]
    ours, theirs = dense(estimate(shuffled)), dense(estimate(BY_HAND))
    assert np.allclose(ours.transition, theirs.transition, rtol=1e-15)
    assert np.allclose(ours.reward, theirs.reward, rtol=1e-15)


def test_logs_of_a_deterministic_process_give_its_tables_back(x64):
    """Every pair three times, to the last bit: equal rewards have no variance."""
    rng = np.random.default_rng(0)
    states, actions, end = 7, 3, 6
    to = rng.integers(0, states, (states, actions))
    reward = rng.normal(size=(states, actions))
    rows = [
        (s, a, reward[s, a], to[s, a], bool(to[s, a] == end)) for s in range(6) for a in range(3)
    ] * 3
    mdp = estimate(rows, num_states=states, num_actions=actions)
    expected = np.eye(states)[to]
    expected[end], reward[end] = np.eye(states)[end], 0
    assert np.array_equal(dense(mdp).transition, expected)
    assert np.array_equal(mdp.reward, reward)
    assert np.array_equal(mdp.reward_variance(), np.zeros((states, actions)))
    assert mdp.successor.shape == (actions, 1, states)


def test_the_plan_converges_at_the_rate_of_the_means(key):
    """A hundred times the data, a tenth of the error."""
    mdp = garnet(num_states=5, num_actions=2, num_terminal=1, discount=0.8, key=key)
    rng = np.random.default_rng(1)
    truth, errors = optimum(mdp), {}
    for visits in (20, 2000):
        tries = []
        for _ in range(12):
            logs = sampled(mdp, visits, rng)
            model = empirical_mdp(
                *logs, initial_state=[0], num_states=5, num_actions=2, discount=0.8
            )
            tries.append(optimum(model, 60) - truth)
        errors[visits] = np.sqrt(np.mean(np.square(tries)))
    assert errors[2000] < 0.03
    assert 7 < errors[20] / errors[2000] < 14


def test_noisy_rewards_keep_their_variance(key, x64):
    mdp = garnet(num_states=5, num_actions=2, num_terminal=1, discount=0.8, key=key)
    s, a, r, to, ended = sampled(mdp, 500, np.random.default_rng(2))
    model = empirical_mdp(
        s, a, r, to, ended, initial_state=[0], num_states=5, num_actions=2, discount=0.8
    )
    for pair in np.ndindex(4, 2):
        logged = r[(s == pair[0]) & (a == pair[1])]
        assert np.isclose(model.reward[pair], logged.mean(), rtol=1e-12)
        assert np.isclose(model.reward_variance()[pair], logged.var(), rtol=1e-12)


def test_an_end_in_a_state_that_lives_on_is_a_state_of_its_own():
    """State 1 is left as well: its own value is not lost by those who end there."""
    rows = [(0, 0, 1.0, 1, True), (0, 0, 1.0, 1, False), (1, 0, 4.0, 0, True)]
    mdp = estimate(rows, num_states=2, num_actions=1)
    assert mdp.num_states == 3
    assert np.array_equal(mdp.terminal, [False, False, True])
    assert np.allclose(dense(mdp).transition[:2, 0], [[0, 0.5, 0.5], [0, 0, 1]])
    assert np.allclose(optimum(mdp), [1 + 0.9 * 0.5 * 4, 4, 0])


def test_resting_where_an_episode_ended_is_not_life():
    rows = [(0, 0, 1.0, 1, True), (1, 0, 0.0, 1, True)]
    mdp = estimate(rows, num_states=2, num_actions=1)
    assert mdp.num_states == 2 and np.array_equal(mdp.terminal, [False, True])


def test_a_state_entered_alive_is_not_an_end():
    """One episode ended in state 1, another was cut off there: it has actions, all unvisited."""
    rows = [(0, 0, 0.0, 1, True), (0, 0, 0.0, 1, False)]
    mdp = estimate(rows, num_states=2, num_actions=1, unvisited_value=7.0)
    assert np.allclose(optimum(mdp), [0.9 * 0.5 * 7, 7, 0])


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_bandit_ends_where_it_began(reward):
    rows = [(0, 0, 0.0, 0, True), (0, 1, reward, 0, True)]
    mdp = estimate(rows, num_states=1)
    assert np.array_equal(mdp.terminal, [False, True])
    assert np.allclose(optimum(mdp), [reward, 0])


def test_truncation_is_no_end():
    """The record ended in state 1, the process did not."""
    mdp = estimate([(0, 0, 1.0, 1, False), (1, 0, 1.0, 0, False)], num_states=2, num_actions=1)
    assert not mdp.terminal.any()
    assert np.allclose(optimum(mdp), 10)


def test_unvisited_pairs_are_refused_by_name():
    with pytest.raises(ValueError, match=r"state 1, action 1 is not in the logs, nor are 0 more"):
        estimate(BY_HAND[:-1])
    with pytest.raises(ValueError, match=r"state 0, action 1 .* nor are 2 more of the 6"):
        estimate([row for row in BY_HAND if row[:2] == (0, 0)] + [(2, 0, 0.0, 2, True)])


@pytest.mark.parametrize("value", [-7.0, 50.0])
def test_unvisited_pairs_are_worth_what_is_given(value):
    mdp = estimate(BY_HAND[:-1], unvisited_value=value)
    values = optimum(mdp)
    q = mdp.reward + 0.9 * dense(mdp).transition @ values
    assert mdp.num_states == 4
    assert np.isclose(q[1, 1], value, rtol=1e-12)
    assert np.isclose(values[1], max(value, 5 + 0.9 * values[0]), rtol=1e-9)


def test_large_state_spaces_need_no_dense_tables():
    """A ring of 200,000 states, whose dense table would hold 8·10¹⁰ numbers."""
    s, a = (x.ravel() for x in np.indices((200_000, 2)))
    to = (s + 2 * a - 1) % 200_000
    mdp = empirical_mdp(
        s,
        a,
        to == 0,
        to,
        to == 0,
        initial_state=[5],
        num_states=200_000,
        num_actions=2,
        discount=0.9,
    )
    assert mdp.successor.shape == (2, 1, 200_001)
    assert np.array_equal(mdp.successor[:, 0, 7], [6, 8])
    assert mdp.reward[1, 0] == 1 and mdp.successor[0, 0, 1] == 200_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": [0, 3]}, r"`state` at entry 1 is 3; it must lie in 0\.\.2"),
        ({"action": [-1, 0]}, r"`action` at entry 0 is -1; it must lie in 0\.\.1"),
        ({"next_state": [0, 9]}, r"`next_state` at entry 1 is 9"),
        ({"initial_state": [4]}, r"`initial_state` at entry 0 is 4"),
        ({"initial_state": np.zeros(0, int)}, r"`initial_state` must hold whole numbers"),
        ({"state": [0.0, 1.0]}, r"`state` must hold whole numbers"),
        ({"state": np.zeros(0, int)}, r"`state` must hold whole numbers"),
        ({"action": [0]}, r"`state` has 2 entries and `action` 1"),
        ({"reward": [0.0, 1.0, 2.0]}, r"`state` has 2 entries and `reward` 3"),
        ({"reward": [0.0, np.nan]}, r"`reward` at entry 1 is nan; it must be finite"),
        ({"reward": ["a", "b"]}, r"`reward` must hold numbers"),
        ({"terminated": [0, 1]}, r"`terminated` must hold booleans"),
        ({"num_states": 0}, r"`num_states` must be a whole number, at least 1"),
        ({"num_actions": 0}, r"`num_actions` must be a whole number, at least 1"),
        ({"discount": 1.5}, r"`discount` must lie in \[0, 1\]; got 1\.5"),
        ({"unvisited_value": np.inf}, r"`unvisited_value` must be finite; got inf"),
    ],
)
def test_logs_that_make_no_model_are_refused(change, message):
    good = {
        "state": [0, 1],
        "action": [0, 1],
        "reward": [1.0, 2.0],
        "next_state": [1, 2],
        "terminated": [False, True],
        "initial_state": [0],
        "num_states": 3,
        "num_actions": 2,
        "discount": 0.9,
        "unvisited_value": 0.0,
    }
    with pytest.raises(ValueError, match=message):
        empirical_mdp(**{**good, **change})


def test_a_model_of_noisy_logs_can_be_sampled(key):
    """Outcomes at mean ± deviation, as often each."""
    rows = [(0, 0, r, 1, True) for r in (1.0, 2.0, 6.0)]
    mdp = estimate(rows, num_states=2, num_actions=1)
    zero = jnp.int32(0)
    successor, reward = jax.vmap(lambda k: mdp.draw(zero, zero, key=k))(jr.split(key, 8))
    deviation = np.std([1, 2, 6])
    assert np.all(np.asarray(successor) == 1)
    assert np.allclose(
        np.unique(np.round(np.asarray(reward), 4)), [3 - deviation, 3 + deviation], atol=1e-4
    )
