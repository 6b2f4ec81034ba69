"""Files that survive a kill."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from synthetic import record

from una_bench.errors import UserError
from una_bench.record import line, reader, sealed_folder, storage
from una_bench.record.schema import Better, Curve, Measurement


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "a.json", {"x": [1.5, "ü"]})
    assert storage.read_json(tmp_path / "a.json") == {"x": [1.5, "ü"]}


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) // 2], lambda t: t.replace("1.5", "2.5"), lambda t: "[]", lambda t: ""]
)
def test_a_damaged_file_counts_as_absent(damage, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_json(path, {"x": 1.5})
    path.write_text(damage(path.read_text()))
    assert storage.read_json(path) is None


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert storage.read_json(tmp_path / "none.json") is None


def test_writing_leaves_nothing_beside(tmp_path: Path) -> None:
    storage.write_text(tmp_path / "a.txt", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_output_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        storage.writable(tmp_path / "file" / "run")


# records ---------------------------------------------------------------------------------------------------------


def appended(run: Path, count: int = 2) -> list[str]:
    for seed in range(count):
        storage.append_record(run, record("dpo", seed))
    return (run / "records.jsonl").read_text().splitlines()


def test_an_appended_record_is_read_back(tmp_path: Path) -> None:
    appended(tmp_path)
    assert reader.records(tmp_path) == [record("dpo", 0), record("dpo", 1)]


def test_a_record_of_an_older_version_with_a_checksum_is_read(tmp_path: Path) -> None:
    content = line.plain(record("dpo", 0))
    (tmp_path / "records.jsonl").write_text(json.dumps({**content, "schema": 1, "sha256": "0" * 64}) + "\n")
    assert reader.records(tmp_path) == [record("dpo", 0)]


def test_a_damaged_line_is_named_and_its_cell_counts_as_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = appended(tmp_path)
    damaged = first.replace('"status":"ok"', '"sta', 1)
    (tmp_path / "records.jsonl").write_text(f"{damaged}\n{second}\n")
    with caplog.at_level(logging.WARNING, "una_bench"):
        assert reader.records(tmp_path) == [record("dpo", 1)]
    assert f"{tmp_path / 'records.jsonl'}, line 1 is " in caplog.text


def test_a_separator_that_is_no_newline_does_not_tear_a_record(tmp_path: Path) -> None:
    strange = record("dpo", 0, label="one\u2028two\x85three\x1cfour")
    storage.append_record(tmp_path, strange)
    assert reader.records(tmp_path) == [strange]


def test_a_torn_line_stays_alone_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text('{"half')
    appended(tmp_path, 1)
    assert reader.records(tmp_path) == [record("dpo", 0)]


def test_a_full_disk_leaves_the_records_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = "".join(f"{line}\n" for line in appended(tmp_path))
    real, calls = os.write, iter([True, False])

    def write(descriptor: int, data: bytes) -> int:
        if next(calls):
            return real(descriptor, data[:10])  # what still fits
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(UserError, match=r"cannot be written: No space left on device\. Free space"):
        storage.append_record(tmp_path, record("dpo", 2))
    assert (tmp_path / "records.jsonl").read_text() == before


def test_a_full_disk_leaves_a_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_text(tmp_path / "a.txt", "before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.txt cannot be written: No space left on device"):
        storage.write_text(tmp_path / "a.txt", "after")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "before"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reading_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Measurement(metric="a", unit="1", better=Better.LOWER, samples=(1.0, value))
    with pytest.raises(ValidationError, match="finite number"):
        Measurement(metric="a", unit="1", better=Better.LOWER, samples=(1.0,), stderr=value)


def test_a_curve_may_have_points_that_are_not_finite(tmp_path: Path) -> None:
    curve = Curve(metric="grad_norm", unit="1", x=(1.0, 2.0, 3.0), y=(math.inf, -math.inf, 1.0))
    storage.append_record(tmp_path, record("dpo", 0, curves=(curve,), facts={"x": math.inf}))
    (found,) = reader.records(tmp_path)
    assert found.curves == (curve,)


# seals -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    (folder / "policy").mkdir(parents=True)
    (folder / "policy" / "weights").write_bytes(b"12345")
    (folder / "data.txt").write_text("data")
    sealed_folder.write(folder)
    return folder


def test_a_sealed_folder_is_whole(sealed: Path) -> None:
    assert sealed_folder.damage(sealed) == ""


def test_a_file_that_came_later_is_not_looked_at(sealed: Path) -> None:
    (sealed / "later").touch()
    assert sealed_folder.damage(sealed) == ""


def test_a_folder_without_a_seal_was_not_finished(tmp_path: Path) -> None:
    assert sealed_folder.damage(tmp_path) == "it is incomplete"


@pytest.mark.parametrize("content", [b"12346", b"123", None])
def test_a_damaged_file_of_a_sealed_folder_is_named(content: bytes | None, sealed: Path) -> None:
    file = sealed / "policy" / "weights"
    file.unlink() if content is None else file.write_bytes(content)
    assert sealed_folder.damage(sealed) == "policy/weights is damaged or missing"


def test_a_large_file_is_read_again_only_where_it_was_touched(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_folder, "READ_ALWAYS", 4)
    file = sealed / "policy" / "weights"
    stamp = file.stat().st_mtime_ns
    file.write_bytes(b"54321")
    assert sealed_folder.damage(sealed) == "policy/weights is damaged or missing"
    os.utime(file, ns=(stamp, stamp))
    assert sealed_folder.damage(sealed) == ""
