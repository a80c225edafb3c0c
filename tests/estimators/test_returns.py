"""Oracle: the definitions as explicit sums in Python, one episode piece at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.estimators.returns import (
    generalised_advantage,
    lambda_returns,
    n_step_returns,
    reward_to_go,
)


TIME, BATCH = 12, (2, 3)
RNG = np.random.default_rng(0)
REWARD, VALUE, NEXT_VALUE = RNG.normal(size=(3, TIME, *BATCH))
TERMINATED = RNG.random((TIME, *BATCH)) < 0.2
TRUNCATED = RNG.random((TIME, *BATCH)) < 0.2
NEXT_VALUE[TERMINATED] = np.nan  # never read

each_discount = pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])


def rows_left(t, terminated, truncated):
    """How many rows from t on belong to the same episode and are stored."""
    for k in range(t, len(terminated)):
        if terminated[k] or truncated[k]:
            return k - t + 1
    return len(terminated) - t


def n_step(t, n, reward, next_value, terminated, truncated, discount):
    """Σ_{k<m} γ^k r_{t+k} + γ^m V(s_{t+m}), m = min(n, rows left), V = 0 at a terminal state."""
    m = min(n, rows_left(t, terminated, truncated))
    total = sum(discount**k * reward[t + k] for k in range(m))
    return total if terminated[t + m - 1] else total + discount**m * next_value[t + m - 1]


def by_definition(function):
    """Apply `function(t, reward, value, next_value, terminated, truncated)` everywhere."""
    out = np.empty((TIME, *BATCH))
    for column in np.ndindex(BATCH):
        arrays = [x[:, *column] for x in (REWARD, VALUE, NEXT_VALUE, TERMINATED, TRUNCATED)]
        out[:, *column] = [function(t, *arrays) for t in range(TIME)]
    return jnp.asarray(out)


def arguments(*arrays):
    return tuple(jnp.asarray(x) for x in arrays)


@each_discount
@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_advantages_are_sums_of_td_errors(discount, trace_decay, x64):
    def definition(t, r, v, nv, terminated, truncated):
        total = 0
        for l in range(rows_left(t, terminated, truncated)):
            bootstrap = 0 if terminated[t + l] else discount * nv[t + l]
            total += (discount * trace_decay) ** l * (r[t + l] + bootstrap - v[t + l])
        return total

    ours = generalised_advantage(
        *arguments(REWARD, VALUE, NEXT_VALUE, TERMINATED, TRUNCATED),
        discount=discount,
        trace_decay=trace_decay,
    )
    assert jnp.allclose(ours, by_definition(definition), rtol=1e-12, atol=1e-12)


@each_discount
@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_lambda_returns_mix_n_step_returns(discount, trace_decay, x64):
    """(1-λ) Σ_{k<m} λ^{k-1} G^{(k)} + λ^{m-1} G^{(m)} with m the rows left."""

    def definition(t, r, v, nv, terminated, truncated):
        data = (r, nv, terminated, truncated, discount)
        m = rows_left(t, terminated, truncated)
        mix = sum(trace_decay ** (k - 1) * n_step(t, k, *data) for k in range(1, m))
        return (1 - trace_decay) * mix + trace_decay ** (m - 1) * n_step(t, m, *data)

    ours = lambda_returns(
        *arguments(REWARD, NEXT_VALUE, TERMINATED, TRUNCATED),
        discount=discount,
        trace_decay=trace_decay,
    )
    assert jnp.allclose(ours, by_definition(definition), rtol=1e-12, atol=1e-12)


@each_discount
@pytest.mark.parametrize("n", [1, 2, 3, TIME, TIME + 5])
def test_n_step_returns(discount, n, x64):
    definition = lambda t, r, v, nv, end, cut: n_step(t, n, r, nv, end, cut, discount)
    ours = n_step_returns(
        *arguments(REWARD, NEXT_VALUE, TERMINATED, TRUNCATED), discount=discount, n=n
    )
    assert jnp.allclose(ours, by_definition(definition), rtol=1e-12, atol=1e-12)


@each_discount
def test_reward_to_go(discount, x64):
    definition = lambda t, r, v, nv, end, cut: n_step(t, TIME, r, nv, end, cut, discount)
    ours = reward_to_go(*arguments(REWARD, TERMINATED, TRUNCATED, NEXT_VALUE), discount=discount)
    assert jnp.allclose(ours, by_definition(definition), rtol=1e-12, atol=1e-12)


def test_three_episodes_in_one_buffer_by_hand():
    """Terminated after row 1, truncated after row 3, still going after row 5; γ = λ = ½."""
    reward = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    value = jnp.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    next_value = jnp.array([1.0, 99.0, 2.0, 8.0, 3.0, 10.0])
    terminated = jnp.array([False, True, False, False, False, False])
    truncated = jnp.array([False, False, False, True, False, False])
    go = reward_to_go(reward, terminated, truncated, next_value, discount=0.5)
    assert jnp.allclose(go, jnp.array([2.0, 2.0, 7.0, 8.0, 10.5, 11.0]))
    # TD errors: .5, 1, 2, 6, 3.5, 8
    advantage = generalised_advantage(
        reward, value, next_value, terminated, truncated, discount=0.5, trace_decay=0.5
    )
    assert jnp.allclose(advantage, jnp.array([0.75, 1.0, 3.5, 6.0, 5.5, 8.0]))


@each_discount
@pytest.mark.parametrize("trace_decay", [0.3, 0.95])
def test_truncated_identity_of_g1(discount, trace_decay, x64):
    """Σ_{l<n}(γλ)^l δ_{t+l} = (1-λ) Σ_{k<n} λ^{k-1} A^{(k)} + λ^{n-1} A^{(n)}, with V(s_{t+1})
    the successor's value in the next row: GAE of the buffer's first row over n = TIME rows."""
    reward, value = arguments(REWARD, VALUE)
    next_value = jnp.concatenate([value[1:], value[:1]])
    never = jnp.zeros(reward.shape, bool)
    a = [
        (n_step_returns(reward, next_value, never, never, discount=discount, n=k) - value)[0]
        for k in range(1, TIME + 1)
    ]
    mix = sum(trace_decay ** (k - 1) * a[k - 1] for k in range(1, TIME))
    expected = (1 - trace_decay) * mix + trace_decay ** (TIME - 1) * a[-1]
    ours = generalised_advantage(
        reward, value, next_value, never, never, discount=discount, trace_decay=trace_decay
    )[0]
    assert jnp.allclose(ours, expected, rtol=1e-11)


def test_advantage_plus_value_is_the_lambda_return(x64):
    """When rows follow one another, so that V(s_{t+1}) telescopes; borders included."""
    reward, value, terminated, truncated, next_value = arguments(
        REWARD, VALUE, TERMINATED, TRUNCATED, NEXT_VALUE
    )
    follows = jnp.concatenate([value[1:], next_value[-1:]])
    next_value = jnp.where(terminated | truncated, next_value, follows)
    data = (next_value, terminated, truncated)
    advantage = generalised_advantage(reward, value, *data, discount=0.9, trace_decay=0.6)
    returns = lambda_returns(reward, *data, discount=0.9, trace_decay=0.6)
    assert jnp.allclose(advantage + value, returns, rtol=1e-12, atol=1e-12)


def test_batches_columns_and_seeds_are_the_same(x64):
    """Any trailing axes, also none; discount and trace decay may be swept by `vmap`."""
    data = arguments(REWARD, VALUE, NEXT_VALUE, TERMINATED, TRUNCATED)

    def advantages(discount, trace_decay, *data):
        return generalised_advantage(*data, discount=discount, trace_decay=trace_decay)

    whole = advantages(0.9, 0.8, *data)
    assert jnp.allclose(whole[:, 1, 2], advantages(0.9, 0.8, *(x[:, 1, 2] for x in data)))
    swept = jax.vmap(advantages, (0, 0, *[None] * 5))(
        jnp.array([0.9, 0.5]), jnp.full(2, 0.8), *data
    )
    assert jnp.allclose(swept[0], whole) and not jnp.allclose(swept[1], whole)


def test_float32_stays_float32(key):
    data = [jnp.ones(3), jnp.ones(3), jnp.zeros(3, bool), jnp.zeros(3, bool)]
    assert lambda_returns(*data, discount=0.9, trace_decay=0.5).dtype == jnp.float32


@pytest.mark.parametrize("n", [0, -2])
def test_n_must_be_positive(n):
    data = arguments(REWARD, NEXT_VALUE, TERMINATED, TRUNCATED)
    with pytest.raises(ValueError, match=f"`n` must be at least 1 reward; got {n}"):
        n_step_returns(*data, discount=0.9, n=n)
