"""Calculated operations against PyTorch's own counter, and the measured peak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_world import tiny_policy
from torch.utils.flop_counter import FlopCounterMode
from una_bench.benchmarks.compute import Compute

from una_bench.instruments import flops
from una_bench.instruments.flops import matmul_peak
from una_bench.instruments.phases import EVALUATE
from una_bench.instruments.probe import Probe

# peft still asks transformers for the old name of activation checkpointing.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ROWS, TOKENS = 3, 5
IDS = torch.arange(1, 16).view(ROWS, TOKENS)
ATTENTION = 4 * 2 * 64 * ROWS * TOKENS * (TOKENS + 1) / 2
"""Two layers of width 64 over 15 pairs of tokens a row, forward. PyTorch's counter has no formula for it on CPU."""
ROTARY = 2e-4
"""Share of the rotary angles, which some releases of transformers compute by a product."""


def counted(model: Any, work: Callable[[Any], Any]) -> tuple[dict[str, float], float]:
    """Return calculated operations and PyTorch's count of the same work."""
    probe = Probe()
    flops.watch(probe, "policy", model)
    with FlopCounterMode(display=False) as counter:
        work(model)
    return probe.flops, float(counter.get_total_flops())


def test_a_forward_pass_agrees_with_pytorch() -> None:
    with torch.no_grad():
        by_pass, total = counted(tiny_policy(), lambda m: m(IDS))
    assert by_pass == pytest.approx({"policy.forward": total + ATTENTION}, rel=ROTARY)


def test_a_training_pass_agrees_with_pytorch() -> None:
    by_pass, total = counted(tiny_policy(), lambda m: m(IDS).logits.sum().backward())
    assert sum(by_pass.values()) == pytest.approx(total + 3 * ATTENTION, rel=ROTARY)


def test_generation_with_a_cache_agrees_with_pytorch() -> None:
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 17}
    by_pass, total = counted(tiny_policy(), lambda m: m.generate(IDS, **options))
    # Logits of the last position only are worked out, of which arithmetic knows: the output layer is watched itself.
    attended = ROWS * (TOKENS * (TOKENS + 1) / 2 + 6 + 7)
    assert by_pass["policy.forward"] == pytest.approx(total + 4 * 2 * 64 * attended, rel=ROTARY)


def test_adapters_spare_the_gradients_of_frozen_weights() -> None:
    from peft import LoraConfig, get_peft_model

    full, _ = counted(tiny_policy(), lambda m: m(IDS).logits.sum().backward())
    adapted = get_peft_model(tiny_policy(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    lora, _ = counted(adapted, lambda m: m(input_ids=IDS).logits.sum().backward())
    assert full["policy.backward"] / 2 < lora["policy.backward"] < 0.6 * full["policy.backward"]


def test_a_model_watched_twice_counts_once() -> None:
    probe, model = Probe(), tiny_policy()
    for _ in range(2):
        flops.watch(probe, "policy", model)
    with torch.no_grad():
        model(IDS)
        once = dict(probe.flops)
        model(IDS)
    assert probe.flops == {"policy.forward": 2 * once["policy.forward"]}


def test_evaluation_is_not_training() -> None:
    probe, model = Probe(), tiny_policy()
    flops.watch(probe, "policy", model)
    with probe.phase(EVALUATE), torch.no_grad():
        model(IDS)
    assert probe.flops == {}


def test_a_cached_token_attends_to_all_before_it() -> None:
    assert flops.attended_tokens(rows=2, new=1, cached=9) == 20


def test_only_visited_experts_count() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MixtralConfig(
        **sizes,
        vocab_size=8,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=1,
        tie_word_embeddings=False,
    )
    products = flops.body_cost(MixtralForCausalLM(config)).products
    assert products == 4 * 16 * 16 + 16 * 4 + 3 * 16 * 32  # attention, router, one expert


def metrics(probe: Probe) -> dict[str, float]:
    return {m.metric: m.value for m in Compute().read(probe)}


def trained(**flops_by_pass: float) -> Probe:
    probe = Probe(warmup=0)
    probe.begin_step()
    for name, amount in flops_by_pass.items():
        probe.add_flops(name, amount)
    probe.count(prompt_tokens=2, response_tokens=8)
    probe.end_step()
    return probe


def test_all_passes_add_up() -> None:
    assert metrics(trained(forward=100.0, backward=200.0))["compute.flops"] == 300.0


def test_operations_are_also_given_per_real_token() -> None:
    assert metrics(trained(forward=100.0, backward=200.0))["compute.flops_per_token"] == 30.0


def test_where_nobody_counted_nothing_is_reported() -> None:
    assert metrics(trained()) == {}


def test_utilization_is_speed_over_the_calibrated_peak() -> None:
    found = metrics(trained(forward=100.0))
    assert found["compute.utilization"] == found["compute.flops_per_second"] / found["compute.peak"]


def test_calibration_is_not_in_the_peak_of_the_training() -> None:
    probe = trained(forward=100.0)
    before = probe.peak_bytes
    Compute().read(probe)
    assert probe.peak_bytes - before < 2**20  # three matrices of 4 MiB are


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_is_a_rate_that_a_processor_can_have(precision: str) -> None:
    assert 1e8 < matmul_peak(precision=precision, seconds=0.0) < 1e15


def test_calibrating_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    matmul_peak(seconds=0.0)
    assert torch.rand(1) == expected
