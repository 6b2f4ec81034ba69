"""Tables and the frontier of a problem whose optimum is estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic
from synthetic import measurement, record

from una_bench.analysis import documents
from una_bench.record.schema import Better, Measurement, Record
from una_bench.reporting.plots import figures
from una_bench.reporting.tables import render, results_table

REASON = "not resolved: no exact sample of the optimum was accepted for 3 of 4 prompts"
LOWER = measurement("optimum.lower.train", "1", Better.NEITHER, 0.6)


def cells(*measured: Measurement) -> list[Record]:
    return [record(method, seed, measurements=measured) for method in ("dpo", "kto") for seed in range(2)]


def test_an_unresolved_regret_is_said_with_its_reason_in_place_of_a_number() -> None:
    missing = Measurement(metric="oracle.regret.train", unit="1", better=Better.LOWER, samples=(), how=REASON)
    other = measurement("oracle.reward.train", "1", Better.HIGHER, 1.0)
    text = render.markdown(results_table.results(cells(missing, other)))
    assert "| not resolved |" in text and f"regret (train): {REASON}" in text and "not run" not in text


def test_the_table_says_that_regrets_are_estimated() -> None:
    regret = measurement("oracle.regret.train", "1", Better.LOWER, 0.5, 0.1)
    estimated, exact = (render.markdown(results_table.results(cells(*m))) for m in ((regret, LOWER), (regret,)))
    assert results_table.ESTIMATED in estimated and results_table.ESTIMATED not in exact


def test_bounds_of_the_optimum_are_no_column_of_the_main_table() -> None:
    regret = measurement("oracle.regret.train", "1", Better.LOWER, 0.5)
    assert "optimum lower" not in render.markdown(results_table.results(cells(regret, LOWER)))


def write_prompts(run: Path, of: Record, regrets: list[float]) -> None:
    folder = run / "cells" / f"{of.method}-s{of.seed}-{of.key[:8]}"
    folder.mkdir(parents=True)
    lines = [{"doc_id": i, "regret": value} for i, value in enumerate(regrets)]
    (folder / "oracle.train.samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_regrets_are_paired_by_prompt(tmp_path: Path) -> None:
    of_prompts = {"dpo": [0.1, 0.9, 0.5], "kto": [0.2, 1.05, 0.55]}
    found = []
    for method, regrets in of_prompts.items():
        mean = measurement("oracle.regret.train", "1", Better.LOWER, sum(regrets) / 3)
        found.append(record(method, 0, measurements=(mean,)))
        write_prompts(tmp_path, found[-1], regrets)
    scores = documents.scores(tmp_path, found)
    assert scores["kto-s0", "oracle.regret.train"] == {"0": 0.2, "1": 1.05, "2": 0.55}
    text = render.markdown(results_table.results(found, baseline="dpo", documents=scores))
    assert "| +0.10 ± 0.12 (not resolved) |" in text


def test_the_best_of_n_is_paired_by_prompt_with_figures_of_its_own(tmp_path: Path) -> None:
    trained = record("dpo", 0, measurements=(measurement("oracle.regret.train", "1", Better.LOWER, 0.5),))
    own = (("oracle.regret.train", 1.0), ("oracle.best_of_4.regret.train", 0.2))
    base = record("base", 0, measurements=tuple(measurement(name, "1", Better.LOWER, v) for name, v in own))
    scores = {
        ("dpo-s0", "oracle.regret.train"): {"0": 0.4, "1": 0.6},
        ("base-s0", "oracle.regret.train"): {"0": 0.9, "1": 1.1},
        ("base-s0", "oracle.best_of_4.regret.train"): {"0": 0.2, "1": 0.2},
    }
    text = render.markdown(results_table.results([trained, base], baseline="dpo", documents=scores))
    difference = text.partition("Difference to DPO")[2]
    assert next(line for line in difference.splitlines() if "Best of 4" in line).split("|")[2].startswith(" −0.3")
    assert next(line for line in difference.splitlines() if "Base" in line).split("|")[2].startswith(" +0.5")


@pytest.mark.parametrize("error", [0.0, 0.1], ids=["exact", "estimated"])
def test_untrained_rows_are_compared_by_prompt_or_exactly(error: float) -> None:
    def of(name: str, value: float) -> Measurement:
        return measurement(name, "1", Better.LOWER, value, error or None)

    base = record(
        "base", 0, measurements=(of("oracle.regret.train", 1.0), of("oracle.best_of_4.regret.train", 0.2), LOWER)
    )
    scores = {
        ("base-s0", "oracle.regret.train"): {"0": 0.9, "1": 1.0, "2": 1.1},
        ("base-s0", "oracle.best_of_4.regret.train"): {"0": 0.15, "1": 0.2, "2": 0.25},
    }
    text = render.markdown(results_table.results([base], documents=scores if error else {}))
    assert "~ not resolved" not in text and results_table.BEST in text


BEST = {"n": [2, 4], "kl_at_most": [0.19, 0.64], "reward": [1.4, 1.9]}


@pytest.mark.parametrize("estimated", [True, False])
def test_the_frontier_says_whether_it_is_estimated(estimated: bool) -> None:
    curve: dict[str, Any] = {"kl": [0.0, 1.0, 2.0], "reward": [1.0, 2.2, 2.8]}
    more = {"reward_low": [0.9, 2.1, 2.6], "reward_high": [1.1, 2.3, 3.0], "best_of": BEST} if estimated else {}
    plot = next(p for p in figures.draw(synthetic.records(), {"frontier": curve | more}) if p.name == "frontier")
    assert ("estimated, with its 95 % band" in plot.caption, "best of 4" in plot.svg) == (estimated, estimated)
