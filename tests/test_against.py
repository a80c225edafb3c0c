"""`make bench ARGS="--against COMMIT"`: its verdicts, and whose workers run on whose sources.

The repository of these tests holds the driver, and a library that says how long its work took.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks import against, trees, verdicts
from benchmarks.goals import SOLVE, STEPS, Spread
from benchmarks.run import main
from benchmarks.workers import ROOT, Tree, WorkerFailed

import rewardtogo as rtg


DRIVER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from benchmarks.run import main
sys.exit(main(sys.argv[1:]))
"""
WORKER = """
from benchmarks.peers import protocol
import time
from pathlib import Path
from benchmarks.ours.training import NUMBERS, TREE
def measure():
    time.sleep(NUMBERS.get("hang", 0))
    return {"steps": 1, "seconds": NUMBERS["seconds"], "tree": TREE}
protocol.serve(measure, name="", unit="", packages=[], settings={})
"""
TRAINING = """
import os, rewardtogo
NUMBERS, TREE = rewardtogo.NUMBERS, os.path.dirname(__file__)
"""


def replies(new, old, again, steps=100):
    return [
        [{"seconds": seconds, "steps": steps} for seconds in one]
        for one in zip(new, old, again, strict=True)
    ]


def verdict(median, low, high):
    return verdicts.Verdict(new=Spread(median, median, median), again=Spread(1.0, low, high))


def test_ratios_are_of_a_round_and_above_one_where_the_tree_is_faster():
    """The machine is three times slower in the second round."""
    rounds = replies(new=[1.0, 3.0, 1.0], old=[2.0, 6.0, 3.0], again=[2.0, 3.0, 6.0])
    for figure in (STEPS, SOLVE):
        found = verdicts.judge(figure, rounds)
        assert found.new == Spread(2.0, 2.0, 3.0)
        assert found.again == Spread(1.0, 0.5, 2.0)


@pytest.mark.parametrize(
    ("median", "below", "says"),
    [
        (1.2, False, "as fast"),
        (0.98, False, "as fast"),
        (0.979, False, "under 0.98, within the spread"),
        (0.951, False, "under 0.98, within the spread"),
        (0.949, True, "below"),
        (0.5, True, "below"),
    ],
)
def test_below_is_under_98_per_cent_by_more_than_half_the_range(median, below, says):
    found = verdict(median, low=0.98, high=1.04)
    assert found.least == pytest.approx(0.95)
    assert found.below is below
    assert str(found) == says


def test_where_the_commit_never_differs_from_itself_nothing_is_allowed():
    assert not verdict(0.98, low=1.0, high=1.0).below
    assert verdict(0.979, low=1.0, high=1.0).below


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.81), (1.1, 1.2)])
def test_a_commit_that_is_never_as_fast_as_itself_is_no_steady_measure(low, high):
    """Ten rounds alike may all be wrong alike: what one process has over another stays with it."""
    assert verdict(0.0, low, high).least == pytest.approx(0.88)


def test_each_of_the_three_is_first_or_last_equally_often():
    orders = [against.turns(number) for number in range(1, 11)]
    assert [order.index(1) for order in orders] == [1] * 10
    assert sum(order[0] == 0 for order in orders) == sum(order[0] == 2 for order in orders) == 5


def test_what_is_not_the_same_work_is_named():
    new = {"seeds": 1, "recipe": {"algorithm": {"clip": 0.2, "new": 1}}}
    old = {"seeds": 1, "recipe": {"algorithm": {"clip": 0.1}}}
    last = [{"checksum": 1.0}, {"checksum": 2.0}, {"checksum": 2.0}]
    named = ["recipe.algorithm.clip", "recipe.algorithm.new", "checksum"]
    assert verdicts.differences(new, old, last) == named
    rounding = [{"checksum": 1.0}, {"checksum": 1.000001}, {}]
    assert verdicts.differences(new, new, rounding) == []
    assert verdicts.differences(new, new, [{}, {}, {}]) == []


def test_every_usual_row_exists_once():
    keys = [row.key for row in against.comparable()]
    assert len(set(keys)) == len(keys)
    assert {row.key for row in against.chosen(None)} == set(against.DEFAULT)
    assert [row.key for row in against.chosen(["td3"])] == ["td3"]


def test_a_portable_worker_uses_public_names_only():
    """It runs in trees where the library's modules have other names."""
    for row in against.comparable():
        if not row.ours.portable:
            continue
        path = ROOT / "benchmarks" / "ours" / f"{row.ours.program}.py"
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Import), "named modules can be moved"
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, "a script has no package"
                names = {alias.name for alias in node.names}
                assert node.module in {"benchmarks.peers", "benchmarks.ours.training"} or (
                    node.module == "rewardtogo" and names <= set(rtg.__all__)
                )


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(folder, *arguments):
    """As in a repository of its own, whichever one a hook's variables name."""
    variables = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    line = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    found = subprocess.run(line, env=variables, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def library(repository, **numbers):
    path = repository / "src" / "rewardtogo" / "__init__.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"NUMBERS = {numbers}\n")


@pytest.fixture
def repository(tmp_path):
    """One commit, whose work takes a second, and no worker for prioritised DQN."""
    folder = tmp_path / "repository"
    ours, peers = folder / "benchmarks" / "ours", folder / "benchmarks" / "peers"
    shutil.copytree(
        ROOT / "benchmarks", ours.parent, ignore=shutil.ignore_patterns("ours", "peers", "results")
    )
    for package in (ours, peers):
        package.mkdir()
        (package / "__init__.py").touch()
    shutil.copy(ROOT / "benchmarks" / "peers" / "protocol.py", peers)
    (ours / "training.py").write_text(TRAINING)
    (ours / "solve.py").write_text(WORKER)
    library(folder, seconds=1.0)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "first")
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where a checkout is put."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def driver(repository, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_clean(repository, temporary):
    return (
        not list(temporary.iterdir()) and len(git(repository, "worktree", "list").split("\n")) == 1
    )


@needs_git
@pytest.mark.parametrize(("seconds", "status"), [(1.01, 0), (1.03, 1)])
def test_each_tree_measures_itself(repository, temporary, seconds, status):
    """The working tree has a worker of its own that the commit lacks, and is slower by so much."""
    library(repository, seconds=seconds)
    (repository / "benchmarks" / "ours" / "dqn_prioritised.py").write_text(WORKER)
    page = repository / "page.md"
    rows = ("--only", "solve-dense", "dqn-prioritised")
    run = driver(repository, "--against", "HEAD", "--quick", *rows, "--output", str(page))
    output, errors = run.communicate(timeout=60)
    assert run.returncode == status, errors
    for table in (output, page.read_text()):
        assert f"{1 / seconds:.3f} ({1 / seconds:.3f}–{1 / seconds:.3f})" in table
        assert "1.000 (1.000–1.000)" in table
        assert table.count("below" if status else "as fast") >= 2
    for record in (repository / "benchmarks/results/against/quick").iterdir():
        for new, *old in json.loads(record.read_text())["replies"]:
            assert Path(new["tree"]).is_relative_to(repository)
            assert all(Path(reply["tree"]).is_relative_to(temporary) for reply in old)
    assert is_clean(repository, temporary)
    assert not (repository / "docs").exists()


@needs_git
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_under_way_it_leaves_nothing(repository, temporary, number, status):
    library(repository, seconds=1.0, hang=60)
    run = driver(repository, "--against", "HEAD", "--only", "solve-dense")
    assert run.stderr is not None
    while "again" not in (line := run.stderr.readline()):
        assert line, "it ended too early"
    assert not is_clean(repository, temporary)
    time.sleep(0.3)
    run.send_signal(number)
    run.communicate(timeout=60)
    assert run.returncode == status
    assert is_clean(repository, temporary)


@needs_git
def test_an_error_within_removes_the_checkout_too(repository, temporary):
    library(repository, seconds=2.0)
    with (
        pytest.raises(RuntimeError, match="within"),
        trees.checked_out(trees.resolve("HEAD", repository), repository) as folder,
    ):
        assert "1.0" in (folder / "tree" / "src" / "rewardtogo" / "__init__.py").read_text()
        raise RuntimeError("within")
    assert is_clean(repository, temporary)


@needs_git
@pytest.mark.parametrize("commit", ["nonsense", "0" * 40, "--all", "HEAD:src"])
def test_an_unknown_commit_is_refused_in_one_line(repository, commit):
    with pytest.raises(ValueError, match="no such commit") as error:
        trees.resolve(commit, repository)
    assert "\n" not in str(error.value)


def test_a_tree_without_a_worker_runs_the_working_trees_only_if_portable(tmp_path):
    tree, worker = Tree("old", tmp_path), str(ROOT / "benchmarks" / "ours" / "gae.py")
    assert tree.line("gae", portable=True) == [sys.executable, "-P", worker]
    with pytest.raises(WorkerFailed, match=r"old has no .*gae\.py"):
        tree.line("gae", portable=False)


def test_a_library_from_elsewhere_is_noticed(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(ValueError, match="old: the library should come from its src"):
        trees.require_own_sources(Tree("old", tmp_path))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--against", "HEAD", "--pairs", "1"], "one round shows no spread"),
        (["--against", "HEAD", "--only", "scaling"], "measures no peers"),
        (["--against", "HEAD", "--no-install"], "measures no peers"),
        (["--only", "dqn-prioritised"], "needs --against"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, why, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert why in capsys.readouterr().err


def test_a_page_of_others_is_not_replaced(tmp_path):
    path = tmp_path / "page.md"
    verdicts.check(path)
    path.write_text("# Benchmarks\n")
    with pytest.raises(ValueError, match="not a page of --against"):
        verdicts.check(path)
    path.write_text(verdicts.TITLE)
    verdicts.check(path)
