"""What the lab samples against all pairs of trajectories of a three-state problem."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from lab.enumerated import compared, enumerated, moments
from rewardtogo.lab.comparison.context import Setting, softmax_setting
from rewardtogo.lab.comparison.estimators import ESTIMATORS
from rewardtogo.lab.comparison.moments import ErrorMoments, summarise
from rewardtogo.lab.comparison.run import check_trajectories, compare, named
from rewardtogo.lab.comparison.sampling import sample, sampler
from rewardtogo.tabular.mdp import tabular_mdp


@pytest.mark.parametrize("i", range(len(ESTIMATORS)), ids=lambda i: ESTIMATORS[i].name)
def test_samples_agree_with_enumeration(i):
    """Mean, variance and bias, each within twice the 95 % half-width that the lab states."""
    row, (mean, variance, _) = compared().rows[i], moments(0.9, ESTIMATORS[i])
    gradient = enumerated(0.9).gradient
    assert abs(row.variance - variance) <= 2 * row.variance_error
    assert row.variance_error < 0.25 * variance
    assert (row.deviation is None) == (not row.exact)
    assert row.deviation is None or row.deviation < 2 * 1.96
    assert np.linalg.norm(row.mean - mean) <= 2 * row.bias_error + 1e-10
    assert abs(row.bias - np.linalg.norm(mean - gradient)) <= 2 * row.bias_error + 1e-10
    assert row.mean_squared_error == pytest.approx(row.bias**2 + row.variance)
    assert row.microseconds > 0


def test_what_is_said_of_the_whole():
    result = compared()
    assert 30_000 <= result.estimates < 30_100
    assert np.allclose(result.gradient, enumerated(0.9).gradient, rtol=1e-10)
    assert result.horizon_gap is not None and result.horizon_gap > 1e-3
    with_cosine = {row.estimator.name: row.cosine for row in result.rows}
    assert with_cosine["causal"] == pytest.approx(1)
    assert with_cosine["batch-mean"] == pytest.approx(1)  # shrunk, not turned
    assert abs(with_cosine["no-ratio"] or 1) < 0.999


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Ten correlated parameters, 300 repetitions: at least 95 % for the bias, near it for the
    variance; and a control that goes along makes the first one small."""
    draw = np.random.default_rng(0)
    pair = named(["clipped-gae", "step-ratio-advantage"])
    mixing = draw.normal(size=(20, 20))
    mixing[:10] = mixing[10:] + 0.2 * mixing[:10]
    covariance = mixing @ mixing.T
    trace, control_mean = np.trace(covariance[:10, :10]), np.full(10, 3.0)
    gradient, inside, spread = np.zeros(10), 0, 0
    for _ in range(300):
        x = draw.normal(size=(500, 20)) @ mixing.T
        found = ErrorMoments(2, [1, 1])
        for part in np.split(x, 5):
            found.add(np.stack([part[:, :10] + 7, part[:, 10:] + control_mean]))
        row = summarise(pair, found, [None, control_mean], gradient, np.ones(2))[0]
        inside += np.linalg.norm(row.mean - 7) <= row.bias_error
        spread += abs(row.variance - trace) <= row.variance_error
        assert row.bias_error < 0.3 * 1.96 * np.sqrt(row.variance / 500)
    assert inside >= 0.94 * 300
    assert 0.91 * 300 <= spread <= 0.99 * 300


def test_moments_are_those_of_all_chunks_together():
    draw = np.random.default_rng(1)
    x = 1e6 + draw.normal(size=(2, 90, 4))
    found = ErrorMoments(2, [1, 1])
    for part in np.split(x, 3, axis=1):
        found.add(part)
    assert np.allclose(found.mean, x.mean(axis=1), rtol=1e-14)
    assert np.allclose(found.variances, x.var(axis=1, ddof=1), rtol=1e-8)
    shared = [np.cov(x[0, :, p], x[1, :, p])[0, 1] for p in range(4)]
    assert np.allclose(found.with_control[0], shared, rtol=1e-8)


def test_the_sampler_draws_the_process():
    """Frequencies, the successor's reward, noise, and nothing that has probability 0."""
    transition = np.array([[[0.0, 0.25, 0.75], [0.5, 0.5, 0.0]]] * 2 + [[[0, 0, 1.0]] * 2])
    rewards = np.arange(18.0).reshape(3, 2, 3)
    noise = np.array([[4.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    mdp = tabular_mdp(
        transition,
        rewards,
        [0.5, 0.5, 0],
        discount=0.9,
        terminal=[False, False, True],
        reward_noise=noise,
    )
    policy = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    with jax.enable_x64(True):
        drawn = jax.jit(
            lambda key: sample(sampler(mdp, policy), horizon=4, batches=500, batch=40, key=key)
        )(jr.key(0))
        drawn = jax.tree.map(np.asarray, drawn)
    steps = drawn.mask
    index = (drawn.state, drawn.action, drawn.next_state)
    assert (mdp.transition[index][steps] > 0).all()
    assert (drawn.reward[~steps] == 0).all() and not steps.all()
    assert np.array_equal(steps[1:], steps[:-1] & (drawn.next_state[:-1] != 2))
    assert drawn.terminated[-1].all() and not drawn.truncated.any()
    left = drawn.reward - rewards[index]
    for state, action in ((0, 0), (0, 1), (1, 0)):
        here = steps & (drawn.state == state) & (drawn.action == action)
        count = here.sum()
        found = np.bincount(drawn.next_state[here], minlength=3) / count
        assert np.abs(found - transition[state, action]).max() < 4 * np.sqrt(0.25 / count)
        assert left[here].var() == pytest.approx(noise[state, action], rel=6 / np.sqrt(count))
    assert not (steps & (drawn.state == 1) & (drawn.action == 1)).any()
    in_first = steps & (drawn.state == 0)
    assert drawn.action[in_first].mean() == pytest.approx(0.8, abs=2 / np.sqrt(in_first.sum()))


def test_any_policy_may_be_asked():
    """Two parameters in a pytree, shared by all states; one action is never taken."""
    draw = np.random.default_rng(2)
    transition = draw.dirichlet(np.ones(4), (4, 3))
    mdp = tabular_mdp(transition, draw.normal(size=(4, 3)), np.ones(4) / 4, discount=0.8)

    def policy(theta):
        two = jax.nn.softmax(jnp.stack([theta["bias"], theta["slope"]]))
        row = jnp.concatenate([two, jnp.zeros(1)])
        return jnp.broadcast_to(row, (4, 3))

    theta = {"bias": np.array(0.3), "slope": np.array(-0.2)}
    setting = Setting(
        mdp=mdp,
        policy=policy,
        theta=theta,
        behaviour=np.full((4, 3), 1 / 3),
        value_error=np.zeros(4),
        horizon=5,
        batch=4,
    )
    chosen = named(["causal", "trajectory-ratio"])
    result = compare(setting, estimators=chosen, trajectories=4000, key=jr.key(3))
    assert result.gradient.shape == (2,)
    again = compare(setting, estimators=chosen[:1], trajectories=4000, key=jr.key(3))
    assert again.rows[0].variance == result.rows[0].variance  # the same key, the same samples
    assert all(row.bias < 1e-12 and (row.deviation or 9) < 3 for row in result.rows)


SETTING = {
    "horizon": ({"horizon": 0}, "`horizon`.*got 0"),
    "batch": ({"batch": 1}, "`batch`.*at least 2; got 1"),
    "policy scale": ({"policy_scale": -1.0}, r"`policy_scale`.*got -1.0"),
    "behaviour scale": ({"behaviour_scale": -0.1}, r"`behaviour_scale`.*got -0.1"),
    "value error": ({"value_error": float("nan")}, "`value_error`.*got nan"),
}


@pytest.mark.parametrize("name", SETTING)
def test_bad_settings(name):
    numbers, said = SETTING[name]
    mdp = enumerated(0.9).mdp
    with pytest.raises(ValueError, match=said):
        softmax_setting(mdp, **numbers, key=jr.key(0))


def test_a_behaviour_that_never_does_what_the_policy_may():
    problem = enumerated(0.9)
    never = np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="never takes action 1 in state 1"):
        Setting(
            mdp=problem.mdp,
            policy=jax.nn.softmax,
            theta=problem.theta,
            behaviour=never,
            value_error=np.zeros(3),
        )


def test_bad_requests():
    with pytest.raises(ValueError, match=r"at least twice `batch`, 2 × 10; got 19"):
        check_trajectories(19, batch=10)
    with pytest.raises(ValueError, match=r"Unknown estimator `causl`\. Did you mean `causal`"):
        named(["causl"])
    with pytest.raises(ValueError, match="named twice"):
        named(["causal", "causal"])
