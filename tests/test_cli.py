"""The command line as a newcomer meets it: help, names, and what a wrong word is answered with."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from una_bench import catalog, cli

BAD = [
    (["run", "exakt"], "There is no suite 'exakt'. Did you mean 'exact'?"),
    (["run", "none.yaml"], "There is no recipe file none.yaml."),
    (["run", "--methods", "dpo,una_scroe"], "There is no method 'una_scroe'. Did you mean 'una_score'?"),
    (["run", "--methods", ","], "--methods is empty."),
    (["run", "--seeds", "0,x"], "--seeds 0,x: 'x' is not a seed."),
    (["run", "--seeds", "3-1"], "--seeds 3-1: '3-1' is not a seed."),
    (["run", "--seeds", "1,1"], "--seeds 1,1: a seed is given twice."),
    (["run", "--seeds", "-1"], "--seeds -1: '-1' is not a seed."),
    (["run", "--set", "budget.respones=3"], "there is no key 'budget.respones'. Did you mean 'responses'?"),
    (["run", "--set", "budget"], "--set budget: write key=value"),
    (["run", "--set", "dpo.betta=1"], "there is no setting 'betta'. Did you mean 'beta'?"),
    (["run", "--set", "budget.responses=-5"], "'budget.responses' is -5"),
    (["run", "--set", "workers=[", "--dry-run"], "--set workers=[: the value is not valid YAML."),
    (["run", "--baseline", "dop"], "There is no method 'dop'. Did you mean 'dpo'?"),
    (["run", "--retry", "all"], "--retry all: only `--retry failed` is known."),
    (["run", "--out", "/proc/una"], "--out /proc/una cannot be written"),
    (["show", "una_scroe"], "There is no method or suite 'una_scroe'. Did you mean 'una_score'?"),
    (["report", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["compare", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
]


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_a_wrong_word_is_one_message_and_status_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(arguments, monkeypatch) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("una-bench: ")
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir()), "something was written"


def test_a_folder_with_something_else_in_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert call(["run", "--out", str(tmp_path)], monkeypatch) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_of_another_recipe_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text('{"suite": "exact", "key": "0"}')
    assert call(["run", "--out", str(tmp_path)], monkeypatch) == 2
    assert "holds a run of another recipe (suite exact, key 0;" in capsys.readouterr().err
    assert (tmp_path / "run.json").read_text() == '{"suite": "exact", "key": "0"}'


def test_a_message_shows_no_terminal_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(["show", "\x1b[31mred\x1b]0;title\x07"], monkeypatch)
    assert "\x1b" not in capsys.readouterr().err


def test_a_dry_run_names_every_cell_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["run", "--methods", "dpo,kto", "--seeds", "0", "--dry-run"], monkeypatch) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("base-s0", "dpo-s0", "kto-s0"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", catalog.method_names())
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
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "una_bench", *arguments], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    # The aim is 0.5 s on a quiet machine; the bound leaves room for a loaded one and still fails if torch is imported.
    assert best < 1.5
