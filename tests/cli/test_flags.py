import dataclasses

import pytest

from rewardtogo.cli.flags import gathered, parse, require_options, value_of
from rewardtogo.types import Scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    rate: Scalar = 0.5
    """A real number that may be swept."""
    clip: Scalar | None = None
    """One that may be absent."""
    env_arg: tuple[str, ...] = ()
    """Pairs."""
    sure: bool = True
    """Yes or no."""


def read(*words, default=None):
    return parse(Flags, words, prog="x", description="", default=default)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Flags()),
        (["--rate", "2"], Flags(rate=2.0)),
        (["--rate=1e-3"], Flags(rate=1e-3)),
        (["--clip", "0.2"], Flags(clip=0.2)),
        (["--clip", "None"], Flags()),
        (["--no-sure"], Flags(sure=False)),
        (["--sure"], Flags()),
        (["--env-arg", "a=1", "b=2"], Flags(env_arg=("a=1", "b=2"))),
        (["--env-arg", "a=1", "--env-arg", "b=2"], Flags(env_arg=("a=1", "b=2"))),
        (
            ["--env_arg=a=1", "--rate", "1", "--env-arg", "b=2"],
            Flags(rate=1.0, env_arg=("a=1", "b=2")),
        ),
    ],
)
def test_flags_become_fields(words, expected):
    assert read(*words) == expected


def test_a_flag_that_is_set_may_be_repeated():
    """The command of a run, repeated with --resume, has flags that are now the defaults."""
    saved = Flags(sure=False, rate=0.1)
    assert read("--no-sure", "--rate", "0.1", default=saved) == saved
    assert read(default=saved) == saved


@pytest.mark.parametrize("words", [["--rate", "fast"], ["--reat", "1"], ["--rate"]])
def test_what_is_malformed_ends_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        read(*words)
    assert ended.value.code == 2
    assert "--rate" in capsys.readouterr().err


def test_flags_of_other_kinds_are_refused():
    for word in ("--rate", "--env_arg=a=1", "--no-sure", "--sure", "--help", "-h", "-1", "word"):
        require_options([word], Flags, command="x y")
    said = "^`--rat` is not an option of `x y`. Did you mean `--rate`. All that are: `x y --help`."
    with pytest.raises(ValueError, match=said):
        require_options(["--rat=1"], Flags, command="x y")
    with pytest.raises(ValueError, match="`--no-such` is not an option of `x y`"):
        require_options(["--no-such"], Flags, command="x y")


def test_only_the_named_flag_is_gathered():
    words = ["a", "--env-arg", "x=1", "--other", "y", "--env-arg=z=2", "b"]
    assert gathered(words, "--env-arg") == ["a", "--other", "y", "b", "--env-arg", "x=1", "z=2"]
    assert gathered(["a", "--b"], "--env-arg") == ["a", "--b"]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--run-dir", "a"], "a"),
        (["--x", "--run-dir=a"], "a"),
        (["--run_dir", "a", "b"], "a"),
        (["--run-dir"], None),
        (["run-dir", "a"], None),
        ([], None),
    ],
)
def test_a_value_is_found_before_all_is_read(words, value):
    assert value_of(words, "--run-dir") == value
