"""The self-check: closed formulas by hand, what a wrong instrument looks like, and the noise that follows from A/A."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from scipy.stats import t

from una_bench.orchestration import self_check
from una_bench.orchestration.repeat import Spread
from una_bench.orchestration.self_check import Check, Report
from una_bench.orchestration.self_check_model import World

HAND = World(vocabulary=10, width=4, layers=1, heads=1, inner=8, prompt=2, response=1, rows=2, batch=1, steps=1)
"""160 weights in the layer (4 x 16 + 3 x 32), 3 tokens a row."""
KNOWN = {"known": self_check.KNOWN, "nothing": 0}


def trained(world: World, **changes: float) -> dict[str, Any]:
    """What a worker leaves whose instruments say exactly what arithmetic says."""
    held = world.resident_bytes()
    figures = {
        "compute.flops": world.flops(),
        "memory.peak": 1.2 * sum(held.values()),
        **{f"memory.resident.{name}": size for name, size in held.items()},
    }
    return {"measurements": [{"metric": m, "samples": [v]} for m, v in {**figures, **changes}.items()]}


def wrong(known: dict[str, int] = KNOWN, **changes: float) -> list[str]:
    return [check.name for check in self_check.checks(HAND, known, trained(HAND, **changes)) if not check.ok]


def test_weights_are_those_of_layers_embedding_output_and_norms() -> None:
    assert (HAND.products, HAND.parameters) == (160, 160 + 40 + 40 + 12)


def test_the_size_is_that_of_the_model_itself() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    world = World()
    config = LlamaConfig(
        vocab_size=world.vocabulary,
        hidden_size=world.width,
        intermediate_size=world.inner,
        num_hidden_layers=world.layers,
        num_attention_heads=world.heads,
        tie_word_embeddings=False,
    )
    assert sum(p.numel() for p in LlamaForCausalLM(config).parameters()) == world.parameters


def test_a_forward_pass_costs_layers_attention_and_output() -> None:
    # 2 x 160 x 3 tokens; 4 x width x (1 + 2 + 3) pairs; 2 x 10 x 4 on one response token
    assert HAND.forward(1) == 960 + 96 + 80


def test_a_training_costs_a_reference_pass_and_three_forwards_a_step() -> None:
    assert HAND.flops() == 2 * 1136 + 3 * 1136 + 80


def test_right_instruments_pass() -> None:
    assert wrong() == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"compute.flops": 1.01 * HAND.flops()}, "operations of training"),
        ({"memory.resident.optimizer": 252.0 * 4}, "resident optimizer"),
        ({"memory.peak": 100.0}, "peak of training, at least all of these"),
        ({"memory.peak": 1e9}, "peak of training, at least all of these"),
    ],
)
def test_a_wrong_instrument_is_named(changes: dict[str, float], name: str) -> None:
    assert wrong(**changes) == [name]


def test_an_allocation_that_is_missed_is_noticed() -> None:
    assert wrong({"known": self_check.KNOWN // 2, "nothing": 0}) == ["known allocation"]


def test_spread_is_largest_minus_smallest_over_the_mean() -> None:
    assert Spread(readings=(9.0, 10.0, 11.0)).range_share == pytest.approx(0.2)


def test_the_resolvable_difference_is_half_an_interval_of_two_means() -> None:
    spread = Spread(readings=(9.0, 10.0, 11.0))  # sd 1 of 10
    assert spread.resolvable_share(3) == pytest.approx(t.ppf(0.975, 4) * 0.1 * (2 / 3) ** 0.5)


def test_more_seeds_resolve_smaller_differences() -> None:
    spread = Spread(readings=(9.0, 10.0, 11.0))
    assert spread.resolvable_share(5) < spread.resolvable_share(3)


def test_names_of_figures_are_whole_on_a_narrow_terminal() -> None:
    console = Console(width=80, file=io.StringIO())
    names = ("throughput.tokens_per_second", "throughput.tokens_per_cpu_second")
    self_check.show(console, Report(device="cpu", checks=[], noise=dict.fromkeys(names, Spread(readings=(1.0, 2.0)))))
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_report_for_machines_says_what_failed() -> None:
    checks = [Check(name="x", unit="B", measured=2.0, expected=1.0, low=0.9, high=1.1)]
    found = Report(device="cpu", checks=checks, noise={"memory.peak": Spread(readings=(1.0, 1.0))}).to_json()
    assert (found["ok"], found["checks"][0]["ratio"], found["checks"][0]["ok"]) == (False, 2.0, False)


def test_the_self_check_measures_what_is_known_through_the_workers() -> None:
    world = replace(World(), width=128, inner=344, steps=6, rows=8)
    found = self_check.measure(world=world, times=2)
    # So small a model is drowned by what is fixed: only its peak may be out of range.
    assert [check.name for check in found.checks if not check.ok] in ([], ["peak of training, at least all of these"])
    assert {len(spread.readings) for spread in found.noise.values()} == {2}
    assert set(found.noise) == {
        "memory.peak",
        "throughput.tokens_per_second",
        "throughput.tokens_per_cpu_second",
        "pace.step",
    }
