import subprocess
import sys

import pytest

from rewardtogo import __version__
from rewardtogo.cli import main as main_module
from rewardtogo.cli.main import COMMANDS


def test_the_version(command):
    assert command("--version") == (0, f"rewardtogo {__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_names_every_command(command, words):
    status, out, err = command(*words)
    assert status == 0 and err == ""
    assert all(f"  {name} " in out for name in COMMANDS)


def test_without_a_command_the_help_is_shown_and_it_is_an_error(command):
    status, out, _ = command()
    assert status == 2 and "usage: rtg COMMAND" in out


def test_a_misspelt_command_is_guessed(command):
    status, out, err = command("trian")
    assert (status, out) == (2, "")
    assert err == (
        "rtg trian: Unknown command `trian`. Did you mean `train`? "
        "Known: check, control, eval, lab, list, play, plot, predict, solve, train.\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0 and f"usage: rtg {name}" in out


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (ValueError("no"), 2, "rtg list: no\n"),
        (OSError("disk full"), 1, "rtg list: disk full\n"),
        (ImportError("not there"), 1, "rtg list: not there\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (KeyboardInterrupt("all is saved"), 130, "Interrupted: all is saved\n"),
        (BrokenPipeError(), 141, ""),
    ],
    ids=repr,
)
def test_what_is_expected_becomes_words_and_a_status(command, monkeypatch, raised, status, said):
    def run(argv):
        raise raised

    monkeypatch.setattr("rewardtogo.cli.list_command.run", run)
    assert command("list") == (status, "", said)


def test_notes_are_said_too(command, monkeypatch):
    error = ValueError("no")
    error.add_note("To go on, do this.")

    def run(argv):
        raise error

    monkeypatch.setattr("rewardtogo.cli.list_command.run", run)
    assert command("list").err == "rtg list: no\nTo go on, do this.\n"


def test_a_fault_of_ours_keeps_its_traceback(command, monkeypatch):
    def run(argv):
        raise KeyError("lost")

    monkeypatch.setattr("rewardtogo.cli.list_command.run", run)
    with pytest.raises(KeyError):
        command("list")


LIGHT = """
import sys
from rewardtogo.cli.main import main
main([{word!r}])
heavy = {{"jax", "equinox", "numpy", "gymnasium", "tyro"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_nothing_heavy_is_imported_for_a_word(word):
    subprocess.run([sys.executable, "-c", LIGHT.format(word=word)], check=True, timeout=20)


LAZY = """
import rewardtogo.training.train, rewardtogo.runs.fit
import rewardtogo as rtg
assert callable(rtg.train) and callable(rtg.fit)
assert set(rtg.__all__) <= set(dir(rtg))
assert all(hasattr(rtg, name) for name in rtg.__all__)
assert not hasattr(rtg, "no_such_name")
from rewardtogo import *
assert PPO().clip == 0.2
"""


def test_functions_are_not_hidden_by_modules_of_their_names():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60)


def test_the_module_is_the_command():
    found = subprocess.run(
        [sys.executable, "-m", "rewardtogo", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == f"rewardtogo {__version__}\n"
    assert main_module.USAGE.startswith("usage: rtg")
