"""Columns stay apart, however wide a cell is."""

from rewardtogo.td.columns import columns


def test_columns_by_hand():
    rows = [("n", "value", "x"), ("10", "1 [0, 2]", "y")]
    assert columns(rows) == [" n  value     x", "10  1 [0, 2]  y"]
