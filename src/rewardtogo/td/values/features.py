r"""Features $x(s)$ of an observation, for values that are linear in them, $w^\top x(s)$.

Every map here sees `dims` numbers between `low` and `high`; what lies outside counts as the nearest
edge. Sutton and Barto (2018), section 9.5.
"""

import abc
import itertools
import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ... import validate
from ...types import AnyArray


Numbers = float | int | Sequence[float] | Sequence[int]
"""One for each dimension; of one dimension the number alone."""


MAX_FEATURES = 10_000_000
"""More than these are refused: each has a weight for each action, and takes part in each step."""


class AbstractFeatures(eqx.Module):
    """A fixed map from one observation to numbers; `jax.vmap` it over a batch."""

    @property
    @abc.abstractmethod
    def dims(self) -> int:
        """How many numbers an observation has."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """How many features there are."""

    @property
    @abc.abstractmethod
    def step_scale(self) -> Float[np.ndarray, " features"]:
        """By how much to multiply the step of each weight, where steps are to be scaled."""

    @abc.abstractmethod
    def __call__(self, observation: Float[AnyArray, " dims"]) -> Float[Array, " features"]:
        """**Raises:** `ValueError` for an observation of another width than `dims`."""


def _numbers(value: Numbers) -> tuple[float, ...]:
    return tuple(float(x) for x in np.ravel(value))


class TileCoding(AbstractFeatures):
    r"""Grids laid over each other, each shifted a little; a feature for every tile.

    In each dimension a tile is $w = (\text{high} - \text{low}) / \text{tiles}$ wide. Of $n$
    tilings, the $i$-th (from 0) is shifted down by $i\,(1, 3, 5, \dots)\,w/n$, modulo a tile: the
    displacement that Miller and Glanz (1996) recommend; Sutton and Barto (2018), section 9.5.4.
    Exact, without hashing: a shifted tiling has one tile more in that dimension, so that it covers
    everything. An observation lies in one tile of each tiling: its features are `tilings` ones.

    **Raises:** `ValueError` for `low` not below `high`, different lengths, a count below 1, or
    more than `MAX_FEATURES`.
    """

    low: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The least value of each dimension."""
    high: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The greatest."""
    tiles: int = eqx.field(static=True)
    """Tiles across each dimension."""
    tilings: int = eqx.field(default=1, static=True)
    """Grids laid over each other."""

    def __check_init__(self):
        _check_range(self.low, self.high)
        validate.count("tiles", self.tiles)
        validate.count("tilings", self.tilings)
        sides = self.tiles + (self.tilings > 1)
        made = {"tiles": self.tiles, "tilings": self.tilings}
        _require_few(self.tilings * sides**self.dims, self.dims, made)

    @property
    def dims(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        return int(np.prod(self._sides(), axis=1).sum())

    @property
    def step_scale(self) -> Float[np.ndarray, " features"]:
        """1 / tilings: a step of size α moves the value by the share α, however many there are."""
        return np.full(self.size, 1 / self.tilings)

    def __call__(self, observation: Float[AnyArray, " dims"]) -> Float[Array, " features"]:
        zeros = jnp.zeros(self.size, jnp.asarray(observation).dtype)
        return zeros.at[self.active(observation)].set(1)

    def active(self, observation: Float[AnyArray, " dims"]) -> Int[Array, " tilings"]:
        """The features that are 1, one of each tiling, in O(tilings · dims)."""
        seen = _checked(observation, self.dims)
        low, high = (jnp.asarray(x, seen.dtype) for x in (self.low, self.high))
        inside = jnp.clip(seen, low, high) - low
        # Cells of w/n: one exact division for all tilings, so that no edge is rounded away.
        cell = jnp.floor_divide(inside * (self.tiles * self.tilings), high - low).astype(jnp.int32)
        sides = self._sides()
        tile = jnp.minimum((cell[None] + self._shifts()) // self.tilings, sides - 1)
        tiles_each = np.prod(sides, axis=1)
        # Row-major within a tiling, tiling after tiling.
        stride = np.cumprod(np.c_[np.ones(len(sides), int), sides[:, :0:-1]], axis=1)[:, ::-1]
        first = (np.cumsum(tiles_each) - tiles_each).astype(np.int32)
        return jnp.asarray(first) + jnp.sum(tile * stride.astype(np.int32), axis=1, dtype=jnp.int32)

    def _shifts(self) -> Int[np.ndarray, "tilings dims"]:
        """Of each tiling, in cells of w/n."""
        displacement = 2 * np.arange(self.dims) + 1
        return (np.arange(self.tilings)[:, None] * displacement % self.tilings).astype(np.int32)

    def _sides(self) -> Int[np.ndarray, "tilings dims"]:
        """Tiles of each tiling in each dimension."""
        return (self.tiles + (self._shifts() > 0)).astype(np.int32)


def state_aggregation(low: Numbers, high: Numbers, groups: int) -> TileCoding:
    """Equal groups, each with one weight: tile coding with one tiling.

    Sutton and Barto (2018), section 9.3. In several dimensions `groups` is the number along each.

    **Raises:** `ValueError` for `low` not below `high`, different lengths, `groups` below 1, or
    more than `MAX_FEATURES`.
    """
    validate.count("groups", groups)
    dims = len(_numbers(low))
    _require_few(groups**dims, dims, {"groups": groups})
    return TileCoding(low, high, tiles=groups, tilings=1)


class Fourier(AbstractFeatures):
    r"""$x_c(s) = \cos(\pi\, c^\top \bar s)$ for every $c$ of whole numbers from 0 to `order`.

    $\bar s$ is the observation scaled to $[0, 1]$. Konidaris, Osentoski and Thomas (2011);
    Sutton and Barto (2018), eq. 9.18. The constant, $c = 0$, comes first.

    **Raises:** `ValueError` for `low` not below `high`, different lengths, a negative order, or
    more than `MAX_FEATURES`.
    """

    low: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The least value of each dimension."""
    high: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The greatest."""
    order: int = eqx.field(static=True)
    """The greatest frequency of each dimension, in half periods over the range."""

    def __check_init__(self):
        _check_range(self.low, self.high)
        validate.count("order", self.order, least=0)
        _require_few((self.order + 1) ** self.dims, self.dims, {"order": self.order})

    @property
    def dims(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        return (self.order + 1) ** self.dims

    @property
    def step_scale(self) -> Float[np.ndarray, " features"]:
        r"""$1 / \|c\|_2$, and 1 for the constant; Konidaris, Osentoski and Thomas (2011)."""
        norm = np.linalg.norm(_exponents(self.order, self.dims), axis=1)
        return 1 / np.where(norm == 0, 1, norm)

    def __call__(self, observation: Float[AnyArray, " dims"]) -> Float[Array, " features"]:
        scaled = _scaled(observation, self.low, self.high)
        frequency = _exponents(self.order, self.dims).astype(scaled.dtype)
        return jnp.cos(math.pi * (frequency @ scaled))


class Polynomial(AbstractFeatures):
    r"""$x_c(s) = \prod_j \bar s_j^{c_j}$ for every $c$ of whole numbers from 0 to `degree`.

    $\bar s$ is the observation scaled to $[0, 1]$. Sutton and Barto (2018), eq. 9.17. The degree is
    that of each dimension alone, unlike that of `nn.polynomial`, which is the total.

    **Raises:** `ValueError` for `low` not below `high`, different lengths, a negative degree, or
    more than `MAX_FEATURES`.
    """

    low: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The least value of each dimension."""
    high: tuple[float, ...] = eqx.field(converter=_numbers, static=True)
    """The greatest."""
    degree: int = eqx.field(static=True)
    """The greatest power of each dimension."""

    def __check_init__(self):
        _check_range(self.low, self.high)
        validate.count("degree", self.degree, least=0)
        _require_few((self.degree + 1) ** self.dims, self.dims, {"degree": self.degree})

    @property
    def dims(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        return (self.degree + 1) ** self.dims

    @property
    def step_scale(self) -> Float[np.ndarray, " features"]:
        return np.ones(self.size)

    def __call__(self, observation: Float[AnyArray, " dims"]) -> Float[Array, " features"]:
        scaled = _scaled(observation, self.low, self.high)
        factors = jnp.ones((self.dims, self.degree), scaled.dtype) * scaled[:, None]
        one = jnp.ones((self.dims, 1), scaled.dtype)
        powers = jnp.concatenate([one, jnp.cumprod(factors, axis=1)], axis=1)
        return jnp.prod(powers[np.arange(self.dims), _exponents(self.degree, self.dims)], axis=1)


class FeatureTable(AbstractFeatures):
    """A row of a matrix for each state: features by hand. The observation is the state's number.

    **Raises:** `ValueError` for what is no matrix, is empty, or is not finite.
    """

    matrix: Float[AnyArray, "states features"]
    """The features of every state."""

    def __check_init__(self):
        shape = np.shape(self.matrix)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"`matrix` must have shape [states, features]; got {shape}.")
        if not np.isfinite(np.asarray(self.matrix)).all():
            raise ValueError("`matrix` must be finite.")

    @property
    def dims(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return self.matrix.shape[1]

    @property
    def step_scale(self) -> Float[np.ndarray, " features"]:
        return np.ones(self.size)

    def __call__(self, observation: Float[AnyArray, " dims"]) -> Float[Array, " features"]:
        seen = _checked(observation, self.dims)
        return jnp.asarray(self.matrix, seen.dtype)[seen[0].astype(jnp.int32)]


def nonzero(
    features: AbstractFeatures, observation: Float[Array, " dims"]
) -> tuple[Int[Array, " nonzero"], Float[Array, " nonzero"]]:
    """The features that are not 0, by their numbers, and their values; of most kinds all."""
    if isinstance(features, TileCoding):
        index = features.active(observation)
        return index, jnp.ones(len(index), observation.dtype)
    return jnp.arange(features.size), features(observation)


def _check_range(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    if len(low) != len(high) or not low:
        raise ValueError(
            f"`low` and `high` must be of one width, at least 1; got {len(low)} and {len(high)}."
        )
    for d, (least, most) in enumerate(zip(low, high, strict=True)):
        if not (math.isfinite(least) and math.isfinite(most) and least < most):
            raise ValueError(f"`low` must be below `high`; dimension {d} has [{least}, {most}].")


def _require_few(most: int, dims: int, made: dict[str, int]) -> None:
    """**Raises:** `ValueError` if the options in `made` give up to `most` features, too many."""
    if most <= MAX_FEATURES:
        return
    options = " and ".join(f"`{name}` {value:,}" for name, value in made.items())
    number = f"{most:,}" if most < 10**15 else f"10^{math.log10(most):.0f}"
    lower = " or ".join(f"`{name}`" for name in made)
    order = ", which is the flag `--order`" if "degree" in made else ""
    few = "; features of this kind are for observations of few numbers" if dims > 8 else ""
    raise ValueError(
        f"{options}, with {dims} number(s) observed, would be about {number} features, and at most "
        f"{MAX_FEATURES:,} can be: lower {lower}{order}{few}."
    )


def _checked(observation: Float[AnyArray, " dims"], dims: int) -> Float[Array, " dims"]:
    if observation.shape != (dims,):
        raise ValueError(
            f"features of the wrong width: they are of observations of {dims} numbers; got shape "
            f"{observation.shape}."
        )
    return jnp.asarray(observation)


def _scaled(
    observation: Float[AnyArray, " dims"], low: tuple[float, ...], high: tuple[float, ...]
) -> Float[Array, " dims"]:
    """To [0, 1] in each dimension."""
    seen = _checked(observation, len(low))
    least, most = (jnp.asarray(x, seen.dtype) for x in (low, high))
    return jnp.clip((seen - least) / (most - least), 0, 1)


def _exponents(most: int, dims: int) -> Int[np.ndarray, "features dims"]:
    """Every vector of whole numbers from 0 to `most`, the last dimension fastest."""
    return np.array(list(itertools.product(range(most + 1), repeat=dims)), int)
