"""LinearQuadratic-v0: bring a linear system to rest at a quadratic cost; all is known exactly."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from .. import validate
from ..types import Scalar
from .classic.base import as_scalar, float_dtype, symmetric_uniform
from .protocol import AbstractEnvironment, Step


Matrix = tuple[tuple[float, ...], ...]


def _matrix(rows: Any) -> Matrix:
    """Rows of numbers, or an array, as what can be hashed."""
    return tuple(tuple(float(x) for x in row) for row in rows)


class LinearQuadraticState(eqx.Module):
    """The state vector, and the key of the noise to come."""

    vector: Float[Array, " n"]
    key: Key[Array, ""]


class LinearQuadratic(AbstractEnvironment[LinearQuadraticState]):
    r"""A linear system with a quadratic cost, Gaussian noise and a bounded action.

    $$s' = As + Ba + \sigma\xi, \quad \xi \sim N(0, I), \qquad r = -(s^\top Qs + a^\top Ra)$$

    Bertsekas (2017), section 3.1. The reward is that of the state left; s₀ is uniform in
    $[-1, 1)^n$. It never terminates. By default a mass on a line with friction, pushed at every
    half second: position and velocity. As long as $|a_i| \le$ `bound` the clip does nothing and
    `rewardtogo.lab.linear_quadratic` holds exactly.

    **Raises:** `ValueError` if the matrices do not fit each other, Q is not symmetric and
    positive semidefinite, R not symmetric and positive definite, or `noise` or `bound` is out of
    range.
    """

    dynamics: Matrix = eqx.field(static=True, default=((1.0, 0.5), (0.0, 0.7)), converter=_matrix)
    """A, `(n, n)`."""
    control: Matrix = eqx.field(static=True, default=((0.0,), (0.5,)), converter=_matrix)
    """B, `(n, m)`."""
    state_cost: Matrix = eqx.field(static=True, default=((1.0, 0.0), (0.0, 0.1)), converter=_matrix)
    """Q, `(n, n)`."""
    action_cost: Matrix = eqx.field(static=True, default=((0.1,),), converter=_matrix)
    """R, `(m, m)`."""
    noise: Scalar = eqx.field(default=0.05, converter=as_scalar)
    """σ, the deviation of the noise on each coordinate of the state."""
    bound: float = eqx.field(static=True, default=5.0, converter=float)
    """Actions are clipped to ± this."""
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    def __check_init__(self):
        size, actions = len(self.dynamics), len(self.control[0])
        shapes = {"dynamics": (size, size), "control": (size, actions)}
        shapes |= {"state_cost": (size, size), "action_cost": (actions, actions)}
        for name, shape in shapes.items():
            rows = getattr(self, name)
            if [len(row) for row in rows] != [shape[1]] * shape[0]:
                raise ValueError(f"`{name}` must be a matrix of shape {shape}; got {rows}.")
        _require_cost("state_cost", self.state_cost, strict=False)
        _require_cost("action_cost", self.action_cost, strict=True)
        validate.non_negative("noise", self.noise)
        validate.positive("bound", self.bound)

    @property
    def observation_space(self) -> gym.Space:
        """The state vector."""
        return gym.spaces.Box(-np.inf, np.inf, (len(self.dynamics),), self.dtype)  # pyright: ignore[reportArgumentType]

    @property
    def action_space(self) -> gym.Space:
        """Within ± `bound`."""
        return gym.spaces.Box(-self.bound, self.bound, (len(self.action_cost),), np.float32)

    def reset(self, key: PRNGKeyArray) -> tuple[LinearQuadraticState, Float[Array, " n"]]:
        """Draw every coordinate uniformly in [-1, 1)."""
        draw_key, key = jr.split(key)
        vector = symmetric_uniform(draw_key, len(self.dynamics), self.dtype)
        return LinearQuadraticState(vector, key), vector

    def step(
        self, state: LinearQuadraticState, action: Float[Array, " m"]
    ) -> tuple[LinearQuadraticState, Step]:
        """Pay for the state and the action, then move."""
        a, b, q, r = (
            jnp.asarray(matrix, self.dtype)
            for matrix in (self.dynamics, self.control, self.state_cost, self.action_cost)
        )
        action = jnp.clip(jnp.asarray(action, self.dtype), -self.bound, self.bound)
        vector, (draw_key, key) = state.vector, jr.split(state.key)
        cost = vector @ q @ vector + action @ r @ action
        noise = jnp.asarray(self.noise, self.dtype) * jr.normal(draw_key, vector.shape, self.dtype)
        successor = a @ vector + b @ action + noise
        never = jnp.zeros_like(cost, dtype=bool)
        return LinearQuadraticState(successor, key), Step(successor, -cost, never, never)


def _require_cost(name: str, rows: Matrix, *, strict: bool) -> None:
    """Raise `ValueError` unless the matrix is symmetric and positive (semi)definite."""
    matrix = np.array(rows)
    least = np.linalg.eigvalsh(matrix).min()
    if not (np.array_equal(matrix, matrix.T) and (least > 0 if strict else least >= 0)):
        kind = "definite" if strict else "semidefinite"
        raise ValueError(f"`{name}` must be symmetric and positive {kind}; got {rows}.")
