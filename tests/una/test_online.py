"""OnlineUNATrainer: sampling, rewards on text, offsets, checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import DIGITS, END, tiny_policy, tiny_tokenizer

from una_bench import OnlineUNAConfig, OnlineUNATrainer
from una_bench.errors import UserError
from una_bench.una.rewards import Normalizer, RewardModel, WeightedReward
from una_bench.una.rollout import RolloutSampler, prompts_of

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
PROMPTS = [{"prompt": a + b} for a in DIGITS[:3] for b in DIGITS[1:3]]


def count_a(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    return [2.0 * text.count("a") - 1.0 for text in completions]


def config(folder: Path, **settings: Any) -> OnlineUNAConfig:
    defaults = {
        "max_steps": 8,
        "per_device_train_batch_size": 8,
        "responses_per_rollout": 16,
        "num_generations": 4,
        "num_iterations": 2,
        "max_completion_length": 4,
        "learning_rate": 1e-3,
        "beta": 0.5,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    return OnlineUNAConfig(
        output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, **defaults | settings
    )


def make_trainer(folder: Path, reward: Any = count_a, **settings: Any) -> OnlineUNATrainer:
    arguments = {
        name: settings.pop(name) for name in ("peft_config", "model", "reward_processing_class") if name in settings
    }
    model = arguments.pop("model", None) or tiny_policy()
    args = config(folder, **settings)
    return OnlineUNATrainer(model, reward, args, train_dataset=PROMPTS, processing_class=tiny_tokenizer(), **arguments)


def history(trainer: OnlineUNATrainer, name: str = "loss") -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights(trainer: OnlineUNATrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def test_every_response_of_a_rollout_is_trained_on_once_an_iteration(tmp_path: Path) -> None:
    codes = np.asarray(list(RolloutSampler(rollouts=2, args=config(tmp_path))))
    assert [sorted(part) for part in codes.reshape(4, 16)] == [list(range(16))] * 2 + [list(range(16, 32))] * 2


def test_responses_of_a_prompt_stay_together(tmp_path: Path) -> None:
    codes = np.asarray(list(RolloutSampler(rollouts=2, args=config(tmp_path))))
    assert (codes.reshape(-1, 4) // 4 == codes.reshape(-1, 4)[:, :1] // 4).all()


def test_every_prompt_is_used_once_before_any_is_used_again() -> None:
    used = np.concatenate([prompts_of(rollout, 4, 6, seed=0) for rollout in range(3)])
    assert sorted(used[:6]) == sorted(used[6:]) == list(range(6))


def test_a_reward_function_gets_prompts_and_completions_as_text(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def reward(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        seen.extend(zip(prompts, completions, strict=True))
        return [0.0] * len(completions)

    make_trainer(tmp_path, reward, max_steps=1).train()
    assert all(prompt in {row["prompt"] for row in PROMPTS} and END not in completion for prompt, completion in seen)


def test_special_tokens_can_be_kept_so_that_an_end_shows(tmp_path: Path) -> None:
    seen: list[str] = []

    def reward(_: Sequence[str], completions: Sequence[str]) -> list[float]:
        seen.extend(completions)
        return [0.0] * len(completions)

    make_trainer(tmp_path, reward, max_steps=1, keep_special_tokens=True).train()
    assert {text.endswith(END) for text in seen if len(text) < 4} == {True}


def reward_model(vocabulary: int = 18) -> Any:
    from transformers import PhiConfig, PhiForSequenceClassification

    torch.manual_seed(0)
    sizes = {"vocab_size": vocabulary, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    return PhiForSequenceClassification(PhiConfig(**sizes, num_hidden_layers=1, num_labels=1, resid_pdrop=0.0))


def other_tokenizer() -> Any:
    """Return a tokenizer with the same characters but other ids."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate("hgfedcba76543210_.")}, unk_token="_"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="_", eos_token=".")


def test_a_reward_model_reads_the_text_with_its_own_tokenizer() -> None:
    model, tokenizer = reward_model(), other_tokenizer()
    got = RewardModel(model, tokenizer)(["01"], ["ab."])
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([tokenizer("01ab.")["input_ids"]])).logits
    assert got == [pytest.approx(float(expected), abs=1e-6)]


def test_rewards_do_not_depend_on_what_else_is_in_the_batch() -> None:
    model = RewardModel(reward_model(), tiny_tokenizer(), batch=3)
    together = model(["01"] * 4, ["a.", "abc.", "bcde", "h."])
    alone = [model(["01"], [text])[0] for text in ("a.", "abc.", "bcde", "h.")]
    assert together == pytest.approx(alone, abs=1e-6)


def test_it_trains_with_a_reward_model_of_another_tokenizer(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, reward_model(), reward_processing_class=other_tokenizer())
    trainer.train()
    assert np.isfinite(history(trainer)).all()


def test_the_sampler_and_the_size_of_chunks_do_not_change_the_training(tmp_path: Path) -> None:
    ours, theirs = make_trainer(tmp_path), make_trainer(tmp_path, sampler="transformers", logits_chunk_size=0)
    ours.train()
    theirs.train()
    torch.testing.assert_close(weights(theirs), weights(ours), rtol=1e-4, atol=1e-5)


def test_an_unknown_sampler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sampler='transformer' is invalid"):
        config(tmp_path, sampler="transformer")


def test_several_rewards_are_added_with_their_weights() -> None:
    both = WeightedReward([count_a, lambda p, c: [1.0] * len(c)], [2.0, -0.5])
    assert both(["0", "0"], ["a", "b"]).tolist() == [1.5, -2.5]


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda p, c: [0.0], r"returned shape \(1,\)"),
        (lambda p, c: [float("nan")] * len(c), "gave nan to"),
    ],
)
def test_a_reward_that_is_no_number_each_is_refused(reward: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        make_trainer(tmp_path, reward).train()


def test_weights_must_match_the_rewards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 weights for 1 rewards"):
        make_trainer(tmp_path, reward_weights=[1.0, 2.0])


def test_identity_refuses_rewards_outside_the_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A reward of -1"):
        Normalizer(config(tmp_path, normalization="identity"))(np.array([0.5, -1.0]))


def test_quantiles_are_ranks_strictly_between_zero_and_one(tmp_path: Path) -> None:
    got = Normalizer(config(tmp_path, normalization="quantile"))(np.array([10.0, -3.0, 10.0, 400.0]))
    np.testing.assert_allclose(got, [0.5, 0.2, 0.5, 0.8])


def test_quantiles_are_among_recent_rewards_only(tmp_path: Path) -> None:
    rank = Normalizer(config(tmp_path, normalization="quantile", quantile_window=2))
    rank(np.array([1000.0, 2000.0]))
    np.testing.assert_allclose(rank(np.array([1.0, 2.0])), [1 / 3, 2 / 3])


def test_a_missing_end_costs_its_penalty(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, lambda p, c: [0.0] * len(c), missing_eos_penalty=3.0)
    np.testing.assert_allclose(trainer._judge(["0", "0"], [[1, 0], [1, 2, 3, 4]]), [0.0, -3.0])


@pytest.mark.parametrize("offset", ["none", "ema", "prompt_mean", "learned"])
def test_the_reward_rises(offset: str, tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, offset=offset, max_steps=48, beta=0.1, learning_rate=3e-3, responses_per_rollout=64
    )
    trainer.train()
    seen = history(trainer, "reward")
    assert np.mean(seen[-2:]) > seen[0] + 0.3


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b")
    first.train()
    second.train()
    assert torch.equal(weights(first), weights(second))


def shifted(constant: float) -> Any:
    return lambda prompts, completions: [
        r + constant * int(p) / 10 for p, r in zip(prompts, count_a(prompts, completions), strict=True)
    ]


def test_prompt_mean_in_reward_space_is_blind_to_a_reward_offset_per_prompt(tmp_path: Path) -> None:
    settings = {"space": "reward", "offset": "prompt_mean", "learning_rate": 3e-4}
    plain, moved = make_trainer(tmp_path / "a", **settings), make_trainer(tmp_path / "b", shifted(8.0), **settings)
    plain.train()
    moved.train()
    torch.testing.assert_close(weights(moved), weights(plain), rtol=0, atol=1e-4)  # +8 costs float32 digits


def test_no_offset_in_reward_space_is_not_blind_to_a_reward_offset(tmp_path: Path) -> None:
    settings = {"space": "reward", "learning_rate": 3e-4}
    plain, moved = make_trainer(tmp_path / "a", **settings), make_trainer(tmp_path / "b", shifted(8.0), **settings)
    plain.train()
    moved.train()
    assert float((weights(moved) - weights(plain)).abs().max()) > 1e-3


def test_the_rollout_anchor_starts_every_rollout_at_a_log_ratio_of_zero(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, anchor="rollout", num_iterations=1, per_device_train_batch_size=16, max_steps=5)
    trainer.train()
    assert np.abs(history(trainer, "rewards/implicit")).max() < 1e-6 < history(trainer, "kl")[-1]


def test_the_reference_anchor_moves_away_from_zero(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, num_iterations=1, per_device_train_batch_size=16, max_steps=5)
    trainer.train()
    assert abs(history(trainer, "rewards/implicit")[-1]) > 1e-3


@pytest.mark.parametrize("cut", [4, 5])
def test_a_resumed_run_ends_like_one_that_was_not_interrupted(cut: int, tmp_path: Path) -> None:
    settings = {"max_steps": 10, "normalization": "quantile", "offset": "ema"}
    whole = make_trainer(tmp_path / "whole", **settings)
    whole.train()
    saving = settings | {"save_strategy": "steps", "save_steps": cut}
    make_trainer(tmp_path / "cut", **saving).train()
    resumed = make_trainer(tmp_path / "cut", **saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "cut" / f"checkpoint-{cut}"))
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-7)


def test_lora_trains_without_a_reference_model(tmp_path: Path) -> None:
    from peft import LoraConfig

    adapters = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = make_trainer(tmp_path, peft_config=adapters, max_steps=8, learning_rate=1e-2)
    trainer.train()
    assert trainer.ref_model is None and history(trainer, "kl")[-1] != 0.0


def test_a_batch_that_does_not_divide_a_rollout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="responses_per_rollout=16 must be a multiple of the 12"):
        make_trainer(tmp_path, per_device_train_batch_size=12)


def test_missing_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train_dataset is missing"):
        OnlineUNATrainer(tiny_policy(), count_a, config(tmp_path), processing_class=tiny_tokenizer())


def test_it_logs_what_online_training_is_watched_by(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.train()
    names = {"reward", "reward_std", "kl", "entropy", "offset", "rewards/implicit", "rewards/explicit"}
    assert names | {"completions/mean_length", "completions/clipped_ratio"} <= set(trainer.state.log_history[0])


def test_epochs_instead_of_steps_go_through_all_prompts(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_steps=-1, num_train_epochs=2)
    trainer.train()
    assert (
        trainer.state.global_step == 2 * 2 * 2 * 2
    )  # epochs, rollouts (6 prompts x 4 of 16), iterations, mini-batches


def test_no_value_model_is_built(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, offset="learned")
    parameters = sum(p.numel() for p in trainer.model.parameters())
    assert parameters == sum(p.numel() for p in tiny_policy().parameters())
