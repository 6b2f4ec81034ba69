"""A tuned run as its report shows it: winners, failed trials, edges, and places before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import failed, record, write_run

from una_bench.analysis import tuning
from una_bench.errors import UserError
from una_bench.record import storage
from una_bench.record.schema import Better, Measurement, Record, Status
from una_bench.reporting import fairness, report
from una_bench.reporting.tables import render, tuning_tables

METRIC = "oracle.regret.validation"
VALUES: dict[str, list[float | None]] = {"dpo": [0.5, 0.2, 0.8, None], "una_score": [0.9, 0.6, 0.7, 0.4]}
"""Validation regret of each trial; None: it diverged."""
FACT = {"tuning": {"trials": 4, "trainings_per_trial": 1, "budget_share": 1.0}}


def with_metric(made: Record, value: float, metric: str = METRIC) -> Record:
    more = Measurement(metric=metric, unit="1", better=Better.LOWER, samples=(value,))
    kept = [m for m in made.measurements if m.metric != metric]
    return made.model_copy(update={"measurements": (*kept, more)})


def trial(method: str, number: int, value: float | None) -> Record:
    names = {"cell": f"{method}[{number}]-s1000{number}", "key": f"{method}-trial-{number}", "variant": str(number)}
    if value is None:
        return failed(method, 0, Status.DIVERGED).model_copy(update=names | {"seconds": 3.0})
    made = with_metric(record(method, 10_000 + number, **names), value)
    return made.model_copy(update={"facts": {**made.facts, "training_seconds": 10.0}})


def search(method: str) -> dict[str, Any]:
    trials = [
        {"drawn": {"beta": 0.1 * (i + 1)}, "at_edge": ["beta"] if i == 3 else [], "keys": [f"{method}-trial-{i}"]}
        for i in range(4)
    ]
    return {"method": method, "variant": "", "label": method, "space": {"beta": [0.1, 0.4]}, "trials": trials}


def tuned_run(folder: Path, values: dict[str, list[float | None]] = VALUES, *, trials: int = 4) -> Path:
    defaults = [with_metric(record("base", 0), 1.0)]
    defaults += [with_metric(record(m, s), 0.45) for m in values for s in range(3)]
    write_run(folder, defaults)
    made = [trial(m, i, value) for m, of in values.items() for i, value in enumerate(of[:trials])]
    write_run(folder / "tuning", made)
    winners = [record(m, s) for m in values for s in range(3)]
    winners = [
        with_metric(r, {"dpo": 0.3, "una_score": 0.1}[r.method] + 0.01 * r.seed, "oracle.regret.train").model_copy(
            update={"facts": {**r.facts, **FACT}, "key": f"tuned {r.key}"}
        )
        for r in winners
    ]
    write_run(folder / "tuned", winners)
    content = {"metric": METRIC, "better": "lower", "trials": 4, "trainings_per_trial": 1, "budget_share": 1.0}
    tuning.write(folder, {**content, "searches": [search(m) for m in values]})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tuned_run(tmp_path / "run")


def of(run: Path, method: str) -> tuning.Search:
    results = tuning.read(run)
    assert results is not None
    return next(s for s in results.searches if s.method == method)


def test_the_best_trial_is_chosen(run: Path) -> None:
    assert [of(run, m).chosen for m in ("dpo", "una_score")] == [1, 3]


def test_a_diverged_trial_is_spent_at_the_value_of_the_untrained_policy(run: Path) -> None:
    assert of(run, "dpo").values == [0.5, 0.2, 0.8, 1.0]
    assert of(run, "dpo").failed == 1
    assert of(run, "dpo").expected_best()[0].mean == pytest.approx((0.5 + 0.2 + 0.8 + 1.0) / 4)


def test_seconds_of_failed_trials_count(run: Path) -> None:
    assert of(run, "dpo").seconds_per_trial == pytest.approx((3 * 10 + 3) / 4)


def test_a_method_without_a_result_has_no_winner(tmp_path: Path) -> None:
    made = tuned_run(tmp_path / "run", {"dpo": [None] * 4, "una_score": [0.9, 0.6, 0.7, 0.4]})
    assert of(made, "dpo").chosen is None
    results = tuning.read(made)
    assert results is not None
    assert "none: no trial has a result (diverged)" in render.markdown(tuning_tables.trials(results))


def test_the_table_marks_a_choice_at_the_edge(run: Path) -> None:
    results = tuning.read(run)
    assert results is not None
    text = render.markdown(tuning_tables.trials(results))
    dpo, una = (next(line for line in text.splitlines() if f"| {m}" in line) for m in ("dpo", r"una\_score"))
    assert "at the edge" in una and "at the edge" not in dpo


def test_the_table_shows_who_changes_places(run: Path) -> None:
    results = tuning.read(run)
    assert results is not None
    from una_bench.record import reader

    table = tuning_tables.before_and_after(reader.records(run), results.tuned)
    assert table is not None
    places = {line.names["method"]: line.cells[-1].text for line in table.groups[0].lines}
    assert places == {"dpo": "1 → 2", "una_score": "2 → 1"}


def test_the_ledger_says_that_all_had_the_same_trials(run: Path) -> None:
    results = tuning.read(run)
    assert results is not None
    [line] = [one for one in fairness.ledger(results.tuned) if one.topic == "tuning"]
    assert (str(line.verdict), "trials 4" in line.detail) == ("OK", True)


def test_the_ledger_says_who_was_not_tuned(run: Path) -> None:
    results = tuning.read(run)
    assert results is not None
    mixed = [r if r.method == "dpo" else record(r.method, r.seed) for r in results.tuned]
    [line] = [one for one in fairness.ledger(mixed) if one.topic == "tuning"]
    assert str(line.verdict) == "DIFFERS" and "not tuned" in line.detail


def test_a_run_without_tuned_methods_has_no_such_line() -> None:
    assert not [one for one in fairness.ledger([record("dpo", 0), record("kto", 0)]) if one.topic == "tuning"]


def test_the_report_has_both_tables_and_both_figures(run: Path) -> None:
    page = report.write(run).read_text(encoding="utf-8")
    assert "At the suite&#x27;s settings and after tuning" in page
    assert 'id="tuning-title"' in page and 'id="trials-title"' in page
    assert "Fairness of tuning: OK" in page


def test_the_report_of_an_unfinished_search_says_how_far_it_is(tmp_path: Path) -> None:
    made = tuned_run(tmp_path / "run", trials=3)
    page = report.write(made).read_text(encoding="utf-8")
    assert "Tuning is not finished: 2 of 8 trials have no result yet." in page


def test_a_damaged_file_is_refused(run: Path) -> None:
    (run / tuning.FILE).write_text(json.dumps({"value": {}}))
    with pytest.raises(UserError, match="is damaged"):
        tuning.read(run)


def test_a_file_of_a_newer_version_is_refused(run: Path) -> None:
    storage.write_json(run / tuning.FILE, {"schema": 99})
    with pytest.raises(UserError, match="has format 99"):
        tuning.read(run)


def test_a_run_that_was_not_tuned_has_none(tmp_path: Path) -> None:
    assert tuning.read(write_run(tmp_path / "plain")) is None
