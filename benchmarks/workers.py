"""Starts a worker and speaks the line protocol with it; see `benchmarks/README.md`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import cpu_seconds


ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "benchmarks" / "results" / "logs"


class WorkerFailed(RuntimeError):
    """A worker ended where it should have answered, or could not be started."""


@dataclass(frozen=True)
class Tree:
    """A checkout of this repository: its workers of `ours` run against its own sources."""

    name: str
    root: Path
    cache: Path | None = None  # of compiled programs, in place of the user's

    def line(self, program: str, *, portable: bool) -> list[str]:
        """What starts one of `ours`: this tree's own, or a portable one of the working tree."""
        ours = Path("benchmarks", "ours", f"{program}.py")
        if (self.root / ours).is_file():
            return [sys.executable, "-m", f"benchmarks.ours.{program}"]
        if not portable:
            raise WorkerFailed(f"{self.name} has no {ours}.")
        # -P: what it imports of `benchmarks` is to come from this tree, not from its own folder.
        return [sys.executable, "-P", str(ROOT / ours)]

    def environment(self) -> dict[str, str]:
        """The process's variables, with this tree's packages before any installed ones."""
        variables = _environment()
        variables["PYTHONPATH"] = f"{self.root / 'src'}{os.pathsep}{self.root}"
        if self.cache is not None:
            variables["XDG_CACHE_HOME"] = str(self.cache)
        return variables


HERE = Tree("ours", ROOT)


@dataclass(frozen=True)
class Command:
    """A worker's program: one of `ours`, or one of `peers` in its own environment."""

    name: str
    program: str
    peers: str | None = None  # whose environment: `jax`, `torch`, `exact`, `mushroom`; None is ours
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()  # in place of the program's own size of a repetition
    portable: bool = False  # of ours: it runs in a tree that lacks it too

    @property
    def folder(self) -> Path:
        """The peers' environment."""
        return ROOT / f".venv-peers-{self.peers}"

    def line(self, *, quick: bool, tree: Tree = HERE) -> list[str]:
        """What to start; `tree` says whose, where it is one of ours."""
        arguments = [*self.arguments, *(self.quick if quick else ())]
        if self.peers is None:
            return [*tree.line(self.program, portable=self.portable), *arguments]
        program = ROOT / "benchmarks" / "peers" / f"{self.program}.py"
        return [str(self.folder / "bin" / "python"), str(program), *arguments]


class Worker:
    """A running worker, started and waited for until it is ready; leave it by `with`."""

    def __init__(self, command: Command, *, quick: bool, tree: Tree = HERE) -> None:
        self.command = command
        line = command.line(quick=quick, tree=tree)
        LOGS.mkdir(parents=True, exist_ok=True)
        arguments = "".join(a for a in command.arguments if a.isalnum())
        whose = (command.peers or tree.name).replace(" ", "-")
        self._log = LOGS / f"{whose}-{command.program}{arguments}.log"
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(
                line,
                cwd=tree.root,
                env=_environment() if command.peers else tree.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.ready = self._reply()
        except BaseException:
            self.close()
            raise

    def run(self) -> dict[str, Any]:
        """Do the work once; what the worker says of it."""
        assert self._process.stdin is not None
        try:
            print("run", file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._failure() from error
        return self._reply()

    def cpu_seconds(self) -> float:
        """Processor time that it and its ended children have used, where the system tells."""
        return cpu_seconds(self._process.pid)

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> WorkerFailed:
        status = self._process.wait()
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
        return WorkerFailed(
            f"{self.command.name} ({self.command.program}) ended with status {status}:\n{tail}\n"
            f"All it said is in {self._log.relative_to(ROOT)}."
        )


def _environment() -> dict[str, str]:
    """Ours, without what would set one worker's compiler or threads from outside."""
    foreign = ("JAX_", "XLA_", "OMP_", "MKL_", "OPENBLAS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
