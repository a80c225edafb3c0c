"""Each method of prediction against the pseudocode of its book, written in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.td.prediction.monte_carlo import MonteCarlo, Visits
from rewardtogo.td.prediction.n_step import NStepTD
from rewardtogo.td.prediction.one_step import TD0
from rewardtogo.td.prediction.recorded import values_from
from rewardtogo.td.prediction.traces import TDLambda, Trace
from rewardtogo.td.steps.dynamics import Experience
from rewardtogo.td.values.state_values import TabularValues


STATES, GAMMA = 5, 0.9
START = np.array([0.3, -0.2, 0.5, 0.1, 0.7])
# Constant; the mean of all targets; between them.
STEPS = [(0.3, 0.0), (1.0, 1.0), (0.6, 0.7)]


def recorded(lengths, ends, seed=0):
    """Episodes as lists (state, reward, successor, terminated, truncated) through few states."""
    rng = np.random.default_rng(seed)
    episodes = []
    for length, terminated in zip(lengths, ends, strict=True):
        path, rewards = rng.integers(STATES, size=length + 1), rng.normal(size=length)
        episodes.append(
            [
                (
                    path[t],
                    rewards[t],
                    path[t + 1],
                    terminated and t == length - 1,
                    not terminated and t == length - 1,
                )
                for t in range(length)
            ]
        )
    return episodes


EPISODES = recorded((7, 1, 12, 3, 9, 2), (True, True, False, True, True, False))


def stream(episodes):
    state, reward, successor, terminated, truncated = map(
        np.array, zip(*[step for episode in episodes for step in episode], strict=True)
    )
    return Experience(
        *map(jnp.asarray, (state, np.zeros_like(state), reward, successor, terminated, truncated))
    )


def learned(method, episodes=EPISODES):
    return values_from(
        method, stream(episodes), num_states=STATES, discount=GAMMA, initial_value=START
    )


class Steps:
    """α n^(−ω), n counted by state."""

    def __init__(self, size, decay):
        self.size, self.decay, self.n = size, decay, np.zeros(STATES)

    def __call__(self, state):
        self.n[state] += 1
        return self.size / self.n[state] ** self.decay


def following(values, step):
    return 0.0 if step[3] else values[step[2]]


def book_td0(episodes, steps):
    """Sutton and Barto (2018), section 6.1."""
    values = START.copy()
    for step in (step for episode in episodes for step in episode):
        state, reward = step[:2]
        error = reward + GAMMA * following(values, step) - values[state]
        values[state] += steps(state) * error
    return values


def book_monte_carlo(episodes, steps, *, first):
    """Sutton and Barto (2018), section 5.1; a truncated episode is passed over."""
    values = START.copy()
    for episode in episodes:
        if not episode[-1][3]:
            continue
        total = 0.0
        for t in reversed(range(len(episode))):
            state = episode[t][0]
            total = GAMMA * total + episode[t][1]
            if not first or state not in [step[0] for step in episode[:t]]:
                values[state] += steps(state) * (total - values[state])
    return values


def book_n_step(episodes, steps, *, n):
    """Sutton and Barto (2018), section 7.1: time runs on until the last state is updated."""
    values = START.copy()
    for episode in episodes:
        end = len(episode)
        states = [step[0] for step in episode] + [episode[-1][2]]
        for t in range(end + n - 1):
            tau = t - n + 1
            if tau < 0 or tau >= end:
                continue
            last = min(tau + n, end)
            target = sum(GAMMA ** (i - tau) * episode[i][1] for i in range(tau, last))
            if last < end or not episode[-1][3]:
                target += GAMMA ** (last - tau) * values[states[last]]
            values[states[tau]] += steps(states[tau]) * (target - values[states[tau]])
    return values


def book_traces(episodes, steps, *, trace_decay, replacing):
    """Sutton and Barto (2018), section 12.2; the step sizes of the visits stand in the trace."""
    values = START.copy()
    for episode in episodes:
        trace = np.zeros(STATES)
        for step in episode:
            state, reward = step[:2]
            trace *= GAMMA * trace_decay
            if replacing:
                trace[state] = 0
            trace[state] += steps(state)
            values += (reward + GAMMA * following(values, step) - values[state]) * trace
    return values


def forward_view(episodes, steps, *, trace_decay):
    """The on-line λ-return algorithm by brute force; van Seijen et al. (2016), section 3.1.

    At every time all updates of the episode are done again, from its first values, with interim
    λ-returns that end at that time. The n-step return to k looks up the values learned by k − 1.
    """
    values = START.copy()
    for episode in episodes:
        begin, horizon_values = values.copy(), [values.copy()]
        sizes = [steps(step[0]) for step in episode]
        for horizon in range(1, len(episode) + 1):
            values = begin.copy()
            for k in range(horizon):
                target = interim(episode, k, horizon, horizon_values, trace_decay)
                values[episode[k][0]] += sizes[k] * (target - values[episode[k][0]])
            horizon_values.append(values.copy())
    return values


def interim(episode, k, horizon, horizon_values, trace_decay):
    """(1 − λ) Σ_n λ^{n−1} G_{k:k+n} + λ^{h−k−1} G_{k:h}, G_{k:m} looking up the values of m − 1."""

    def n_step(m):
        rewards = sum(GAMMA ** (i - k) * episode[i][1] for i in range(k, m))
        return rewards + GAMMA ** (m - k) * following(horizon_values[m - 1], episode[m - 1])

    mixed = sum(
        (1 - trace_decay) * trace_decay ** (m - k - 1) * n_step(m) for m in range(k + 1, horizon)
    )
    return mixed + trace_decay ** (horizon - k - 1) * n_step(horizon)


def close(a, b):
    return np.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "decay"), STEPS)
def test_td0(size, decay, x64):
    method = TD0(step_size=size, step_decay=decay)
    assert close(learned(method), book_td0(EPISODES, Steps(size, decay)))


@pytest.mark.parametrize("visits", Visits)
@pytest.mark.parametrize(("size", "decay"), STEPS)
def test_monte_carlo(visits, size, decay, x64):
    method = MonteCarlo(visits=visits, step_size=size, step_decay=decay)
    first = visits is Visits.FIRST
    assert close(learned(method), book_monte_carlo(EPISODES, Steps(size, decay), first=first))


def test_the_mean_of_the_returns(x64):
    """α = ω = 1 forgets the first values: V is the plain mean of first-visit returns."""
    returns = [[] for _ in range(STATES)]
    for episode in (e for e in EPISODES if e[-1][3]):
        seen = [step[0] for step in episode]
        for state in set(seen):
            rewards = [step[1] for step in episode[seen.index(state) :]]
            returns[state].append(np.polyval(rewards[::-1], GAMMA))
    met = [s for s in range(STATES) if returns[s]]
    assert len(met) > 2
    assert close(learned(MonteCarlo())[met], [np.mean(returns[s]) for s in met])


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize(("size", "decay"), STEPS[::2])
def test_n_step(n, size, decay, x64):
    method = NStepTD(n=n, step_size=size, step_decay=decay)
    assert close(learned(method), book_n_step(EPISODES, Steps(size, decay), n=n))


@pytest.mark.parametrize("trace", [Trace.ACCUMULATING, Trace.REPLACING])
@pytest.mark.parametrize(("size", "decay"), STEPS[::2])
def test_traces(trace, size, decay, x64):
    method = TDLambda(trace=trace, trace_decay=0.8, step_size=size, step_decay=decay)
    expected = book_traces(
        EPISODES, Steps(size, decay), trace_decay=0.8, replacing=trace is Trace.REPLACING
    )
    assert close(learned(method), expected)


@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("size", "decay"), STEPS)
def test_the_dutch_trace_is_the_forward_view(trace_decay, size, decay, x64):
    method = TDLambda(trace_decay=trace_decay, step_size=size, step_decay=decay)
    expected = forward_view(EPISODES, Steps(size, decay), trace_decay=trace_decay)
    assert close(learned(method), expected)


def test_the_dutch_trace_before_an_episode_is_over(x64):
    """The two views agree at every time, not only at the end."""
    part = [EPISODES[0], EPISODES[2][:5]]
    method = TDLambda(trace_decay=0.6, step_size=0.4)
    assert close(learned(method, part), forward_view(part, Steps(0.4, 0), trace_decay=0.6))


@pytest.mark.parametrize("trace", Trace)
def test_lambda_zero_and_one_step_are_td0(trace, x64):
    td0 = learned(TD0(step_size=0.3))
    assert close(learned(TDLambda(trace=trace, trace_decay=0.0, step_size=0.3)), td0)
    assert close(learned(NStepTD(n=1, step_size=0.3)), td0)


def test_a_window_as_long_as_the_episode_is_monte_carlo(x64):
    """Every visit, in the order of time: on states met once each the order does not matter."""
    path = [0, 3, 1, 4, 2]
    episode = [(path[t], float(t), path[t + 1], t == 3, False) for t in range(4)]
    every = MonteCarlo(visits=Visits.EVERY, step_size=0.3, step_decay=0.0)
    n_step, true_online = NStepTD(n=9, step_size=0.3), TDLambda(trace_decay=1.0, step_size=0.3)
    for method in (n_step, true_online):
        assert close(learned(method, [episode]), learned(every, [episode]))


def test_one_loop_first_visit_is_unbiased_and_every_visit_is_not(x64):
    """One state that stays with probability c and pays 1: V = 1/(1 − c).

    An episode has k steps with probability (1 − c) c^{k−1}; what is learned from each, averaged
    over all k, is 1/(1 − c) for first visits and (1/(1 − c) + 1)/2 for every visit (Singh and
    Sutton, 1996).
    """
    c, longest, table = 0.5, 45, TabularValues(jnp.zeros(1))
    lengths = np.arange(1, longest + 1)
    chance = (1 - c) * c ** (lengths - 1)

    def after(method):
        def observe(estimate, t, length):
            last = t == length - 1
            zero = jnp.zeros((), jnp.int32)
            seen = Experience(zero, zero, jnp.ones(()), zero, last, jnp.zeros((), bool))
            after = method.observe(estimate, seen, 1.0, table)
            keep = lambda new, old: jnp.where(t < length, new, old)
            return jax.tree.map(keep, after, estimate), None

        def one(length):
            first = method.init(table, jnp.zeros(1), max_steps=longest)
            scan = jax.lax.scan(lambda e, t: observe(e, t, length), first, jnp.arange(longest))
            return scan[0].weights[0]

        return np.asarray(jax.jit(lambda: jax.lax.map(one, jnp.asarray(lengths)))())

    first = chance @ after(MonteCarlo(visits=Visits.FIRST))
    every = chance @ after(MonteCarlo(visits=Visits.EVERY))
    assert first == pytest.approx(1 / (1 - c), abs=1e-11)
    assert every == pytest.approx((1 / (1 - c) + 1) / 2, abs=1e-11)


BAD = [
    (lambda: TD0(step_size=0.0), r"`step_size` must lie in \(0, 1\]; got 0"),
    (lambda: TD0(step_size=1.5), r"`step_size` must lie in \(0, 1\]; got 1.5"),
    (lambda: MonteCarlo(step_decay=-0.1), r"`step_decay` must lie in \[0, 1\]; got -0.1"),
    (lambda: TDLambda(trace_decay=1.1), r"`trace_decay` must lie in \[0, 1\]; got 1.1"),
    (lambda: NStepTD(n=0), "`n` must be a whole number, at least 1; got 0"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_records():
    follow = lambda steps, **more: values_from(
        TD0(), stream(steps), discount=GAMMA, **({"num_states": STATES} | more)
    )
    with pytest.raises(ValueError, match=r"at step \d+ is \d, outside the table of 3 states"):
        follow(EPISODES, num_states=3)
    with pytest.raises(ValueError, match="step 0 leads to state 2, but step 1 is in state 3"):
        follow([[(1, 0.0, 2, False, False), (3, 0.0, 1, False, False)]])
    with pytest.raises(ValueError, match="`initial_value` must be one number or one for each"):
        follow(EPISODES, initial_value=np.zeros(2))


GOOD: dict[str, Any] = {
    "state": np.array([0, 1]),
    "action": np.array([0, 0]),
    "reward": np.array([0.0, 1.0]),
    "next_state": np.array([1, 2]),
    "terminated": np.array([False, True]),
    "truncated": np.array([False, False]),
}
FIELDS = [
    ("state", np.array([0, -1]), "`state` at step 1 is -1, outside the table of 5 states"),
    ("state", np.array([0.0, 1.0]), "`state` must hold whole numbers; got float64"),
    ("next_state", np.array([1, 5]), "`next_state` at step 1 is 5, outside"),
    ("reward", np.array([0.0, np.nan]), "`reward` at step 1 is nan; it must be finite"),
    ("reward", np.array(["a", "b"]), "`reward` must be an array of numbers"),
    ("terminated", np.array([0, 1]), "`terminated` must hold booleans; got int64"),
    ("truncated", np.zeros(3, bool), "must be arrays of one length"),
]


@pytest.mark.parametrize(("name", "value", "message"), FIELDS)
def test_bad_fields_of_records(name, value, message):
    follow = lambda steps: values_from(TD0(), steps, num_states=STATES, discount=GAMMA)
    assert follow(Experience(**GOOD))[1] > 0
    with pytest.raises(ValueError, match=message):
        follow(Experience(**(GOOD | {name: value})))
