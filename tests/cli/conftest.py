import os
import sys
from typing import NamedTuple

import pytest

from rewardtogo.cli.main import main


class Answer(NamedTuple):
    """What a command gave back, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`rtg` in this process and an empty folder: `command("train", "ppo", …)`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*words: object) -> Answer:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as ended:  # by the parser of flags
            status = int(ended.code or 0)
        return Answer(status, *capsys.readouterr())

    return run
