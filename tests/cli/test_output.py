"""A reader that closes its end of the pipe decides nothing: the command ends with its own status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic

READ_A_LINE, READ_NOTHING = True, False


def closed(arguments: list[str], first: bool, folder: Path) -> tuple[int, str]:
    """Status and standard error of a command whose output nobody reads (after its first line, if ``first``)."""
    command = [sys.executable, "-m", "una_bench", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    if first:
        process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(), said


@pytest.mark.parametrize("first", [READ_A_LINE, READ_NOTHING])
@pytest.mark.parametrize("arguments", [["list"], ["show", "exact"], ["run", "--dry-run"]], ids=" ".join)
def test_a_command_without_a_reader_ends_well(arguments: list[str], first: bool, tmp_path: Path) -> None:
    assert closed(arguments, first, tmp_path) == (0, "")


def test_a_verdict_stays_a_verdict(tmp_path: Path) -> None:
    records = [synthetic.record(method, 0) for method in ("base", "dpo")]
    synthetic.write_run(tmp_path / "run", records)
    assert closed(["baseline", "update", "run", "--baseline", "b.json"], READ_NOTHING, tmp_path) == (0, "")
    baseline = json.loads((tmp_path / "b.json").read_text())
    synthetic.write_run(tmp_path / "other", records[:1])
    status, said = closed(["gate", "other", "--baseline", "b.json"], READ_NOTHING, tmp_path)
    assert baseline and status == 1, said


def test_an_error_is_still_told(tmp_path: Path) -> None:
    status, said = closed(["show", "nothing"], READ_NOTHING, tmp_path)
    assert status == 2 and said.startswith("una-bench: There is no method or suite 'nothing'.")
