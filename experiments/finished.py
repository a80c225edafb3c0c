"""What finished runs say of themselves, for the pages of experiments."""

import itertools
from collections.abc import Sequence
from typing import Any

from rewardtogo.files import read_json
from rewardtogo.runs.evaluation import Evaluation, evaluation_from_json
from rewardtogo.runs.folder import RunFolder


def found_in(folder: RunFolder) -> Evaluation:
    """What a finished run found."""
    return evaluation_from_json(read_json(folder.evaluation))


def seconds_of(rows: Sequence[dict[str, Any]]) -> float:
    """Wall time of a run's training; its clock begins anew where the run was resumed."""
    times = [0.0, *(row["time/time_elapsed"] for row in rows if row["seed"] == rows[0]["seed"])]
    steps = itertools.pairwise(times)
    return sum(after - before if after >= before else after for before, after in steps)


def last_of(rows: Sequence[dict[str, Any]], tag: str) -> list[float]:
    """The last value of `tag` in each seed, in the order of the seeds."""
    last = {row["seed"]: float(row[tag]) for row in rows if row.get(tag) is not None}
    return [last[seed] for seed in sorted(last)]
