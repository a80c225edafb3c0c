"""The documentation does what it says: its code runs, its tables are those of the code."""

import dataclasses
import enum
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rewardtogo.cli import (
    control_linear,
    control_tabular,
    lab_command,
    predict_off_policy,
    predict_values,
    solve_command,
    train_command,
)
from rewardtogo.cli.main import main
from rewardtogo.lab.theorems import THEOREMS
from rewardtogo.recipes import RECIPES
from rewardtogo.runs.settings import RunSettings
from rewardtogo.tabular.problems.catalogue import problem_names


DOCS = Path(__file__).parents[1] / "docs"
ALGORITHMS = sorted(RECIPES)
PAGES = {
    "python": ["python.md", "runs.md"],  # the first page trains the run that the second reads
    "callbacks": ["callbacks-as-a-loop.md"],
    "environments": ["environments.md", "policies.md"],
    "memory": ["partial-observation.md"],
    "exact": ["solving.md", "lab.md", "control.md", "model-based.md"],
    "prediction": ["prediction.md", "off-policy-td.md"],
    "algorithms": [f"algorithms/{name}.md" for name in ALGORITHMS],
}

# A titled block is a file, the others run one after another, each page for itself.
RUNNER = """
import pathlib, re, shlex, sys
from rewardtogo.cli.main import main

for page in map(pathlib.Path, sys.argv[1:]):
    namespace = {"__name__": "__main__"}
    for run in pathlib.Path("runs").glob("*-CartPole-v1-*"):
        run.rename("runs/first")
    for kind, title, code in re.findall(
        r'^```(python|sh)(?: title="(.*?)")?\\n(.*?)^```', page.read_text(), re.S | re.M
    ):
        if title:
            pathlib.Path(title).write_text(code)
        elif kind == "python":
            exec(compile(code, page.name, "exec"), namespace)
        for line in code.splitlines():
            if kind == "sh" and line.startswith("rtg check "):
                assert main(shlex.split(line)[1:]) == 0, line
"""


@pytest.mark.parametrize("pages", PAGES.values(), ids=PAGES)
def test_code_runs_as_shown(pages, tmp_path):
    """In a process of its own, with every warning an error, as a reader would run it."""
    # Nothing here runs long enough for the compiler's optimisations to pay.
    settings = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "error", "-c", RUNNER, *(str(DOCS / page) for page in pages)]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, its cells without backquotes."""
    section = (DOCS / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("`", "") for cell in row] for row in cells]


def shown(value) -> str:
    """A default in the form that `written` brings the tables' to."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value if value is None or isinstance(value, str) else float(value))


def written(cell: str) -> str:
    try:
        return str(float(cell.replace(",", "")))
    except ValueError:
        return "None" if cell == "the environment's" else cell


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_option_and_its_default(algorithm):
    recipe = RECIPES[algorithm]()
    own = [f for f in dataclasses.fields(recipe) if f.name != "algorithm"]
    values = [(f.name, getattr(recipe, f.name)) for f in own]
    update = recipe.algorithm
    values += [(f.name, getattr(update, f.name)) for f in dataclasses.fields(update)]
    expected = [(f"--{name.replace('_', '-')}", shown(value)) for name, value in values]
    found = [(row[0], written(row[1])) for row in table(f"algorithms/{algorithm}.md", "Options")]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_metric(algorithm):
    module = inspect.getmodule(type(RECIPES[algorithm]().algorithm))
    assert module is not None
    # What it borrows from another algorithm's file, it logs as well.
    borrowed = [f for f in vars(module).values() if inspect.isfunction(f)]
    source = "".join(map(inspect.getsource, [module, *borrowed]))
    logged = set(re.findall(r'"((?:train|rollout)/\w+)"', source))
    assert {row[0] for row in table(f"algorithms/{algorithm}.md", "Metrics")} == logged != set()


def test_every_flag_of_a_run():
    fields = [*dataclasses.fields(RunSettings), *dataclasses.fields(train_command.TrainOptions)]
    names = [f.name.replace("from_run", "from").replace("_", "-") for f in fields]
    assert [row[0] for row in table("runs.md", "Flags")] == [f"--{name}" for name in names]


@pytest.mark.parametrize(
    ("page", "heading", "options"),
    [
        ("solving.md", "From the command line", solve_command.Solve()),
        ("lab.md", "The table", lab_command.Lab()),
        ("control.md", "From the command line", control_tabular.ControlTabular()),
        ("control.md", "With features", control_linear.ControlLinear()),
        ("off-policy-td.md", "The command", predict_off_policy.PredictOffPolicy()),
        ("prediction.md", "The command", predict_values.PredictValues()),
    ],
)
def test_every_option_of_the_exact_commands(page, heading, options):
    written_as = {"none": "None", "all": "", "the method's": "", "the problem's own": "None"}
    # What is positional is annotated so.
    fields = [f for f in dataclasses.fields(options) if not hasattr(f.type, "__metadata__")]
    expected = [(f"--{f.name.replace('_', '-')}", shown(getattr(options, f.name))) for f in fields]
    rows = table(page, heading)
    found = [(row[0], written(written_as.get(row[1], row[1]))) for row in rows]
    assert sorted(found) == sorted(expected)


def test_every_problem_and_theorem_has_its_line():
    assert [row[0] for row in table("solving.md", "Problems")] == list(problem_names())
    section = (DOCS / "lab.md").read_text().split("\n## Theorems\n")[1]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines()]
    assert [row for row in rows if row in {t.name for t in THEOREMS}] == [t.name for t in THEOREMS]


COMMANDS = sorted(
    {
        line
        for page in [*DOCS.glob("**/*.md"), DOCS.parent / "README.md"]
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.S | re.M)
        for line in block.splitlines()
        if line.startswith("rtg train ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line, monkeypatch):
    """Names and flags are right; nothing is trained."""
    monkeypatch.setattr(train_command, "_train", lambda settings, session: 0)
    assert main(shlex.split(line, comments=True)[1:]) == 0
