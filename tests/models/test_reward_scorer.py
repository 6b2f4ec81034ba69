"""Rewards of one model by every path that reads them, whatever its tokenizer pads with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from text_models import END, UNKNOWN, byte_tokenizer, scored_rows, write_model, write_reward_model, write_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.interfaces.prepared import Prepared
from una_bench.models.reward_scorer import RewardModel, Scorer, read_rewards
from una_bench.training.rewards import required_reward
from una_bench.training.trl import ppo, scoring

PADDING = {"none": None, "end": END, "apart": UNKNOWN}
TOKENS = {"same": (), "other": ("<x>",)}


@pytest.fixture(scope="module", params=[(pad, tokens) for pad in PADDING for tokens in TOKENS], ids="-".join)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Return a preparation with a named reward model, by its padding token and its tokens."""
    pad, tokens = request.param
    folder = tmp_path_factory.mktemp(pad)
    tokenizer = byte_tokenizer(extra=TOKENS[tokens])
    tokenizer.pad_token = PADDING[pad]
    reward = write_reward_model(folder / "reward", tokenizer=tokenizer)
    settings = {
        "kind": "preference",
        "policy": str(write_model(folder / "model")),
        "dataset": str(write_rows(folder / "data.jsonl", scored_rows())),
        "heldout_share": 0.25,
        "max_prompt_length": 100,
        "max_response_length": 20,
        "reward_model": {"name": str(reward), "own_tokenizer": True},
    }
    registry.problem(settings).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")


@pytest.fixture(scope="module")
def texts(prepared: Prepared) -> tuple[list[str], list[str]]:
    """Return prompts and completions of several lengths, which end with the end token."""
    table = prepared.responses()
    return table.prompt.tolist(), table.completion.tolist()


@pytest.fixture(scope="module")
def expected(prepared: Prepared, texts: tuple[list[str], list[str]]) -> Any:
    """Return the rewards of single forward passes without padding, which transformers reads at the last token."""
    assert prepared.reward is not None
    model = AutoModelForSequenceClassification.from_pretrained(prepared.reward).eval()
    model.config.pad_token_id = None
    tokenizer = AutoTokenizer.from_pretrained(prepared.reward)
    with torch.no_grad():
        alone = [model(**tokenizer(p + c, return_tensors="pt")).logits.item() for p, c in zip(*texts, strict=True)]
    return pytest.approx(alone, abs=1e-5)


def job(prepared: Prepared, out: Path) -> Job:
    lengths = {"max_prompt_length": 100, "max_new_tokens": 20}
    return Job(prepared=prepared.path, out=out, seed=0, budget_responses=4, batch_responses=4, **lengths)


def test_the_scorer_reads_at_the_last_token(prepared: Prepared, texts: Any, expected: Any) -> None:
    assert Scorer(prepared)(*texts) == expected


def test_a_reward_model_by_itself_reads_at_the_last_token(prepared: Prepared, texts: Any, expected: Any) -> None:
    assert RewardModel(prepared.reward, batch=5)(*texts) == expected


def test_una_online_reads_at_the_last_token(prepared: Prepared, texts: Any, expected: Any, tmp_path: Path) -> None:
    assert required_reward(prepared, job(prepared, tmp_path), 5)(*texts) == expected


def test_ppo_reads_at_the_last_token(prepared: Prepared, expected: Any, tmp_path: Path) -> None:
    from trl.experimental.utils import get_reward

    tokenizer = ppo._tokenizer(prepared.policy)
    module, _ = scoring.reward_module(job(prepared, tmp_path), prepared, tokenizer)
    table = prepared.responses()
    width = max(map(len, table.prompt_ids))
    pad = tokenizer.pad_token_id
    left = [[pad] * (width - len(ids)) + list(ids) for ids in table.prompt_ids]
    longest = max(map(len, table.completion_ids))
    right = [list(ids) + [pad] * (longest - len(ids)) for ids in table.completion_ids]
    queries = torch.tensor([a + b for a, b in zip(left, right, strict=True)])
    getattr(module, "texts", module).context_length = width
    assert get_reward(module, queries, pad, width)[1].tolist() == expected


def test_the_manifest_s_accuracy_is_that_of_the_scorer(prepared: Prepared) -> None:
    table = prepared.responses("heldout")
    rewards = RewardModel(prepared.reward, batch=1)(table.prompt.tolist(), table.completion.tolist())
    right = [(a > b) == chosen for a, b, chosen in zip(rewards[::2], rewards[1::2], table.chosen[::2], strict=True)]
    assert prepared.manifest["reward_model"]["heldout_accuracy"] == pytest.approx(sum(right) / len(right))


def test_a_padding_token_without_an_embedding_is_not_used(tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(write_reward_model(tmp_path / "reward")).eval()
    ids = [[5, 6, 7], [8, 9]]
    assert read_rewards(model, ids, model.config.vocab_size) == read_rewards(model, ids, None)
