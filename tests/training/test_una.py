"""The UNA methods of the suites: budget, counts, facts and checkpoints, on a small prepared folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_world import tiny_policy, tiny_responses

from una_bench.errors import UserError
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job, Lora

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
OFFLINE = ("una_pairwise", "una_binary", "una_score")
ONLINE_SIZES = {"responses_per_rollout": 16, "num_iterations": 2}


def run(name: str, job: Job, **settings: Any) -> Probe:
    probe = Probe()
    own = ONLINE_SIZES if name == "una_online" else {}
    assert registry.method(name)(**own | settings).train(job, probe) == job.out / "checkpoint"
    return probe


@pytest.fixture(scope="module")
def probes(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Probe]:
    """Each method's probe after a training of eight steps of eight responses."""
    made = {}
    for name in (*OFFLINE, "una_online"):
        out = tmp_path_factory.mktemp(name)
        made[name] = run(name, Job(prepared=tiny_prepared, out=out, **SIZES))
    return made


SIZES: dict[str, Any] = {
    "seed": 0,
    "budget_responses": 64,
    "batch_responses": 8,
    "max_prompt_length": 2,
    "max_new_tokens": 4,
}


@pytest.mark.parametrize("name", [*OFFLINE, "una_online"])
def test_the_budget_is_spent_and_not_more(name: str, probes: dict[str, Probe]) -> None:
    assert (probes[name].totals["responses"], probes[name].totals["optimizer_steps"]) == (64, 8)


@pytest.mark.parametrize("name", OFFLINE)
def test_one_pass_over_the_data_counts_its_tokens(name: str, probes: dict[str, Probe]) -> None:
    table = tiny_responses()
    totals = probes[name].totals
    assert totals["response_tokens"] == int(table["completion_ids"].map(len).sum())
    assert totals["prompt_tokens"] == int(table["prompt_ids"].map(len).sum())


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_methods_see_the_same_responses(name: str, probes: dict[str, Probe]) -> None:
    facts = [probes[n].facts["responses_set_sha256"] for n in (name, "una_score")]
    assert facts[0] == facts[1]


@pytest.mark.parametrize("name", OFFLINE)
def test_all_methods_start_from_the_same_weights(name: str, probes: dict[str, Probe]) -> None:
    key = "initial_weights_sha256"
    assert probes[name].facts[key] == probes["una_online"].facts[key]


@pytest.mark.parametrize("name", OFFLINE)
def test_the_reference_pass_is_a_phase_of_its_own_and_happens_once(name: str, probes: dict[str, Probe]) -> None:
    assert probes[name].peaks["reference"].times == 1


def test_an_online_run_has_a_phase_for_each_part_of_a_rollout(probes: dict[str, Probe]) -> None:
    peaks = probes["una_online"].peaks
    assert {peaks[name].times for name in ("generation", "reward", "reference")} == {2}


@pytest.mark.parametrize("name", [*OFFLINE, "una_online"])
def test_the_loss_is_kept_as_a_curve(name: str, probes: dict[str, Probe]) -> None:
    assert len(probes[name].curves["loss"][1]) == 8


@pytest.mark.parametrize("name", [*OFFLINE, "una_online"])
def test_the_checkpoint_is_a_model_that_has_moved(name: str, tiny_job: Job) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run(name, tiny_job)
    model = AutoModelForCausalLM.from_pretrained(tiny_job.out / "checkpoint")
    assert AutoTokenizer.from_pretrained(tiny_job.out / "checkpoint").eos_token == "."
    assert not model.lm_head.weight.equal(tiny_policy().lm_head.weight)


@pytest.mark.parametrize("name", [*OFFLINE, "una_online"])
def test_with_lora_the_checkpoint_is_an_adapter(name: str, tiny_job: Job) -> None:
    run(name, replace(tiny_job, budget_responses=16, lora=Lora(r=2, target_modules=("q_proj", "v_proj"))))
    assert (tiny_job.out / "checkpoint" / "adapter_model.safetensors").is_file()


def test_smaller_device_batches_take_the_same_number_of_steps(tiny_job: Job) -> None:
    probe = run("una_score", tiny_job, per_device_train_batch_size=2)
    assert (probe.totals["responses"], probe.totals["optimizer_steps"]) == (64, 8)


def test_a_device_batch_that_does_not_divide_the_batch_is_refused(tiny_job: Job) -> None:
    with pytest.raises(UserError, match="per_device_train_batch_size=3"):
        run("una_score", tiny_job, per_device_train_batch_size=3)


def test_a_missing_reward_model_is_refused(tiny_job: Job, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny_job.prepared, tmp_path / "bare", ignore=shutil.ignore_patterns("reward"))
    with pytest.raises(UserError, match="no learned reward"):
        run("una_online", replace(tiny_job, prepared=tmp_path / "bare"))


@pytest.mark.parametrize(
    ("name", "settings", "shown"),
    [
        ("una_binary", {"loss_type": "bce"}, "UNA-binary (BCE)"),
        ("una_binary", {"offset": "learned"}, "UNA-binary (MSE, learned)"),
        ("una_score", {}, "UNA-score (MSE)"),
        ("una_score", {"space": "reward", "offset": "learned"}, "UNA-score (MSE, reward space, learned)"),
        ("una_online", {"offset": "prompt_mean"}, "UNA-online (MSE, prompt_mean)"),
        ("una_online", {"anchor": "rollout"}, "UNA-online (MSE, rollout anchor)"),
    ],
)
def test_variants_are_told_apart(name: str, settings: dict[str, Any], shown: str) -> None:
    assert registry.method(name)(**settings).display == shown


@pytest.mark.parametrize("offset", ["ema", "prompt_mean", "learned", "partition"])
def test_una_score_trains_with_every_offset(offset: str, tiny_job: Job) -> None:
    assert run("una_score", tiny_job, offset=offset).totals["optimizer_steps"] == 8


@pytest.mark.parametrize(("rollout", "warmup"), [(16, 3), (64, 0)])
def test_a_run_of_one_rollout_counts_it_in_its_rates(rollout: int, warmup: int, tiny_job: Job) -> None:
    probe = run("una_online", tiny_job, responses_per_rollout=rollout, num_iterations=1)
    assert probe.warmup == warmup
