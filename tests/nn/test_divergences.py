"""Divergences, old from new: against scipy, distreqx and quadrature."""

import distreqx.distributions as dx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from rewardtogo.nn.distributions import Categorical, DiagonalGaussian, EpsilonGreedy, UniformBox


LOGITS = np.random.default_rng(0).normal(size=(3, 4, 5))
MEAN = np.random.default_rng(1).normal(size=(3, 4, 2))
LOG_STD = np.random.default_rng(2).normal(size=(3, 4, 2)) * 0.5


def test_categorical_divergence_against_scipy(x64):
    """Old from new, in that order; what neither draws counts for nothing."""
    one, two = LOGITS, LOGITS[::-1] * 1.5
    ours = Categorical(jnp.asarray(one)).kl_divergence(Categorical(jnp.asarray(two)))
    p, q = (scipy.special.softmax(x, axis=-1) for x in (one, two))
    assert jnp.allclose(ours, scipy.stats.entropy(p, q, axis=-1), rtol=1e-12)
    forbids = Categorical(jnp.array([0.5, -jnp.inf, 1.5]))
    both, p, q = Categorical(jnp.array([1.0, -jnp.inf, 0.0])), [0.5, 1.5], [1.0, 0.0]
    expected = scipy.stats.entropy(scipy.special.softmax(p), scipy.special.softmax(q))
    assert jnp.allclose(forbids.kl_divergence(both), expected, rtol=1e-12)
    assert Categorical(jnp.zeros(3)).kl_divergence(forbids) == jnp.inf
    slope = jax.grad(lambda new: forbids.kl_divergence(new))(both)
    assert jnp.all(jnp.isfinite(slope.logits))


def test_epsilon_greedy_divergence_is_that_of_its_probabilities(x64):
    q = jnp.array([[1.0, 3.0, 2.0, 0.0], [2.0, 2.0, 1.0, 0.0]])
    old, new = EpsilonGreedy(q, 0.2), EpsilonGreedy(-q, 0.5)
    expected = scipy.stats.entropy(old.probabilities(), new.probabilities(), axis=-1)
    assert jnp.allclose(old.kl_divergence(new), expected, rtol=1e-12)
    greedy = EpsilonGreedy(q, 0.0)
    assert jnp.allclose(greedy.kl_divergence(new), jnp.log(jnp.array([8.0, 4.0])), rtol=1e-12)


def test_gaussian_divergence_against_quadrature_and_distreqx(x64):
    old = DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    new = DiagonalGaussian(jnp.asarray(MEAN[::-1]), jnp.asarray(-LOG_STD))
    ours = old.kl_divergence(new)
    peer = lambda m, s, n, t: dx.MultivariateNormalDiag(m, jnp.exp(s)).kl_divergence(
        dx.MultivariateNormalDiag(n, jnp.exp(t))
    )
    heads = (old.mean, old.log_std, new.mean, new.log_std)
    assert jnp.allclose(ours, jax.vmap(jax.vmap(peer))(*heads), rtol=1e-10)
    x = np.linspace(-15, 15, 20_001)
    one, two = (
        scipy.stats.norm.logpdf(x[:, None], h.mean[0, 0], np.exp(h.log_std[0, 0]))
        for h in (old, new)
    )
    densities = np.exp(one) * (one - two)
    assert np.allclose(ours[0, 0], np.trapezoid(densities, x, axis=0).sum(), rtol=1e-8)


def test_gaussian_divergence_does_not_cancel_in_single_precision():
    """A change of log σ by 1e-4 is a divergence of 1e-8."""
    old, new = (DiagonalGaussian(jnp.zeros(1), jnp.full(1, s)) for s in (0.0, 1e-4))
    assert jnp.allclose(old.kl_divergence(new), 1e-8, rtol=1e-2)


def test_uniform_divergence():
    """log of the ratio of volumes; infinite where the old box sticks out of the new one."""
    narrow, wide = UniformBox((2,)), UniformBox((2,))
    wide = eqx.tree_at(lambda d: d.bound, wide, jnp.array([2.0, 3.0]))
    assert jnp.allclose(narrow.kl_divergence(wide), jnp.log(6.0), rtol=1e-6)
    assert wide.kl_divergence(narrow) == jnp.inf and narrow.kl_divergence(narrow) == 0
