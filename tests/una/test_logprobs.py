"""Response log-probabilities: equal to the plain computation, without its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import (
    VOCABULARY,
    gemma_with_soft_caps,
    gpt2,
    gradients,
    llama_with_tied_embeddings,
    lora_on_the_output_layer,
    phi,
)
from torch import Tensor

from una_bench.una import batch_splitting
from una_bench.una import head as head_module
from una_bench.una.examples import Examples, Kind, pack
from una_bench.una.head import token_logps
from una_bench.una.logprobs import ResponseScorer

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
MODELS = [phi, llama_with_tied_embeddings, gpt2, gemma_with_soft_caps, lora_on_the_output_layer]


def examples(count: int = 6) -> Examples:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, VOCABULARY, rng.integers(1, 6)).tolist() for _ in range(count)]
    completions = [rng.integers(0, VOCABULARY, rng.integers(1, 9)).tolist() for _ in range(count)]
    return Examples(
        **pack(prompts, completions),
        first=np.arange(count),
        kinds=np.full(count, Kind.SCORE, dtype=np.int8),
        targets=np.zeros(count),
        groups=np.arange(count),
        pad=0,
    )


def plain(model: Any, data: Examples) -> Tensor:
    """Compute one sequence at a time, with all logits."""
    sums = []
    for start, length, prompt in zip(data.starts, data.lengths, data.prompt_lengths, strict=True):
        ids = torch.from_numpy(data.tokens[start : start + length].astype(np.int64))[None]
        logp_TV = model(input_ids=ids).logits[0].float().log_softmax(-1)
        picked = logp_TV[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
        sums.append(picked[int(prompt) - 1 :].sum())
    return torch.stack(sums)


@pytest.mark.parametrize("chunk", [None, 5, 0])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_values_equal_the_plain_computation(make: Any, chunk: int | None) -> None:
    torch.manual_seed(0)
    model, data = make(), examples()
    got = ResponseScorer(model, chunk)(model, data.sequences(np.arange(len(data)))).logps
    torch.testing.assert_close(got, plain(model, data), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [None, 5, 0])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_gradients_equal_those_of_the_plain_computation(make: Any, chunk: int | None) -> None:
    torch.manual_seed(0)
    model, data = make(), examples()
    got = gradients(model, ResponseScorer(model, chunk)(model, data.sequences(np.arange(len(data)))).logps)
    torch.testing.assert_close(got, gradients(model, plain(model, data)), rtol=1e-5, atol=1e-5)


def test_soft_caps_after_the_output_layer_are_noticed() -> None:
    assert ResponseScorer(gemma_with_soft_caps()).uses_model_logits


def test_a_plain_output_layer_is_used_directly() -> None:
    assert not ResponseScorer(phi()).uses_model_logits


def test_a_chunk_size_of_0_computes_the_logits_of_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, shapes = phi(), examples(), []
    model.lm_head.register_forward_hook(lambda _, __, logits: shapes.append(logits.shape))
    batch = data.sequences(np.arange(len(data)))
    ResponseScorer(model, 0)(model, batch)
    assert shapes == [(*batch["input_ids"].shape, VOCABULARY)]


def test_chunked_gradients_pass_the_numerical_check_in_float64() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 7, dtype=torch.float64)
    states, labels = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), torch.randint(0, 7, (5,))

    def through(states: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return head_module._ChunkedLinear.apply(states, weight, bias, labels, 2)

    assert torch.autograd.gradcheck(through, (states, layer.weight, layer.bias))
    frozen = layer.requires_grad_(False)
    assert torch.autograd.gradcheck(lambda states: through(states, frozen.weight, frozen.bias), (states,))


@pytest.mark.parametrize(("learns", "times"), [(True, 2), (False, 1)])
def test_logits_of_frozen_weights_are_computed_once(learns: bool, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(head_module.nn.functional, "linear", lambda x, *rest: rows.append(len(x)) or linear(x, *rest))
    layer, states = torch.nn.Linear(4, 7).requires_grad_(learns), torch.randn(50, 4, requires_grad=True)
    token_logps(layer, states, torch.zeros(50, dtype=torch.long), chunk=8).sum().backward()
    assert sum(rows) == 50 * times


def test_no_more_logits_exist_at_once_than_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(head_module.nn.functional, "linear", lambda x, *rest: rows.append(len(x)) or linear(x, *rest))
    layer, states = torch.nn.Linear(4, 7), torch.randn(50, 4, requires_grad=True)
    token_logps(layer, states, torch.zeros(50, dtype=torch.long), chunk=8).sum().backward()
    assert max(rows) == 8


def test_only_states_that_predict_a_response_token_reach_the_output_layer() -> None:
    model, data = phi(), examples()
    rows: list[int] = []
    model.lm_head.register_forward_hook(lambda _, args, __: rows.append(args[0].shape[0]))
    scorer = ResponseScorer(model)
    rows.clear()
    scorer(model, data.sequences(np.arange(len(data))))
    assert rows == [int((data.lengths - data.prompt_lengths).sum())]


def test_frozen_output_weights_get_no_gradient_buffer() -> None:
    layer = torch.nn.Linear(4, 7).requires_grad_(False)
    states = torch.randn(50, 4, requires_grad=True)
    token_logps(layer, states, torch.zeros(50, dtype=torch.long), chunk=8).sum().backward()
    assert layer.weight.grad is None and states.grad is not None


def test_entropy_is_the_mean_over_response_positions() -> None:
    torch.manual_seed(0)
    model, data = phi(), examples(1)
    got = ResponseScorer(model)(model, data.sequences(np.arange(1)), entropy=True).entropy
    ids = torch.from_numpy(data.tokens.astype(np.int64))[None]
    logp_TV = model(input_ids=ids).logits[0].log_softmax(-1)[int(data.prompt_lengths[0]) - 1 : -1]
    torch.testing.assert_close(got, -(logp_TV.exp() * logp_TV).sum(-1).mean())


def test_prompt_states_are_those_of_each_prompts_last_token_and_carry_no_gradient() -> None:
    torch.manual_seed(0)
    model, data = phi(), examples(3)
    states = ResponseScorer(model)(model, data.sequences(np.arange(3))).prompt_states
    first, prompt = int(data.starts[1]), int(data.prompt_lengths[1])
    ids = torch.from_numpy(data.tokens[first : first + prompt].astype(np.int64))[None]
    torch.testing.assert_close(states[1], model.model(input_ids=ids)[0][0, -1].detach(), rtol=1e-5, atol=1e-5)
    assert not states.requires_grad


def test_gradient_checkpointing_leaves_gradients_as_they_are() -> None:
    torch.manual_seed(0)
    model, data = phi(), examples()
    model.train()
    batch = data.sequences(np.arange(len(data)))
    before = gradients(model, ResponseScorer(model)(model, batch).logps)
    named = [n for n in ("activation_checkpointing_enable", "gradient_checkpointing_enable") if hasattr(model, n)]
    getattr(model, named[0])({"use_reentrant": False})  # the first is transformers' name in later releases
    torch.testing.assert_close(gradients(model, ResponseScorer(model)(model, batch).logps), before)


@pytest.fixture
def always_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_splitting, "SPLIT_TOKENS", 0)


def test_a_batch_of_unequal_lengths_is_split(always_split: None) -> None:
    batch = examples(12).sequences(np.arange(12))
    found = batch_splitting.parts_of(batch)
    assert len(found) == 2
    assert sorted(torch.cat([rows for rows, _ in found]).tolist()) == list(range(12))
    real = int((batch["prompt_ends"] % batch["input_ids"].shape[1] + 1 + batch["lengths"]).sum())
    assert real <= batch_splitting.padded_tokens(batch) < batch["input_ids"].numel()


def test_a_small_batch_is_not_split() -> None:
    assert len(batch_splitting.parts_of(examples(12).sequences(np.arange(12)))) == 1


@pytest.mark.parametrize("make", [phi, llama_with_tied_embeddings, gpt2, lora_on_the_output_layer])
def test_a_split_batch_has_the_values_and_gradients_of_a_whole_one(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, batch = make(), examples(12).sequences(np.arange(12))
    scorer = ResponseScorer(model)
    whole = scorer(model, batch)
    expected = gradients(model, whole.logps)
    monkeypatch.setattr(batch_splitting, "SPLIT_TOKENS", 0)
    split = scorer(model, batch)
    torch.testing.assert_close(split.logps, whole.logps, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(split.prompt_states, whole.prompt_states, rtol=1e-5, atol=1e-5)
    got = gradients(model, split.logps)
    assert got.keys() == expected.keys()
    for name, gradient in got.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)
