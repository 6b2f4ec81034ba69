"""A real training of DPO, KTO and PPO on the tiny folder, in full and with adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from una_bench.benchmarks.memory import Memory

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job, Lora

# TRL 1.12 still asks transformers for the old name of activation checkpointing.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SETTINGS: dict[str, dict[str, Any]] = {
    "dpo": {"warmup_steps": 0},
    "kto": {"warmup_steps": 0},
    "ppo": {"warmup_steps": 0, "responses_per_rollout": 16, "num_ppo_epochs": 2, "num_mini_batches": 2},
}
BUDGET, BATCH, ROLLOUTS, PASSES = 64, 8, 2, 3
CASES = [(name, lora) for name in SETTINGS for lora in (False, True)]


@dataclass(frozen=True)
class Trained:
    """What one training left."""

    probe: Probe
    checkpoint: Path


def train(
    name: str,
    prepared: Path,
    out: Path,
    *,
    lora: bool = False,
    budget: int = BUDGET,
    precision: str = "float32",
    **changes: Any,
) -> Trained:
    out.mkdir()
    job = Job(
        prepared=prepared,
        out=out,
        seed=0,
        budget_responses=budget,
        batch_responses=BATCH,
        max_prompt_length=2,
        max_new_tokens=4,
        lora=Lora(r=2) if lora else None,
        precision=precision,
    )
    set_seed(0)
    probe = Probe()
    checkpoint = registry.method(name)(**{"warmup_steps": 0} | SETTINGS.get(name, {}) | changes).train(job, probe)
    return Trained(probe, checkpoint)


@pytest.fixture(scope="module")
def trained(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    """Each case, trained once."""
    done: dict[tuple[str, bool], Trained] = {}

    def get(name: str, lora: bool = False) -> Trained:
        if (name, lora) not in done:
            out = tmp_path_factory.mktemp("cell") / name
            done[name, lora] = train(name, tiny_prepared, out, lora=lora)
        return done[name, lora]

    return get


def load(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


# what is left --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_full_training_moves_the_weights(name: str, trained: Callable[..., Trained], tiny_prepared: Path) -> None:
    before, after = load(tiny_prepared / "policy"), load(trained(name).checkpoint)
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", SETTINGS)
def test_training_with_adapters_leaves_an_adapter_folder(name: str, trained: Callable[..., Trained]) -> None:
    assert (trained(name, True).checkpoint / "adapter_config.json").is_file()


@pytest.mark.parametrize("name", SETTINGS)
def test_an_adapter_that_was_trained_is_not_zero(name: str, trained: Callable[..., Trained]) -> None:
    weights = load(trained(name, True).checkpoint)
    assert any(tensor.any() for key, tensor in weights.items() if "lora_B" in key)


@pytest.mark.parametrize(("name", "lora"), CASES)
def test_the_checkpoint_carries_its_tokenizer(name: str, lora: bool, trained: Callable[..., Trained]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained(name, lora).checkpoint)
    assert tokenizer("0a.")["input_ids"] == [9, 1, 0]


def test_ppo_can_train_adapters_on_its_value_model_too(tiny_prepared: Path, tmp_path: Path) -> None:
    found = {
        adapted: train("ppo", tiny_prepared, tmp_path / str(adapted), lora=True, value_adapters=adapted).probe
        for adapted in (False, True)
    }
    value = found[False].resident["value"]
    assert found[False].resident["gradients"] > 0.9 * value
    assert found[True].resident["gradients"] < 0.2 * value
    assert found[True].resident["value"] < 1.1 * value
    assert found[True].flops["value.backward"] < 0.8 * found[False].flops["value.backward"]
    assert [probe.facts["value_model_trained"] for probe in found.values()] == ["in full", "adapters and head"]
    losses = found[True].curves["loss/value_avg"][1]
    assert losses[0] != losses[-1]


def test_without_adapters_on_the_policy_the_value_model_has_none_either(tiny_prepared: Path, tmp_path: Path) -> None:
    probe = train("ppo", tiny_prepared, tmp_path / "cell", value_adapters=True).probe
    assert probe.facts["value_model_trained"] == "in full"


# what was measured ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "lora"), CASES)
def test_training_stops_at_the_budget(name: str, lora: bool, trained: Callable[..., Trained]) -> None:
    assert trained(name, lora).probe.totals["responses"] == BUDGET


@pytest.mark.parametrize(("name", "lora"), CASES)
def test_every_method_takes_the_same_optimizer_steps(name: str, lora: bool, trained: Callable[..., Trained]) -> None:
    assert trained(name, lora).probe.totals["optimizer_steps"] == BUDGET // BATCH


@pytest.mark.parametrize(("name", "steps"), [("dpo", BUDGET // BATCH), ("kto", BUDGET // BATCH), ("ppo", ROLLOUTS)])
def test_every_step_has_a_sample(name: str, steps: int, trained: Callable[..., Trained]) -> None:
    assert len(trained(name).probe.step_samples().seconds) == steps


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_offline_methods_see_the_prepared_tokens_and_no_more(
    name: str, trained: Callable[..., Trained], tiny_prepared: Path
) -> None:
    import pandas as pd

    table = pd.read_parquet(tiny_prepared / "responses.parquet")  # 64 rows: the budget is one pass
    assert trained(name).probe.totals["response_tokens"] == sum(map(len, table.completion_ids))


def test_ppo_counts_each_response_once_per_epoch(trained: Callable[..., Trained]) -> None:
    totals = trained("ppo").probe.totals
    assert totals["prompt_tokens"] == 2 * totals["responses"]


def test_ppo_counts_no_padding_as_response(trained: Callable[..., Trained]) -> None:
    totals = trained("ppo").probe.totals
    assert totals["responses"] <= totals["response_tokens"] <= 4 * totals["responses"]


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("dpo", {"load", "forward", "backward", "optimizer", "reference", "save"}),
        ("kto", {"load", "forward", "backward", "optimizer", "reference", "save"}),
        ("ppo", {"load", "generation", "reward", "value", "forward", "backward", "optimizer", "reference", "save"}),
    ],
)
def test_each_phase_is_measured(name: str, phases: set[str], trained: Callable[..., Trained]) -> None:
    assert set(trained(name).probe.peaks) - {"other", "bookkeeping"} == phases


@pytest.mark.parametrize(
    ("name", "beside"), [("dpo", {"reference"}), ("kto", {"reference"}), ("ppo", {"reference", "value", "reward"})]
)
def test_every_resident_model_is_accounted_for(name: str, beside: set[str], trained: Callable[..., Trained]) -> None:
    assert set(trained(name).probe.resident) == {"weights", "gradients", "optimizer"} | beside


@pytest.mark.parametrize("name", SETTINGS)
def test_with_adapters_the_reference_is_the_policy_without_them(name: str, trained: Callable[..., Trained]) -> None:
    assert "reference" not in trained(name, True).probe.resident


@pytest.mark.parametrize("name", SETTINGS)
def test_the_measured_peak_is_possible(name: str, trained: Callable[..., Trained]) -> None:
    assert Memory().read(trained(name).probe)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_ledger_learns_the_initial_weights(name: str, trained: Callable[..., Trained]) -> None:
    hashes = {trained(other).probe.facts["initial_weights_sha256"] for other in SETTINGS}
    assert hashes == {trained(name).probe.facts["initial_weights_sha256"]}


def test_the_ledger_learns_that_ppo_does_not_clip(trained: Callable[..., Trained]) -> None:
    assert trained("ppo").probe.facts["max_grad_norm"] == "not applied by TRL"


# what it was trained on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_seed_gives_the_same_losses(
    name: str, trained: Callable[..., Trained], tiny_prepared: Path, tmp_path: Path
) -> None:
    again = train(name, tiny_prepared, tmp_path / "again")
    assert again.probe.curves["loss"] == trained(name).probe.curves["loss"]


def test_precomputed_reference_log_probabilities_change_no_loss(
    trained: Callable[..., Trained], tiny_prepared: Path, tmp_path: Path
) -> None:
    before = train("dpo", tiny_prepared, tmp_path / "cell", precompute_ref_log_probs=True)
    assert before.probe.curves["loss"][1] == pytest.approx(trained("dpo").probe.curves["loss"][1], abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_the_reference_is_read_beforehand_in_the_precision_of_training(
    name: str, precision: str, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(f"una_bench.training.trl.{name}")
    trainer, seen = getattr(module, f"_{name.upper()}"), []
    read = trainer.compute_ref_log_probs

    def watched(*args: Any) -> Any:
        seen.append(torch.is_autocast_enabled("cpu"))
        return read(*args)

    monkeypatch.setattr(trainer, "compute_ref_log_probs", watched)
    train(name, tiny_prepared, tmp_path / "cell", precision=precision, precompute_ref_log_probs=True)
    assert set(seen) == {precision == "bfloat16"}


def test_precomputed_reference_log_probabilities_change_no_loss_of_kto(
    tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from una_bench.training.trl import kto

    monkeypatch.setattr(kto, "labeled", partial(_paired_for_good, kto.labeled))
    before, every = (
        train("kto", tiny_prepared, tmp_path / str(once), budget=PASSES * BUDGET, precompute_ref_log_probs=once)
        for once in (True, False)
    )
    assert before.probe.curves["loss"][1] == pytest.approx(every.probe.curves["loss"][1], abs=1e-5)
    once, each = (sum(f for name, f in t.probe.flops.items() if "forward" in name) for t in (before, every))
    # Two sequences a row: policy and reference in every pass, or the policy in every pass and the reference in one.
    assert once / each == pytest.approx((2 * PASSES + 2) / (4 * PASSES), rel=0.05)


def _paired_for_good(labeled: Callable[..., Any], table: Any, job: Job, *, once: bool, grouped: bool) -> Any:
    """The same data whether or not the reference reads it beforehand."""
    return labeled(table, job, once=True, grouped=grouped)


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_precomputed_reference_log_probabilities_leave_no_reference_model(
    name: str, tiny_prepared: Path, tmp_path: Path
) -> None:
    before = train(name, tiny_prepared, tmp_path / "cell", precompute_ref_log_probs=True)
    assert "reference" not in before.probe.resident
    assert before.probe.facts["reference"] == "one pass before training"


@pytest.mark.parametrize("name", ["dpo", "kto", "una_pairwise", "una_score"])
def test_rows_of_like_length_need_less_padding(name: str, tiny_prepared: Path, tmp_path: Path) -> None:
    apart, grouped = (train(name, tiny_prepared, tmp_path / str(on), group_by_length=on).probe for on in (False, True))
    assert grouped.totals["padding_tokens"] < 0.8 * apart.totals["padding_tokens"]
    assert grouped.totals["responses"] == apart.totals["responses"] == BUDGET
    assert grouped.facts["responses_set_sha256"] == apart.facts["responses_set_sha256"]


@pytest.mark.parametrize(("one", "other"), [("dpo", "una_pairwise"), ("kto", "una_binary")])
def test_methods_on_the_same_feedback_meet_the_same_batches_of_like_length(
    one: str, other: str, tiny_prepared: Path, tmp_path: Path
) -> None:
    settings = {"group_by_length": True, "budget": PASSES * BUDGET}
    first = train(one, tiny_prepared, tmp_path / one, **settings, precompute_ref_log_probs=True).probe.samples
    second = train(other, tiny_prepared, tmp_path / other, **settings).probe.samples
    for name in ("prompt_tokens", "response_tokens"):
        assert first[name] == second[name]
    assert len(set(first["response_tokens"])) > 3
