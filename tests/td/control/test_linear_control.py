"""Control with features against tables, automatic derivatives, hand-run episodes and the book."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.envs.registry import make
from rewardtogo.envs.tabular import TabularEnvironment
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.td.control.certainty_equivalence import CertaintyEquivalence
from rewardtogo.td.control.dyna import DynaQ
from rewardtogo.td.control.linear_run import linear_control, observed_range
from rewardtogo.td.control.one_step import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa
from rewardtogo.td.steps.dynamics import Experience
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize, PolynomialStepSize
from rewardtogo.td.values.action_values import untouched_table
from rewardtogo.td.values.features import FeatureTable, Fourier, TileCoding
from rewardtogo.td.values.linear_action_values import greedy_values, linear_action_values


GREEDY = EpsilonGreedyExploration(0.0)
KINDS = pytest.mark.parametrize("kind", [QLearning, Sarsa, ExpectedSarsa])


def tiles(tilings=8):
    return TileCoding(*observed_range(make("MountainCar-v0")), tiles=8, tilings=tilings)


@KINDS
def test_a_feature_a_state_is_a_table(kind, x64):
    """Step by step, on experience that ends, is cut, and goes on."""
    draws = np.random.default_rng(0)
    method = kind(exploration=EpsilonGreedyExploration(0.2), step_size=ConstantStepSize(0.3))
    table = method.init(untouched_table(jnp.zeros((4, 3))))
    linear = method.init(linear_action_values(FeatureTable(np.eye(4)), 3))
    learn = eqx.filter_jit(lambda learned, *seen: method.update(learned, *seen, discount=0.9))
    for _ in range(100):
        state, after = draws.integers(4, size=2)
        action, reward, draw = draws.integers(3), draws.normal(), jnp.asarray([draws.uniform()])
        ended, cut = (jnp.asarray(x) for x in (draws.uniform() < 0.2, draws.uniform() < 0.1))
        rest = (jnp.asarray(action), jnp.asarray(reward))
        table = learn(
            table, Experience(jnp.asarray(state), *rest, jnp.asarray(after), ended, cut), draw
        )
        seen = [jnp.asarray([float(s)]) for s in (state, after)]
        linear = learn(linear, Experience(seen[0], *rest, seen[1], ended, cut), draw)
    assert np.abs(method.values(table).q).min() > 0
    assert np.allclose(method.values(linear).weights, method.values(table).q, rtol=0, atol=1e-13)
    for state in range(4):
        words = (jnp.asarray(True), jnp.asarray(0.7))
        ours = method.act(linear, jnp.asarray([float(state)]), *words)
        assert ours == method.act(table, jnp.asarray(state), *words)


@pytest.mark.parametrize("features", [tiles(), Fourier([-1.2, -0.07], [0.6, 0.07], order=3)])
def test_a_move_is_a_semi_gradient_step(features, x64, key):
    """w + α (y − Q(s, a)) c ∇Q(s, a), y held constant; the derivative by JAX."""
    values = linear_action_values(features, 3)
    values = eqx.tree_at(lambda v: v.weights, values, jax.random.normal(key, values.weights.shape))
    seen, action, target = jnp.asarray([-0.3, 0.02]), jnp.asarray(2), jnp.asarray(-7.0)
    q = lambda w: jnp.dot(w[:, 2], features(seen))
    error = target - q(values.weights)
    expected = values.weights + 0.4 * error * features.step_scale[:, None] * jax.grad(q)(
        values.weights
    )
    move = eqx.filter_jit(lambda values, size: values.moved(seen, action, target, size))
    moved = move(values, ConstantStepSize(0.4))
    assert np.allclose(moved.weights, expected, rtol=0, atol=1e-12)
    assert np.allclose(values.at(seen), features(seen) @ values.weights, rtol=0, atol=1e-12)
    assert np.isclose(greedy_values(values, seen[None])[0], values.at(seen).max(), rtol=1e-13)
    second = move(moved, PolynomialStepSize(1.0))
    share = 0.5 if isinstance(features, TileCoding) else None
    if share is not None:
        before, after = moved.at(seen)[2], second.at(seen)[2]
        assert np.isclose(after - before, share * (target - before))


def corridor(length=3):
    """One way, `length` steps, each paying its number."""
    transition = np.zeros((length + 1, 1, length + 1))
    transition[np.arange(length), 0, np.arange(length) + 1] = 1
    transition[length, 0, length] = 1
    reward = np.append(np.arange(1.0, length + 1), 0)[:, None]
    start = np.eye(length + 1)[0]
    return TabularEnvironment(tabular_mdp(transition, reward, start, discount=1.0))


@KINDS
@pytest.mark.parametrize("max_steps", [None, 2])
def test_episodes_by_hand(kind, max_steps):
    """With one action all three are TD(0): a plain loop over the corridor, whole or cut."""
    found = linear_control(
        corridor(),
        kind(),
        FeatureTable(np.eye(4)),
        step_sizes=[0.5, 0.25],
        discount=0.9,
        episodes=3,
        seeds=2,
        max_steps=max_steps,
    )
    taken = max_steps or 3
    for i, alpha in enumerate((0.5, 0.25)):
        w = np.zeros(4)
        for _ in range(3):
            for s in range(taken):
                after = 0.0 if s == 2 else w[s + 1]
                w[s] += alpha * (s + 1 + 0.9 * after - w[s])
        assert np.allclose(found.weights[i, :, :, 0], w[None], atol=1e-6)
    assert np.all(found.lengths == taken) and np.all(found.truncated == (max_steps == 2))
    assert np.allclose(found.returns, sum(0.9**k * (k + 1) for k in range(taken)))


def test_the_mountain_car_is_driven_out():
    """Sutton and Barto (2018), figure 10.2: some 120 steps an episode at α = 0.5/8."""
    found = linear_control(
        make("MountainCar-v0"),
        Sarsa(exploration=GREEDY),
        tiles(),
        step_sizes=[0.1, 0.5],
        episodes=200,
        seeds=4,
        max_steps=10_000,
    )
    slow, fast = found.lengths.mean(axis=1)
    assert slow[0] > 1500 and slow[:20].mean() > 1.5 * fast[:20].mean()
    assert 105 < fast[-50:].mean() < 150 and 140 < slow[-50:].mean() < 200
    assert np.array_equal(found.returns, -found.lengths) and not found.truncated.any()


def test_the_seed_says_it_all():
    run = lambda seed: linear_control(
        make("MountainCar-v0"),
        QLearning(),
        tiles(2),
        step_sizes=[0.5, 0.5],
        episodes=2,
        seeds=2,
        seed=seed,
    )
    first, again, other = run(0), run(0), run(1)
    assert np.array_equal(first.weights, again.weights)
    assert np.array_equal(first.weights[0], first.weights[1])  # the same draws at each step size
    assert not np.array_equal(first.weights, other.weights)
    assert not np.array_equal(first.weights[0, 0], first.weights[0, 1])
    assert np.all(first.lengths == 200) and first.truncated.all()  # Gymnasium's limit


def test_bounds_of_observations():
    low, high = observed_range(make("MountainCar-v0"))
    assert np.allclose((low, high), [(-1.2, -0.07), (0.6, 0.07)])
    assert observed_range(make("tabular:Chain")) == ((-0.5,), (4.5,))
    with pytest.raises(ValueError, match="number 1 of the observation has no bounds"):
        observed_range(make("CartPole-v1"))


REFUSED = [
    (
        ("CartPole-v1", tiles()),
        {},
        "of observations of 2 numbers, and those of this environment have 4",
    ),
    (
        ("Pendulum-v1", Fourier([0] * 3, [1] * 3, order=1)),
        {},
        "need actions numbered from 0; got Box",
    ),
    (("tabular:Chain", FeatureTable(np.eye(4))), {}, "`matrix` has 4 rows, and there are 5 states"),
    (
        ("MountainCar-v0", tiles()),
        {"step_sizes": [1.5]},
        r"`step_sizes` must lie in \(0, 1\]; got 1.5",
    ),
    (("MountainCar-v0", tiles()), {"step_sizes": []}, "`step_sizes` is empty"),
    (("MountainCar-v0", tiles()), {"discount": 1.5}, "`discount`"),
    (("MountainCar-v0", tiles()), {"episodes": 0}, "`episodes`"),
    (("MountainCar-v0", tiles()), {"seeds": 0}, "`seeds`"),
    (("MountainCar-v0", tiles()), {"seed": -1}, "`seed`"),
    (("MountainCar-v0", tiles()), {"max_steps": 0}, "max_steps"),
]


@pytest.mark.parametrize(("what", "options", "said"), REFUSED)
def test_bad_input_is_refused_at_once(what, options, said):
    name, features = what
    with pytest.raises(ValueError, match=said):
        linear_control(make(name), Sarsa(), features, **{"step_sizes": [0.5], **options})


@pytest.mark.parametrize("method", [DoubleQLearning(), DynaQ(), CertaintyEquivalence()])
def test_methods_that_keep_tables_are_refused(method):
    with pytest.raises(ValueError, match=f"{type(method).__name__} keeps a table of states"):
        linear_control(make("MountainCar-v0"), method, tiles(), step_sizes=[0.5])
