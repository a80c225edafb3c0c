"""Commands whose methods do not all have the same flags: each family's, and where they are told."""

import dataclasses

import pytest

from rewardtogo.cli.control_command import FAMILIES
from rewardtogo.cli.predict_command import METHODS
from rewardtogo.td.control.methods import METHODS as CONTROL
from rewardtogo.td.off_policy.methods import METHODS as OFF_POLICY


WITH = ("control", "--features", "tiles")
OWN = [
    (("predict",), "--trace-decay", "--auxiliary-step-size"),
    (("predict", "n-step"), "--trace-decay", "--auxiliary-step-size"),
    (("predict", "gtd2"), "--auxiliary-step-size", "--trace-decay"),
    (("control",), "--planning-steps", "--tilings"),
    (("control", "sarsa"), "--planning-steps", "--tilings"),
    (WITH, "--tilings", "--planning-steps"),
    (("control", "sarsa", "--features=tiles"), "--tilings", "--planning-steps"),
]


@pytest.mark.parametrize(("words", "own", "other"), OWN)
def test_help_tells_the_flags_of_a_family_and_where_the_others_are(command, words, own, other):
    status, out, _ = command(*words, "--help")
    assert status == 0 and own in out and other not in out
    where = ("tdc --help", "td0 --help") if words[0] == "predict" else ("--features tiles --help",)
    assert all(f"{place}`" in " ".join(out.split()) for place in where)
    methods = METHODS if words[0] == "predict" else CONTROL
    assert all(name in out for name in methods)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "td0", "Chain", "--auxiliary-step-size", 1), "`rtg predict td0`"),
        (("predict", "--n", 1, "tdc", "Baird"), "`rtg predict tdc`"),
        (("control", "sarsa", "Chain", "--tilings", 2), "`rtg control`"),
        ((*WITH, "sarsa", "Chain", "--bonus", 2), "`rtg control --features tiles`"),
    ],
)
def test_a_flag_of_the_other_family_gets_one_line(command, words, said):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert f"is not an option of {said}." in err and err.count("\n") == 1


def test_every_off_policy_method_is_of_one_family():
    (family,) = {METHODS[name] for name in OFF_POLICY}
    assert all((METHODS[name] is family) == (name in OFF_POLICY) for name in METHODS)


@pytest.mark.parametrize("kind", dict.fromkeys([*METHODS.values(), *FAMILIES.values()]))
def test_what_the_frame_asks_of_every_command(kind):
    assert {"json", "picture", "seed", "seeds"} <= {
        field.name for field in dataclasses.fields(kind)
    }


@pytest.mark.parametrize("name", ["predict", "control"])
def test_the_completion_of_a_shell(command, name):
    status, out, _ = command(name, "--tyro-print-completion", "bash")
    assert status == 0 and "--step-size" in out
