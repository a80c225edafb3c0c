"""Oracles: rlax's numbers, the definitions as sums, and sums over every trajectory of β."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.estimators.off_policy import retrace, vtrace
from rewardtogo.estimators.returns import generalised_advantage, n_step_returns
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories, probabilities
from rewardtogo.tabular.exact.evaluation import finite_horizon_values
from rewardtogo.tabular.problems.garnet import garnet


TIME, BATCH = 9, (2, 3)
RNG = np.random.default_rng(0)
REWARD, VALUE, NEXT_VALUE = RNG.normal(size=(3, TIME, *BATCH))
TERMINATED, TRUNCATED = RNG.random((2, TIME, *BATCH)) < 0.2
RATIO = np.exp(RNG.normal(size=(TIME, *BATCH)))
# Within an episode a row's successor is the next row's state.
NEXT_VALUE[:-1] = np.where((TERMINATED | TRUNCATED)[:-1], NEXT_VALUE[:-1], VALUE[1:])
NEXT_VALUE[TERMINATED] = np.nan  # never read
UNCLIPPED = {"ratio_clip": np.inf, "trace_clip": np.inf}


def arguments(*arrays):
    return tuple(jnp.asarray(x) for x in arrays)


DATA = (REWARD, VALUE, NEXT_VALUE, TERMINATED, TRUNCATED)

# rlax 0.1.9 (`vtrace_td_error_and_advantage`, `retrace` with eps 0), γ = 0.9, which it is told to
# be 0 where the third row terminates.
RLAX = {
    "reward": [1.0, -0.5, 2.0, 0.25, 1.5],
    "value": [0.5, 1.0, -1.0, 0.75, 2.0],
    "next_value": [1.0, -1.0, 0.75, 2.0, -0.5],
    "terminated": [False, False, True, False, False],
    "ratio": [0.5, 2.0, 1.25, 0.8, 3.0],
}
RLAX_VTRACE = [
    (1.0, 1.0, [1.335, 1.3, 2.0, 1.106, 1.05], [0.835, 0.3, 3.0, 0.356, -0.95]),
    (
        0.7,
        1.5,
        [0.8101875, -0.2375, 2.75, 1.0718, 0.575],
        [0.3101875, -0.05625, 3.75, 0.3218, -1.425],
    ),
]
RLAX_Q = np.array([[0.5, 1.0], [-1.0, 2.0], [0.25, 0.75], [1.5, -0.5], [0.0, 1.0], [2.0, -1.0]])
RLAX_ACTION = [0, 1, 1, 0, 1]
RLAX_PI = np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
RLAX_BETA = [0.4, 0.5, 0.2, 0.75, 0.35]  # of the actions taken; the first is never used
RLAX_RETRACE = [
    (0.0, [2.125, -0.23, 2.0, 0.88, 1.14]),
    (0.8, [0.8434, 0.22, 2.0, 0.9808, 1.14]),
    (1.0, [0.62425, 0.3325, 2.0, 1.006, 1.14]),
]


@pytest.mark.parametrize(("trace_decay", "ratio_clip", "target", "advantage"), RLAX_VTRACE)
def test_vtrace_gives_the_numbers_of_rlax(trace_decay, ratio_clip, target, advantage, x64):
    rows = {name: jnp.asarray(column) for name, column in RLAX.items()}
    clips = {"trace_decay": trace_decay, "ratio_clip": ratio_clip}
    ours = vtrace(**rows, truncated=jnp.zeros(5, bool), discount=0.9, **clips)
    assert np.allclose(ours.value_target, target, rtol=1e-12)
    assert np.allclose(ours.advantage, advantage, rtol=1e-12)


@pytest.mark.parametrize(("trace_decay", "target"), RLAX_RETRACE)
def test_retrace_gives_the_numbers_of_rlax(trace_decay, target, x64):
    rows = np.arange(5)
    ratio = RLAX_PI[rows, RLAX_ACTION] / RLAX_BETA
    q, after = RLAX_Q[rows, RLAX_ACTION], np.sum(RLAX_PI * RLAX_Q, axis=1)[1:]
    ends = np.array(RLAX["terminated"])
    data = arguments(np.array(RLAX["reward"]), q, after, ends, np.zeros(5, bool), ratio)
    ours = retrace(*data, discount=0.9, trace_decay=trace_decay)
    assert np.allclose(ours, target, rtol=1e-12)


def by_definition(function):
    """Apply `function(rows)` to the rows left of each one's episode, and of the buffer."""
    out = np.empty((TIME, *BATCH))
    for t, *column in np.ndindex(TIME, *BATCH):
        ends = (TERMINATED | TRUNCATED)[t:, *column]
        n = np.argmax(ends) + 1 if ends.any() else TIME - t
        out[t, *column] = function(*(x[t : t + n, *column] for x in (*DATA, RATIO)))
    return out


@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_vtrace_targets_are_the_sums_of_the_paper(trace_decay, x64):
    """Eq. 1, an episode's rows by themselves: borders in one buffer."""

    def definition(r, v, nv, terminated, truncated, ratio):
        error = r + 0.9 * np.where(terminated, 0, nv) - v
        trace = trace_decay * np.minimum(1.1, ratio)
        products = [np.prod(trace[:l]) for l in range(len(r))]
        return v[0] + np.sum(0.9 ** np.arange(len(r)) * products * np.minimum(1.5, ratio) * error)

    clips = {"trace_decay": trace_decay, "ratio_clip": 1.5, "trace_clip": 1.1}
    ours = vtrace(*arguments(*DATA, RATIO), discount=0.9, **clips)
    assert np.allclose(ours.value_target, by_definition(definition), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_retrace_targets_are_the_sums_of_the_paper(trace_decay, x64):
    def definition(r, q, nv, terminated, truncated, ratio):
        error = r + 0.9 * np.where(terminated, 0, nv) - q
        trace = trace_decay * np.minimum(1, ratio)
        products = [np.prod(trace[1 : l + 1]) for l in range(len(r))]
        return q[0] + np.sum(0.9 ** np.arange(len(r)) * products * error)

    ours = retrace(*arguments(*DATA, RATIO), discount=0.9, trace_decay=trace_decay)
    assert np.allclose(ours, by_definition(definition), rtol=1e-12, atol=1e-12)


def test_the_advantage_of_vtrace_uses_the_next_target(x64):
    """Section 4.2: ρ (r + γ v' − V), v' the target of the next row within an episode."""
    data = arguments(*DATA, RATIO)
    ours = vtrace(*data, discount=0.9, ratio_clip=1.2)
    goes_on = ~(TERMINATED | TRUNCATED)
    goes_on[-1] = False
    after = np.where(TERMINATED, 0, NEXT_VALUE)
    after[:-1] = np.where(goes_on[:-1], ours.value_target[1:], after[:-1])
    expected = np.minimum(1.2, RATIO) * (REWARD + 0.9 * after - VALUE)
    assert np.allclose(ours.advantage, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_on_policy_vtrace_is_the_generalised_advantage(trace_decay, x64):
    """λ = 1: the return over all rows left; λ = 0: one reward."""
    data = arguments(*DATA)
    decays = {"discount": 0.9, "trace_decay": trace_decay}
    ours = vtrace(*arguments(*DATA, np.ones_like(RATIO)), **decays)
    expected = generalised_advantage(*data, **decays)
    assert np.allclose(ours.advantage, expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(ours.value_target, data[1] + expected, rtol=1e-12, atol=1e-12)
    if trace_decay in (0, 1):
        n = TIME if trace_decay else 1
        returns = n_step_returns(data[0], *data[2:], discount=0.9, n=n)
        assert np.allclose(ours.value_target, returns, rtol=1e-12, atol=1e-12)


def test_retrace_without_trace_is_one_step_expected_sarsa(x64):
    data = arguments(*DATA, RATIO)
    ours = retrace(*data, discount=0.9, trace_decay=0.0)
    expected = REWARD + 0.9 * np.where(TERMINATED, 0, NEXT_VALUE)
    assert np.allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("policy_ratio", [0.0, 1.0])
def test_retrace_cuts_the_trace_where_the_target_policy_would_not_go(policy_ratio, x64):
    """ρ = 0 later on leaves one reward; the first action's own ratio does not matter."""
    reward, q, after = arguments([1.0, 2.0], [0.5, 0.25], [3.0, 4.0])
    never = jnp.zeros(2, bool)
    ratio = jnp.array([0.0, policy_ratio])
    ours = retrace(reward, q, after, never, never, ratio, discount=0.5, trace_decay=1.0)
    later = 2 + 0.5 * 4 - 0.25
    assert np.allclose(ours, [1 + 0.5 * 3 + 0.5 * policy_ratio * later, 4.0], rtol=1e-12)


def test_any_trailing_axes_swept_numbers_and_float32():
    data = [jnp.asarray(x, jnp.bool if x.dtype == bool else jnp.float32) for x in (*DATA, RATIO)]
    targets = lambda decay, *data: vtrace(*data, discount=0.9, trace_decay=decay).value_target
    whole = targets(0.8, *data)
    assert whole.dtype == jnp.float32
    assert jnp.allclose(whole[:, 1, 2], targets(0.8, *(x[:, 1, 2] for x in data)), atol=1e-5)
    swept = jax.vmap(targets, (0, *[None] * 6))(jnp.array([0.8, 0.2]), *data)
    assert jnp.allclose(swept[0], whole, atol=1e-5) and not jnp.allclose(swept[1], whole)
    assert retrace(*data, discount=0.9, trace_decay=0.5).dtype == jnp.float32


class Problem:
    """Every trajectory of three steps with its chance under β; some episodes end early."""

    horizon, discount = 3, 0.9

    def __init__(self):
        self.mdp = garnet(
            num_states=3, num_actions=2, num_terminal=1, discount=self.discount, key=jr.key(3)
        )
        self.pi, self.beta = np.asarray(jax.nn.softmax(jr.normal(jr.key(4), (2, 3, 2))), float)
        paths = enumerate_trajectories(self.mdp, horizon=self.horizon)
        self.state, self.action, self.after = paths.state, paths.action, paths.next_state
        self.mask, self.reward = paths.mask, paths.reward
        self.chance = probabilities(paths, self.beta)
        self.time = np.arange(self.horizon)[:, None]
        terminated = np.asarray(self.mdp.terminal)[self.after]
        # The horizon belongs to the task.
        self.ends = terminated | (self.time == self.horizon - 1)
        self.ratio = (self.pi / self.beta)[self.state, self.action]

    def values(self, policy):
        """V with a last row of zeros, and Q, of so many steps to go."""
        v, q = finite_horizon_values(self.mdp, jnp.asarray(policy), horizon=self.horizon)
        return np.concatenate([v, np.zeros_like(v[:1])]), np.asarray(q)

    def rows(self, value, next_value):
        never = np.zeros_like(self.ends)
        return arguments(self.reward, value, next_value, self.ends, never, self.ratio)

    def vtrace(self, v, **clips):
        here, after = v[self.time, self.state], v[self.time + 1, self.after]
        return vtrace(*self.rows(here, after), discount=self.discount, **clips)

    def mean(self, weight):
        """E[w_t | s_t, a_t] under β and P(s_t, a_t), of steps that were taken."""
        place = (self.time * 3 + self.state) * 2 + self.action
        chance = np.broadcast_to(self.chance, place.shape) * self.mask
        total = np.bincount(place.ravel(), (chance * weight).ravel(), 18).reshape(3, 3, 2)
        visits = np.bincount(place.ravel(), chance.ravel(), 18).reshape(3, 3, 2)
        return np.divide(total, visits, out=np.zeros_like(total), where=visits > 0), visits


@pytest.fixture
def problem(x64):
    return Problem()


@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("ratio_clip", [1.0, 1.3, np.inf])
def test_vtrace_stays_at_the_values_of_its_clipped_policy(problem, ratio_clip, trace_decay):
    """Espeholt et al., theorem 1: V of π_ρ̄ ∝ min(ρ̄β, π) is the fixed point, for any c̄ and λ."""
    clipped = np.minimum(ratio_clip * problem.beta, problem.pi)
    v, _ = problem.values(clipped / clipped.sum(axis=1, keepdims=True))
    ours = problem.vtrace(v, ratio_clip=ratio_clip, trace_decay=trace_decay, trace_clip=0.9)
    mean, visits = problem.mean(ours.value_target)
    total, chance = (mean * visits).sum(axis=2), visits.sum(axis=2)
    assert (chance > 0).any() and np.allclose(total, chance * v[:-1], rtol=1e-11, atol=1e-13)


def test_unclipped_vtrace_of_any_values_has_the_mean_of_the_target_policy(problem):
    """ρ̄ = c̄ = ∞, λ = 1: importance sampling, and wrong values cancel."""
    v, q = problem.values(problem.pi)
    wrong = np.concatenate([np.random.default_rng(1).normal(size=(3, 3)), np.zeros((1, 3))])
    ours = problem.vtrace(wrong, **UNCLIPPED)
    mean, visits = problem.mean(ours.value_target)
    total, chance = (mean * visits).sum(axis=2), visits.sum(axis=2)
    assert np.allclose(total, chance * v[:-1], rtol=1e-11, atol=1e-13)
    advantage, _ = problem.mean(ours.advantage)
    expected = problem.pi / problem.beta * (q - wrong[:-1, :, None])
    assert np.allclose(advantage, np.where(visits > 0, expected, 0), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 1.0])
def test_retrace_stays_at_the_action_values_of_the_target_policy(problem, trace_decay):
    """Munos et al., theorem 1: E_β[G | s, a] = Q^π where Q is Q^π, though traces are clipped."""
    v, q = problem.values(problem.pi)
    here = q[problem.time, problem.state, problem.action]
    rows = problem.rows(here, v[problem.time + 1, problem.after])
    ours = retrace(*rows, discount=problem.discount, trace_decay=trace_decay)
    mean, visits = problem.mean(ours)
    assert np.allclose(mean, np.where(visits > 0, q, 0), rtol=1e-11, atol=1e-13)
