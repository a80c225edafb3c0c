r"""Gradients through a sampled action, against those by the score.

Integrals are by the trapezoidal rule, exact to rounding for a smooth integrand with the tails of
a Gaussian. The third side is the derivative of $\int \pi_\theta(a) f(a)\,da$ as it stands.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PRNGKeyArray

from ...losses.soft import actor_loss
from ...nn.distributions import AbstractDistribution, DiagonalGaussian, TanhGaussian
from .cases import derivative, draws_of
from .theorem import Sides, Theorem, equal, unequal


_NOISE = np.linspace(-9.0, 9.0, 721)
_STEP = _NOISE[1] - _NOISE[0]
_WEIGHTS = _STEP * np.exp(-0.5 * _NOISE**2) / np.sqrt(2 * np.pi)


@dataclasses.dataclass(frozen=True)
class _Case:
    r"""One action with mean $\theta_0$ and log-deviation $\theta_1$, perhaps under a tanh.

    `wave`: $f(a) = w_0 \sin(2a + w_1) + w_2 a^2$. The objective is $E[f(a) - \tau\log\pi(a)]$.
    """

    theta: Float[np.ndarray, " 2"]
    wave: Float[np.ndarray, " 3"]
    temperature: float
    squashed: bool

    def objective(self, theta: Inexact[np.ndarray, " 2"]) -> Inexact[np.ndarray, ""]:
        """By points that do not move with θ."""
        u = self.theta[0] + np.exp(self.theta[1]) * _NOISE
        density = -0.5 * ((u - theta[0]) / np.exp(theta[1])) ** 2 - theta[1]
        density = density - 0.5 * np.log(2 * np.pi)
        log_prob = density + 2 * np.log(np.cosh(u)) * self.squashed
        action = np.tanh(u) if self.squashed else u
        f = self.wave[0] * np.sin(2 * action + self.wave[1]) + self.wave[2] * action**2
        gain = f - self.temperature * log_prob
        return np.asarray(np.exp(density) @ gain * _STEP * np.exp(self.theta[1]))

    @property
    def exact(self) -> Float[np.ndarray, " 2"]:
        return derivative(self.objective, self.theta)

    def gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """Through the action, and by the score; both of the library's density, by autodiff."""
        with jax.enable_x64(True):
            theta, wave, temperature = map(jnp.asarray, (self.theta, self.wave, self.temperature))
            ways = (_pathwise_squashed, _score_squashed) if self.squashed else (_pathwise, _score)
            through, by_score = (way(theta, wave, temperature) for way in ways)
            return np.asarray(through), np.asarray(by_score)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Actions, and their log-probabilities from the library."""
        with jax.enable_x64(True):
            action, density = _sampled(jnp.asarray(self.theta), squashed=self.squashed)
            return np.asarray(action)[:, 0], np.asarray(density.log_prob(action))


def _sampled(
    theta: Float[Array, " 2"], *, squashed: bool
) -> tuple[Float[Array, "n 1"], AbstractDistribution]:
    mean, log_std = jnp.full((_NOISE.size, 1), theta[0]), theta[1][None]
    u = mean + jnp.exp(theta[1]) * jnp.asarray(_NOISE)[:, None]
    if squashed:
        return jnp.tanh(u), TanhGaussian(mean, log_std)
    return u, DiagonalGaussian(mean, log_std)


def _wave(wave: Float[Array, " 3"], action: Float[Array, "n 1"]) -> Float[Array, " n"]:
    return wave[0] * jnp.sin(2 * action[:, 0] + wave[1]) + wave[2] * action[:, 0] ** 2


def _negated_loss(theta, wave, temperature, *, squashed):
    action, density = _sampled(theta, squashed=squashed)
    losses = actor_loss(density.log_prob(action), _wave(wave, action), temperature)
    return -jnp.asarray(_WEIGHTS) @ losses


def _weighed_log_prob(theta, wave, temperature, *, squashed):
    action, density = _sampled(theta, squashed=squashed)
    log_prob = density.log_prob(lax.stop_gradient(action))
    gain = _wave(wave, action) - temperature * log_prob
    return jnp.asarray(_WEIGHTS) @ (lax.stop_gradient(gain) * log_prob)


_pathwise = jax.jit(jax.grad(lambda *at: _negated_loss(*at, squashed=False)))
_pathwise_squashed = jax.jit(jax.grad(lambda *at: _negated_loss(*at, squashed=True)))
_score = jax.jit(jax.grad(lambda *at: _weighed_log_prob(*at, squashed=False)))
_score_squashed = jax.jit(jax.grad(lambda *at: _weighed_log_prob(*at, squashed=True)))


def _random_case(key: PRNGKeyArray, *, squashed: bool) -> _Case:
    draw = draws_of(key)
    theta = np.array([draw.normal(), draw.uniform(-1, 0)])
    return _Case(theta, draw.normal(size=3), float(draw.uniform(0.1, 1)), squashed)


def _gaussian(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _random_case(key, squashed=False)
    through, by_score = case.gradients()
    action, log_prob = case.points()
    error, log_std = (action - case.theta[0]) ** 2, case.theta[1]
    affine = -error / (2 * np.exp(2 * log_std)) - log_std - 0.5 * np.log(2 * np.pi)
    return [
        equal("through the action: ∇E[f - τ log π]", through, case.exact),
        equal("by the score: E[(f - τ log π) ∇log π]", by_score, case.exact),
        equal("log π is affine in the squared error", log_prob, affine),
        unequal("and not proportional to it", log_prob * error[0], error * log_prob[0]),
    ]


def _tanh(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _random_case(key, squashed=True)
    through, by_score = case.gradients()
    action, log_prob = case.points()
    volume = _STEP * np.exp(case.theta[1]) * (1 - action**2)

    def entropy_gradient(squashed):
        # Without f the objective is τ times the entropy.
        silent = dataclasses.replace(case, wave=np.zeros(3), squashed=squashed)
        return silent.exact

    return [
        equal("∫ π(a) da = 1 with the log-determinant", np.exp(log_prob) @ volume, 1.0),
        equal("through the action: ∇E[f - τ log π]", through, case.exact),
        equal("by the score: E[(f - τ log π) ∇log π]", by_score, case.exact),
        unequal("the entropy's gradient needs it", entropy_gradient(False), entropy_gradient(True)),
    ]


THEOREMS = (
    Theorem(
        name="pathwise gradient, Gaussian",
        statement="Through the action or by the score, the gradient of a mean is the same.",
        source="001, policy parameterizations; 004 §2.11; Haarnoja et al. (2018)",
        check=_gaussian,
    ),
    Theorem(
        name="pathwise gradient, squashed Gaussian",
        statement="The same for a tanh of a Gaussian and its entropy, with the log-determinant.",
        source="004 §2.11; Haarnoja et al. (2018), appendix C",
        check=_tanh,
    ),
)
