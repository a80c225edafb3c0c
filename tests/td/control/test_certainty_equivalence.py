"""Planning on an estimate: exact where the process is, and as far off as the estimate allows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.tabular.empirical import empirical_mdp
from rewardtogo.tabular.exact.evaluation import lookahead
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.solvers.solve import solve
from rewardtogo.tabular.successors import dense
from rewardtogo.td.control.certainty_equivalence import CertaintyEquivalence, planned
from rewardtogo.td.control.optimum import as_lists as lists, control_optimum
from rewardtogo.td.control.run import control
from rewardtogo.td.steps.dynamics import Experience
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.values.action_values import untouched_table


EVEN = EpsilonGreedyExploration(1.0)


def told(method, q, log, *, discount):
    """What the method has learned from a log of (s, a, r, s', terminated)."""

    def step(learned, row):
        s, a, r, to, terminated = row
        seen = Experience(s, a, r, to, terminated, jnp.asarray(False))
        return method.update(learned, seen, jnp.zeros(0), discount=discount), None

    columns = [jnp.asarray(column) for column in log]
    return jax.jit(lambda q: jax.lax.scan(step, method.init(untouched_table(q)), columns)[0])(
        jnp.asarray(q)
    )


def test_a_maze_is_exact_once_each_pair_was_seen(x64):
    """216 pairs, once each in any order: the plan is Q*; with one pair less it is not."""
    mdp = problem("DynaMaze").mdp
    s, a = np.indices((54, 4)).reshape(2, -1)
    order = np.random.default_rng(0).permutation(216)
    s, a = s[order], a[order]
    to, terminal = lists(mdp).successor[a, 0, s], np.asarray(mdp.terminal)
    log = s, a, np.asarray(mdp.reward)[s, a], to, terminal[to]
    exact = control_optimum(mdp).action_values
    method = CertaintyEquivalence(plan_every=216)
    learned = told(method, np.zeros((54, 4)), log, discount=0.95)
    assert np.abs(method.values(learned).q - exact).max() < 1e-9
    last = np.flatnonzero((to == 8) & ~terminal[s])[-1]  # a step to the goal
    cut = [np.delete(column, last) for column in log]
    learned = told(CertaintyEquivalence(plan_every=215), np.zeros((54, 4)), cut, discount=0.95)
    assert np.abs(method.values(learned).q - exact).max() > 0.1


@pytest.mark.parametrize("untried", [0.0, 5.0])
def test_it_is_the_solution_of_the_empirical_mdp(untried, x64):
    """Pairs never tried pay their initial value and end, as `empirical_mdp` has it."""
    mdp, rng = dense(problem("FrozenLake-v1").mdp), np.random.default_rng(1)
    s, a = rng.integers(16, size=60), rng.integers(4, size=60)
    s, a = (x[~np.asarray(mdp.terminal)[s]] for x in (s, a))
    to = np.array([rng.choice(16, p=row) for row in np.asarray(mdp.transition)[s, a]])
    log = s, a, rng.normal(size=len(s)), to, np.asarray(mdp.terminal)[to]
    model = empirical_mdp(
        *log,
        initial_state=[0],
        num_states=16,
        num_actions=4,
        discount=0.9,
        unvisited_value=untried,
    )
    expected = lookahead(model, solve(model, tolerance=1e-10).values)[:16]
    ends = np.asarray(model.terminal)[:16]
    q = np.where(ends[:, None], 0.0, np.full((16, 4), untried))
    learned = told(CertaintyEquivalence(plan_every=len(s)), q, log, discount=0.9)
    assert np.abs(learned.q - expected).max() < 1e-9


def test_between_plans_values_stay(x64):
    """After 5 steps with a plan every 3 the values are those of the first 3."""
    log = [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], [1.0, 2.0, 3.0, 4.0, 5.0], [1, 0, 1, 0, 1], [False] * 5
    first, all_of_them = ([column[:n] for column in log] for n in (3, 5))
    q, method = np.zeros((2, 2)), CertaintyEquivalence(plan_every=3)
    after = [told(method, q, rows, discount=0.5) for rows in (first, all_of_them)]
    assert np.array_equal(after[0].q, after[1].q)
    assert not np.allclose(after[1].q, planned(after[1], 0.5, min_visits=1))


def test_the_error_keeps_to_hoeffdings_bound_and_falls_as_the_root_of_the_visits(x64):
    r"""Simulation lemma: $|\hat Q^* - Q^*| \le \max|\hat r + \gamma\hat P V^* - Q^*|/(1-\gamma)$.

    On the lake r + γV*(s') lies in [0, 1]. By Hoeffding its mean over n samples is, for all 44
    pairs at once, within √(log(2·44/δ)/(2n)) of Q* but with probability δ, here 0.01.
    """
    mdp, discount = dense(problem("FrozenLake-v1", discount=0.9).mdp), 0.9
    exact = control_optimum(mdp).action_values
    going = np.flatnonzero(~np.asarray(mdp.terminal))
    values, cumulative = exact.max(axis=1), np.cumsum(np.asarray(mdp.transition), axis=2)
    errors = {}
    for n in (50, 5000):
        rng, tries = np.random.default_rng(n), []
        for _ in range(8):
            s, a, _ = np.indices((11, 4, n)).reshape(3, -1)
            s = going[s]
            to = np.sum(rng.random(len(s))[:, None] >= cumulative[s, a, :-1], axis=1)
            learned = of_counts(mdp, s, a, to)
            q = np.asarray(planned(learned, discount, min_visits=1))
            visits = np.asarray(learned.counts.visits)
            backup = np.asarray(learned.counts.reward) + discount * visits @ values / n
            lemma = np.abs(backup - exact)[going].max() / (1 - discount)
            hoeffding = np.sqrt(np.log(2 * 44 / 0.01) / (2 * n)) / (1 - discount)
            error = np.abs(q - exact)[going].max()
            assert error <= lemma + 1e-9 and lemma <= hoeffding
            tries.append(error)
        errors[n] = np.sqrt(np.mean(np.square(tries)))
    assert 6 < errors[50] / errors[5000] < 16
    assert errors[5000] < 0.02


def of_counts(mdp, s, a, to):
    """The learner that has seen these steps of an MDP whose rewards come with the successor."""
    learned = CertaintyEquivalence().init(untouched_table(jnp.zeros((16, 4))))
    visits = np.zeros((16, 4, 16))
    np.add.at(visits, (s, a, to), 1)
    paid = np.asarray(mdp.reward)[:, :, None]
    if mdp.successor_reward is not None:
        paid = np.asarray(mdp.successor_reward)
    total = np.maximum(visits.sum(axis=2), 1)
    reward = np.sum(visits * paid, axis=2) / total
    counts = learned.counts._replace(reward=jnp.asarray(reward), visits=jnp.asarray(visits))
    return learned._replace(counts=counts)


def test_it_converges_to_the_optimum_from_its_own_steps():
    """Much closer than Q-learning's step sizes come in as many steps; in float32, γ = 0.99."""
    result = control(problem("FrozenLake-v1"), CertaintyEquivalence(EVEN), steps=200_000, seeds=2)
    assert result.error[:, -1].max() < 0.05
    assert np.all(result.value[:, -1] > 0.99 * result.exact.optimum)


def test_optimism_explores_where_greed_alone_does_not():
    """R-max: with ε = 0 every pair of the maze is tried if it is worth more than the goal."""
    maze, method = problem("DynaMaze"), CertaintyEquivalence(EpsilonGreedyExploration(0.0), 1)
    result = control(maze, method, steps=3000, seeds=2, initial_value=1.5)
    assert np.all(result.value[:, -1] == pytest.approx(0.95**13))
    assert result.error[:, -1].max() < 1e-5


def test_r_max_crosses_the_river():
    """Unless a pair was tried 30 times it promises 10,000 a step for ever; no step explores."""
    method = CertaintyEquivalence(EpsilonGreedyExploration(0.0), min_visits=30)
    result = control(problem("RiverSwim"), method, steps=20_000, seeds=4, initial_value=200_000.0)
    assert np.all(result.value[:, -1] > 0.99 * result.exact.optimum)


def test_a_pair_tried_too_seldom_keeps_its_initial_value(x64):
    """Tried twice, (0, 0) is believed at m = 2; (0, 1), tried once, is not."""
    log = [0, 0, 0], [0, 1, 0], [1.0, 9.0, 2.0], [1, 1, 1], [True] * 3
    q = np.array([[0.3, 0.3], [0.0, 0.0]])
    learned = told(CertaintyEquivalence(plan_every=3, min_visits=2), q, log, discount=0.5)
    assert np.allclose(learned.q, [[1.5, 0.3], [0.0, 0.0]], rtol=1e-14)


def test_what_is_counted_is_at_least_one():
    with pytest.raises(ValueError, match="`plan_every` must be a whole number, at least 1; got 0"):
        CertaintyEquivalence(plan_every=0)
    with pytest.raises(ValueError, match="`min_visits` must be a whole number, at least 1; got 0"):
        CertaintyEquivalence(min_visits=0)
