"""Claims of the UNA paper on records whose differences a reader can work out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import synthetic

from una_bench.cli import claims_command
from una_bench.errors import UserError
from una_bench.record.schema import Better, Record, Status
from una_bench.reporting import report
from una_bench.reporting.tables import render
from una_bench.reproduction import claims, claims_table, published_numbers
from una_bench.reproduction.claims import Finding, Outcome

ROOT = Path(__file__).parents[2]
KEPT = ("exact", "exact-all", "sentiment", "smollm2")
MARK = f"<!-- una-bench claims {' '.join(f'results/{name}' for name in KEPT)} --markdown -->\n"
LARGE = 1e9
"""Bytes of the weights of a language model."""


def record(
    method: str, seed: int, regret: float, *, draw: int | None = None, weights: float = 4e5, **more: Any
) -> Record:
    settings = {"offset": "none", "space": "score", **more.pop("settings", {})}
    facts = synthetic.facts(method, trains=True)
    if draw is not None:
        facts["prepared"] = {**synthetic.PREPARED, "problem": f"{draw:016x}"}
    measured = [
        synthetic.measurement("oracle.regret.train", "1", Better.LOWER, regret),
        synthetic.measurement("throughput.training_seconds", "s", Better.LOWER, 100 * regret),
        synthetic.measurement("memory.resident.weights", "B", Better.NEITHER, weights),
    ]
    label = f"{method} {settings['offset']}"
    name = f"{method}[{settings['offset']}]-s{seed}"
    values = {"cell": name, "label": label, "settings": settings, "facts": facts, "measurements": tuple(measured)}
    made = synthetic.record("dpo", seed, **{**values, **more})
    return made.model_copy(update={"method": method, "key": name})


def seeds(method: str, *regrets: float, **more: Any) -> list[Record]:
    return [record(method, seed, regret, **more) for seed, regret in enumerate(regrets)]


def found(folder: Path, records: list[Record], claim: str) -> list[Finding]:
    run = synthetic.write_run(folder / "run", records)
    made = claims.findings(claims.sample(run, "run"), published_numbers.load().comparisons)
    return [one for one in made if one.claim.comparison == claim]


def outcome(folder: Path, records: list[Record], claim: str) -> tuple[Outcome, str]:
    (one,) = found(folder, records, claim)
    return one.outcome, one.why


ORDERS = {
    Outcome.HELD: (0.10, 0.12, 0.11),
    Outcome.DID_NOT: (0.50, 0.52, 0.51),
    Outcome.UNRESOLVED: (0.10, 0.60, 0.30),
}


@pytest.mark.parametrize("expected", ORDERS)
def test_an_order_holds_where_its_interval_is_on_the_claimed_side(expected: Outcome, tmp_path: Path) -> None:
    records = [*seeds("una_score", *ORDERS[expected]), *seeds("dpo", 0.3, 0.31, 0.32)]
    assert outcome(tmp_path, records, "score-better-than-dpo") == (expected, "")


def test_one_seed_resolves_nothing(tmp_path: Path) -> None:
    records = [*seeds("una_score", 0.1), *seeds("dpo", 0.9)]
    assert outcome(tmp_path, records, "score-better-than-dpo") == (Outcome.UNRESOLVED, "1 seed")


EQUALITIES = {
    Outcome.HELD: (0.301, 0.312, 0.321),
    Outcome.DID_NOT: (0.401, 0.412, 0.421),
    Outcome.UNRESOLVED: (0.32, 0.31, 0.30),
}


@pytest.mark.parametrize("expected", EQUALITIES)
def test_an_equality_holds_where_its_interval_lies_within_the_margin(expected: Outcome, tmp_path: Path) -> None:
    records = [*seeds("una_pairwise", *EQUALITIES[expected]), *seeds("dpo", 0.3, 0.31, 0.32)]
    assert outcome(tmp_path, records, "pairwise-is-dpo") == (expected, "")


OFFSETS = {Outcome.HELD: (0.1, 0.11, 0.12), Outcome.DID_NOT: (0.6, 0.61, 0.62), Outcome.UNRESOLVED: (0.1, 0.6, 0.3)}


@pytest.mark.parametrize("expected", OFFSETS)
def test_no_offset_is_needed_where_the_row_without_is_not_worse(expected: Outcome, tmp_path: Path) -> None:
    repaired = seeds("una_online", 0.3, 0.311, 0.32, settings={"offset": "prompt_mean"}, variant="offset=prompt_mean")
    records = [*seeds("una_online", *OFFSETS[expected], variant="offset=none"), *repaired]
    assert outcome(tmp_path, records, "offset-dropped-online") == (expected, "")


def test_rows_that_differ_in_more_than_the_claim_says_are_not_compared(tmp_path: Path) -> None:
    settings = {"offset": "prompt_mean", "space": "reward"}
    records = [
        *seeds("una_online", 0.4, 0.41, variant="a"),
        *seeds("una_online", 0.1, 0.11, settings=settings, variant="b"),
    ]
    expected = (Outcome.INCOMPARABLE, "the rows also differ in space")
    assert outcome(tmp_path, records, "offset-dropped-online") == expected


@pytest.mark.parametrize(("weights", "expected"), [(4e5, Outcome.INCOMPARABLE), (LARGE, Outcome.HELD)])
def test_costs_are_compared_at_the_scale_of_language_models(weights: float, expected: Outcome, tmp_path: Path) -> None:
    records = [
        *seeds("una_online", 0.1, 0.11, 0.12, weights=weights),
        *seeds("ppo", 0.3, 0.31, 0.33, weights=weights),
    ]
    (one,) = found(tmp_path, records, "online-faster")
    assert one.outcome is expected
    assert one.effect is not None
    assert one.effect.mean == pytest.approx(-61 / 3)


def test_a_row_with_failed_cells_wins_nothing(tmp_path: Path) -> None:
    failed = record("una_score", 3, 0.1).model_copy(update={"status": Status.DIVERGED})
    records = [*seeds("una_score", 0.1, 0.11, 0.12), failed, *seeds("dpo", 0.5, 0.51, 0.52, 0.53)]
    expected = (Outcome.UNRESOLVED, "1 failed cells of una_score none")
    assert outcome(tmp_path, records, "score-better-than-dpo") == expected


def test_a_row_without_any_result_says_how_it_failed(tmp_path: Path) -> None:
    failed = [record("una_score", 0, 0.1).model_copy(update={"status": Status.DIVERGED, "measurements": ()})]
    assert outcome(tmp_path, [*failed, *seeds("dpo", 0.5)], "score-better-than-dpo") == (
        Outcome.UNRESOLVED,
        "una_score none: diverged",
    )


@pytest.mark.parametrize(
    ("method", "why"), [("una_score", "no row of dpo"), ("dpo", "no row of una_score[offset=none]")]
)
def test_a_suite_without_a_row_is_not_comparable(method: str, why: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, seeds(method, 0.1), "score-better-than-dpo") == (Outcome.INCOMPARABLE, why)


def test_orders_are_corrected_for_their_number_in_the_run(tmp_path: Path) -> None:
    two = [*seeds("una_score", 0.1, 0.13, 0.2), *seeds("dpo", 0.3, 0.31, 0.32)]
    more = [*two, *seeds("una_binary", 0.35, 0.3, 0.32)]  # adds two orders
    (alone,), (among,) = (found(tmp_path / str(len(r)), r, "score-better-than-dpo") for r in (two, more))
    assert alone.effect is not None
    assert alone.effect.p is not None
    assert among.effect is not None
    assert among.effect.p == pytest.approx(3 * alone.effect.p)


def test_with_draws_the_difference_is_over_draws(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for draw, gap in enumerate((0.1, 0.2, 0.3)):
        each = [
            record(m, s, r + 0.01 * s, draw=draw) for m, r in (("una_score", 0.3), ("dpo", 0.3 + gap)) for s in (0, 1)
        ]
        synthetic.write_run(run / f"draw-{draw}" if draw else run, each)
    made = claims.findings(claims.sample(run, "run"), published_numbers.load().comparisons)
    (one,) = (f for f in made if f.claim.comparison == "score-better-than-dpo")
    assert one.effect is not None
    assert (one.effect.mean, one.effect.n) == (pytest.approx(-0.2), 3)


def test_the_report_shows_what_its_run_measures(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "run", [*seeds("una_score", 0.1, 0.11), *seeds("dpo", 0.9, 0.91)])
    page = report.write(run, claims=claims_table.of_run(run)).read_text(encoding="utf-8")
    section = page.partition('<section id="claims">')[2].partition("</section>")[0]
    assert "UNA-score is better than DPO" in section
    assert "PPO" not in section


def test_a_run_of_other_methods_has_no_such_section(tmp_path: Path) -> None:
    assert claims_table.of_run(synthetic.write_run(tmp_path / "run", seeds("kto", 0.1))) is None


def test_averages_in_the_places_of_claims_are_those_of_the_tables() -> None:
    reference = published_numbers.load()
    printed = {
        value for t in reference.tables if t.source == "arXiv:2408.15339v2" for row in t.rows for value in row.values
    }
    quoted = [float(n) for one in reference.comparisons for n in re.findall(r"\d\d\.\d\d", one.place)]
    assert quoted
    assert set(quoted) <= printed


def test_the_page_of_claims_is_what_the_command_prints() -> None:
    page = ROOT / "docs" / "claims.md"
    printed = render.markdown(claims_table.table([ROOT / "results" / name for name in KEPT]))
    before = page.read_text(encoding="utf-8").partition(MARK)[0]
    if os.environ.get("REGENERATE_GOLDEN"):
        page.write_text(f"{before}{MARK}\n{printed}", encoding="utf-8")
    assert page.read_text(encoding="utf-8") == f"{before}{MARK}\n{printed}"


def test_runs_without_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no records"):
        claims_command.claims([synthetic.write_run(tmp_path / "run", [])])


def test_a_run_is_given_once(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "run", seeds("dpo", 0.1))
    with pytest.raises(UserError, match="given twice"):
        claims_command.claims([run, run])
