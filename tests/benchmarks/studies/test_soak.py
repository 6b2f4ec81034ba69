"""The soak test: detected losses, their description, and allowed exit statuses."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "studies"))
judge = importlib.import_module("soak_judge")
soak = importlib.import_module("soak")

FACTS: dict[str, Any] = {"key": "k", "weights": ["w"], "curves": {"loss": ((8.0, 16.0), (0.5, 0.25))}}
PREPARATION = f"una-bench: {judge.PREPARATION_KILLED}, which the kernel sends when memory runs out."


def curves(**changed: Any) -> dict[str, Any]:
    return {**FACTS, "curves": {**FACTS["curves"], **changed}}


def test_cells_that_are_the_same_do_not_differ() -> None:
    assert judge.differences(FACTS, curves()) == []


@pytest.mark.parametrize(
    ("mine", "line"),
    [
        ({**FACTS, "weights": ["v"]}, "weights differs: ['v'], undisturbed ['w']"),
        (
            curves(loss=((8.0, 16.0), (0.5, 0.3))),
            "curve loss differs at point 1: (x, y) is (16.0, 0.3), undisturbed (16.0, 0.25)",
        ),
        (curves(loss=((8.0,), (0.5,))), "curve loss differs in length: 1 points, undisturbed 2"),
        (curves(kl=((8.0,), (0.5,))), "curve kl differs: only the disturbed run has it"),
        ({**FACTS, "curves": {}}, "curve loss differs: only the undisturbed run has it"),
    ],
)
def test_a_difference_names_the_curve_the_point_and_both_values(mine: dict[str, Any], line: str) -> None:
    assert judge.differences(mine, FACTS) == [line]


@pytest.mark.parametrize(
    ("sent", "code", "said", "passes"),
    [
        ([], 0, "", True),
        ([], 3, "", False),
        ([("run", "SIGTERM")], 130, "", True),
        ([("run", "SIGTERM")], -15, "", True),
        ([("run", "SIGTERM")], -9, "", False),
        ([("group", "SIGKILL")], 2, PREPARATION, False),
        ([("worker", "SIGTERM")], 2, PREPARATION, False),
        ([("worker", "SIGKILL")], 2, PREPARATION, True),
        ([("worker", "SIGKILL")], 2, "una-bench: something else", False),
        ([("worker", "SIGKILL")], 3, "", True),
        ([("worker", "SIGKILL"), ("run", "SIGINT")], 130, "", True),
        ([("run", "SIGINT")], 1, "", False),
    ],
)
def test_a_status_passes_only_where_a_signal_of_the_soak_explains_it(
    sent: list[tuple[str, str]], code: int, said: str, passes: bool
) -> None:
    kills = [{"target": target, "signal": number} for target, number in sent]
    assert (code in judge.allowed(kills, said)) == passes


@pytest.mark.parametrize("words", ["Traceback (most recent", "UserWarning: x", "1 leaked semaphore objects"])
def test_what_no_run_may_say_is_a_problem(words: str, tmp_path: Path) -> None:
    (tmp_path / "err.txt").write_text(words)
    series = soak.Series(tmp_path)
    series.check_end(0)
    assert len(series.problems) == 1
