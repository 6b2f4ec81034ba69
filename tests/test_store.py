"""Files that survive a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from una_bench import store
from una_bench.errors import UserError


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    store.write_json(tmp_path / "a.json", {"x": [1.5, "ü"]})
    assert store.read_json(tmp_path / "a.json") == {"x": [1.5, "ü"]}


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) // 2], lambda t: t.replace("1.5", "2.5"), lambda t: "[]", lambda t: ""]
)
def test_a_damaged_file_counts_as_absent(damage, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"x": 1.5})
    path.write_text(damage(path.read_text()))
    assert store.read_json(path) is None


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert store.read_json(tmp_path / "none.json") is None


def test_writing_leaves_nothing_beside(tmp_path: Path) -> None:
    store.write_text(tmp_path / "a.txt", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_output_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        store.writable(tmp_path / "file" / "run")
