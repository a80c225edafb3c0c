"""Prediction with features and with a network: the book's boxes, and where they end."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.td.prediction.averaging import Averaging
from rewardtogo.td.prediction.monte_carlo import MonteCarlo, Visits
from rewardtogo.td.prediction.n_step import NStepTD
from rewardtogo.td.prediction.one_step import TD0
from rewardtogo.td.prediction.run import predict
from rewardtogo.td.prediction.traces import TDLambda
from rewardtogo.td.steps.dynamics import Experience
from rewardtogo.td.values.features import FeatureTable, Fourier, TileCoding, state_aggregation
from rewardtogo.td.values.fixed_points import (
    monte_carlo_projection,
    on_policy_distribution,
    td_fixed_point,
)
from rewardtogo.td.values.state_values import (
    LinearValues,
    TileValues,
    linear_values,
    network_values,
)


GAMMA, SIZE = 0.9, 0.05
WALK = problem("RandomWalk-9").mdp
EVEN = np.full((11, 2), 0.5)
PLACE = np.arange(11.0)[:, None]
EVERY = MonteCarlo(visits=Visits.EVERY, step_decay=0.0)
# (state, reward, successor, terminated, truncated)
EPISODES = [
    [(1, 0.5, 3, False, False), (3, -1.0, 1, False, False), (1, 2.0, 4, True, False)],
    [(2, 1.0, 2, False, False), (2, 0.3, 3, False, True)],
    [(3, -0.7, 0, False, False), (0, 0.4, 4, True, False)],
]
# Of every state of these episodes, also of the terminal one: it must not matter.
FEATURES = np.random.default_rng(0).normal(size=(5, 3))


def learned(method, values, weights):
    steps = [step for episode in EPISODES for step in episode]
    state, reward, successor, terminated, truncated = map(np.array, zip(*steps, strict=True))
    state, successor = state.astype(np.int32), successor.astype(np.int32)
    seen = Experience(
        *map(jnp.asarray, (state, np.zeros_like(state), reward, successor, terminated, truncated))
    )
    learn = lambda estimate, step: (method.observe(estimate, step, GAMMA, values), None)
    first = method.init(values, weights, max_steps=10)
    return jax.jit(lambda: jax.lax.scan(learn, first, seen)[0].weights)()


def box_gradient_monte_carlo(w, x):
    """Sutton and Barto (2018), section 9.3, from the last step back; ended episodes only."""
    for episode in EPISODES:
        total = 0.0
        for state, reward, *_ in reversed(episode) if episode[-1][3] else ():
            total = reward + GAMMA * total
            w = w + SIZE * (total - w @ x[state]) * x[state]
    return w


def box_semi_gradient_td(w, x, n=1):
    """Sutton and Barto (2018), section 9.4, n-step semi-gradient TD; TD(0) for n = 1."""
    for episode in EPISODES:
        for time in range(len(episode) + n - 1):
            start, end = time - n + 1, min(time + 1, len(episode))
            if not 0 <= start < len(episode):
                continue
            target = sum(GAMMA**i * episode[start + i][1] for i in range(end - start))
            _, _, successor, terminated, _ = episode[end - 1]
            if not terminated:
                target += GAMMA ** (end - start) * (w @ x[successor])
            state = episode[start][0]
            w = w + SIZE * (target - w @ x[state]) * x[state]
    return w


def active(tiles, states):
    """As `linear_values` keeps many tiles."""
    return TileValues(np.asarray(jax.vmap(tiles.active)(states)), tiles.size, 1.0)


@pytest.mark.parametrize(
    ("method", "box"),
    [
        (MonteCarlo(visits=Visits.EVERY, step_size=SIZE, step_decay=0.0), box_gradient_monte_carlo),
        (TD0(step_size=SIZE), box_semi_gradient_td),
        (NStepTD(n=2, step_size=SIZE), lambda w, x: box_semi_gradient_td(w, x, n=2)),
    ],
    ids=["mc", "td0", "n-step"],
)
def test_the_boxes_of_the_book(method, box, x64):
    """Dense features, and tiles, which are kept as numbers of the active ones."""
    states = jnp.arange(5.0)[:, None]
    tiles = TileCoding(0.0, 5.0, tiles=2, tilings=3)
    rows = linear_values(tiles, states)
    assert isinstance(rows, LinearValues)
    cases = (
        (linear_values(FeatureTable(FEATURES), states), FEATURES),
        (active(tiles, states), rows.rows),
    )
    for values, x in cases:
        start = np.linspace(-1, 1, x.shape[1])
        found = learned(method, values, jnp.asarray(start))
        assert np.allclose(found, box(start, x), rtol=1e-12)
        assert not np.allclose(found, start, atol=1e-3)


def test_scaled_steps(x64):
    """Fourier weights take α/‖c‖ each, tiles α/tilings."""
    states, fourier = jnp.arange(5.0)[:, None], Fourier(0.0, 4.0, order=3)
    few, many = (TileCoding(0.0, 5.0, tiles=n, tilings=3) for n in (2, 400))
    cases = (fourier, [1, 1, 1 / 2, 1 / 3]), (few, np.full(8, 1 / 3)), (many, np.full(1202, 1 / 3))
    for features, scale in cases:
        values = linear_values(features, states)
        assert isinstance(values, TileValues if features is many else LinearValues)
        zero = values.init(jr.key(0))
        after = values.moved(zero, jnp.asarray(2), jnp.asarray(0.3))
        assert np.allclose(after, 0.3 * np.array(scale) * features(states[2]), rtol=1e-12)


@pytest.mark.parametrize("method", [TD0(step_size=SIZE), EVERY], ids=["td0", "mc"])
def test_the_step_of_a_network_is_the_gradient_of_half_the_squared_error(method, x64):
    """By finite differences, weight by weight, the target held constant."""
    values = network_values(np.arange(5.0)[:, None], hidden_sizes=(3,))
    weights = values.init(jr.key(0))
    state, reward, following = jnp.asarray(1), 0.7, jnp.asarray(3)
    ended = method is EVERY
    target = reward + (0 if ended else GAMMA * values.value(weights, following))
    flags = jnp.asarray(ended), jnp.asarray(False)
    seen = Experience(state, state, jnp.asarray(reward), following, *flags)
    first = method.init(values, weights, max_steps=3)
    after = method.observe(first, seen, GAMMA, values).weights
    leaves, shape = jax.tree.flatten(weights)
    size = method.step_size
    for i, leaf in enumerate(leaves):
        for place in np.ndindex(leaf.shape):

            def loss(by, i=i, place=place):
                moved = [x.at[place].add(by) if j == i else x for j, x in enumerate(leaves)]
                return 0.5 * (target - values.value(jax.tree.unflatten(shape, moved), state)) ** 2

            slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
            step = jax.tree.leaves(after)[i][place] - leaf[place]
            assert np.isclose(step, -size * slope, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("method", [TD0(), EVERY, NStepTD(n=3)], ids=["td0", "mc", "n-step"])
@pytest.mark.parametrize("kind", ["rows", "tiles"])
def test_a_feature_for_each_state_is_the_table(method, kind, x64):
    groups = state_aggregation(0.0, 11.0, groups=11)
    values = active(groups, PLACE) if kind == "tiles" else linear_values(groups, PLACE)
    few = {"step_sizes": [0.1, 0.5], "episodes": 4, "seeds": 2}
    table = predict(method, WALK, EVEN, **few)
    found = predict(method, WALK, EVEN, **few, values=values)
    assert np.allclose(found.errors, table.errors, rtol=1e-12)
    assert np.allclose(found.values, table.values, rtol=1e-12)
    assert table.errors.std() > 0.01


def test_where_learning_ends():
    """Monte Carlo at the μ-weighted means of each group, TD(0) at its fixed point; not the same."""
    groups = state_aggregation(0.5, 9.5, groups=3)
    x = np.asarray(jax.vmap(groups)(jnp.asarray(PLACE)))
    values = linear_values(groups, PLACE)
    ends = (TD0(step_decay=0.6), 1.0, td_fixed_point), (EVERY, 0.002, monte_carlo_projection)
    found = []
    for method, size, end in ends:
        run = predict(method, WALK, EVEN, step_sizes=[size], episodes=4000, seeds=8, values=values)
        w = end(WALK, EVEN, x)
        found.append((x @ w)[1:-1])
        assert np.abs(run.values[0].mean(axis=0)[1:-1] - found[-1]).max() < 0.04
        assert np.allclose(run.values, np.where(WALK.terminal, 0, run.weights @ x.T), atol=1e-6)
    td, monte_carlo = found
    assert np.abs(td - monte_carlo).max() > 0.15
    share, exact = on_policy_distribution(WALK, EVEN), state_values(WALK, EVEN)
    means = [np.average(exact[i : i + 3], weights=share[i : i + 3]) for i in (1, 4, 7)]
    assert np.allclose(monte_carlo, np.repeat(means, 3))


def test_errors_over_steps(x64):
    """The root of the value error of eq. 9.1, μ from the mean number of visits."""
    values = linear_values(Fourier(0.5, 9.5, order=2), PLACE)
    over = lambda averaging: predict(
        TD0(), WALK, EVEN, step_sizes=[0.1], episodes=3, seeds=2, values=values, averaging=averaging
    )
    steps, states = over(Averaging.STEPS), over(Averaging.STATES)
    square = (steps.values - steps.exact)[0] ** 2
    share = on_policy_distribution(WALK, EVEN)
    assert np.allclose(steps.errors[0, :, -1], np.sqrt(square @ share), rtol=1e-10)
    assert np.allclose(states.errors[0, :, -1], np.sqrt(square[:, 1:-1].mean(axis=1)), rtol=1e-10)


def test_a_network_learns_the_walk():
    values = network_values(PLACE, hidden_sizes=(16,))
    found = predict(TD0(), WALK, EVEN, step_sizes=[0.02], episodes=600, seeds=2, values=values)
    assert found.errors[0, :, 0].min() > 0.4 and found.errors[0, :, -100:].mean() < 0.2
    # Every run has weights of its own.
    assert not np.allclose(found.errors[0, 0, 0], found.errors[0, 1, 0])


def even(mdp):
    return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)


def test_the_walk_of_1000_states():
    """Example 9.1: μ is 1.37 % at the start, 0.17 % within a jump, 0.0147 % at the ends."""
    mdp = problem("RandomWalk-1000-100").mdp
    share = on_policy_distribution(mdp, even(mdp))
    assert round(100 * share[500], 2) == 1.37
    assert round(100 * share[499], 2) == round(100 * share[501], 2) == 0.17
    assert round(100 * share[1], 4) == round(100 * share[1000], 4) == 0.0147
    # Figure 9.10 tends to what the features allow: many tilings to less than one.
    exact, place = state_values(mdp, even(mdp)), np.arange(1002.0)[:, None]

    def least_error(features):
        x = np.asarray(jax.vmap(features)(jnp.asarray(place)))
        gap = exact - x @ monte_carlo_projection(mdp, even(mdp), x)
        return np.sqrt(share @ gap**2)

    one, many = (TileCoding(0.5, 1000.5, tiles=5, tilings=n) for n in (1, 10))
    assert 0.1 < least_error(one) < 0.12 and least_error(many) < 0.02
    assert least_error(Fourier(0.5, 1000.5, order=5)) < 0.02


BAD = [
    (
        lambda: linear_values(Fourier((0.0, 0.0), (1.0, 1.0), order=1), PLACE),
        "features of the wrong width: they are of observations of 2 numbers",
    ),
    (
        lambda: linear_values(FeatureTable(np.eye(7)), PLACE),
        "`matrix` has 7 rows, and the states go up",
    ),
    (lambda: network_values(PLACE, hidden_sizes=(0,)), "`hidden_sizes` must be a whole number"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_input_to_predict():
    values = linear_values(FeatureTable(np.eye(11)), PLACE)
    few = {"step_sizes": [0.1], "values": values}
    with pytest.raises(ValueError, match="of 11 states and the problem has 7"):
        predict(TD0(), problem("RandomWalk-5").mdp, np.full((7, 2), 0.5), **few)
    with pytest.raises(ValueError, match="`initial_value` is for a table"):
        predict(TD0(), WALK, EVEN, **few, initial_value=0.5)
    with pytest.raises(ValueError, match="learns a table here"):
        predict(TDLambda(), WALK, EVEN, **few)
