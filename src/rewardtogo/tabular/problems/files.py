"""MDPs in files, NumPy's .npz and JSON with the same keys; and policies in .csv, .npy, .npz."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..checks import as_floats, normalised, place
from ..mdp import AbstractMDP, TabularMDP, tabular_mdp
from ..successors import Outcome, SuccessorMDP, mdp_from_outcomes, successor_mdp


SUFFIXES = (".npz", ".json")
POLICY_SUFFIXES = (".csv", ".npy", ".npz")
# What a file of each kind must hold, and what it may hold besides; `discount` may always be there.
_KINDS = {
    "transition": ({"transition", "reward", "initial"}, {"terminal", "reward_noise"}),
    "successor": ({"successor", "probability", "reward", "initial"}, {"terminal"}),
    "outcomes": ({"outcomes", "initial"}, set()),
}


def read_mdp(path: str | os.PathLike[str], *, discount: float | None = None) -> AbstractMDP:
    """Read the MDP in a .npz or .json file.

    The keys are the arguments of `tabular_mdp` (`transition`, `reward`, `initial`, `discount` and,
    where needed, `terminal`, `reward_noise`), of `successor_mdp` (`successor` and `probability`
    instead of `transition`), or, in JSON, of `mdp_from_outcomes` (`outcomes`, `initial`,
    `discount`). Arrays are nested lists in JSON. Nothing is ever unpickled.

    **Arguments:** `discount`: γ, instead of the file's; None for the file's.
    **Raises:** `FileNotFoundError`, and `ValueError` with the file's name if it cannot be read,
    keys are missing or unknown, the tables are not those of an MDP, or γ is nowhere.
    """
    path = Path(path)
    suffix = _suffix(path)
    try:
        content = _read_npz(path) if suffix == ".npz" else _read_json(path)
        return _build(content, discount)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_policy(
    path: str | os.PathLike[str], *, num_states: int, num_actions: int
) -> Float[np.ndarray, "states actions"]:
    r"""Read $\pi(a \mid s)$, a row for each state, from a .csv, .npy or .npz file.

    A .csv file has a line a state, commas between the probabilities; a .npz file the key `policy`.
    Rows that sum to 1 within float32's rounding are normalised. Nothing is ever unpickled.

    **Raises:** `FileNotFoundError`, and `ValueError` with the file's name for another ending, what
    cannot be read, another shape, or a row that is no distribution.
    """
    path = Path(path)
    if path.suffix not in POLICY_SUFFIXES:
        raise ValueError(
            f"{path}: a policy's file ends in {' or '.join(POLICY_SUFFIXES)}; this one ends in "
            f"{path.suffix or 'none'}."
        )
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}, of which `policy` is to be read.")
    try:
        table = as_floats("policy", _read_table(path))
        if table.shape != (num_states, num_actions):
            raise ValueError(
                f"`policy` must have a row for each of {num_states} states and a column for each "
                f"of {num_actions} actions; got shape {table.shape}."
            )
        return normalised(table, "policy")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def write_mdp(mdp: AbstractMDP, path: str | os.PathLike[str]) -> None:
    """Write an MDP to a .npz or .json file, all of it or nothing.

    `read_mdp` reads it back: the same numbers, up to the last place of probabilities.

    **Raises:** `ValueError` for another ending, `OSError` where the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    content = _content(mdp)
    # In the same folder, since a move between file systems would not be atomic.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            if suffix == ".npz":
                np.savez_compressed(file, **content)
            else:
                lists = {key: np.asarray(value).tolist() for key, value in content.items()}
                file.write(json.dumps(lists).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: an MDP's file ends in {' or '.join(SUFFIXES)}.")
    return path.suffix


def _read_npz(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        # The error of a file that is not there or cannot be opened comes first.
        path.open("rb").close()
        raise ValueError("not a .npz file: it is no zip archive.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error


def _read_table(path: Path) -> np.ndarray:
    match path.suffix:
        case ".npz":
            content = _read_npz(path)
            if "policy" not in content:
                raise ValueError(f"`policy` is missing; {_keys(content)}")
            return content["policy"]
        case ".npy":
            with open(path, "rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        case _:
            return _read_lines(path.read_text("utf-8"))


def _read_lines(text: str) -> np.ndarray:
    """Of a .csv file; lines and columns are counted from 1, as editors do."""
    expected = "expected a line a state, its probabilities separated by commas, no header"
    table: list[list[float]] = []
    for i, line in enumerate(text.splitlines(), 1):
        row = []
        for j, word in enumerate(line.split(",") if line.strip() else (), 1):
            try:
                row.append(float(word))
            except ValueError:
                raise ValueError(
                    f"line {i}, column {j} is {word.strip()!r:.100}, no number; {expected}."
                ) from None
        if row and table and len(row) != len(table[0]):
            raise ValueError(
                f"line {i} has {len(row)} numbers and the lines before it {len(table[0])}; "
                f"{expected}."
            )
        table += [row] if row else []
    return np.array(table)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"malformed JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"must hold one object with keys; got a {type(content).__name__}.")
    return content


def _build(content: dict[str, Any], discount: float | None) -> AbstractMDP:
    kind = next((kind for kind in _KINDS if kind in content), None)
    if kind is None:
        raise ValueError(f"holds none of {', '.join(f'`{k}`' for k in _KINDS)}; {_keys(content)}")
    required, optional = _KINDS[kind]
    missing = sorted(required - content.keys())
    unknown = sorted(content.keys() - required - optional - {"discount"})
    if missing:
        raise ValueError(f"`{missing[0]}` is missing; {_keys(content)}")
    if unknown:
        allowed = sorted(required | optional | {"discount"})
        raise ValueError(f"`{unknown[0]}` is no key of an MDP; keys: {', '.join(allowed)}.")
    gamma = _discount(content, discount)
    if kind == "outcomes":
        initial = as_floats("initial", _array(content, "initial"))
        return mdp_from_outcomes(_outcomes(content["outcomes"]), initial, discount=gamma)
    reward, initial = _array(content, "reward"), _array(content, "initial")
    terminal = _optional_array(content, "terminal")
    if kind == "successor":
        return successor_mdp(
            _array(content, "successor"),
            _array(content, "probability"),
            reward,
            initial,
            discount=gamma,
            terminal=terminal,
        )
    return tabular_mdp(
        _array(content, "transition"),
        reward,
        initial,
        discount=gamma,
        terminal=terminal,
        reward_noise=_optional_array(content, "reward_noise"),
    )


def _keys(content: dict[str, Any]) -> str:
    return f"its keys: {', '.join(sorted(content)) or 'none'}."


def _discount(content: dict[str, Any], given: float | None) -> float:
    if given is not None:
        return given
    if "discount" not in content:
        raise ValueError("`discount` is neither in the file nor given.")
    value = as_floats("discount", _array(content, "discount"))
    if value.shape != ():
        raise ValueError(f"`discount` must be one number; got shape {value.shape}.")
    return float(value)


def _array(content: dict[str, Any], key: str) -> np.ndarray:
    try:
        return np.asarray(content[key])
    except ValueError:
        raise ValueError(f"`{key}` is no array: its rows differ in length.") from None


def _optional_array(content: dict[str, Any], key: str) -> np.ndarray | None:
    return None if content.get(key) is None else _array(content, key)


def _outcomes(states: Any) -> list[list[list[Outcome]]]:
    """What JSON made of a table of outcomes, which may be anything."""
    if not isinstance(states, list) or not all(isinstance(actions, list) for actions in states):
        raise ValueError("`outcomes` must be a list of states, each a list of actions.")
    return [
        [_of_action(outcomes, (s, a)) for a, outcomes in enumerate(actions)]
        for s, actions in enumerate(states)
    ]


def _of_action(outcomes: Any, where: tuple[int, int]) -> list[Outcome]:
    if not isinstance(outcomes, list) or not all(_is_outcome(outcome) for outcome in outcomes):
        raise ValueError(
            f"`outcomes` at {place(where)} must be a list of "
            f"[probability, successor, reward, terminated]; got {outcomes!r:.100}."
        )
    return [(float(p), successor, float(r), bool(end)) for p, successor, r, end in outcomes]


def _is_outcome(value: Any) -> bool:
    numbers = (int | float, int, int | float, bool)
    return (
        isinstance(value, list)
        and len(value) == len(numbers)
        and all(isinstance(x, kind) for x, kind in zip(value, numbers, strict=True))
    )


def _content(mdp: AbstractMDP) -> dict[str, Any]:
    shared = {"initial": mdp.initial, "terminal": mdp.terminal, "discount": mdp.discount}
    if isinstance(mdp, TabularMDP):
        reward = mdp.reward if mdp.successor_reward is None else mdp.successor_reward
        noise = {} if mdp.reward_noise is None else {"reward_noise": mdp.reward_noise}
        return {"transition": mdp.transition, "reward": reward, **shared, **noise}
    if isinstance(mdp, SuccessorMDP):
        states_first = lambda x: np.moveaxis(np.asarray(x), 2, 0)
        reward = mdp.reward if mdp.outcome_reward is None else states_first(mdp.outcome_reward)
        lists = {
            "successor": states_first(mdp.successor),
            "probability": states_first(mdp.probability),
        }
        return {**lists, "reward": reward, **shared}
    raise ValueError(f"a {type(mdp).__name__} has no tables that could be written.")
