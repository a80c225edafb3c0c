"""What is computed from measurements; `make bench ARGS=--quick` tries the measuring itself."""

from pathlib import Path

import pytest
from benchmarks import page
from benchmarks.goals import CALL, STEPS, AtMost, Faster, Spread, ratios, spread
from benchmarks.rows import rows
from benchmarks.workers import ROOT
from experiments.finished import last_of, seconds_of


def reply(seconds, steps=100):
    return {"seconds": seconds, "steps": steps}


def test_a_ratio_is_of_a_pair_and_the_median_of_ratios():
    """The machine slows down fivefold within the third pair: the medians alone would say 10."""
    ours = [1.0, 1.0, 1.0, 5.0, 5.0]
    theirs = [2.0, 2.0, 10.0, 10.0, 10.0]
    pairs = [(reply(a), reply(b)) for a, b in zip(ours, theirs, strict=True)]
    assert ratios(STEPS, pairs) == Spread(2.0, 2.0, 10.0)


def test_faster_is_above_one_for_rates_and_times_alike():
    ours, theirs = reply(1.0, steps=1000), reply(3.0, steps=1000)
    assert STEPS.of(ours) == 1000
    assert CALL.of(ours) == 1000  # µs
    assert STEPS.ratio(ours, theirs) == pytest.approx(3)
    assert CALL.ratio(ours, theirs) == pytest.approx(3)
    assert STEPS.ratio(ours, reply(3.0, steps=6000)) == pytest.approx(0.5)


def test_the_best_of_the_named_peers_counts():
    against = {"slow": spread([9.0]), "fast": spread([1.1, 1.3, 1.2]), "unnamed": spread([0.1])}
    goal = Faster(1.2, ("slow", "fast"))
    assert goal.value([], against) == 1.2
    assert goal.met(1.2)
    assert not goal.met(1.19)


def test_a_goal_says_among_whom():
    assert str(Faster(1.1, ("a", "b"), "in JAX")) == "≥ 1.1 × the best in JAX"
    assert str(Faster(2.0, ("a", "b"))) == "≥ 2 × the best"
    assert str(Faster(2.0, ("a",))) == "≥ 2 × a"


@pytest.mark.parametrize("purejaxrl", [None, Path("clone")])
def test_every_row_can_be_started_and_judged(purejaxrl):
    """What is wrong here would come to light only after minutes of measuring."""
    known = rows(purejaxrl)
    assert len({row.key for row in known}) == len(known)
    for row in known:
        names = [peer.name for peer in row.peers]
        assert len(set(names)) == len(names)
        for goal in (*row.reach, *row.aim):
            assert isinstance(goal, AtMost) or set(goal.than) <= set(names)
        for command in (row.ours, *row.peers):
            folder = "ours" if command.peers is None else "peers"
            assert (ROOT / "benchmarks" / folder / f"{command.program}.py").is_file()


def test_a_resumed_run_took_the_seconds_of_all_its_parts():
    """Killed after 30 s and gone on with from the checkpoint, the second part of 12 s."""
    times = [(0, 10.0), (1, 10.0), (0, 30.0), (1, 30.0), (0, 5.0), (1, 5.0), (0, 12.0), (1, 12.0)]
    rows = [{"seed": seed, "time/time_elapsed": seconds} for seed, seconds in times]
    assert seconds_of(rows) == 42.0


def test_at_most_is_our_median():
    goal = AtMost(CALL, 159.0)
    value = goal.value([reply(1e-2), reply(1.6e-2), reply(9.0)], {})
    assert value == pytest.approx(160)
    assert not goal.met(value)
    assert goal.met(159.0)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_a_spread_of_nothing_is_refused(values):
    with pytest.raises(ValueError, match="finite numbers"):
        spread(values)


def record(median):
    side = {
        "name": "rewardtogo",
        "versions": {"jax": "1"},
        "setup_seconds": 1.0,
        "peak_rss_mb": 300.0,
        "figure": {"median": median, "low": median, "high": median},
    }
    ratio = {"median": 2.0, "low": 1.5, "high": 2.5}
    return {
        "key": "row",
        "work": "some work",
        "note": "",
        "unit": "steps/s",
        "pairs": 5,
        "date": "2026-01-01",
        "machine": "a machine",
        "ours": side,
        "peers": [side | {"name": "peer", "ratio": ratio}],
        "reach": [{"goal": "≥ 3 × peer", "value": 2.0, "met": False}],
        "aim": [],
        "load": [0.0, 1.0],
        "other_cores": 0.0,
        "idle_worker_cores": 0.0,
    }


def test_only_what_lies_between_the_marks_is_rewritten(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"# Title\n\nby hand\n\n{page.BEGIN}\n\nold\n\n{page.END}\n\nfoot\n")
    for median in (1234.0, 5678.0):
        page.write(path, [record(median)], None)
    text = path.read_text()
    assert text.startswith("# Title\n\nby hand\n")
    assert text.endswith("\n\nfoot\n")
    assert "old" not in text and "1,230" not in text
    line = next(line for line in text.splitlines() if line.startswith("| some work"))
    assert "5,680 steps/s" in line
    assert "2.00 (1.50–2.50)" in line
    assert "≥ 3 × peer: not met, 2" in line


def test_a_page_without_its_marks_is_refused(tmp_path):
    path = tmp_path / "page.md"
    page.check(path)  # none yet: it will be made
    path.write_text(f"# Title\n{page.END}\n{page.BEGIN}\n")
    with pytest.raises(ValueError, match="must hold the lines"):
        page.check(path)


def test_the_last_value_of_each_seed():
    """Seeds in their order, whatever that of the rows; rows without the tag are passed over."""
    tags = [(1, 5.0), (0, 2.0), (0, 3.0), (1, None), (0, None)]
    rows = [{"seed": seed} | ({} if value is None else {"x": value}) for seed, value in tags]
    assert last_of(rows, "x") == [3.0, 5.0]
