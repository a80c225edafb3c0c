"""Normalisation by batch statistics and by running ones. Nothing else normalises silently."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped

from ..types import Scalar


def standardise(x: Float[Array, "*any"], *, epsilon: Scalar = 1e-8) -> Float[Array, "*any"]:
    r"""$(x - \bar x) / (\sigma + \epsilon)$ over all axes, with the population σ."""
    return (x - jnp.mean(x)) / (jnp.std(x) + epsilon)


class RunningMoments(eqx.Module):
    """Mean and population variance of everything seen, one each an entry; see `update`."""

    mean: Float[Array, "*shape"]
    variance: Float[Array, "*shape"]
    count: Float[Array, ""]

    def update(self, batch: Shaped[Array, "*batch_and_shape"]) -> "RunningMoments":
        r"""Merge a batch, whose leading axes are samples.

        $$\bar x \leftarrow \bar x + \frac{m}{n+m}\Delta, \qquad
        \sigma^2 \leftarrow \frac{n\sigma^2 + m\sigma_b^2}{n+m} + \frac{nm}{(n+m)^2}\Delta^2,
        \qquad \Delta = \bar x_b - \bar x$$

        Chan, Golub and LeVeque (1979), *Updating formulae*. The result is that of one
        pass over all data.
        """
        axes = tuple(range(batch.ndim - self.mean.ndim))
        batch = batch.astype(self.mean.dtype)
        size = batch.size // max(self.mean.size, 1)
        count = self.count + size
        new, old = size / count, self.count / count
        shift = jnp.mean(batch, axes) - self.mean
        variance = old * self.variance + new * jnp.var(batch, axes) + old * new * shift**2
        return RunningMoments(self.mean + new * shift, variance, count)

    def normalise(
        self, x: Shaped[Array, "*batch_and_shape"], *, clip: Scalar, epsilon: Scalar = 1e-8
    ) -> Float[Array, "*batch_and_shape"]:
        r"""$\mathrm{clip}((x - \bar x)/\sqrt{\sigma^2 + \epsilon}, -c, c)$; $c$ in deviations."""
        mean, scale = (
            jnp.broadcast_to(moment, x.shape)
            for moment in (self.mean, jnp.sqrt(self.variance + epsilon))
        )
        return jnp.clip((x - mean) / scale, -clip, clip)


def running_moments(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RunningMoments:
    """Before any data: mean 0 and variance 1, of no weight."""
    return RunningMoments(jnp.zeros(shape, dtype), jnp.ones(shape, dtype), jnp.zeros((), dtype))
