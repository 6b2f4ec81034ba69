"""Packs: prompts computed once, with the log-probabilities and gradients of separate rows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
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
from tiny_world import tiny_policy, tiny_responses, tiny_tokenizer

from una_bench import UNAConfig, UNATrainer
from una_bench.instruments.flops import body_cost, watch
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.una import prompt_sharing
from una_bench.una.batch_splitting import hidden_states
from una_bench.una.examples import Examples, Kind, pack
from una_bench.una.logprobs import ResponseScorer, causal_model
from una_bench.una.pack_check import UNLIMITED, longest_packed
from una_bench.una.product_sizes import filled, rounded

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
TOKENS = ("prompt_tokens", "response_tokens")
MODELS = [
    phi, llama_with_tied_embeddings, grouped_llama, gpt2, lora_on_the_output_layer, qwen2, gemma, opt, mistral, gemma3,
]  # fmt: skip


@pytest.fixture(autouse=True)
def always_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST_TOKENS", "LEAST_GROUP"):
        monkeypatch.setattr(prompt_sharing, name, 0)


def examples(prompts: int = 3, responses: int = 3, longest: int = UNLIMITED, *, fill: bool = False) -> Examples:
    """Return responses of 1 to 9 tokens, the prompts in turn."""
    rng = np.random.default_rng(0)
    given = [rng.integers(0, VOCABULARY, rng.integers(1, 8)).tolist() for _ in range(prompts)] * responses
    completions = [rng.integers(0, VOCABULARY, length % 9 + 1).tolist() for length in range(len(given))]
    count = len(given)
    kinds = {"kinds": np.full(count, Kind.SCORE, dtype=np.int8), "targets": np.zeros(count)}
    numbers = {"first": np.arange(count), "groups": np.arange(count)}
    return Examples(**pack(given, completions), **kinds, **numbers, longest_packed=longest, fills_packs=fill)


def both(data: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the batch of all sequences as separate rows and as a pack."""
    batch = data.sequences(np.arange(len(data)))
    return {name: value for name, value in batch.items() if name != "pack"}, batch


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_values_and_gradients_equal_those_of_separate_rows(make: Any, chunk: int | None) -> None:
    torch.manual_seed(0)
    model = make()
    (rows, packed), scorer = both(examples(fill=True)), ResponseScorer(model, chunk)
    assert packed["pack"].filler
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
    assert longest_packed(causal, lambda batch: scorer(causal, batch).logps)[0] > 0


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


def test_low_precision_has_few_sizes_of_products() -> None:
    assert {rounded(count) for count in range(1024, 2049)} == set(range(1024, 2049, 64))
    states = torch.ones(1025, 2)
    assert filled(states) is states
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert filled(states).sum(0).tolist() == [1025, 1025]
        assert len(filled(states)) == 1088
        numbers = torch.arange(1025)
        assert torch.equal(filled(numbers)[:1025], numbers)


def test_a_response_of_another_prompt_changes_nothing() -> None:
    torch.manual_seed(0)
    model, data = grouped_llama(), examples(prompts=2, responses=1)
    scorer = ResponseScorer(model)
    before = scorer(model, both(data)[1]).logps
    data.tokens[data.starts[1] : data.starts[1] + data.lengths[1]] = 3
    after = scorer(model, both(data)[1]).logps
    assert torch.equal(before[0], after[0])
    assert before[1] != after[1]


def test_sequences_longer_than_the_window_of_attention_are_not_packed(caplog: pytest.LogCaptureFixture) -> None:
    model = mistral(window=12)
    scorer = ResponseScorer(model)
    longest, _ = longest_packed(model, lambda batch: scorer(model, batch).logps)
    data = examples()
    data.allow_packs(longest)
    assert longest == 12 < data.lengths.max()
    assert "more than 12 tokens" in caplog.text
    assert "pack" not in data.sequences(np.arange(9))
    assert "pack" in data.sequences(np.flatnonzero(data.lengths <= 12))


@pytest.mark.parametrize(
    ("make", "reason"),
    [(gemma_with_soft_caps, "'eager'"), (lambda: of("OPT", ffn_dim=64, word_embed_proj_dim=32), "dropout")],
    ids=["soft caps", "dropout"],
)
def test_a_model_that_cannot_take_packs_is_named(make: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model = make()
    scorer = ResponseScorer(model)
    with caplog.at_level(logging.WARNING):
        assert longest_packed(model, lambda batch: scorer(model, batch).logps)[0] == 0
    assert reason in caplog.text


def test_a_model_with_other_values_in_a_pack_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    model = grouped_llama()
    scorer = ResponseScorer(model)

    def wrong(batch: Any) -> Any:
        return scorer(model, batch).logps + (0.01 if "pack" in batch else 0.0)

    assert longest_packed(model, wrong)[0] == 0
    assert "differ by 0.01" in caplog.text


def test_nothing_is_packed_where_little_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sharing, "LEAST_TOKENS", 512)
    assert "pack" not in both(examples())[1]


def test_operations_of_a_pack_are_those_of_its_tokens_and_allowed_pairs() -> None:
    model, data = grouped_llama(), examples(prompts=1, responses=2)
    counted = Probe(warmup=0)
    watch(counted, "policy", model.requires_grad_(False))
    batch = both(data)[1]
    hidden_states(lambda **inputs: model.model(**inputs, use_cache=False)[0], batch)
    prompt, first, second = int(data.prompt_lengths[0]), *(data.lengths - data.prompt_lengths - 1).tolist()
    tokens = prompt + first + second
    pairs = sum(range(1, prompt + 1)) + sum(prompt + n for k in (first, second) for n in range(1, k + 1))
    assert counted.flops["policy.forward"] == body_cost(model).forward(tokens, pairs)


def trained(folder: Any, *, share: bool, lora: bool, rows: list[dict[str, Any]]) -> tuple[list[float], dict[str, Any]]:
    """Return the losses and final weights of a training."""
    torch.manual_seed(0)
    model, adapters = tiny_policy(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    args = UNAConfig(
        output_dir=str(folder), per_device_train_batch_size=8, max_steps=4, learning_rate=0.02, optim="sgd",
        logging_steps=1, save_strategy="no", use_cpu=True, report_to="none", disable_tqdm=True, share_prompts=share,
        reference="precomputed", reference_cache=str(folder),
    )  # fmt: skip
    config = adapters if lora else None
    trainer = UNATrainer(model, args, train_dataset=rows, processing_class=tiny_tokenizer(), peft_config=config)
    assert bool(trainer.longest_packed) == share
    assert ("pack" in trainer.train_dataset[0]) == share
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, {name: weight.detach() for name, weight in trainer.policy.named_parameters()}


@pytest.mark.parametrize("lora", [False, True])
def test_training_is_that_of_separate_rows(lora: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sharing, "LEAST_SAVING", -1.0)  # also batches of one response
    table = tiny_responses()
    rows = table[["prompt_ids", "completion_ids", "score"]].to_dict("records")
    packs, separate = (trained(tmp_path / str(share), share=share, lora=lora, rows=rows) for share in (True, False))
    assert packs[0] == pytest.approx(separate[0], abs=1e-6)
    torch.testing.assert_close(packs[1], separate[1], rtol=1e-5, atol=1e-5)


def test_packed_tokens_are_counted_as_those_of_the_data(
    tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = []
    for name, least in (("rows", 2**31), ("packs", 0)):
        monkeypatch.setattr(prompt_sharing, "LEAST_TOKENS", least)
        job = Job(
            prepared=tiny_prepared, out=tmp_path / name, seed=0, budget_responses=64, batch_responses=8,
            max_prompt_length=2, max_new_tokens=4,
        )  # fmt: skip
        job.out.mkdir()
        probes.append(Probe())
        registry.method("una_pairwise")().train(job, probes[-1])
    rows, packs = (probe.totals for probe in probes)
    assert packs["padding_tokens"] == 0 < rows["padding_tokens"]  # in float32, without filler
    assert [packs[key] for key in TOKENS] == [rows[key] for key in TOKENS]
    assert probes[1].flops["policy.forward"] < probes[0].flops["policy.forward"]
    assert probes[1].facts["prompts_shared"] == "in batches where it saves computation"
