"""Trackers are asked for by name, and a training under one writes where its cell is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from una_bench.cli import trackers
from una_bench.errors import UserError
from una_bench.instruments.probe import Probe
from una_bench.interfaces.method import Job


def test_no_tracker_is_the_default() -> None:
    assert trackers.parse("") == ()


def test_names_are_forgiving_and_doubles_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    assert trackers.parse(" TensorBoard,wandb,tensorboard") == ("tensorboard", "wandb")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensorbord", "there is no tracker 'tensorbord'. Did you mean 'tensorboard'?"),
        ("wandb", "wandb is not installed. Install una-bench[trackers]"),
    ],
)
def test_an_unknown_or_missing_tracker_is_refused(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        trackers.parse(text)
    assert message in str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_a_training_writes_its_losses_to_the_tracker(
    tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is an extra (una-bench[trackers])")
    from una_bench.methods.una_score import UnaScore

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    UnaScore(warmup_steps=1).train(replace(tiny_job, report_to=("tensorboard",)), Probe())
    assert b"loss" in next((tmp_path / "board").glob("**/*tfevents*")).read_bytes()
