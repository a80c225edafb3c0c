"""Oracles: scipy's densities, distreqx, quadrature, and sampling frequencies within 5 σ."""

import distreqx.distributions as dx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
import scipy.stats

from rewardtogo.nn.distributions import (
    Categorical,
    DiagonalGaussian,
    EpsilonGreedy,
    TanhGaussian,
    UniformBox,
)


LOGITS = np.random.default_rng(0).normal(size=(3, 4, 5))
MEAN = np.random.default_rng(1).normal(size=(3, 4, 2))
LOG_STD = np.random.default_rng(2).normal(size=(3, 4, 2)) * 0.5

DISTRIBUTIONS = {
    "categorical": lambda: Categorical(jnp.asarray(LOGITS)),
    "epsilon_greedy": lambda: EpsilonGreedy(jnp.asarray(LOGITS), 0.3),
    "gaussian": lambda: DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD)),
    "tanh_gaussian": lambda: TanhGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD)),
    "uniform_box": lambda: UniformBox((3, 4, 2), jnp.float64),
}
all_of_them = pytest.mark.parametrize("make", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)


@all_of_them
def test_sampling_and_scoring_agree(make, key, x64):
    """`sample_and_log_prob` draws what `sample` draws and scores it as `log_prob` does."""
    distribution = make()
    action, log_prob = distribution.sample_and_log_prob(key)
    assert jnp.array_equal(action, distribution.sample(key))
    assert log_prob.shape == (3, 4)
    assert jnp.allclose(log_prob, distribution.log_prob(action), rtol=1e-9, atol=1e-9)
    assert distribution.mode().shape == action.shape and distribution.mode().dtype == action.dtype
    assert not jnp.array_equal(action[0], action[1])  # one key, yet independent elements


@all_of_them
def test_vmap_is_the_native_batch(make, key, x64):
    distribution = make()
    action = distribution.sample(key)
    mapped = jax.vmap(lambda d, a: (d.log_prob(a), d.mode()))(distribution, action)
    assert jnp.allclose(mapped[0], distribution.log_prob(action), rtol=1e-12)
    assert jnp.array_equal(mapped[1], distribution.mode())


def test_categorical_against_scipy_and_distreqx(x64):
    ours = Categorical(jnp.asarray(LOGITS))
    probs = scipy.special.softmax(LOGITS, axis=-1)
    entropy = [scipy.stats.entropy(row) for row in probs.reshape(-1, 5)]
    assert jnp.allclose(ours.entropy(), jnp.reshape(jnp.asarray(entropy), (3, 4)), rtol=1e-12)
    for action in range(5):
        log_prob = ours.log_prob(jnp.full((3, 4), action))
        assert jnp.allclose(log_prob, np.log(probs[..., action]), rtol=1e-12)
        peer = jax.vmap(jax.vmap(lambda l, a=action: dx.Categorical(logits=l).log_prob(a)))
        assert jnp.allclose(log_prob, peer(jnp.asarray(LOGITS)), rtol=1e-12)
    assert jnp.array_equal(ours.mode(), LOGITS.argmax(-1))


def test_categorical_gradient_is_the_score(x64):
    """∂ log π(a) / ∂ℓ = e_a - π."""
    logits, action = jnp.asarray(LOGITS[0]), jnp.array([0, 3, 4, 3])
    grad = jax.grad(lambda l: Categorical(l).log_prob(action).sum())(logits)
    assert jnp.allclose(grad, np.eye(5)[action] - scipy.special.softmax(LOGITS[0], -1), atol=1e-12)


def test_forbidden_actions_stay_finite(key):
    """A logit of -inf: never drawn, no NaN in value, entropy or gradients."""
    logits = jnp.array([0.5, -jnp.inf, 1.5])
    expected = scipy.stats.entropy(scipy.special.softmax([0.5, 1.5]))
    assert jnp.allclose(Categorical(logits).entropy(), expected, rtol=1e-6)
    assert Categorical(logits).log_prob(jnp.array(1)) == -jnp.inf
    grads = jax.grad(lambda l: Categorical(l).entropy() + Categorical(l).log_prob(jnp.array(0)))
    assert jnp.all(jnp.isfinite(grads(logits)))
    draws = Categorical(jnp.broadcast_to(logits, (1000, 3))).sample(key)
    assert draws.dtype == jnp.int32 and not jnp.any(draws == 1)


def test_epsilon_greedy_probabilities(x64):
    """SPEC: each non-greedy action ε/|A|; ties share (1 - ε) equally; the row sums to 1."""
    q = jnp.array([[1.0, 3.0, 2.0, 0.0], [2.0, 2.0, 1.0, 0.0]])
    expected = jnp.array([[0.05, 0.85, 0.05, 0.05], [0.45, 0.45, 0.05, 0.05]])
    policy = EpsilonGreedy(q, 0.2)
    assert jnp.allclose(policy.probabilities(), expected, rtol=1e-12)
    for action in range(4):
        log_prob = policy.log_prob(jnp.full(2, action))
        assert jnp.allclose(log_prob, jnp.log(expected[:, action]), rtol=1e-12)
    assert jnp.array_equal(policy.mode(), jnp.array([1, 0]))
    assert jnp.allclose(policy.entropy(), scipy.stats.entropy(expected, axis=-1), rtol=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_epsilon_greedy_draws_its_probabilities(epsilon, key):
    q, n = jnp.array([1.0, 2.0, 2.0, 0.0]), 20_000
    draws = EpsilonGreedy(jnp.broadcast_to(q, (n, 4)), epsilon).sample(key)
    frequency = np.bincount(draws, minlength=4) / n
    p = np.array([0, 0.5, 0.5, 0]) * (1 - epsilon) + epsilon / 4
    assert np.all(np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / n))


@pytest.mark.parametrize("shared", [False, True])
def test_gaussian_against_scipy_and_distreqx(shared, key, x64):
    """Also with one `log_std` for all states, shape (dims,)."""
    log_std = LOG_STD[0, 0] if shared else LOG_STD
    ours = DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(log_std))
    action = ours.sample(key)
    scale = np.broadcast_to(np.exp(log_std), MEAN.shape)
    log_density = scipy.stats.norm.logpdf(action, MEAN, scale)
    assert jnp.allclose(ours.log_prob(action), log_density.sum(-1), rtol=1e-12)
    assert jnp.allclose(ours.entropy(), scipy.stats.norm.entropy(MEAN, scale).sum(-1), rtol=1e-12)
    mean, std = jnp.asarray(MEAN[0, 0]), jnp.exp(ours.log_std[0, 0])
    other = dx.MultivariateNormalDiag(mean, std).log_prob(action[0, 0])
    assert jnp.allclose(ours.log_prob(action)[0, 0], other, rtol=1e-12)


def test_gaussian_score_keeps_the_gradient_of_log_sigma(x64):
    """∂ log π / ∂ log σ = ((a - μ)/σ)² - 1 for an action that is data."""
    mean, log_std, action = jnp.array([0.3]), jnp.array([-0.4]), jnp.array([1.1])
    grad = jax.grad(lambda l: DiagonalGaussian(mean, l).log_prob(action))(log_std)
    assert jnp.allclose(grad, ((1.1 - 0.3) / np.exp(-0.4)) ** 2 - 1, rtol=1e-12)


def test_gaussian_sample_moments(key):
    n = 20_000
    draws = DiagonalGaussian(jnp.full((n, 1), 2.0), jnp.full((1,), jnp.log(0.5))).sample(key)
    assert abs(draws.mean() - 2) < 5 * 0.5 / n**0.5
    assert abs(draws.var() - 0.25) < 5 * 0.25 * (2 / n) ** 0.5


def quadrature(mean, log_std):
    """Gauss–Hermite points u and weights w: E f(u) = Σ w f(u) for u ~ N(mean, exp(log_std)²)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return mean + jnp.exp(log_std) * nodes, jnp.asarray(weights / np.sqrt(2 * np.pi))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.3)])
def test_tanh_gaussian_density_integrates_to_one(mean, log_std, x64):
    """∫ π(a) da over (-1, 1) and ∫ a π(a) da = E tanh u."""
    edge = jnp.tanh(jnp.linspace(-12, 12, 40_001))
    middle, width = (edge[1:] + edge[:-1]) / 2, jnp.diff(edge)
    policy = TanhGaussian(jnp.full((40_000, 1), mean), jnp.array([log_std]))
    density = jnp.exp(policy.log_prob(middle[:, None]))
    assert jnp.allclose(jnp.sum(density * width), 1, atol=1e-6)
    u, w = quadrature(mean, log_std)
    assert jnp.allclose(jnp.sum(middle * density * width), jnp.sum(w * jnp.tanh(u)), atol=1e-5)


def test_tanh_gaussian_against_distreqx(key, x64):
    mean, log_std = jnp.asarray(MEAN[0, 0]), jnp.asarray(LOG_STD[0, 0])
    action, log_prob = TanhGaussian(mean, log_std).sample_and_log_prob(key)
    base = dx.MultivariateNormalDiag(mean, jnp.exp(log_std))
    u = jnp.arctanh(action)
    expected = base.log_prob(u) - jnp.sum(jnp.log1p(-(action**2)))
    assert jnp.allclose(log_prob, expected, rtol=1e-8)
    assert jnp.allclose(TanhGaussian(mean, log_std).mode(), jnp.tanh(mean), rtol=1e-12)


def test_tanh_gaussian_pathwise_gradient(x64):
    """G7: ∇ E[a² - log π(a)] by reparametrisation equals the gradient of the quadrature."""
    parameters = jnp.array([0.4, -0.3])

    def pathwise(parameters, noise):
        u = parameters[0] + jnp.exp(parameters[1]) * noise
        policy = TanhGaussian(parameters[:1], parameters[1:])
        action = jnp.tanh(u)[None]
        return action[0] ** 2 - policy.log_prob(action)

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    keep = np.abs(nodes) < 9  # beyond, arctanh(tanh u) has no digits and the weight none either
    nodes, weights = jnp.asarray(nodes[keep]), jnp.asarray(weights[keep] / np.sqrt(2 * np.pi))
    ours = weights @ jax.vmap(jax.grad(pathwise), (None, 0))(parameters, nodes)

    def objective(mean, log_std):
        """E a² + Gaussian entropy + E log(1 - a²), on a grid of scipy's density."""
        u = np.linspace(mean - 12, mean + 12, 20_001)
        density = scipy.stats.norm.pdf(u, mean, np.exp(log_std))
        log_det = -2 * np.log(np.cosh(u))
        gain = np.trapezoid(density * (np.tanh(u) ** 2 + log_det), u)
        return gain + 0.5 * np.log(2 * np.pi * np.e) + log_std

    h = 1e-5
    expected = [
        (objective(0.4 + h, -0.3) - objective(0.4 - h, -0.3)) / (2 * h),
        (objective(0.4, -0.3 + h) - objective(0.4, -0.3 - h)) / (2 * h),
    ]
    assert jnp.allclose(ours, jnp.asarray(expected), atol=1e-7)


def test_tanh_gaussian_sample_carries_the_pathwise_gradient(key, x64):
    """Through the sample's pre-tanh value as through the action and the inverse."""
    mean, log_std = jnp.asarray(MEAN[0, 0]), jnp.asarray(LOG_STD[0, 0])

    def inverted(mean, log_std):
        policy = TanhGaussian(mean, log_std)
        return policy.log_prob(policy.sample(key))

    direct = jax.grad(lambda m, l: TanhGaussian(m, l).sample_and_log_prob(key)[1], (0, 1))
    for ours, expected in zip(
        direct(mean, log_std), jax.grad(inverted, (0, 1))(mean, log_std), strict=True
    ):
        assert jnp.allclose(ours, expected, rtol=1e-8)


@pytest.mark.parametrize("mean", [-30.0, -3.0, 0.0, 3.0, 30.0])
def test_tanh_gaussian_is_finite_where_tanh_saturates(mean, key):
    """In float32, at ±1, in the sample's own log-probability and in its gradient."""
    mean, log_std = jnp.full((64, 1), mean), jnp.array([0.5])
    policy = TanhGaussian(mean, log_std)
    for action in (-1.0, 1.0, -0.9999999, 0.5):
        assert jnp.all(jnp.isfinite(policy.log_prob(jnp.full((64, 1), action))))

    def total(mean, log_std):
        action, log_prob = TanhGaussian(mean, log_std).sample_and_log_prob(key)
        return action.sum() + log_prob.sum()

    value, grads = jax.value_and_grad(total, (0, 1))(mean, log_std)
    assert jnp.isfinite(value) and all(jnp.all(jnp.isfinite(g)) for g in grads)


def test_tanh_gaussian_log_det_does_not_cancel(x64, key):
    """The sample's log-probability at u = 20, where 1 - tanh² u is 1.7e-17: 20 digits by hand."""
    policy = TanhGaussian(jnp.array([20.0]), jnp.array([-40.0]))  # the noise moves u by 1e-17
    _, log_prob = policy.sample_and_log_prob(key)
    noise = jr.normal(key, (1,), jnp.float64)[0]
    gaussian = -0.5 * noise**2 + 40 - 0.5 * np.log(2 * np.pi)
    assert jnp.allclose(log_prob, gaussian - (2 * np.log(2) - 40), atol=1e-12)


def test_uniform_box(key, x64):
    box = UniformBox((1000, 3), jnp.float64)
    draws = box.sample(key)
    assert draws.shape == (1000, 3) and jnp.all(jnp.abs(draws) <= 1)
    fit = scipy.stats.kstest(np.asarray(draws).ravel(), lambda x: scipy.stats.uniform.cdf(x, -1, 2))
    assert fit.pvalue > 1e-4
    log_density = scipy.stats.uniform.logpdf(draws, -1, 2).sum(-1)
    assert jnp.allclose(box.log_prob(draws), log_density, rtol=1e-12)
    assert jnp.allclose(box.entropy(), 3 * np.log(2), rtol=1e-12)
    assert jnp.all(box.log_prob(draws + 3) == -jnp.inf)


def test_distributions_pass_through_jit(key):
    """A policy returns its distribution from compiled code."""
    make = eqx.filter_jit(lambda q: (EpsilonGreedy(q, 0.1), UniformBox((2,))))
    policy, box = make(jnp.zeros((3, 2)))
    assert policy.sample(key).shape == (3,) and box.sample(key).shape == (2,)
