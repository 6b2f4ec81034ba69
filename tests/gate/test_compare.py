"""The gate on made-up records: each rule, at its edge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic
from gate_records import ENVIRONMENT, MIB, elsewhere, judged, one, outcomes

from una_bench.gate import update
from una_bench.gate.compare import Outcome, check
from una_bench.record.schema import Better, Measurement, Status

# the three rules ------------------------------------------------------------------------------------------------------


def test_the_same_run_is_as_expected_in_everything(write: Callable[..., Path]) -> None:
    found = judged(write, one())
    assert {v.outcome for v in found.values()} == {Outcome.AS_EXPECTED}
    assert {"weights.final", "loss.128", "tokens.padding", "pace.step", "memory.peak_over_held"} <= found.keys()
    assert "oracle.regret.train" in found


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"loss": 0.40001}, "loss.128"),
        ({"loss": -0.4}, "loss.128"),
        ({"facts": {"final_weights_sha256": "ee" * 32}}, "weights.final"),
        ({"facts": {"initial_weights_sha256": "bb" * 32, "reference_weights_sha256": "bb" * 32}}, "weights.initial"),
        ({"facts": {"response_tokens": 13001}}, "tokens.response"),
        ({"facts": {"padding_tokens": 501}}, "tokens.padding"),
        ({"facts": {"reference_weights_sha256": "dd" * 32}}, "reference.weights"),
        ({"pace": 15.0}, "pace.step"),
        ({"pace": 15.0}, "pace.training"),
        ({"peak": 78.0 * MIB}, "memory.peak_over_held"),
        ({"held": 4.5 * MIB}, "memory.resident.weights"),
        ({"regret": 0.56}, "oracle.regret.train"),
    ],
)
def test_a_figure_out_of_its_limits_is_a_regression(
    write: Callable[..., Path], change: dict[str, Any], figure: str
) -> None:
    assert figure in outcomes(judged(write, one(**change)), Outcome.REGRESSION)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 0.400001},
        {"pace": 11.5},
        {"peak": 65.0 * MIB},
        {"regret": 0.54},
        {"environment": {**ENVIRONMENT, "packages": {**ENVIRONMENT["packages"], "una-bench": "9.0"}}},  # type: ignore[dict-item]
    ],
)
def test_a_figure_within_its_limits_is_as_expected(write: Callable[..., Path], change: dict[str, Any]) -> None:
    assert {v.outcome for v in judged(write, one(**change)).values()} == {Outcome.AS_EXPECTED}


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"pace": 5.0}, "pace.step"),
        ({"peak": 40.0 * MIB}, "memory.peak_over_held"),
        ({"held": 3.0 * MIB, "peak": 45.0 * MIB}, "memory.resident.weights"),
        ({"regret": 0.3}, "oracle.regret.train"),
    ],
)
def test_what_got_better_is_an_improvement(write: Callable[..., Path], change: dict[str, Any], figure: str) -> None:
    found = judged(write, one(**change))
    assert figure in outcomes(found, Outcome.IMPROVEMENT)
    assert not outcomes(found, Outcome.REGRESSION)


# another machine, other versions --------------------------------------------------------------------------------------


def test_with_other_versions_the_hash_is_not_compared_and_the_reason_is_said(write: Callable[..., Path]) -> None:
    packages = {**ENVIRONMENT["packages"], "torch": "2.14.0"}  # type: ignore[dict-item]
    found = judged(write, one(environment={**ENVIRONMENT, "packages": packages}, facts={"final_weights_sha256": "e"}))
    assert found["weights.final"].outcome is Outcome.NOT_COMPARED
    assert found["weights.final"].detail == "torch 2.14.0, baseline 2.13.0"


def test_on_another_machine_hashes_are_not_compared_and_memory_has_a_wide_limit(write: Callable[..., Path]) -> None:
    found = judged(write, elsewhere(peak=88.0 * MIB, facts={"final_weights_sha256": "ee" * 32}))
    not_compared = outcomes(found, Outcome.NOT_COMPARED)
    assert {"weights.final", "weights.initial", "data.responses"} == not_compared
    assert "other machine: cpu_id another vendor, baseline a vendor 1/2" in found["weights.final"].detail
    assert not outcomes(found, Outcome.REGRESSION)


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"loss": -0.4}, "loss.128"),
        ({"pace": 17.0}, "pace.step"),
        ({"facts": {"response_tokens": 15000}}, "tokens.response"),
        ({"facts": {"reference_weights_sha256": "dd" * 32}}, "reference.weights"),
        ({"held": 4.5 * MIB}, "memory.resident.weights"),
        ({"regret": 0.56}, "oracle.regret.train"),
        ({"peak": 92.0 * MIB}, "memory.peak_over_held"),
        ({"warmup": (1e-3, 1e-3)}, "learning_rate"),
        ({"settings": {"beta": 0.3}}, "settings"),
        ({"facts": {"rows_dropped": 1}}, "count.rows_dropped"),
    ],
)
def test_on_another_machine_what_does_not_hang_on_it_is_still_compared(
    write: Callable[..., Path], change: dict[str, Any], figure: str
) -> None:
    assert figure in outcomes(judged(write, elsewhere(**change)), Outcome.REGRESSION)


def test_a_missing_warm_up_is_named_by_its_first_points(write: Callable[..., Path]) -> None:
    found = judged(write, elsewhere(warmup=(1e-3, 1e-3)))
    assert found["learning_rate"].detail == "0.001 after 64 against 0 after 64, must be equal"


def test_only_the_settings_that_differ_are_named(write: Callable[..., Path]) -> None:
    now = one(settings={"beta": 0.3, "learning_rate": 0.1})
    before = one(settings={"beta": 0.5, "learning_rate": 0.1})
    assert judged(write, now, before)["settings"].detail == "beta=0.3 against beta=0.5, must be equal"


def test_on_another_machine_roundings_are_no_regression(write: Callable[..., Path]) -> None:
    found = judged(write, elsewhere(loss=0.41, pace=12.0, facts={"response_tokens": 13100}))
    assert not outcomes(found, Outcome.REGRESSION)


@pytest.mark.parametrize(
    ("first", "again", "figure", "outcome"),
    [
        ({"pace": 15.0}, {}, "pace.step", Outcome.AS_EXPECTED),
        ({"pace": 15.0}, {"pace": 16.0}, "pace.step", Outcome.REGRESSION),
        ({"peak": 78.0 * MIB}, {}, "memory.peak_over_held", Outcome.AS_EXPECTED),
        ({"loss": 0.5}, {}, "loss.128", Outcome.REGRESSION),
        ({}, {"regret": 0.56}, "oracle.regret.train", Outcome.REGRESSION),
    ],
)
def test_time_and_memory_must_be_out_of_their_limits_in_every_run_and_anything_else_in_one(
    write: Callable[..., Path], first: dict[str, Any], again: dict[str, Any], figure: str, outcome: Outcome
) -> None:
    expected = update.make([write("before", one())])
    verdicts = check([write("now", one(**first)), write("again", one(**again))], expected)
    assert {v.name: v.outcome for v in verdicts}[figure] is outcome


def test_a_cell_that_failed_in_one_of_two_runs_is_a_regression(write: Callable[..., Path]) -> None:
    expected = update.make([write("before", one(), one("kto"))])
    verdicts = check([write("now", one()), write("again", one(), one("kto"))], expected)
    assert [(v.cell, v.outcome) for v in verdicts if not v.name] == [("kto-s0", Outcome.REGRESSION)]


def drawn(facts: dict[str, Any]) -> dict[str, Any]:
    """What a method says that draws its responses: the prompts, and no set of responses."""
    return {k: v for k, v in facts.items() if k != "responses_set_sha256"} | {"prompts_set_sha256": "cc" * 32}


def test_the_loss_on_drawn_responses_is_not_compared_on_another_machine(write: Callable[..., Path]) -> None:
    changed = elsewhere(loss=9.0).model_copy(update={"method": "ppo", "cell": "ppo-s0"})
    now = changed.model_copy(update={"facts": drawn(changed.facts)})
    before = one()
    before = before.model_copy(update={"method": "ppo", "cell": "ppo-s0", "facts": drawn(before.facts)})
    assert judged(write, now, before)["loss.128"].outcome is Outcome.NOT_COMPARED


# cells ----------------------------------------------------------------------------------------------------------------


def test_a_cell_that_failed_is_a_regression_with_its_reason(write: Callable[..., Path]) -> None:
    found = judged(write, synthetic.failed("dpo", 0, Status.OUT_OF_MEMORY))
    assert found[""].outcome is Outcome.REGRESSION
    assert found[""].detail.startswith("ended as out of memory (needed 3 GiB more")


def test_a_cell_that_is_missing_is_a_regression(write: Callable[..., Path]) -> None:
    expected = update.make([write("before", one(), one("kto"))])
    (found,) = [v for v in check([write("now", one())], expected) if v.cell == "kto-s0"]
    assert (found.outcome, found.detail) == (Outcome.REGRESSION, "is missing from the run")


def test_a_cell_that_is_new_is_said_and_is_no_regression(write: Callable[..., Path]) -> None:
    expected = update.make([write("before", one())])
    (found,) = [v for v in check([write("now", one(), one("kto"))], expected) if v.cell == "kto-s0"]
    assert found.outcome is Outcome.NOT_COMPARED


def test_a_figure_that_is_no_longer_measured_is_a_regression(write: Callable[..., Path]) -> None:
    kept = tuple(m for m in one().measurements if m.metric != "pace.step")
    assert outcomes(judged(write, one(measurements=kept)), Outcome.REGRESSION) == {"pace.step", "pace.training"}


def test_a_model_that_the_baseline_did_not_keep_in_memory_is_a_regression(write: Callable[..., Path]) -> None:
    more = Measurement(metric="memory.resident.value", unit="B", better=Better.NEITHER, samples=(1000.0,))
    found = judged(write, one(measurements=(*one().measurements, more)))
    assert found["memory.resident.value"].outcome is Outcome.REGRESSION
