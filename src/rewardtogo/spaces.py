"""Spaces as policies need them: how many choices an action is, which of them are allowed."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np


ACTION_MASK = "action_mask"
"""The key under which a dictionary of observations says which actions are allowed."""


class MaskedBox(gym.spaces.Box):
    """A vector of observations whose entries `mask` are 1 for each action that is allowed, else 0.

    They are in the order of the policy's logits: see `num_choices`.
    """

    def __init__(self, box: gym.spaces.Box, mask: slice):
        super().__init__(box.low, box.high, dtype=box.dtype)  # pyright: ignore[reportArgumentType]
        self.mask = mask


def action_mask(space: gym.Space) -> slice | None:
    """Where the mask of an observation stands, if it has one."""
    return space.mask if isinstance(space, MaskedBox) else None


def with_mask(box: gym.spaces.Box, mask: slice | None, *, start: int = 0) -> gym.spaces.Box:
    """`box`, knowing that what had the mask `mask` stands in it from `start` on."""
    if mask is None:
        return box
    return MaskedBox(box, slice(start + mask.start, start + mask.stop))


def num_choices(space: gym.Space) -> tuple[int, ...]:
    """How many choices each part of a discrete action has; nothing for a continuous action.

    Three actions are (3,), `MultiDiscrete([3, 2])` is (3, 2), two switches are (2, 2).
    """
    if isinstance(space, gym.spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return tuple(map(int, space.nvec))
    if isinstance(space, gym.spaces.MultiBinary):
        return (2,) * int(space.shape[0])
    return ()


def first_choice(space: gym.Space) -> int | np.ndarray:
    """The number that the environment has for choice 0 of a discrete action."""
    if isinstance(space, gym.spaces.Discrete):
        return int(space.start)
    return space.start if isinstance(space, gym.spaces.MultiDiscrete) else 0


def dict_parts(space: gym.Space) -> Mapping[str, gym.Space]:
    """The parts of a dictionary by their keys, in its order; no parts of another space."""
    return space.spaces if isinstance(space, gym.spaces.Dict) else {}


def is_flat_dict(space: gym.Space) -> bool:
    """Whether all in a dictionary may stand in one vector: numbers and categories, no pictures."""
    parts = dict_parts(space)
    fits = (_is_mask(p) if key == ACTION_MASK else _is_flat(p) for key, p in parts.items())
    return bool(parts) and all(fits)


def flattened(space: gym.Space) -> gym.spaces.Box:
    """The space of `gymnasium.spaces.flatten`: parts in the order of the space, and the mask's."""
    flat = gym.spaces.flatten_space(space)
    assert isinstance(flat, gym.spaces.Box)
    start = 0
    for key, part in dict_parts(space).items():
        size = gym.spaces.flatdim(part)
        if key == ACTION_MASK:
            return MaskedBox(flat, slice(start, start + size))
        start += size
    return flat


def mask_problem(observation: gym.Space, action: gym.Space) -> str | None:
    """Say why the mask of an observation does not fit the actions, or return None if it does."""
    mask, choices = action_mask(observation), sum(num_choices(action))
    if mask is None or mask.stop - mask.start == choices:
        return None
    length = mask.stop - mask.start
    wanted = f"needs {choices}" if choices else "has no choices to forbid"
    return f"`{ACTION_MASK}` has {length} entries, but the action space {action} {wanted}."


def _is_flat(part: gym.Space) -> bool:
    is_vector = isinstance(part, gym.spaces.Box) and len(part.shape) < 3
    return is_vector or isinstance(part, gym.spaces.Discrete)


def _is_mask(part: gym.Space) -> bool:
    is_bits = isinstance(part, gym.spaces.Box) and bool(np.all((part.low == 0) & (part.high == 1)))
    return len(part.shape or ()) == 1 and (is_bits or isinstance(part, gym.spaces.MultiBinary))


def space_to_json(space: gym.Space) -> dict[str, Any]:
    """What a run folder keeps of a space: all that a policy's networks and units hang on."""
    match space:
        case MaskedBox():
            plain = gym.spaces.Box(space.low, space.high, dtype=space.dtype.type)
            return space_to_json(plain) | {"mask": [space.mask.start, space.mask.stop]}
        case gym.spaces.Box():
            bounds = {"low": _bound(space.low), "high": _bound(space.high)}
            return {"box": list(space.shape), "dtype": str(space.dtype)} | bounds
        case gym.spaces.Discrete():
            return {"discrete": int(space.n), "start": int(space.start)}
        case gym.spaces.MultiDiscrete():
            return {"multi_discrete": space.nvec.tolist(), "start": space.start.tolist()}
        case gym.spaces.MultiBinary():
            return {"multi_binary": list(space.shape)}
        case gym.spaces.Dict():
            return {"dict": {name: space_to_json(part) for name, part in space.items()}}
    raise ValueError(f"{space} is of no kind that a run folder keeps.")


def space_from_json(data: Mapping[str, Any]) -> gym.Space:
    """The inverse of `space_to_json`; raises `ValueError` for what it did not write."""
    match data:
        case {"mask": [start, stop], **plain}:
            box = space_from_json(plain)
            assert isinstance(box, gym.spaces.Box)
            return MaskedBox(box, slice(start, stop))
        case {"box": shape, "dtype": dtype, "low": low, "high": high}:
            lowest, highest = (_array(*b, shape, dtype) for b in ((low, -np.inf), (high, np.inf)))
            return gym.spaces.Box(lowest, highest, dtype=np.dtype(dtype).type)
        case {"discrete": n, "start": start}:
            return gym.spaces.Discrete(n, start=start)
        case {"multi_discrete": nvec, "start": start}:
            return gym.spaces.MultiDiscrete(nvec, start=start)
        case {"multi_binary": shape}:
            return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
        case {"dict": parts}:
            return gym.spaces.Dict({name: space_from_json(part) for name, part in parts.items()})
    raise ValueError(f"{dict(data)} is no space.")


def _bound(bound: np.ndarray) -> Any:
    """A number where all are equal, else all of them; None where there is no bound."""
    plain = [x.item() if np.isfinite(x) else None for x in bound.reshape(-1)]
    return plain[0] if len(set(plain)) == 1 else plain


def _array(bound: Any, absent: float, shape: list[int], dtype: str) -> np.ndarray:
    several = bound if isinstance(bound, list) else [bound]
    numbers = np.array([absent if x is None else x for x in several])
    whole = numbers if numbers.size == 1 else numbers.reshape(shape)
    return np.broadcast_to(whole, shape).astype(dtype)
