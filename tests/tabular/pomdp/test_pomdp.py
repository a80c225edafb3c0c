"""T11: Tiger's published value; enumeration of histories and of beliefs agree."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.pomdp.belief_search import solve_pomdp
from rewardtogo.tabular.pomdp.process import (
    belief_update,
    finite_horizon_optimum,
    history_policy_value,
    observation_probabilities,
    tabular_pomdp,
    tiger,
)
from rewardtogo.tabular.problems.garnet import garnet


LISTEN, OPEN_LEFT, OPEN_RIGHT = range(3)
STATES, ACTIONS, OBSERVATIONS = 3, 2, 2


def random_pomdp(*, discount=0.9, seed=3):
    mdp = garnet(num_states=STATES, num_actions=ACTIONS, discount=discount, key=jr.key(seed))
    rows = np.random.default_rng(seed).dirichlet(np.ones(OBSERVATIONS), size=(ACTIONS, STATES))
    return tabular_pomdp(mdp, rows)


def blind(mdp):
    return tabular_pomdp(mdp, np.ones((mdp.num_actions, mdp.num_states, 1)))


def observable(mdp):
    return tabular_pomdp(mdp, np.broadcast_to(np.eye(mdp.num_states), (2, 3, 3)))


def optimal_values(mdp, sweeps):
    values = np.zeros(mdp.num_states)
    for _ in range(sweeps):
        values = np.max(mdp.reward + mdp.discount * np.asarray(mdp.transition) @ values, axis=1)
    return values


def test_the_tiger_has_its_published_value():
    solution = solve_pomdp(tiger(), [0.5, 0.5])
    assert solution.converged and solution.lower <= solution.upper + 1e-12
    assert f"{solution.lower:.6f}" == f"{solution.upper:.6f}" == "19.371368"


def test_the_tiger_is_listened_to_twice():
    """Kaelbling et al. (1998): a door is opened when one side leads by two."""
    solution, belief = solve_pomdp(tiger(), [0.5, 0.5]), np.array([0.5, 0.5])
    for _ in range(2):
        assert solution.action(belief) == LISTEN
        belief = belief_update(tiger(), belief, LISTEN, 0)
    assert solution.action(belief) == OPEN_RIGHT
    assert solution.action(belief[::-1].copy()) == OPEN_LEFT


def test_the_vectors_are_values_of_the_policy_they_name():
    """Tiger: follow the vectors' actions from each belief they reach; the chain is solved here."""
    model = tiger()
    solution = solve_pomdp(model, [0.5, 0.5])
    beliefs, rows = [np.array([0.5, 0.5])], []
    for belief in beliefs:
        action = solution.action(belief)
        row = {}
        for o, p in enumerate(observation_probabilities(model, belief, action)):
            after = np.asarray(belief_update(model, belief, action, o))
            near = [i for i, other in enumerate(beliefs) if np.allclose(other, after, atol=1e-9)]
            if not near:
                beliefs.append(after)
            index = near[0] if near else len(beliefs) - 1
            row[index] = row.get(index, 0) + p
        rows.append((belief @ model.mdp.reward[:, action], row))
    dynamics = np.zeros((len(beliefs), len(beliefs)))
    for i, (_, row) in enumerate(rows):
        dynamics[i, list(row)] = list(row.values())
    values = np.linalg.solve(np.eye(len(rows)) - 0.95 * dynamics, [r for r, _ in rows])
    assert np.isclose(values[0], solution.lower, atol=1e-6)


def test_beliefs_by_hand():
    once = belief_update(tiger(), np.array([0.5, 0.5]), LISTEN, 0)
    assert np.allclose(once, [0.85, 0.15])
    twice = belief_update(tiger(), once, LISTEN, 0)
    assert np.allclose(twice, np.array([0.85**2, 0.15**2]) / (0.85**2 + 0.15**2))
    assert np.allclose(observation_probabilities(tiger(), once, LISTEN), [0.745, 0.255])
    assert np.allclose(belief_update(tiger(), twice, OPEN_LEFT, 1), [0.5, 0.5])


def test_beliefs_by_enumeration():
    """Bayes' rule from the table of all (s, s', o)."""
    model = random_pomdp()
    belief = np.array([0.2, 0.5, 0.3])
    table = np.zeros((STATES, OBSERVATIONS))
    for s, t, o in itertools.product(range(STATES), range(STATES), range(OBSERVATIONS)):
        table[t, o] += belief[s] * model.mdp.transition[s, 1, t] * model.observation[1, t, o]
    assert np.allclose(observation_probabilities(model, belief, 1), table.sum(axis=0))
    for o in range(OBSERVATIONS):
        assert np.allclose(belief_update(model, belief, 1, o), table[:, o] / table[:, o].sum())


def brute_force(model, policy, horizon):
    """Over all sequences of states, actions and observations."""
    mdp, total = model.mdp, 0.0
    steps = list(itertools.product(range(ACTIONS), range(STATES), range(OBSERVATIONS)))
    for time in range(horizon):
        starts = itertools.product(range(STATES), itertools.product(steps, repeat=time))
        for state, past in starts:
            p, history = mdp.initial[state], ()
            for a, t, o in past:
                p *= policy(history)[a] * mdp.transition[state, a, t] * model.observation[a, t, o]
                state, history = t, (*history, (a, o))
            total += mdp.discount**time * p * (policy(history) @ mdp.reward[state])
    return total


def with_memory(history):
    """Some probabilities that depend on every past action and observation, and their order."""
    mark = sum((3 * a + 5 * o + 1) * (t + 1) for t, (a, o) in enumerate(history)) % 7
    return np.array([1 + mark, 8 - mark]) / 9


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_a_history_policy_over_all_trajectories(horizon):
    model = random_pomdp()
    ours = history_policy_value(model, with_memory, horizon=horizon)
    assert np.isclose(ours, brute_force(model, with_memory, horizon), rtol=1e-12)


@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("make", [tiger, random_pomdp])
def test_the_best_history_policy_is_the_best_on_beliefs(make, horizon, x64):
    """All deterministic policies: an action for each sequence of observations, 3^7 at most."""
    model = make()
    actions = model.mdp.num_actions
    nodes = [n for t in range(horizon) for n in itertools.product(range(2), repeat=t)]
    assignments = np.array(list(itertools.product(range(actions), repeat=len(nodes))))

    def value(assignment):
        answer = lambda history: jnp.eye(actions)[assignment[nodes.index(seen(history))]]
        return history_policy_value(model, answer, horizon=horizon)

    seen = lambda history: tuple(o for _, o in history)
    best = jax.jit(jax.vmap(value))(assignments).max()
    optimum = finite_horizon_optimum(model, model.mdp.initial, horizon=horizon)
    assert np.isclose(best, optimum, rtol=1e-12)


def test_the_endless_optimum_is_the_limit_of_finite_ones():
    model = random_pomdp(discount=0.2)
    solution = solve_pomdp(model, model.mdp.initial)
    finite = finite_horizon_optimum(model, model.mdp.initial, horizon=8)
    tail = 0.2**8 * np.abs(model.mdp.reward).max() / 0.8
    assert tail < 1e-5 and solution.converged
    assert abs(solution.upper - finite) < tail + 1e-7


def test_what_is_seen_fully_or_not_at_all():
    mdp = random_pomdp().mdp
    corner = np.array([0.0, 1.0, 0.0])
    exact = optimal_values(mdp, 400)[1]
    solution = solve_pomdp(observable(mdp), corner)
    assert np.isclose(solution.lower, exact, atol=2e-7)
    assert np.isclose(solution.upper, exact, atol=2e-7)
    finite = finite_horizon_optimum(observable(mdp), corner, horizon=3)
    assert np.isclose(finite, optimal_values(mdp, 3)[1], rtol=1e-12)
    sequences = itertools.product(range(ACTIONS), repeat=3)
    best = max(open_loop(mdp, actions) for actions in sequences)
    assert np.isclose(finite_horizon_optimum(blind(mdp), mdp.initial, horizon=3), best)


def open_loop(mdp, actions):
    total, weights = 0.0, np.asarray(mdp.initial)
    for time, action in enumerate(actions):
        total += mdp.discount**time * weights @ mdp.reward[:, action]
        weights = weights @ mdp.transition[:, action]
    return total


def test_a_gradient_passes_to_the_policy(x64):
    """A policy with one parameter for each history, against a finite difference."""
    model = random_pomdp()
    logits = jr.normal(jr.key(1), (5, ACTIONS))
    number = lambda history: 0 if not history else 1 + 2 * history[0][0] + history[0][1]
    value = lambda logits: history_policy_value(
        model, lambda history: jax.nn.softmax(logits[number(history)]), horizon=2
    )
    direction = jr.normal(jr.key(2), logits.shape)
    slope = np.vdot(jax.grad(value)(logits), direction)
    numeric = (value(logits + 1e-5 * direction) - value(logits - 1e-5 * direction)) / 2e-5
    assert abs(slope) > 1e-3 and np.isclose(slope, numeric, rtol=1e-6)


def test_bad_input_is_named():
    model, belief = random_pomdp(), np.array([0.2, 0.5, 0.3])
    rows = np.asarray(model.observation).copy()
    with pytest.raises(ValueError, match=r"must have shape \[2 actions, 3 states"):
        tabular_pomdp(model.mdp, rows[:, :2])
    rows[1, 2] = [0.5, 0.4]
    with pytest.raises(ValueError, match=r"`observation\[1\]` at \[2\] is no distribution"):
        tabular_pomdp(model.mdp, rows)
    with pytest.raises(ValueError, match="`belief` is no distribution"):
        belief_update(model, 2 * belief, 0, 0)
    with pytest.raises(ValueError, match=r"`action` must lie in 0..1; got 2"):
        belief_update(model, belief, 2, 0)
    with pytest.raises(ValueError, match=r"`observation` must lie in 0..1; got -1"):
        belief_update(model, belief, 0, -1)
    seen = np.array([0.0, 1.0, 0.0])
    stays = tabular_mdp(np.repeat(np.eye(3)[:, None], 2, 1), np.ones((3, 2)), seen, discount=0.5)
    with pytest.raises(ValueError, match="`observation` 0 has probability 0 after action 1"):
        belief_update(observable(stays), seen, 1, 0)
    with pytest.raises(ValueError, match="`horizon` must be at least 1; got 0"):
        finite_horizon_optimum(model, belief, horizon=0)
    with pytest.raises(ValueError, match=r"`horizon` 40 has 4\^39 histories"):
        history_policy_value(model, with_memory, horizon=40)
    with pytest.raises(ValueError, match=r"`policy\(\(\(0, 0\),\)\)` is no distribution"):
        history_policy_value(model, lambda h: np.full(2, 0.5 + len(h)), horizon=2)
    with pytest.raises(ValueError, match="needs a `discount` below 1; got 1"):
        solve_pomdp(random_pomdp(discount=1.0), belief)
    with pytest.raises(ValueError, match="`tolerance` must be above 0; got 0"):
        solve_pomdp(model, belief, tolerance=0.0)
    with pytest.raises(ValueError, match=r"`belief` must have shape \(3,\); got \(2,\)"):
        solve_pomdp(model, [0.5, 0.5])
