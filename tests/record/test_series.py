"""Curves and raw steps as a short text: what is exact, how far the rest is rounded, and damaged texts."""

from __future__ import annotations

import base64
import json
import lzma
import math
import zlib
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import record

from una_bench.errors import UserError
from una_bench.gate import figures
from una_bench.record import columns, line, reader, series
from una_bench.record.schema import Better, Curve, Record, StepSamples

ROOT = Path(__file__).parents[2]
EXACT = reader.records(ROOT / "results" / "exact")
TRAINED = [r for r in EXACT if r.curves]
few = settings(max_examples=100, derandomize=True, database=None, deadline=None)
whole = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20) | st.lists(st.integers(0, 300), max_size=20)
floats = st.lists(st.floats(), max_size=20) | st.lists(st.integers(-(2**53), 2**53).map(float), max_size=20)


def again(one: Record) -> Record:
    return Record.model_validate(line.load(json.loads(line.dump(one))))


def curve(*y: float, metric: str = "grad_norm", better: Better = Better.NEITHER) -> Curve:
    return Curve(metric=metric, unit="1", better=better, x=tuple(map(float, range(len(y)))), y=y)


def kept(*y: float, metric: str = "grad_norm", better: Better = Better.NEITHER) -> tuple[float, ...]:
    [one], _ = series.unpack(series.pack([curve(*y, metric=metric, better=better)], StepSamples()))
    return one.y


@few
@given(values=st.lists(whole, max_size=4))
def test_columns_of_whole_numbers_are_read_back(values: list[list[int]]) -> None:
    stored = [np.array(column, np.int64) for column in values]
    for before, after in zip(stored, columns.decode(*columns.encode(stored)), strict=True):
        assert np.array_equal(before, after)


@few
@given(values=floats)
def test_floats_are_read_back_to_the_bit(values: list[float]) -> None:
    before = np.array(values, np.float64)
    after = columns.to_floats(*columns.of_floats(before))
    assert np.array_equal(before, after, equal_nan=True)


@few
@given(content=st.binary(max_size=50))
def test_base_85_is_read_as_the_standard_library_reads_it(content: bytes) -> None:
    assert columns.from_base85(base64.b85encode(content).decode()) == content


@pytest.mark.parametrize("one", TRAINED, ids=lambda r: r.cell)
def test_the_gate_sees_the_same_in_a_record_that_was_packed(one: Record) -> None:
    assert figures.gauges(again(one), figures.quality([one])) == figures.gauges(one, figures.quality([one]))


def test_what_the_gate_reads_of_curves_is_not_rounded() -> None:
    assert {figures.LOSS, *figures.RATES} <= series.EXACT


@pytest.mark.parametrize("one", TRAINED, ids=lambda r: r.cell)
def test_a_curve_is_exact_or_within_a_two_thousandth_of_its_range(one: Record) -> None:
    for before, after in zip(one.curves, again(one).curves, strict=True):
        assert (before.metric, before.unit, before.better, before.x) == (
            after.metric,
            after.unit,
            after.better,
            after.x,
        )
        bound = 0.0 if before.metric in series.EXACT or before.better is not Better.NEITHER else 1 / 2000
        span = max(before.y) - min(before.y)
        for a, b in zip(before.y, after.y, strict=True):
            assert abs(a - b) <= bound * min(span, abs(a)), before.metric


@pytest.mark.parametrize("one", TRAINED, ids=lambda r: r.cell)
def test_counts_of_steps_are_exact_and_times_within_their_ticks(one: Record) -> None:
    before, after = one.steps, again(one).steps
    names = ("responses", "prompt_tokens", "response_tokens", "padding_tokens", "optimizer_steps", "warmup")
    assert [getattr(after, n) for n in names] == [getattr(before, n) for n in names]
    tick = median(before.seconds) / series.PER_STEP
    assert after.seconds == pytest.approx(before.seconds, abs=0.51 * tick, rel=0)
    for name in ("cpu_seconds", "queued_seconds"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=tick * (series.COARSE / 2 + 1), rel=0)


@pytest.mark.parametrize("one", TRAINED, ids=lambda r: r.cell)
def test_a_record_of_exact_takes_less_than_15_kb(one: Record) -> None:
    assert len(line.dump(one).encode()) < 15_000


def test_a_record_that_was_read_is_written_as_it_was() -> None:
    assert line.dump(again(TRAINED[0])) == line.dump(TRAINED[0])


def test_numbers_beside_an_outlier_keep_their_digits() -> None:
    assert kept(1e9, 0.123456, 0.2) == pytest.approx((1e9, 0.123456, 0.2), rel=2**-12)


def test_a_small_change_of_a_large_number_is_seen() -> None:
    assert kept(-5294.1128, -5294.1142, -5294.1181) == pytest.approx((-5294.1128, -5294.1142, -5294.1181), abs=2e-6)


@pytest.mark.parametrize("metric", sorted(series.EXACT))
def test_named_curves_are_exact(metric: str) -> None:
    assert kept(math.pi, math.e, 1e-9, metric=metric) == (math.pi, math.e, 1e-9)


def test_a_quality_is_exact() -> None:
    assert kept(math.pi, math.e, metric="mine", better=Better.HIGHER) == (math.pi, math.e)


def test_points_that_are_not_finite_stay() -> None:
    y = kept(math.inf, 1.0, -math.inf, math.nan, 2.0)
    assert y[:3] == (math.inf, 1.0, -math.inf)
    assert math.isnan(y[3])


@pytest.mark.parametrize(
    "steps",
    [
        StepSamples(seconds=(0.5, 0.25), warmup=1),
        StepSamples(seconds=(0.0, 0.0), cpu_seconds=(0.0, 0.0)),
        StepSamples(seconds=(1.0, math.inf), cpu_seconds=(-1.0, math.nan)),
        StepSamples(seconds=(3000.0, 7000.0), cpu_seconds=(3000.0, 6000.0), queued_seconds=(0.0, 10.0)),
        StepSamples(responses=(1, 2), padding_tokens=(3,)),
    ],
)
def test_unusual_steps_are_read_back(steps: StepSamples) -> None:
    assert repr(series.unpack(series.pack((), steps))[1]) == repr(steps)


def test_a_changed_text_is_refused(tmp_path: Path) -> None:
    text = line.dump(record("dpo", 0))
    at = text.index('"series":"') + 40
    (tmp_path / "records.jsonl").write_text(text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :])
    with pytest.raises(
        UserError, match=r"line 1 is not a valid record: series: its checksum is another, .* Remove the"
    ):
        reader.records(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]\n", b'{"curves":[],"steps":{},"columns":[]}\n', b'{"columns":[[9,9,9]]}\n', b"\xff"]
)
def test_content_of_another_program_is_named_with_its_cell(content: bytes) -> None:
    packed = base64.b85encode(lzma.compress(content, lzma.FORMAT_RAW, filters=series.FILTERS)).decode()
    one = record("dpo", 0, curves=(), steps=StepSamples(), series=f"{zlib.crc32(packed.encode()):08x}{packed}")
    with pytest.raises(UserError, match=r"The record of 'dpo-s0' in 'run-a': curves and steps cannot be unpacked"):
        _ = one.curves


def test_a_metric_that_is_measured_twice_stays_so() -> None:
    one = record("dpo", 0)
    twice = one.model_copy(update={"measurements": (*one.measurements, one.measurements[0])})
    assert again(twice) == twice


@pytest.mark.parametrize("part", ["meanings", "stderr"])
def test_a_line_without_units_or_errors_is_refused(part: str, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps({**json.loads(line.dump(record("dpo", 0))), part: "?"}))
    with pytest.raises(UserError, match=r"line 1 is not a valid record: \w+: .* Remove the line"):
        reader.records(tmp_path)
