"""Facts for the fairness ledger on a method's rows and their tokenization."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from text_models import byte_tokenizer

from una_bench.instruments.fairness_facts import record_facts, record_rows
from una_bench.instruments.probe import Probe


def told(max_length: int | None, kept: int = 3) -> tuple[int, int]:
    probe = Probe()
    trainer = SimpleNamespace(args=SimpleNamespace(max_length=max_length))
    record_rows(probe, trainer, given=3, kept=kept, lengths=[4, 8, 9])
    return probe.facts["rows_dropped"], probe.facts["rows_truncated"]


def test_rows_longer_than_the_trainer_s_limit_are_truncated() -> None:
    assert told(8) == (0, 1)


def test_without_a_limit_nothing_is_truncated() -> None:
    assert told(None) == (0, 0)


def test_rows_that_the_trainer_left_out_are_dropped() -> None:
    assert told(None, kept=1) == (2, 0)


def facts(prompts: list[list[int]], completions: list[list[int]] | None) -> dict[str, Any]:
    probe = Probe()
    model = torch.nn.Linear(1, 1)
    record_facts(probe, model=model, tokenizer=byte_tokenizer(), prompt_ids=prompts, completion_ids=completions)
    return probe.facts


def test_methods_with_and_without_responses_show_the_same_prompt() -> None:
    offline, online = facts([[1, 40], [1, 39]], [[50, 2], [51, 2]]), facts([[1, 40], [1, 39]], None)
    shown = ("prompt_example", "prompts_set_sha256", "prompts_distinct")
    assert [offline[name] for name in shown] == [online[name] for name in shown]
    assert online["prompt_example"]["prompt_ids"] == [1, 39]


@pytest.mark.parametrize(
    ("prompt", "completion", "begins", "ends"),
    [([1, 40], [50, 2], 1, 1), ([1, 1, 40], [50, 2, 2], 2, 2), ([40], [50], 0, 0)],
)
def test_an_example_counts_the_tokens_that_begin_and_end_it(
    prompt: list[int], completion: list[int], begins: int, ends: int
) -> None:
    example = facts([prompt], [completion])["tokenisation_example"]
    assert (example["bos_tokens"], example["eos_tokens"]) == (begins, ends)
