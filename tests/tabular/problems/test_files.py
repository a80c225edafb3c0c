import json
import os
import zipfile
from typing import Any

import numpy as np
import pytest

from rewardtogo.tabular.mdp import TabularMDP, tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.files import read_mdp, read_policy, write_mdp
from rewardtogo.tabular.successors import SuccessorMDP, mdp_from_outcomes, successor_mdp


P = [[[0.25, 0.75], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]
R = [[1.0, 2.0], [0.0, 0.0]]
DENSE = {"transition": P, "reward": R, "initial": [1.0, 0.0], "discount": 0.9}
LISTS = {
    "successor": [[[1, 0]], [[1, 1]]],
    "probability": [[[0.25, 0.75]], [[1.0, 0.0]]],
    "reward": [[[3.0, 4.0]], [[0.0, 0.0]]],
    "initial": [1.0, 0.0],
    "discount": 1,
}
OUTCOMES = {
    "outcomes": [[[[0.5, 0, 1, False], [0.5, 1, 2.5, True]]], [[[1, 1, 0, True]]]],
    "initial": [1, 0],
    "discount": 0.5,
}


def write(path, content):
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {key: np.asarray(value) for key, value in content.items()}
        np.savez(path, **arrays)
    else:
        path.write_text(json.dumps(content))
    return path


MDPS = {
    "dense": tabular_mdp(P, R, [1, 0], discount=0.9),
    "successor reward": tabular_mdp(P, np.arange(8.0).reshape(2, 2, 2), [0.5, 0.5], discount=0.9),
    "noise": tabular_mdp(P, R, [1, 0], discount=0.0, reward_noise=[[0.5, 0.0], [0.0, 0.0]]),
    "terminal": tabular_mdp(P, R, [1, 0], discount=1.0, terminal=[False, True]),
    "zero, not terminal": tabular_mdp(P, R, [1, 0], discount=0.9, terminal=[False, False]),
    "lists": successor_mdp(
        LISTS["successor"], LISTS["probability"], [[1.0], [0.0]], [1, 0], discount=0.9
    ),
    "FrozenLake-v1": problem("FrozenLake-v1").mdp,
    "Gambler": problem("Gambler").mdp,
}


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize("mdp", MDPS.values(), ids=MDPS)
def test_what_is_written_is_read_back(mdp, suffix, tmp_path):
    path = tmp_path / f"mdp{suffix}"
    write_mdp(mdp, path)
    again = read_mdp(path)
    assert type(again) is type(mdp) and again.discount == mdp.discount
    names = ("reward", "initial", "terminal", "transition", "successor_reward", "reward_noise")
    for name in (*names, "successor", "probability", "outcome_reward"):
        before, after = getattr(mdp, name, None), getattr(again, name, None)
        assert type(before) is type(after), name
        if before is not None and after is not None:
            assert before.dtype == after.dtype
            assert np.allclose(before, after, rtol=1e-15, atol=0), name
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files_written_by_hand(suffix, tmp_path):
    found = read_mdp(write(tmp_path / f"dense{suffix}", DENSE))
    assert isinstance(found, TabularMDP) and found.discount == 0.9
    assert np.array_equal(found.transition, P) and np.array_equal(found.reward, R)
    assert found.terminal.tolist() == [False, True]
    found = read_mdp(write(tmp_path / f"lists{suffix}", LISTS))
    assert isinstance(found, SuccessorMDP) and found.discount == 1
    # [actions, outcomes, states] inside, [states, actions, outcomes] in the file.
    assert found.successor.tolist() == [[[1, 1], [0, 1]]]
    assert found.reward.tolist() == [[0.25 * 3 + 0.75 * 4], [0.0]]


def test_a_table_of_outcomes_in_json(tmp_path):
    found = read_mdp(write(tmp_path / "outcomes.json", OUTCOMES))
    table = [[[(0.5, 0, 1.0, False), (0.5, 1, 2.5, True)]], [[(1.0, 1, 0.0, True)]]]
    expected = mdp_from_outcomes(table, [1.0, 0.0], discount=0.5)
    assert isinstance(found, SuccessorMDP) and found.discount == 0.5
    assert np.array_equal(found.successor, expected.successor)
    assert np.array_equal(found.probability, expected.probability)
    assert found.reward.tolist() == [[1.75], [0.0]] and found.terminal.tolist() == [False, True]


def test_the_discount_that_is_given_wins(tmp_path):
    path = write(tmp_path / "mdp.json", DENSE)
    assert read_mdp(path, discount=0.25).discount == 0.25
    assert read_mdp(str(path), discount=0.0).discount == 0


def without(content, key):
    return {name: value for name, value in content.items() if name != key}


WRONG = {
    "no discount": (without(DENSE, "discount"), "`discount` is neither in the file nor given"),
    "discount range": (DENSE | {"discount": 1.5}, r"`discount` must lie in \[0, 1\]; got 1.5"),
    "discount shape": (DENSE | {"discount": [0.5, 0.5]}, "`discount` must be one number"),
    "discount word": (DENSE | {"discount": "high"}, "`discount` must be an array of numbers"),
    "missing": (without(DENSE, "initial"), "`initial` is missing; its keys: discount, reward"),
    "missing list": (without(LISTS, "probability"), "`probability` is missing"),
    "no kind": ({"discount": 0.5}, "holds none of `transition`, `successor`, `outcomes`"),
    "unknown": (DENSE | {"gamma": 0.5}, "`gamma` is no key of an MDP; keys: discount, initial"),
    "two kinds": (DENSE | LISTS, "`probability` is no key"),
    "noise of lists": (LISTS | {"reward_noise": [[0.0]]}, "`reward_noise` is no key"),
    "shape": (DENSE | {"reward": [1.0]}, r"`reward` must have shape \(2, 2\) or"),
    "sum": (DENSE | {"initial": [0.5, 0.4]}, "`initial` sums to 0.9"),
    "words": (DENSE | {"reward": [["a", "b"], ["c", "d"]]}, "`reward` must be an array of numbers"),
    "terminal": (DENSE | {"terminal": [0, 1]}, "`terminal` must hold 2 booleans"),
    "fractions": (LISTS | {"successor": [[[1.0, 0.0]], [[1.0, 1.0]]]}, "whole numbers"),
    "outside": (LISTS | {"successor": [[[2, 0]], [[1, 1]]]}, "states are 0..1"),
}


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused_by_name(content, message, suffix, tmp_path):
    path = write(tmp_path / f"wrong{suffix}", content)
    with pytest.raises(ValueError, match=rf"wrong{suffix}: .*{message}"):
        read_mdp(path)


RAGGED = {
    "transition": (
        DENSE | {"transition": [[[1.0]], [[1.0, 0.0]]]},
        "`transition` is no array",
    ),
    "terminal": (DENSE | {"terminal": [[True], [True, False]]}, "`terminal` is no array"),
    "successor": (LISTS | {"successor": [[[1]], [[1, 1]]]}, "`successor` is no array"),
    "null": (DENSE | {"reward": None}, "`reward` must be an array of numbers"),
    "huge": (LISTS | {"successor": [[[10**30, 0]], [[1, 1]]]}, "whole numbers"),
    "outcomes": (OUTCOMES | {"outcomes": 5}, "`outcomes` must be a list of states"),
    "keyed": (OUTCOMES | {"outcomes": {"0": []}}, "`outcomes` must be a list of states"),
    "flat": (OUTCOMES | {"outcomes": [[1, 2]]}, "`outcomes` at state 0, action 0 must be a list"),
    "three": (OUTCOMES | {"outcomes": [[[[1.0, 0, 0.0]]]]}, "at state 0, action 0 must be a list"),
    "fraction": (OUTCOMES | {"outcomes": [[[[1.0, 0.5, 0.0, True]]]]}, "action 0 must be a list"),
    "big": (OUTCOMES | {"outcomes": [[[[1.0, 10**30, 0.0, True]]]]}, "too large"),
    "empty": (OUTCOMES | {"outcomes": []}, "`outcomes` is empty"),
    "starts": (OUTCOMES | {"initial": [[1], [0, 0]]}, "`initial` is no array"),
}


@pytest.mark.parametrize(("content", "message"), RAGGED.values(), ids=RAGGED)
def test_json_that_holds_no_tables(content, message, tmp_path):
    with pytest.raises(ValueError, match=rf"wrong.json: .*{message}"):
        read_mdp(write(tmp_path / "wrong.json", content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"transition": [', "malformed JSON: .*line 1"),
        (b"", "malformed JSON"),
        (b"\xff\xfe{}", "malformed JSON"),
        (b"[1, 2]", "must hold one object with keys; got a list"),
        (b"[" * 100_000, "malformed JSON"),
    ],
)
def test_malformed_json(text, message, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"bad.json: {message}"):
        read_mdp(path)


def test_archives_that_are_none_or_damaged(tmp_path):
    path = tmp_path / "bad.npz"
    for content in (b"", b"transition", b"PK\x03\x04 and no more"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad.npz: not a .npz file"):
            read_mdp(path)
    write(path, DENSE)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"NUMPY") + 130
    whole[at] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"bad.npz: the archive is damaged"):
        read_mdp(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("transition", "text")
    with pytest.raises(ValueError, match=r"bad.npz: `initial` is missing"):
        read_mdp(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "objects.npz"
    write(path, DENSE | {"reward": np.array([[1, None], [0, 0]], object)})
    with pytest.raises(ValueError, match=r"objects.npz: Object arrays cannot be loaded"):
        read_mdp(path)


def test_other_endings_missing_files_and_folders(tmp_path):
    for ending in ("", ".txt", ".NPZ"):
        with pytest.raises(ValueError, match=r"an MDP's file ends in .npz or .json"):
            read_mdp(tmp_path / f"mdp{ending}")
        with pytest.raises(ValueError, match=r"an MDP's file ends in .npz or .json"):
            write_mdp(MDPS["dense"], tmp_path / f"mdp{ending}")
    for suffix in (".npz", ".json"):
        with pytest.raises(FileNotFoundError):
            read_mdp(tmp_path / f"none{suffix}")
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(ValueError, match=rf"folder{suffix}: .*[Ii]s a directory"):
            read_mdp(tmp_path / f"folder{suffix}")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "mdp.json"
    write_mdp(MDPS["dense"], path)
    before = path.read_bytes()

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_mdp(MDPS["noise"], path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["mdp.json"]


ROWS = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])


def save_policy(path, table, key="policy"):
    match path.suffix:
        case ".csv":
            path.write_text("\n".join(",".join(map(str, row)) for row in table))
        case ".npy":
            np.save(path, table)
        case _:
            np.savez(path, **{key: table})
    return path


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_a_policy_is_read_back(tmp_path, suffix):
    path = save_policy(tmp_path / f"a{suffix}", ROWS)
    assert np.array_equal(read_policy(path, num_states=3, num_actions=2), ROWS)
    thirds = np.full((3, 3), np.float32(1 / 3))
    found = read_policy(save_policy(tmp_path / f"b{suffix}", thirds), num_states=3, num_actions=3)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-15  # what float32 rounds is put right


WRONG_ROWS = [
    (ROWS * [[1.0], [0.5], [1.0]], "`policy` at state 1 sums to 0.5; it must sum to 1"),
    (ROWS - [[0.0, 0.0], [2.0, -2.0], [0, 0]], "at state 1, action 0 is -1.0; a probability lies"),
    (np.full((3, 2), np.nan), "at state 0, action 0 is nan; a probability lies"),
    (ROWS[:2], r"a row for each of 3 states and a column for each of 2 actions; got shape \(2, 2"),
    (ROWS.T, r"got shape \(2, 3"),
]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
@pytest.mark.parametrize(("table", "message"), WRONG_ROWS)
def test_what_is_no_policy(tmp_path, suffix, table, message):
    path = save_policy(tmp_path / f"a{suffix}", table)
    with pytest.raises(ValueError, match=message) as caught:
        read_policy(path, num_states=3, num_actions=2)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_file_of_a_policy(tmp_path):
    def refused(name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_policy(tmp_path / name, num_states=3, num_actions=2)

    refused("a.txt", b"", r"a policy's file ends in \.csv or \.npy or \.npz; .* in \.txt")
    refused("policy", b"", "this one ends in none")
    refused("a.csv", b"", r"got shape \(0,\)")
    refused(
        "b.csv", b"1,0\n\n0.5,half\n", r"b\.csv: line 3, column 2 is 'half', no number; expected"
    )
    refused("b.csv", b"left,right\n0.5,0.5\n", "line 1, column 1 is 'left'.*commas, no header")
    refused("b.csv", b"0.5;0.5\n", "column 1 is '0.5;0.5', no number; expected.* by commas")
    refused("c.csv", b"0.5,0.5\n1\n", "c.csv: line 2 has 1 numbers and the lines before it 2; exp")
    refused("d.csv", b"\xff\xfe", "utf-8")
    refused("a.npy", b"", "EOF")
    refused("b.npy", b"0.5 0.5", "magic")
    refused("a.npz", b"0.5 0.5", "it is no zip archive")
    np.save(tmp_path / "c.npy", np.array([{}]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_policy(tmp_path / "c.npy", num_states=3, num_actions=2)
    other = save_policy(tmp_path / "b.npz", ROWS, key="pi")
    with pytest.raises(ValueError, match="`policy` is missing; its keys: pi"):
        read_policy(other, num_states=3, num_actions=2)
    with pytest.raises(FileNotFoundError):
        read_policy(tmp_path / "none.npy", num_states=3, num_actions=2)
