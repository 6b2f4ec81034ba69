"""The gate on made-up records: each rule, at its edge, and how its findings are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import synthetic
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.gate import baseline, figures, limits, output, update
from una_bench.gate.compare import Outcome, Verdict, check
from una_bench.gate.figures import Gauge, Kind
from una_bench.record.schema import Better, Curve, Measurement, Record, Status

MIB = synthetic.MIB
ENVIRONMENT = {
    "machine": "Linux x86_64",
    "cpu": "a processor",
    "cpu_id": "a vendor 1/2",
    "packages": {"torch": "2.13.0", "trl": "1.12.0", "una-bench": "0.1.0"},
    "python": "3.11.7",
}


def one(method: str = "dpo", seed: int = 0, **changes: Any) -> Record:
    """A cell with every kind of figure; ``changes`` of a metric or a fact by name, of anything else as is."""
    level = {"pace": 10.0, "peak": 60.0 * MIB, "regret": 0.5, "loss": 0.4, "held": 4.0 * MIB} | {
        k: changes.pop(k) for k in list(changes) if k in {"pace", "peak", "regret", "loss", "held"}
    }
    facts = synthetic.facts(method, trains=True) | {"final_weights_sha256": "ff" * 32, "rows_dropped": 0}
    facts |= {"reference_weights_sha256": facts["initial_weights_sha256"]} | changes.pop("facts", {})
    measured = (
        ("oracle.regret.train", "1", Better.LOWER, (level["regret"],)),
        ("memory.peak", "B", Better.LOWER, (level["peak"],)),
        ("memory.resident.weights", "B", Better.NEITHER, (level["held"],)),
        ("memory.resident.activations", "B", Better.NEITHER, (level["peak"] - level["held"],)),
        ("pace.step", "yardstick", Better.LOWER, (level["pace"],) * 5),
        ("compute.flops", "FLOP", Better.LOWER, (1e9,)),
    )
    values: dict[str, Any] = {
        "facts": facts,
        "environment": ENVIRONMENT,
        "measurements": tuple(Measurement(metric=m, unit=u, better=b, samples=s) for m, u, b, s in measured),
        "curves": (
            Curve(metric="loss", unit="1", x=(64.0, 128.0, 192.0), y=(0.7, level["loss"], 0.3)),
            Curve(
                metric="learning_rate", unit="1", x=(64.0, 128.0, 192.0), y=(*changes.pop("warmup", (0.0, 1e-3)), 5e-4)
            ),
        ),
    }
    return synthetic.record(method, seed, **{**values, **changes})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run of the given records."""

    def made(name: str, *found: Record, **info: Any) -> Path:
        return synthetic.write_run(tmp_path / name, list(found), {**synthetic.INFO, **info})

    return made


def judged(write: Callable[..., Path], now: Record, *before: Record) -> dict[str, Verdict]:
    """Judge one cell against a baseline of others."""
    expected = update.make([write(f"before{i}", r) for i, r in enumerate(before or (one(),))])
    return {v.name: v for v in check([write("now", now)], expected)}


def outcomes(found: dict[str, Verdict], outcome: Outcome) -> set[str]:
    return {name for name, verdict in found.items() if verdict.outcome is outcome}


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


def elsewhere(**changes: Any) -> Record:
    return one(environment={**ENVIRONMENT, "cpu_id": "another vendor"}, **changes)


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


# limits ---------------------------------------------------------------------------------------------------------------


def noisy(*values: float, name: str = "pace.step") -> baseline.Entry:
    found = [Gauge(name=name, kind=Kind.NOISY, value=v, better=Better.LOWER) for v in values]
    entry = limits.entry(found)
    assert entry is not None
    return entry


def test_a_noisy_limit_is_twice_the_range_of_unchanged_code() -> None:
    entry = noisy(10.0, 11.6, 10.8)
    assert entry.here == (pytest.approx(10.8 / 1.32), pytest.approx(10.8 * 1.32))
    assert "A/A of 3 runs: range 16.0%" in entry.source


@pytest.mark.parametrize("values", [(10.0, 10.0), (10.0, 19.0), (10.0,)])
def test_a_step_half_as_long_again_is_out_of_the_limit_of_the_same_machine(values: tuple[float, ...]) -> None:
    entry = noisy(*values)
    assert entry.here != "exact" and entry.here[1] is not None and entry.here[1] < 1.5 * float(entry.value)
    assert entry.elsewhere == pytest.approx((float(entry.value) / 1.6, float(entry.value) * 1.6))


@pytest.mark.parametrize("values", [(10.0, 10.0), (10.0, 19.0), (10.0,)])
def test_three_tenths_more_memory_is_out_of_every_limit(values: tuple[float, ...]) -> None:
    entry = noisy(*values, name="memory.peak_over_held")
    assert entry.here != "exact" and entry.here[1] is not None and entry.here[1] < 1.3 * float(entry.value)
    assert entry.elsewhere == pytest.approx((float(entry.value) / 1.5, float(entry.value) * 1.5))


def test_quality_has_the_interval_of_a_difference_over_seeds() -> None:
    found = [Gauge(name="oracle.regret.train", kind=Kind.QUALITY, value=0.5, better=Better.LOWER)]
    entry = limits.entry(found, [0.5, 0.52, 0.54])
    assert entry is not None and entry.here != "exact"
    half = 9.9248 * 0.02 * 2**0.5  # Student's t, 99 %, two degrees of freedom
    assert entry.here[1] == pytest.approx(0.5 + half, rel=1e-4)


def test_a_loss_that_unchanged_code_does_not_repeat_has_its_range_for_limits(write: Callable[..., Path]) -> None:
    made = update.make([write("a", one()), write("b", one(loss=0.41))])
    entry = made.cells["dpo-s0"]["loss.128"]
    assert entry.here == (pytest.approx(0.38), pytest.approx(0.42))
    assert entry.source.startswith("NOT REPEATED by 2 runs")


def test_a_hash_that_unchanged_code_does_not_repeat_is_left_out(write: Callable[..., Path]) -> None:
    made = update.make([write("a", one()), write("b", one(facts={"final_weights_sha256": "ee" * 32}))])
    assert "weights.final" not in made.cells["dpo-s0"]


# baselines ------------------------------------------------------------------------------------------------------------


def call(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app.app, [str(a) for a in arguments])


def test_update_writes_a_baseline_that_the_run_passes(write: Callable[..., Path], tmp_path: Path) -> None:
    run, file = write("run", one(), one("kto")), tmp_path / "new.json"
    assert call("baseline", "update", run, "--baseline", file).exit_code == 0
    assert call("gate", run, "--baseline", file).exit_code == 0


def test_a_baseline_has_one_figure_a_line(write: Callable[..., Path], tmp_path: Path) -> None:
    baseline.write(tmp_path / "b.json", update.make([write("run", one())]))
    lines = (tmp_path / "b.json").read_text().splitlines()
    assert [line for line in lines if '"loss.128"' in line and '"from"' in line]


def test_a_baseline_is_read_as_it_was_written(write: Callable[..., Path], tmp_path: Path) -> None:
    made = update.make([write("run", one(), one("kto"))])
    baseline.write(tmp_path / "b.json", made)
    assert baseline.read(str(tmp_path / "b.json")) == made


def test_a_bare_name_is_one_in_the_folder_of_baselines(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    baseline.FOLDER.mkdir(parents=True)
    run = write("run", one())
    assert call("baseline", "update", run, "--baseline", "mine").exit_code == 0
    assert (baseline.FOLDER / "mine.json").is_file()
    assert call("gate", run, "--baseline", "mine").exit_code == 0


def test_update_prints_what_moved(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    result = call("baseline", "update", write("b", one(loss=0.5), one("kto")), "--baseline", file)
    assert "dpo-s0 loss.128: 0.4 -> 0.5 (+25.00%)" in result.output
    assert "kto-s0: new" in result.output


def test_update_of_the_same_moves_nothing(write: Callable[..., Path], tmp_path: Path) -> None:
    file, run = tmp_path / "b.json", write("a", one())
    call("baseline", "update", run, "--baseline", file)
    assert "no changes" in call("baseline", "update", run, "--baseline", file).output


def test_update_leaves_limits_that_were_set_by_hand(write: Callable[..., Path], tmp_path: Path) -> None:
    file, run = tmp_path / "b.json", write("a", one())
    call("baseline", "update", run, "--baseline", file)
    content = json.loads(file.read_text())
    entry = content["cells"]["dpo-s0"]["pace.step"]
    entry.update({"here": [None, 11.0], "from": "by hand: a promise to our users"})
    file.write_text(json.dumps(content))
    call("baseline", "update", write("b", one(pace=10.5)), "--baseline", file)
    kept = baseline.read(str(file)).cells["dpo-s0"]["pace.step"]
    assert (kept.value, kept.here, kept.source) == (10.5, (None, 11.0), "by hand: a promise to our users")


def test_further_seeds_widen_the_interval_and_add_no_cell(write: Callable[..., Path]) -> None:
    seeds = write("seeds", *(one(seed=s, regret=0.5 + 0.01 * s) for s in range(4)))
    made = update.make([write("run", one()), seeds])
    assert list(made.cells) == ["dpo-s0"]
    assert "from 4 seeds" in made.cells["dpo-s0"]["oracle.regret.train"].source


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "newer": ({"schema": 2}, "has format 2; this una-bench"),
    "not one": ({"kind": "cell"}, "is not a baseline"),
    "other suite": ({"suite": "other"}, "is a run of the suite exact; the baseline is of other"),
    "other recipe": ({"key": "fedcba"}, "is a run of another recipe"),
    "no cells": ({"cells": {}}, "is not a valid baseline: cells"),
    "unknown key": ({"extra": 1}, "is not a valid baseline: extra"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_baseline_that_does_not_fit_is_refused(write: Callable[..., Path], tmp_path: Path, case: str) -> None:
    change, message = BAD[case]
    run, file = write("run", one()), tmp_path / "b.json"
    baseline.write(file, update.make([run]))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        check([run], baseline.read(str(file)))


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "is not a baseline")])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match=message):
        baseline.read(str(tmp_path / "b"))


def test_a_missing_baseline_is_refused_with_how_to_make_one() -> None:
    with pytest.raises(UserError, match=r"There is no baseline nowhere.*baseline update RUN --baseline nowhere"):
        baseline.read("nowhere")


def test_a_baseline_of_a_failed_cell_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"dpo-s0 of .* a baseline needs cells that succeeded"):
        update.make([write("run", synthetic.failed("dpo", 0))])


def test_runs_of_two_machines_make_no_baseline(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"versions or machine: .* cpu_id another vendor"):
        update.make([write("a", one()), write("b", elsewhere())])


def test_runs_of_two_recipes_make_no_baseline(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="another recipe"):
        update.make([write("a", one()), write("b", one(), key="other")])


def test_a_run_that_does_not_name_its_recipe_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"no run\.json that names its recipe"):
        update.make([write("run", one(), key=None)])


# what is written ------------------------------------------------------------------------------------------------------


HOSTILE = Verdict(
    cell="dpo\x1b[31m-s0",
    name="loss.64",
    outcome=Outcome.REGRESSION,
    detail="50 % <b>worse</b> & ]]> \x00\x1b[2J ::error::no, a:b\nnext",
)


def test_status_is_one_with_a_line_for_each_regression(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    result = call("gate", write("b", one(pace=16.0)), "--baseline", file)
    lines = [line for line in result.output.splitlines() if line.startswith("regression: ")]
    assert result.exit_code == 1
    assert [line.partition(" yard")[0] for line in lines] == [
        "regression: dpo-s0 pace.step: 16",
        "regression: dpo-s0 pace.training: 16",
    ]
    assert "against 10 yardstick (+60 %), allowed from " in lines[0]
    assert "gate: 2 regressions, 0 improvements" in result.output


def test_junit_can_be_read_and_counts(write: Callable[..., Path], tmp_path: Path) -> None:
    file, xml = tmp_path / "b.json", tmp_path / "deep" / "gate.xml"
    call("baseline", "update", write("a", one()), "--baseline", file)
    call("gate", write("b", one(pace=16.0)), "--baseline", file, "--junit", xml)
    (suite,) = Xml.parse(xml).getroot()
    assert suite.get("failures") == "2"
    assert suite.get("tests") == str(len(suite))
    assert {case.get("name") for case in suite if case.find("failure") is not None} == {"pace.step", "pace.training"}


def test_junit_survives_a_hostile_message() -> None:
    (case,) = Xml.fromstring(output.junit([HOSTILE], "a<b").encode())[0]
    assert case.get("classname") == "a<b.dpo\\x1b[31m-s0"
    failure = case.find("failure")
    assert failure is not None and "<b>worse</b> & ]]>" in (failure.text or "")


def test_an_annotation_is_one_line_that_says_where() -> None:
    (line,) = output.github([HOSTILE])
    assert "\n" not in line and "\x1b" not in line
    assert line.startswith("::error title=regression%3A dpo")
    assert line.endswith("50 %25 <b>worse</b> & ]]> \\x00\\x1b[2J ::error::no, a:b next")


def test_annotations_are_printed_on_request(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    run = write("b", one(pace=16.0, regret=0.1))
    assert "::" not in call("gate", run, "--baseline", file).output
    said = call("gate", run, "--baseline", file, "--annotations").output
    assert (said.count("::error title="), said.count("::notice title=")) == (2, 1)


def test_every_figure_of_a_record_has_one_kind() -> None:
    found = figures.gauges(one(), figures.quality([one()]))
    assert {g.kind for g in found.values()} == set(Kind)
