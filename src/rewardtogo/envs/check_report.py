"""A list of problems, and the checks of values that environments of both kinds share."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from ..spaces import ACTION_MASK, first_choice, num_choices


class Findings:
    """Problems as sentences, one for each kind, so that a fault of every step is told once."""

    def __init__(self):
        self._by_kind: dict[str, str] = {}

    @property
    def sentences(self) -> list[str]:
        """The problems, in the order they were found."""
        return list(self._by_kind.values())

    def add(self, kind: str, sentence: str) -> None:
        """Note a problem, unless one of its kind is known."""
        self._by_kind.setdefault(kind, sentence)

    def attempt(self, what: str, call: Callable[[], Any]) -> Any:
        """Call; an exception becomes a problem, and the result None."""
        try:
            return call()
        except Exception as error:
            self.add("exception", f"{what} raised {type(error).__name__}: {error}")
            return None

    def check_kind(
        self, shape: tuple[int, ...], dtype: np.dtype, space: gym.Space, where: str
    ) -> bool:
        """Check an observation's shape and dtype; return whether its values can be checked."""
        if shape != space.shape:
            self.add(
                "observation shape",
                f"the observation {where} has shape {shape}, "
                f"but the observation space says {space.shape}.",
            )
            return False
        if isinstance(space, gym.spaces.Discrete):
            if not np.issubdtype(dtype, np.integer):
                self.add(
                    "observation dtype",
                    f"the observation {where} has dtype {dtype}, but must be an integer.",
                )
                return False
        elif not np.can_cast(dtype, np.dtype(space.dtype)):
            self.add(
                "observation dtype",
                f"the observation {where} has dtype {dtype}, "
                f"but the observation space says {space.dtype}.",
            )
        return True

    def check_mask(self, allowed: np.ndarray, space: gym.Space, where: str) -> None:
        """Check that each part of an action has a choice left; `allowed` is one mask."""
        if not all(part.any() for part in choices_left(space, allowed)):
            self.add(
                "empty mask",
                f"the `{ACTION_MASK}` {where} allows nothing, though the episode goes on: "
                "everything would count as allowed.",
            )

    def check_values(
        self,
        observations: Shaped[np.ndarray, "n ..."],
        space: gym.Space,
        where: Callable[[int], str],
    ) -> None:
        """Check that observations are finite and inside the space; `where` names a row."""
        low, high = _bounds(space)
        bad = ~np.isfinite(observations)
        if not bad.any():
            with np.errstate(invalid="ignore"):
                bad = (observations < low) | (observations > high)
        if not bad.any():
            return
        row, *place = (int(i) for i in np.argwhere(bad)[0])
        at = f"[{', '.join(map(str, place))}]" if place else ""
        value = observations[(row, *place)]
        bounds = low[*place], high[*place]
        allowed = f"in [{bounds[0]}, {bounds[1]}]" if np.isfinite(value) else "finite"
        self.add(
            f"observation {allowed[:2]}",
            f"the observation{at} {where(row)} is {value}, but must be {allowed}.",
        )


def choices_left(space: gym.Space, allowed: np.ndarray | jax.Array) -> Sequence[Any]:
    """The mask of each part of an action, from that of an observation, `[*batch, choices]`."""
    xp = jnp if isinstance(allowed, jax.Array) else np
    borders = np.cumsum(num_choices(space))[:-1].tolist()
    return xp.split(allowed, borders, axis=-1)  # pyright: ignore[reportArgumentType]


def legal(space: gym.Space, action: Any, allowed: np.ndarray | jax.Array) -> Any:
    """An action of a space, each part that is forbidden replaced by the first that is allowed."""
    xp = jnp if isinstance(allowed, jax.Array) else np
    first = first_choice(space)
    parts = zip(xp.atleast_1d(action - first), choices_left(space, allowed), strict=True)
    chosen = [xp.where(mask[choice], choice, xp.argmax(mask)) for choice, mask in parts]
    own = xp.stack(chosen).reshape(space.shape) + first
    return own.astype(action.dtype)


def _bounds(space: gym.Space) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(space, gym.spaces.Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n - 1)
    assert isinstance(space, gym.spaces.Box)
    return space.low, space.high
