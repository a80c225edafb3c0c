"""A commit of this repository, checked out beside the working tree for as long as it is measured.

Git is told nothing of it once it is left, by Ctrl-C or SIGTERM too.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from .workers import ROOT, Tree


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WHERE = "import rewardtogo; print(rewardtogo.__file__)"


def resolve(commit: str, repository: Path = ROOT) -> str:
    """The commit's whole hash; raises `ValueError` where there is none."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    try:
        found = _git(repository, *asked)
    except FileNotFoundError as error:
        raise ValueError(f"--against {commit}: there is no git to check it out.") from error
    if found.returncode:
        reason = found.stderr.strip().splitlines()
        why = f" ({reason[-1]})" if reason else ""
        raise ValueError(f"--against {commit}: there is no such commit{why}.")
    return found.stdout.strip()


@contextlib.contextmanager
def checked_out(commit: str, repository: Path = ROOT) -> Iterator[Path]:
    """A temporary folder that holds the commit's files in `tree`; both go, whatever happens."""
    with _ended_by_signals():
        temporary = Path(tempfile.mkdtemp(prefix="rewardtogo-against-"))
        tree = str(temporary / "tree")
        try:
            # Killed half-way, git would leave a worktree that it neither finishes nor removes.
            with _unhurried():
                added = _git(repository, "worktree", "add", "--quiet", "--detach", tree, commit)
            if added.returncode:
                raise ValueError(f"{commit} cannot be checked out: {added.stderr.strip()}")
            yield temporary
        finally:
            with _unhurried():
                _git(repository, "worktree", "remove", "--force", tree)
                shutil.rmtree(temporary, ignore_errors=True)


def require_own_sources(tree: Tree) -> None:
    """Raises `ValueError` where a worker of this tree would measure another tree's library."""
    found = subprocess.run(
        [sys.executable, "-c", WHERE],
        cwd=tree.root,
        env=tree.environment(),
        capture_output=True,
        text=True,
    )
    place = found.stdout.strip()
    if found.returncode or not Path(place).resolve().is_relative_to((tree.root / "src").resolve()):
        said = place or "".join(found.stderr.splitlines()[-1:]) or f"status {found.returncode}"
        raise ValueError(f"{tree.name}: the library should come from its src, but: {said}")


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A hook's or a rebase's variables would name another folder than the repository's.
    named = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    line = ["git", "-C", str(repository), "-c", "core.hooksPath=/dev/null", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True)


@contextlib.contextmanager
def _unhurried() -> Iterator[None]:
    """Signals that would end this process and its children wait until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP leave blocks in order, as Ctrl-C does, where nobody else minds them."""
    unminded = [s for s in STOPPING[1:] if signal.getsignal(s) is signal.SIG_DFL]
    for number in unminded:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in unminded:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
