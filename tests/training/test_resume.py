"""A training that was stopped goes on from its last state and ends where an undisturbed one ends, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import set_seed

from una_bench.errors import Diverged
from una_bench.instruments.fairness_facts import weights_sha256
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.machine import stop_request
from una_bench.record import sealed_folder
from una_bench.training import resume

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

RESUMING = [
    "bco",
    "grpo",
    "ipo",
    "online_dpo",
    "orpo",
    "rebel",
    "rloo",
    "sft_chosen",
    "dpo",
    "kto",
    "una_pairwise",
    "una_binary",
    "una_score",
    "una_online",
]
SETTINGS: dict[str, dict[str, Any]] = {
    "una_online": {"responses_per_rollout": 16, "num_iterations": 2},
    "grpo": {"responses_per_rollout": 16, "num_iterations": 1},
    "rloo": {"responses_per_rollout": 16, "num_iterations": 2},
    "rebel": {"responses_per_rollout": 16, "num_iterations": 2},
    "una_score": {"offset": "learned"},
    "una_binary": {"offset": "ema"},
    "dpo": {"precompute_ref_log_probs": True},
}
GROUPED: dict[str, dict[str, Any]] = {
    "dpo": {"group_by_length": True},
    "kto": {"group_by_length": True, "precompute_ref_log_probs": True},
    "una_score": {"group_by_length": True},
}
CASES = [(name, SETTINGS.get(name, {})) for name in RESUMING] + list(GROUPED.items())


def weights(folder: Path) -> str:
    from transformers import AutoModelForCausalLM

    return weights_sha256(AutoModelForCausalLM.from_pretrained(folder))


def train(name: str, job: Job, probe: Probe, settings: Mapping[str, Any] | None = None) -> Path:
    set_seed(job.seed)
    settings = SETTINGS.get(name, {}) if settings is None else settings
    return registry.method(name)(warmup_steps=2, **settings).train(job, probe)


def stopping_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """A probe under which the process is asked to stop after ``steps`` optimizer steps."""

    def ask(probe: Probe) -> None:
        if probe.totals["optimizer_steps"] >= steps:
            monkeypatch.setattr(stop_request, "_requested", True)

    return Probe(on_step=ask)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_stopped_training_goes_on_to_the_same_weights_and_curves(
    name: str, settings: dict[str, Any], tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Probe()
    expected = weights(train(name, replace(tiny_job, out=tmp_path / "whole"), whole, settings))
    with pytest.raises(stop_request.Interrupted):
        train(name, tiny_job, stopping_after(3, monkeypatch), settings)
    monkeypatch.setattr(stop_request, "_requested", False)
    resumed = Probe()
    assert weights(train(name, tiny_job, resumed, settings)) == expected
    assert without_seconds(resumed) == without_seconds(whole)
    assert (resumed.totals, resumed.flops) == (whole.totals, whole.flops)
    assert len(resumed.samples["seconds"]) == len(whole.samples["seconds"])
    assert resumed.facts["resumed"] == 1


class Killed(BaseException):
    """What ends a process at once: nobody catches it."""


def killed_after_the_first_step(probe: Probe) -> None:
    raise Killed


def without_seconds(probe: Probe) -> dict[str, Any]:
    """All curves, the progress of every budget among them, but for time."""
    return {c.metric: (c.x, c.y) for c in probe.trace.record() if c.unit != "s"}


@pytest.mark.parametrize("name", RESUMING)
def test_a_training_killed_before_its_first_state_starts_again_and_pays_for_everything(
    name: str, tiny_job: Job, tmp_path: Path
) -> None:
    whole, again = Probe(), Probe()
    train(name, replace(tiny_job, out=tmp_path / "whole"), whole)
    with pytest.raises(Killed):
        train(name, tiny_job, Probe(on_step=killed_after_the_first_step))
    train(name, tiny_job, again)
    assert without_seconds(again) == without_seconds(whole)
    assert again.flops == whole.flops, "the reference pass too"


def test_a_half_written_state_is_removed_and_the_one_before_is_used(tmp_path: Path) -> None:
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"whole")
        sealed_folder.write(folder, probe={})
    (tmp_path / "checkpoint-4" / "model.bin").write_bytes(b"who")
    assert resume.last_state(tmp_path) == tmp_path / "checkpoint-2"
    assert not (tmp_path / "checkpoint-4").exists()


def test_ppo_stops_on_request_and_starts_again(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from una_bench.methods.ppo import Ppo

    method = Ppo(responses_per_rollout=8, num_ppo_epochs=2, num_mini_batches=1, warmup_steps=0)
    with pytest.raises(stop_request.Interrupted):
        method.train(tiny_job, stopping_after(2, monkeypatch))


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(Diverged, match="loss is nan after 0 responses"):
        Probe().observe({"loss": float("nan")})


@pytest.mark.parametrize("name", ["dpo", "una_score"])
def test_a_diverging_training_is_noticed(name: str, tiny_job: Job) -> None:
    method = registry.method(name)(learning_rate=1e30, max_grad_norm=0.0, warmup_steps=0)
    with pytest.raises(Diverged):
        method.train(tiny_job, Probe())
