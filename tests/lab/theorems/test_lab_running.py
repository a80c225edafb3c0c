"""The runner of theorems, on one that is true and one that is not."""

import json
import math

import jax.random as jr
import numpy as np
import pytest

from lab.toys import FALSE, TOYS, TRUE
from rewardtogo.lab.theorems.run import chosen, outcomes_json, report, run_theorem, run_theorems
from rewardtogo.lab.theorems.theorem import Theorem, equal


def test_the_worst_case_counts(key):
    true, false = run_theorems(TOYS, cases=20, key=key)
    assert true.holds and true.failures == 0
    assert not false.holds and 3 <= false.failures <= 17
    by_what = {comparison.what: comparison for comparison in false.worst}
    assert by_what["x = x"].holds
    assert not by_what["x ≤ 0"].holds and by_what["x ≤ 0"].left > 0.5  # the largest of twenty


def test_a_theorem_meets_the_same_cases_alone_and_in_company(key):
    alone = run_theorem(FALSE, cases=5, key=key)
    assert run_theorems(TOYS, cases=5, key=key)[1] == alone
    assert run_theorem(FALSE, cases=5, key=jr.key(1)) != alone
    lefts = {run_theorem(TRUE, cases=1, key=jr.key(i)).worst[0].left for i in range(5)}
    assert len(lefts) == 5


def test_the_report_shows_both_sides(key):
    outcomes = run_theorems(TOYS, cases=8, key=key)
    text = report(outcomes)
    assert text.splitlines()[0] == "ok      squares"
    assert "FAILED  signs" in text and "nowhere" in text and "school" in text
    assert f"failed in {outcomes[1].failures} of 8 cases" in text
    assert text.endswith("1 of 2 theorems hold.")
    content = json.loads(json.dumps(outcomes_json(outcomes), allow_nan=False))
    assert not content["holds"] and content["theorems"][0]["holds"]
    assert content["theorems"][1]["comparisons"][1]["relation"] == "≤"


def test_nan_fails_and_can_be_written(key):
    check = lambda key: [equal("NaN", np.array(math.nan), np.ones(()))]
    outcome = run_theorem(Theorem(name="n", statement="", source="", check=check), cases=1, key=key)
    assert not outcome.holds
    json.dumps(outcomes_json([outcome]), allow_nan=False)


def test_what_a_check_raises_says_where(key):
    def check(key):
        raise RuntimeError("oh")

    broken = Theorem(name="broken", statement="", source="", check=check)
    with pytest.raises(RuntimeError) as caught:
        run_theorem(broken, cases=2, key=key)
    assert caught.value.__notes__ == ["in the theorem 'broken', case 0"]


def test_bad_requests(key):
    with pytest.raises(ValueError, match=r"`cases`.*at least 1; got 0"):
        run_theorems(TOYS, cases=0, key=key)
    with pytest.raises(ValueError, match=r"Unknown theorem `square`\. Did you mean `squares`"):
        chosen(TOYS, ["square"])
    assert chosen(TOYS, []) == TOYS and chosen(TOYS, ["signs"]) == (FALSE,)
    empty = Theorem(name="empty", statement="", source="", check=lambda key: [])
    with pytest.raises(ValueError, match="'empty' compares nothing"):
        run_theorem(empty, cases=1, key=key)
