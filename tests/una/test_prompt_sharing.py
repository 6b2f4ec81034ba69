"""Packs: prompts computed once, with the log-probabilities and gradients of separate rows."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import (
    VOCABULARY,
    gemma,
    gemma3,
    gemma_with_soft_caps,
    gpt2,
    gradients,
    grouped_llama,
    llama_with_tied_embeddings,
    lora_on_the_output_layer,
    mistral,
    of,
    opt,
    phi,
    qwen2,
)

from una_bench.una import prompt_sharing
from una_bench.una.examples import Examples, Kind, pack
from una_bench.una.logprobs import ResponseScorer, causal_model
from una_bench.una.pack_check import UNLIMITED, longest_packed

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
MODELS = [
    phi, llama_with_tied_embeddings, grouped_llama, gpt2, lora_on_the_output_layer, qwen2, gemma, opt, mistral, gemma3,
]  # fmt: skip


@pytest.fixture(autouse=True)
def always_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST_TOKENS", "LEAST_GROUP"):
        monkeypatch.setattr(prompt_sharing, name, 0)


def examples(prompts: int = 3, responses: int = 3, longest: int = UNLIMITED) -> Examples:
    """Return responses of 1 to 9 tokens, the prompts in turn."""
    rng = np.random.default_rng(0)
    given = [rng.integers(0, VOCABULARY, rng.integers(1, 8)).tolist() for _ in range(prompts)] * responses
    completions = [rng.integers(0, VOCABULARY, length % 9 + 1).tolist() for length in range(len(given))]
    count = len(given)
    kinds = {"kinds": np.full(count, Kind.SCORE, dtype=np.int8), "targets": np.zeros(count)}
    numbers = {"first": np.arange(count), "groups": np.arange(count)}
    return Examples(**pack(given, completions), **kinds, **numbers, longest_packed=longest)


def both(data: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the batch of all sequences as separate rows and as a pack."""
    batch = data.sequences(np.arange(len(data)))
    return {name: value for name, value in batch.items() if name != "pack"}, batch


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_values_and_gradients_equal_those_of_separate_rows(make: Any, chunk: int | None) -> None:
    torch.manual_seed(0)
    model = make()
    (rows, packed), scorer = both(examples()), ResponseScorer(model, chunk)
    expected, got = scorer(model, rows), scorer(model, packed)
    torch.testing.assert_close(got.logps, expected.logps, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.prompt_states, expected.prompt_states, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients(model, got.logps), gradients(model, expected.logps), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_the_check_accepts_the_model(make: Any) -> None:
    model = make()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # as the trainer does
    causal, scorer = causal_model(model), ResponseScorer(model)
    assert longest_packed(causal, lambda batch: scorer(causal, batch).logps) > 0


def test_recomputed_layers_see_the_pack() -> None:
    torch.manual_seed(0)
    model = grouped_llama().train()
    (rows, packed), scorer = both(examples()), ResponseScorer(model)
    expected = gradients(model, scorer(model, rows).logps)
    named = [n for n in ("activation_checkpointing_enable", "gradient_checkpointing_enable") if hasattr(model, n)]
    getattr(model, named[0])({"use_reentrant": False})
    logps = scorer(model, packed).logps
    scorer(model, rows)  # another pass before the backward one
    torch.testing.assert_close(gradients(model, logps), expected, rtol=1e-5, atol=1e-5)


def test_a_pack_holds_each_prompt_once_and_no_padding() -> None:
    data = examples(prompts=3, responses=3)
    prompts, responses = data.prompt_lengths[:3].sum(), (data.lengths - data.prompt_lengths).sum()
    _, batch = both(data)
    assert batch["pack"].input_ids.numel() == prompts + responses - len(data)  # last tokens predict nothing
    assert len(batch["pack"].sizes) == 3


def test_a_response_of_another_prompt_changes_nothing() -> None:
    torch.manual_seed(0)
    model, data = grouped_llama(), examples(prompts=2, responses=1)
    scorer = ResponseScorer(model)
    before = scorer(model, both(data)[1]).logps
    data.tokens[data.starts[1] : data.starts[1] + data.lengths[1]] = 3
    after = scorer(model, both(data)[1]).logps
    assert torch.equal(before[0], after[0])
    assert before[1] != after[1]


def test_sequences_longer_than_the_window_of_attention_are_not_packed() -> None:
    model = mistral(window=4)
    scorer = ResponseScorer(model)
    longest = longest_packed(model, lambda batch: scorer(model, batch).logps)
    assert longest == 0 or "pack" not in examples(longest=longest).sequences(np.arange(9))


@pytest.mark.parametrize(
    ("make", "reason"),
    [(gemma_with_soft_caps, "'eager'"), (lambda: of("OPT", ffn_dim=64, word_embed_proj_dim=32), "dropout")],
    ids=["soft caps", "dropout"],
)
def test_a_model_that_cannot_take_packs_is_named(make: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model = make()
    scorer = ResponseScorer(model)
    with caplog.at_level(logging.WARNING):
        assert longest_packed(model, lambda batch: scorer(model, batch).logps) == 0
    assert reason in caplog.text


def test_a_model_with_other_values_in_a_pack_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    model = grouped_llama()
    scorer = ResponseScorer(model)

    def wrong(batch: Any) -> Any:
        return scorer(model, batch).logps + (0.01 if "pack" in batch else 0.0)

    assert longest_packed(model, wrong) == 0
    assert "differ by 0.01" in caplog.text


def test_nothing_is_packed_where_little_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sharing, "LEAST_TOKENS", 512)
    assert "pack" not in both(examples())[1]
