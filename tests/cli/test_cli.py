"""The command line as a newcomer meets it: help, names, and what a wrong word is answered with."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic

from una_bench.cli import app
from una_bench.interfaces import registry


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    return int(end.value.code or 0)


def test_a_message_shows_no_terminal_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(["show", "\x1b[31mred\x1b]0;title\x07"], monkeypatch)
    assert "\x1b" not in capsys.readouterr().err


def test_a_terminal_that_cannot_show_a_sign_gets_another(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path / "run", [synthetic.record("base", 0), synthetic.record("dpo", 0)])
    command = [sys.executable, "-m", "una_bench", "compare", str(tmp_path / "run")]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, env=ascii_only, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "DPO" in ended.stdout


def test_a_dry_run_names_every_cell_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["run", "--methods", "dpo,kto", "--seeds", "0", "--dry-run"], monkeypatch) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("base-s0", "dpo-s0", "kto-s0"))
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_what_would_stop_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert call(["run", "smollm2", "--set", "problem.policy=nope/none", "--dry-run"], monkeypatch) == 2
    said = capsys.readouterr()
    assert "una_score-s0" in said.out and "nope/none (of unknown size: it is not on this machine yet)" in said.out
    assert "This run cannot start: Inputs of the suite smollm2 are not on this machine" in said.err
    assert "nope/none" in said.err


@pytest.mark.parametrize("name", registry.method_names())
def test_every_method_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", name], monkeypatch) == 0
    assert f"({name})" in capsys.readouterr().out


def test_a_suite_is_shown_with_every_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", "exact"], monkeypatch) == 0
    assert "checkpoint_minutes: 10.0" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=" ".join)
def test_help_and_list_answer_at_once(arguments: list[str]) -> None:
    best = 9.0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "una_bench", *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # The aim is 0.5 s on a quiet machine; seconds of a processor do not count what else runs, and the bound still fails
    # if torch is imported.
    assert best < 1.5
