import os

import pytest

from rewardtogo.figures import require_writable


def test_folders_that_are_missing_will_be_made(tmp_path):
    require_writable(tmp_path / "a" / "b" / "c.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_could_not_be_written(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b.png").mkdir()
    for path, said in (
        (tmp_path / "c.docx", "the suffix must be one of"),
        (tmp_path / "a" / "c.png", "a is no folder"),
        (tmp_path / "a" / "b" / "c.png", "a is no folder"),
        (tmp_path / "b.png", "it is a folder"),
    ):
        with pytest.raises(ValueError, match=said):
            require_writable(path)


def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ValueError, match="may not be written to"):
        require_writable(tmp_path / "a.png")
