"""What stands between TRL and the rest: arguments, PPO's arithmetic, rewards on texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job, Method
from una_bench.interfaces.prepared import Prepared
from una_bench.models.reward_scorer import Scorer
from una_bench.training.common import own_settings, quiet_arguments
from una_bench.training.trl import ppo, reward, scoring

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def method(name: str, **settings: Any) -> Method:
    made: Method = registry.method(name)(**settings)
    return made


# arguments ------------------------------------------------------------------------------------------------------------


def test_only_a_method_s_own_settings_go_to_trl() -> None:
    assert own_settings(method("dpo", beta=0.3)) == {
        "beta": 0.3,
        "loss_type": "sigmoid",
        "label_smoothing": 0.0,
        "precompute_ref_log_probs": False,
    }


def test_recomputing_activations_is_off() -> None:
    assert False in {quiet_arguments().get(k) for k in ("activation_checkpointing", "gradient_checkpointing")}


# PPO's arithmetic ----------------------------------------------------------------------------------------------------


def arguments(job: Job, **settings: Any) -> Any:
    return ppo._arguments(method("ppo", **settings), job)


def test_ppo_generates_the_budget_divided_by_its_epochs(tiny_job: Job) -> None:
    job = replace(tiny_job, budget_responses=65536)
    assert arguments(job, num_ppo_epochs=4).total_episodes == 16384


def test_one_device_batch_is_the_whole_rollout(tiny_job: Job) -> None:
    made = arguments(tiny_job, responses_per_rollout=256)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (256, 1)


def test_warm_up_is_counted_in_updates(tiny_job: Job) -> None:
    assert arguments(tiny_job, warmup_steps=48, num_ppo_epochs=4, num_mini_batches=4).warmup_steps == 3


def test_debugging_samples_are_off(tiny_job: Job) -> None:
    assert arguments(tiny_job).num_sample_generations == 0


def test_a_rollout_that_cannot_be_divided_is_refused(tiny_job: Job) -> None:
    with pytest.raises(UserError, match="num_mini_batches=3"):
        arguments(tiny_job, responses_per_rollout=256, num_mini_batches=3)


def test_prompts_last_for_every_rollout_when_they_are_few(tiny_job: Job) -> None:
    job = replace(tiny_job, budget_responses=4 * 300)
    made = arguments(job, responses_per_rollout=256)
    assert len(ppo._prompts(Prepared(job.prepared), made)) >= 512  # two rollouts of 256 cover 300


def test_prompts_are_not_repeated_when_they_are_enough(tiny_job: Job) -> None:
    prepared = Prepared(tiny_job.prepared)
    made = arguments(replace(tiny_job, budget_responses=8), responses_per_rollout=2, num_mini_batches=1)
    assert len(ppo._prompts(prepared, made)) == len(prepared.prompts())


def policy_that_pads_with_its_end(folder: Path, source: Path, vocabulary: int) -> Path:
    """A policy folder whose tokenizer of 18 tokens pads with the end token."""
    tokenizer = AutoTokenizer.from_pretrained(source / "policy")
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    config = json.loads((source / "policy" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": vocabulary}))
    return folder


def test_padding_that_is_the_end_token_is_replaced(tiny_prepared: Path, tmp_path: Path) -> None:
    tokenizer = ppo._tokenizer(policy_that_pads_with_its_end(tmp_path, tiny_prepared, 19))
    assert tokenizer.pad_token_id == 18


def test_the_tokenizer_that_is_saved_keeps_its_padding(tiny_prepared: Path, tmp_path: Path) -> None:
    folder = policy_that_pads_with_its_end(tmp_path, tiny_prepared, 19)
    assert ppo._tokenizer(folder, separate_padding=False).pad_token == "."


def test_a_vocabulary_without_room_for_padding_is_refused(tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="padding token"):
        ppo._tokenizer(policy_that_pads_with_its_end(tmp_path, tiny_prepared, 18))


# rewards on texts ----------------------------------------------------------------------------------------------------

CONTEXT = 3
QUERIES = torch.tensor([[17, 9, 10, 1, 2, 0, 17], [17, 11, 12, 3, 4, 5, 6]])
"""Prompts ``01`` and ``23`` padded on the left to 3 tokens, one response that ended and one that did not."""


class Recorder:
    """A reward function that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        self.asked = list(zip(prompts, completions, strict=True))
        return [float(len(completion)) for completion in completions]


def ask(tokenizer: Any, function: Any, texts: dict[tuple[int, ...], str] | None = None) -> torch.Tensor:
    """Score `QUERIES` as PPOTrainer does."""
    from trl.experimental.utils import get_reward

    module = scoring.TextReward(function, tokenizer, texts or {(9, 10): "01", (11, 12): "23"})
    module.texts.context_length = CONTEXT
    rewards: torch.Tensor = get_reward(module, QUERIES, tokenizer.pad_token_id, CONTEXT)[1]
    return rewards


@pytest.fixture(scope="module")
def tokenizer(tiny_prepared: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_prepared / "policy")


def test_a_reward_function_sees_the_end_token_and_no_padding(tokenizer: Any) -> None:
    function = Recorder()
    ask(tokenizer, function)
    assert [completion for _, completion in function.asked] == ["ab.", "cdef"]


def test_a_reward_function_sees_prompts_as_they_were_written(tokenizer: Any) -> None:
    function = Recorder()
    ask(tokenizer, function, {(9, 10): "first prompt", (11, 12): "second prompt"})
    assert [prompt for prompt, _ in function.asked] == ["first prompt", "second prompt"]


def test_ppo_reads_what_the_function_returned(tokenizer: Any) -> None:
    assert ask(tokenizer, Recorder()).tolist() == [3.0, 4.0]


def test_a_reward_model_on_texts_agrees_with_the_same_model_on_ids(tokenizer: Any, tiny_prepared: Path) -> None:
    from trl.experimental.utils import get_reward

    model = AutoModelForSequenceClassification.from_pretrained(tiny_prepared / "reward").eval()
    with torch.no_grad():
        direct = get_reward(model, QUERIES, tokenizer.pad_token_id, CONTEXT)[1]
    assert ask(tokenizer, Scorer(Prepared(tiny_prepared))).tolist() == pytest.approx(direct.tolist(), abs=1e-5)


def test_a_reward_model_with_the_policy_s_tokens_is_used_directly(tiny_job: Job, tokenizer: Any) -> None:
    module, value_from = scoring.reward_module(tiny_job, Prepared(tiny_job.prepared), tokenizer)
    assert (isinstance(module, scoring.TextReward), value_from) == (False, tiny_job.prepared / "reward")


def test_a_reward_model_with_other_tokens_gets_texts(
    tiny_job: Job, tiny_prepared: Path, tokenizer: Any, tmp_path: Path
) -> None:
    prepared = Prepared(shutil.copytree(tiny_prepared, tmp_path / "prepared"))
    other = AutoTokenizer.from_pretrained(prepared.path / "reward")
    other.add_tokens(["another"])
    other.save_pretrained(prepared.path / "reward")
    module, value_from = scoring.reward_module(tiny_job, prepared, tokenizer)
    assert (isinstance(module, scoring.TextReward), value_from) == (True, None)


def test_asking_for_a_true_reward_that_nobody_knows_is_refused(
    tiny_job: Job, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "true_reward", lambda prepared: None)
    with pytest.raises(UserError, match="no true reward"):
        scoring.reward_module(replace(tiny_job, reward="true"), Prepared(tiny_job.prepared), tokenizer)


def test_ppo_trains_on_a_true_reward(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from una_bench.instruments.probe import Probe

    function = Recorder()
    monkeypatch.setattr(registry, "true_reward", lambda prepared: function)
    settings = method("ppo", responses_per_rollout=16, num_mini_batches=2)
    settings.train(replace(tiny_job, reward="true"), Probe())
    assert len(function.asked) == 16


# reward models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("reward")
    figures = reward.train_reward_model(
        tiny_prepared / "policy", tiny_prepared, out, seed=0, steps=60, batch=16, learning_rate=3e-3
    )
    return out, figures


def test_a_fitted_reward_model_knows_its_training_pairs(fitted: tuple[Path, dict[str, float]]) -> None:
    assert fitted[1]["accuracy"] > 0.8


def test_a_fitted_reward_model_reports_held_out_accuracy(fitted: tuple[Path, dict[str, float]]) -> None:
    assert 0.0 <= fitted[1]["heldout_accuracy"] <= 1.0


def test_a_fitted_reward_model_has_one_output(fitted: tuple[Path, dict[str, float]]) -> None:
    assert AutoModelForSequenceClassification.from_pretrained(fitted[0]).config.num_labels == 1


def test_a_fitted_reward_model_carries_its_tokenizer(fitted: tuple[Path, dict[str, float]]) -> None:
    assert AutoTokenizer.from_pretrained(fitted[0])("a.")["input_ids"] == [1, 0]


def test_a_reward_model_is_fitted_to_prompt_and_response(tiny_prepared: Path) -> None:
    table = Prepared(tiny_prepared).responses()
    first = table[table.chosen].iloc[0]
    pairs = reward._pairs(Prepared(tiny_prepared), "train")
    assert pairs[0]["chosen_ids"] == [*first.prompt_ids, *first.completion_ids]
