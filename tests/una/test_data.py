"""Dataset formats, mixed feedback, and errors before training starts."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from tiny_world import tiny_policy, tiny_tokenizer

from una_bench import OnlineUNAConfig, OnlineUNATrainer, UNAConfig, UNATrainer
from una_bench.errors import UserError
from una_bench.una.data import build_examples
from una_bench.una.examples import Examples, Kind
from una_bench.una.samplers import GroupSampler

PAIR = {"prompt": "01", "chosen": "ab", "rejected": "c"}
LABEL = {"prompt": "12", "completion": "de", "label": True}
SCORE = {"prompt": "23", "completion": "f", "score": 0.25}
TEMPLATE = (
    "{% for m in messages %}{{ '0' if m.role == 'user' else '1' }}{{ m.content }}"
    "{{ eos_token if m.role == 'assistant' else '' }}{% endfor %}{% if add_generation_prompt %}1{% endif %}"
)


def config(tmp_path: Path, **settings: Any) -> UNAConfig:
    return UNAConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **settings)


def build(tmp_path: Path, rows: Any, tokenizer: Any = None, **settings: Any) -> Examples:
    return build_examples(rows, tokenizer or tiny_tokenizer(), config(tmp_path, **settings))


def texts(examples: Examples) -> list[tuple[str, str]]:
    """Prompt and completion of each sequence."""
    tokenizer, out = tiny_tokenizer(), []
    for start, length, prompt in zip(examples.starts, examples.lengths, examples.prompt_lengths, strict=True):
        ids = examples.tokens[start : start + length]
        out.append((tokenizer.decode(ids[:prompt]), tokenizer.decode(ids[prompt:])))
    return out


def test_plain_text_completions_end_with_eos(tmp_path: Path) -> None:
    assert texts(build(tmp_path, [PAIR])) == [("01", "ab."), ("01", "c.")]


def test_an_eos_that_is_there_is_not_doubled(tmp_path: Path) -> None:
    assert texts(build(tmp_path, [SCORE | {"completion": "f."}])) == [("23", "f.")]


def test_token_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    row = {"prompt_ids": np.array([9, 10]), "completion_ids": np.array([1, 2, 3]), "score": 0.5}
    assert build(tmp_path, [row]).tokens.tolist() == [9, 10, 1, 2, 3]


def test_token_ids_win_over_the_text_beside_them(tmp_path: Path) -> None:
    row = SCORE | {"prompt_ids": [9], "completion_ids": [1]}
    assert build(tmp_path, [row]).tokens.tolist() == [9, 1]


def test_conversations_go_through_the_chat_template(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    row = {
        "prompt": [{"role": "user", "content": "23"}],
        "completion": [{"role": "assistant", "content": "ab"}],
        "score": 0.5,
    }
    assert texts(build(tmp_path, [row], tokenizer)) == [("0231", "ab.")]


def test_kinds_may_be_mixed_row_by_row(tmp_path: Path) -> None:
    columns = {name for row in (PAIR, LABEL, SCORE) for name in row}
    mixed = datasets.Dataset.from_list([{name: row.get(name) for name in columns} for row in (PAIR, LABEL, SCORE)])
    assert build(tmp_path, mixed).kinds.tolist() == [Kind.PAIRWISE, Kind.BINARY, Kind.SCORE]


def test_the_log_says_which_feedback_was_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="una_bench"):
        build(tmp_path, [PAIR, LABEL, SCORE, SCORE])
    assert "1 rows binary, 1 rows pairwise, 2 rows score" in caplog.text


def test_scores_are_mapped_from_their_range_to_unit_interval(tmp_path: Path) -> None:
    assert build(tmp_path, [SCORE | {"score": 4}], score_range=[1, 5]).targets.tolist() == [0.75]


def test_reward_space_keeps_raw_rewards(tmp_path: Path) -> None:
    assert build(tmp_path, [SCORE | {"score": -7.5}], space="reward").targets.tolist() == [-7.5]


def test_long_completions_lose_their_end(tmp_path: Path) -> None:
    assert texts(build(tmp_path, [SCORE | {"completion": "abcdefgh"}], max_length=5)) == [("23", "abc")]


def test_a_batch_holds_chosen_then_rejected_then_single_responses(tmp_path: Path) -> None:
    examples = build(tmp_path, [SCORE, PAIR, LABEL, PAIR | {"prompt": "77"}])
    batch = examples.__getitems__([0, 1, 2, 3])
    tokenizer = tiny_tokenizer()
    shown = [tokenizer.decode(ids).rstrip("_") for ids in batch["input_ids"]]
    assert shown == ["01ab.", "77ab.", "01c.", "77c.", "23f.", "12de."]


def test_a_batch_says_where_response_tokens_are_predicted(tmp_path: Path) -> None:
    batch = build(tmp_path, [SCORE, LABEL]).__getitems__([0, 1])
    width = batch["input_ids"].shape[1]
    places = [(int(p) // width, int(p) % width) for p in batch["positions"]]
    assert places == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]


def test_prompt_mean_groups_are_pairs_of_the_same_prompt(tmp_path: Path) -> None:
    rows = [SCORE | {"prompt": p} for p in ("00", "11", "00", "11", "00", "00", "11")]
    groups = build(tmp_path, rows, offset="prompt_mean").groups
    assert groups.tolist() == [0, 2, 0, 2, 1, 1, 2]


def test_grouped_rows_stay_next_to_each_other() -> None:
    groups = np.repeat(np.arange(10), 2)
    order = list(GroupSampler(groups, seed=3))
    assert [groups[a] == groups[b] for a, b in zip(order[::2], order[1::2], strict=True)] == [True] * 10


def test_the_order_of_groups_changes_with_the_epoch() -> None:
    sampler = GroupSampler(np.arange(20), seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_the_partition_is_estimated_from_a_prompts_scores(tmp_path: Path) -> None:
    rows = [SCORE | {"score": s} for s in (0.2, 0.6, 0.9)]
    examples = build(tmp_path, rows, offset="partition", beta=0.5)
    weights = [(s / (1 - s)) ** 2 for s in (0.2, 0.6, 0.9)]
    assert examples.log_partition is not None
    np.testing.assert_allclose(examples.log_partition, math.log(sum(weights) / 3))


def test_a_given_partition_is_kept(tmp_path: Path) -> None:
    examples = build(tmp_path, [SCORE | {"log_partition": 0.75}], offset="partition")
    assert examples.log_partition is not None and examples.log_partition.tolist() == [0.75]


BAD_ROWS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "no prompt": ({"completion": "a", "score": 0.5}, {}, "Row 1 .*'prompt'"),
    "no rejected": ({"prompt": "0", "chosen": "a"}, {}, "Row 1 .*'rejected'"),
    "no response": ({"prompt": "0", "score": 0.5}, {}, "Row 1 .*'completion'"),
    "no feedback": ({"prompt": "0", "completion": "a"}, {}, "Row 1 .*'label' or 'score'"),
    "pair and completion": (PAIR | {"completion": "a"}, {}, "Row 1 .*'chosen' and 'completion'"),
    "pair and score": (PAIR | {"score": 0.5}, {}, "Row 1 .*'chosen' and 'score'"),
    "label and score": (LABEL | {"score": 0.5}, {}, "Row 1 .*'label' and 'score'"),
    "score above": (SCORE | {"score": 1.5}, {}, "Row 1, column 'score': 1.5 .*score_range"),
    "score below": (SCORE | {"score": 0.0}, {"score_range": [0.2, 5]}, "Row 1, column 'score': 0.0 .*score_range"),
    "score nan": (SCORE | {"score": math.nan}, {}, "Row 1, column 'score': nan"),
    "score infinite in reward space": (SCORE | {"score": math.inf}, {"space": "reward"}, "Row 1, column 'score': inf"),
    "score a word": (SCORE | {"score": "good"}, {}, "Row 1, column 'score': 'good'"),
    "score a boolean": (SCORE | {"score": True}, {}, "Row 1, column 'score': True"),
    "label a number": (LABEL | {"label": 1}, {}, "Row 1, column 'label': 1 is not a boolean"),
    "label a word": (LABEL | {"label": "yes"}, {}, "Row 1, column 'label': 'yes' is not a boolean"),
    "label in reward space": (LABEL, {"space": "reward"}, "Row 1, column 'label'.*space"),
    "label with prompt_mean": (LABEL, {"offset": "prompt_mean"}, "Row 1, column 'label'.*prompt_mean"),
    "empty completion": (SCORE | {"completion": ""}, {}, "Row 1, column 'completion' is empty"),
    "blank completion": (SCORE | {"completion": " \n"}, {}, "Row 1, column 'completion' is empty"),
    "empty chosen": (PAIR | {"chosen": ""}, {}, "Row 1, column 'chosen' is empty"),
    "empty token ids": ({"prompt_ids": [9], "completion_ids": [], "score": 0.5}, {}, "Row 1, column 'completion'"),
    "empty prompt": (SCORE | {"prompt": ""}, {}, "Row 1, column 'prompt' is empty"),
    "long prompt": (SCORE | {"prompt": "0123"}, {"max_prompt_length": 3}, "Row 1, column 'prompt': 4 tokens.*3"),
    "prompt as long as all": (SCORE | {"prompt": "0123"}, {"max_length": 4}, "Row 1, column 'prompt': 4 tokens.*3"),
    "ids and text": (
        {"prompt": "0", "completion_ids": [1], "score": 0.5},
        {},
        "Row 1, column 'completion'.*prompt_ids",
    ),
    "a number as text": (SCORE | {"completion": 5}, {}, "Row 1, column 'completion': 5"),
    "lonely prompt": (SCORE | {"prompt": "7"}, {"offset": "prompt_mean"}, "Row 1, column 'prompt'.*prompt_mean"),
    "no partition": (SCORE | {"prompt": "7"}, {"offset": "partition"}, "Row 1, column 'log_partition'"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_with_row_and_column(case: str, tmp_path: Path) -> None:
    row, settings, message = BAD_ROWS[case]
    good = {"prompt": "5", "completion": "a", "score": 0.5, "log_partition": 0.0}
    rows = [good, dict(row), good]
    with pytest.raises(UserError, match=message):
        UNATrainer(tiny_policy(), config(tmp_path, **settings), train_dataset=rows, processing_class=tiny_tokenizer())


BAD_SETTINGS: dict[str, tuple[Mapping[str, Any], str]] = {
    "beta zero": ({"beta": 0.0}, "beta=0.0"),
    "beta negative": ({"beta": -0.1}, "beta=-0.1"),
    "beta nan": ({"beta": math.nan}, "beta=nan"),
    "space": ({"space": "scores"}, "space='scores'.*Did you mean 'score'"),
    "loss": ({"loss_type": "mae"}, "loss_type='mae'"),
    "offset": ({"offset": "prompt-mean"}, "offset='prompt-mean'.*Did you mean 'prompt_mean'"),
    "reference": ({"reference": "adapter"}, "reference='adapter'"),
    "bce in reward space": ({"space": "reward", "loss_type": "bce"}, "loss_type='bce'"),
    "score range": ({"score_range": [1.0, 1.0]}, "score_range"),
    "rate": ({"offset_rate": 0.0}, "offset_rate=0.0"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_bad_setting_is_refused_by_name(case: str, tmp_path: Path) -> None:
    settings, message = BAD_SETTINGS[case]
    with pytest.raises(UserError, match=message):
        config(tmp_path, **settings)


BAD_ONLINE: dict[str, tuple[Mapping[str, Any], str]] = {
    "precomputed": ({"reference": "precomputed"}, "impossible online"),
    "rollout no multiple": ({"responses_per_rollout": 10, "num_generations": 4}, "responses_per_rollout=10"),
    "one response for a mean": ({"offset": "prompt_mean", "num_generations": 1}, "num_generations"),
    "group cut by batch": ({"offset": "prompt_mean", "per_device_train_batch_size": 6}, "multiple of num_generations"),
    "top_p": ({"top_p": 0.0}, "top_p=0.0"),
    "temperature": ({"temperature": 0.0}, "temperature=0.0"),
    "anchor": ({"anchor": "old"}, "anchor='old'"),
    "normalization": ({"normalization": "rank"}, "normalization='rank'"),
}


@pytest.mark.parametrize("case", BAD_ONLINE)
def test_a_bad_online_setting_is_refused_by_name(case: str, tmp_path: Path) -> None:
    settings, message = BAD_ONLINE[case]
    with pytest.raises(UserError, match=message):
        OnlineUNAConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **settings)


def test_a_tokenizer_without_padding_token_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(UserError, match="no padding token"):
        UNATrainer(tiny_policy(), config(tmp_path), train_dataset=[SCORE], processing_class=tokenizer)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="processing_class is missing"):
        UNATrainer(tiny_policy(), config(tmp_path), train_dataset=[SCORE])


@pytest.mark.parametrize("rows", [[], iter([SCORE])], ids=["empty", "stream"])
def test_a_dataset_without_rows_or_length_is_refused(rows: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no rows|no length"):
        UNATrainer(tiny_policy(), config(tmp_path), train_dataset=rows, processing_class=tiny_tokenizer())


def test_a_reward_model_with_two_outputs_is_refused(tmp_path: Path) -> None:
    from transformers import PhiConfig, PhiForSequenceClassification

    sizes = {"vocab_size": 18, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    model = PhiForSequenceClassification(PhiConfig(**sizes, num_hidden_layers=1, num_labels=2))
    with pytest.raises(UserError, match="2 outputs; one is needed"):
        OnlineUNATrainer(
            tiny_policy(),
            model,
            OnlineUNAConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none"),
            train_dataset=[{"prompt": "0"}],
            processing_class=tiny_tokenizer(),
            reward_processing_class=tiny_tokenizer(),
        )


def test_adapter_off_without_adapters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs adapters"):
        UNATrainer(
            tiny_policy(),
            config(tmp_path, reference="adapter_off"),
            train_dataset=[SCORE],
            processing_class=tiny_tokenizer(),
        )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": "a"}, "Row 1 .*'prompt'"),
        ({"prompt": "01234"}, "Row 1, column 'prompt': 5 tokens"),
        ({"prompt": ""}, "Row 1 .*'prompt'"),
    ],
)
def test_a_bad_online_prompt_is_refused_with_its_row(row: Any, message: str, tmp_path: Path) -> None:
    args = OnlineUNAConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", max_prompt_length=3)
    with pytest.raises(UserError, match=message):
        OnlineUNATrainer(
            tiny_policy(),
            lambda prompts, completions: [0.0] * len(completions),
            args,
            train_dataset=[{"prompt": "0"}, row],
            processing_class=tiny_tokenizer(),
        )
