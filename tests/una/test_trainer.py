"""UNATrainer: every kind of feedback, reproducibility, resuming, reference models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import tiny_policy, tiny_responses, tiny_tokenizer

from una_bench import UNAConfig, UNATrainer
from una_bench.una import losses

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def rows(kind: str) -> list[dict[str, Any]]:
    table = tiny_responses()
    if kind == "pairwise":
        better, worse = table[table["chosen"]], table[~table["chosen"]]
        return [
            {"prompt_ids": x, "chosen_ids": w, "rejected_ids": y}
            for x, w, y in zip(better["prompt_ids"], better["completion_ids"], worse["completion_ids"], strict=True)
        ]
    column = {"binary": "label", "score": "score"}.get(kind)
    if column:
        return table[["prompt_ids", "completion_ids", column]].to_dict("records")
    return [row for three in zip(rows("pairwise"), rows("binary"), rows("score"), strict=False) for row in three]


def config(folder: Path, **settings: Any) -> UNAConfig:
    defaults = {
        "max_steps": 6,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "beta": 0.5,
        "logging_steps": 1,
        "save_strategy": "no",
        "reference_cache": str(folder / "reference"),
    }
    return UNAConfig(output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, **defaults | settings)


def make_trainer(folder: Path, kind: str = "score", *, model: Any = None, **settings: Any) -> UNATrainer:
    arguments = {name: settings.pop(name) for name in ("peft_config", "eval_dataset", "ref_model") if name in settings}
    return UNATrainer(
        model or tiny_policy(),
        config(folder, **settings),
        train_dataset=rows(kind),
        processing_class=tiny_tokenizer(),
        **arguments,
    )


def history(trainer: UNATrainer, name: str = "loss") -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights(trainer: UNATrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("kind", ["pairwise", "binary", "score", "mixed"])
def test_the_loss_falls_on_every_kind_of_feedback(kind: str, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, kind, max_steps=24)
    trainer.train()
    seen = history(trainer)
    assert np.mean(seen[-6:]) < np.mean(seen[:6])


@pytest.mark.parametrize("offset", ["ema", "prompt_mean", "learned", "partition"])
def test_the_loss_falls_with_every_offset(offset: str, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, offset=offset, max_steps=24)
    trainer.train()
    seen = history(trainer)
    assert np.mean(seen[-6:]) < np.mean(seen[:6])


def test_the_first_loss_of_a_mixed_batch_is_the_mean_over_its_rows(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "mixed", max_steps=1, per_device_train_batch_size=96)
    trainer.train()
    zero = torch.zeros(32)
    labels = torch.tensor([row["label"] for row in rows("binary")[:32]]).float()
    scores = torch.tensor([row["score"] for row in rows("score")[:32]])
    parts = [losses.una_pairwise(zero, zero, 0.5), losses.una_score(zero, labels), losses.una_score(zero, scores)]
    assert history(trainer)[0] == pytest.approx(float(torch.cat(parts).mean()), rel=1e-5)


@pytest.mark.parametrize("kind", ["pairwise", "score"])
def test_the_same_seed_gives_the_same_weights(kind: str, tmp_path: Path) -> None:
    first, second = make_trainer(tmp_path / "a", kind), make_trainer(tmp_path / "b", kind)
    first.train()
    second.train()
    assert torch.equal(weights(first), weights(second))


def test_another_seed_gives_another_order(tmp_path: Path) -> None:
    first, second = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b", seed=7)
    first.train()
    second.train()
    assert history(first) != history(second)


@pytest.mark.parametrize("offset", ["none", "ema", "learned", "prompt_mean"])
def test_a_resumed_run_ends_like_one_that_was_not_interrupted(offset: str, tmp_path: Path) -> None:
    whole = make_trainer(tmp_path / "whole", offset=offset, max_steps=10)
    whole.train()
    settings = {"offset": offset, "max_steps": 10, "save_strategy": "steps", "save_steps": 5}
    make_trainer(tmp_path / "cut", **settings).train()
    resumed = make_trainer(tmp_path / "cut", model=tiny_policy(), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-5"))
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-7)


def test_accumulation_steps_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    plain = {"max_grad_norm": 0.0, "optim": "sgd", "learning_rate": 0.1}  # Adam would magnify the last bit
    whole = make_trainer(tmp_path / "a", **plain)
    parts = make_trainer(tmp_path / "b", per_device_train_batch_size=2, gradient_accumulation_steps=4, **plain)
    whole.train()
    parts.train()
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-6)


def test_a_precomputed_reference_trains_like_a_frozen_one(tmp_path: Path) -> None:
    frozen, precomputed = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b", reference="precomputed")
    frozen.train()
    precomputed.train()
    torch.testing.assert_close(weights(precomputed), weights(frozen), rtol=0, atol=1e-5)


def test_no_reference_model_is_in_memory_after_precomputing(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, reference="precomputed", ref_model=tiny_policy(seed=3))
    trainer.prepare_reference()
    assert trainer.ref_model is None


def test_a_frozen_reference_is_a_second_model(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    assert trainer.ref_model is not None and trainer.ref_model is not trainer.model


def test_a_precomputed_reference_is_read_again_by_another_kind_of_feedback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"reference": "precomputed", "reference_cache": str(tmp_path / "shared")}
    make_trainer(tmp_path / "a", "score", **settings).prepare_reference()
    again = make_trainer(tmp_path / "b", "pairwise", **settings)
    monkeypatch.setattr(again, "_reference_logps", lambda _: pytest.fail("computed again"))
    again.prepare_reference()
    assert again.train_dataset.reference is not None


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"\x01" + b[1:], lambda b: b""])
def test_a_damaged_file_of_a_precomputed_reference_is_made_again(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    settings = {"reference": "precomputed", "reference_cache": str(tmp_path / "shared")}
    first = make_trainer(tmp_path / "a", **settings)
    first.prepare_reference()
    (file,) = (tmp_path / "shared").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = make_trainer(tmp_path / "b", **settings)
    again.prepare_reference()
    assert (again.train_dataset.reference == first.train_dataset.reference).all()
    assert file.read_bytes() == whole


def test_another_policy_gets_a_reference_file_of_its_own(tmp_path: Path) -> None:
    settings = {"reference": "precomputed", "reference_cache": str(tmp_path / "shared")}
    make_trainer(tmp_path / "a", **settings).prepare_reference()
    make_trainer(tmp_path / "b", model=tiny_policy(seed=5), **settings).prepare_reference()
    assert len(list((tmp_path / "shared").glob("*.f32"))) == 2


def test_a_given_reference_model_is_what_the_log_ratio_is_taken_against(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, ref_model=tiny_policy(seed=3), max_steps=1, learning_rate=0.0)
    trainer.train()
    assert history(trainer, "kl")[0] > 0.01


def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


@pytest.mark.parametrize("reference", [None, "precomputed", "frozen"])
def test_lora_trains_with_every_reference(reference: str | None, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, peft_config=lora(), reference=reference, max_steps=24, learning_rate=1e-2)
    trainer.train()
    assert np.mean(history(trainer)[-6:]) < np.mean(history(trainer)[:6])


def test_lora_keeps_no_reference_model_by_default(tmp_path: Path) -> None:
    assert make_trainer(tmp_path, peft_config=lora()).ref_model is None


def test_lora_leaves_the_base_weights_alone(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, peft_config=lora(), learning_rate=1e-2)
    trainer.train()
    base = trainer.model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    assert torch.equal(base, tiny_policy().model.layers[0].self_attn.q_proj.weight)


def test_lora_saves_an_adapter_only(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, peft_config=lora())
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "adapter_model.safetensors").is_file()


def test_the_learned_offset_is_not_part_of_the_saved_policy(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    trainer = make_trainer(tmp_path, offset="learned")
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert set(loaded.state_dict()) == set(tiny_policy().state_dict())


COMMON = {"kl", "entropy", "completions/mean_length"}
PAIRS = {f"rewards/{name}" for name in ("chosen", "rejected", "margins", "accuracies")} | {
    "logps/chosen",
    "logps/rejected",
}
SINGLES = {"rewards/implicit", "rewards/explicit", "rewards/correlation", "offset", "logps"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("pairwise", PAIRS),
        ("binary", SINGLES | {"rewards/label_accuracies"}),
        ("score", SINGLES),
        ("mixed", PAIRS | SINGLES | {"rewards/label_accuracies"}),
    ],
)
def test_every_kind_logs_its_metrics(kind: str, names: set[str], tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, kind, logging_steps=3)
    trainer.train()
    assert names | COMMON <= set(trainer.state.log_history[0])


def test_evaluation_reports_the_same_metrics(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "score", eval_dataset=rows("pairwise"))
    trainer.train()
    assert {"eval_loss", "eval_rewards/accuracies", "eval_kl"} <= set(trainer.evaluate())


def test_an_untrained_policy_has_no_reward_and_no_divergence(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "score", eval_dataset=rows("score"))
    metrics = trainer.evaluate()
    assert metrics["eval_rewards/implicit"] == 0.0 and metrics["eval_kl"] == pytest.approx(0.0, abs=1e-6)


def test_the_loss_that_is_logged_with_a_nan_policy_is_nan(tmp_path: Path) -> None:
    model = tiny_policy()
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    trainer = make_trainer(tmp_path, model=model, max_steps=1, logging_nan_inf_filter=False)
    trainer.train()
    assert np.isnan(history(trainer)[0])


@pytest.mark.parametrize("settings", [{"bf16": True}, {"gradient_accumulation_steps": 2}, {"space": "reward"}])
def test_it_trains_under(settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, **settings)
    trainer.train()
    assert np.isfinite(history(trainer)).all() and not torch.equal(
        weights(trainer), torch.cat([p.flatten() for p in tiny_policy().parameters()])
    )


def test_a_model_can_be_given_by_its_folder(tiny_prepared: Path, tmp_path: Path) -> None:
    trainer = UNATrainer(str(tiny_prepared / "policy"), config(tmp_path), train_dataset=rows("score"))
    trainer.train()
    assert len(history(trainer)) == 6
