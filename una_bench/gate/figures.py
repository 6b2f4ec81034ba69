"""Figures that the gate reads from a record, each with its kind of comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median

from una_bench.analysis import frame
from una_bench.record.schema import Better, Measurement, Record
from una_bench.reporting import fairness_topics
from una_bench.reporting.tables import column_heads


class Kind(StrEnum):
    """Kind of comparison of a figure."""

    DETERMINISTIC = "deterministic"
    """Must be equal, up to a float tolerance."""
    NOISY = "noisy"
    """Depends on the machine: must be within the spread of unchanged code."""
    QUALITY = "quality"
    """Quality of the policy: must be within its confidence interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One figure of one cell."""

    name: str
    kind: Kind
    value: int | float | str
    """A string (a hash or a word) must be equal."""
    unit: str = "1"
    better: Better = Better.NEITHER
    stderr: float | None = None
    scale: float = 0.0
    """Quantity that relative tolerances refer to; 0 means the value itself."""
    of: str = ""
    """Name of ``scale`` in words."""
    drawn: bool = False
    """Whether it depends on sampled responses, which rounding on another machine changes."""


HASHES = {
    "weights.initial": "initial_weights_sha256",
    "weights.final": "final_weights_sha256",
    "data.responses": "responses_set_sha256",
    "data.prompts": "prompts_set_sha256",
}
COUNTS = {
    "count.responses": "responses_trained",
    "count.optimizer_steps": "optimizer_steps",
    "count.rows_dropped": "rows_dropped",
    "count.rows_truncated": "rows_truncated",
    "tokens.prompt": "prompt_tokens",
    "tokens.response": "response_tokens",
    "tokens.padding": "padding_tokens",
}
UNCHANGED, CHANGED = "as at the start", "changed while training"
LOSS = "loss"
LEARNING_RATE = "learning_rate"
RATES = (LEARNING_RATE, "lr")
"""Names under which trainers log it; the second is that of TRL's PPO."""
SETTINGS = "settings"
BETWEEN = "; "
"""What separates the items of a figure that is a list in words."""
OF_THE_MACHINE = {"device", "threads"}
"""Settings of a cell that are compared as its machine."""
POINTS = 3
"""Number of points of the loss curve that are compared: the first, the last, and evenly between."""
RESIDENT = "memory.resident."
REMAINDER = "memory.resident.activations"
"""The rest of the measured peak, unlike the other parts, which are arithmetic."""


def quality(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the names of the quality metrics."""
    return tuple(m.name for m in column_heads.quality(frame.metrics(records)))


def gauges(record: Record, of_quality: Sequence[str]) -> dict[str, Gauge]:
    """Return the figures of a cell that succeeded, by name."""
    measured = {m.metric: m for m in record.measurements if m.samples}
    figures = [*_deterministic(record), *_arithmetic(record, measured), *_noisy(measured)]
    for m in (measured[name] for name in of_quality if name in measured):
        figures.append(
            Gauge(name=m.metric, kind=Kind.QUALITY, value=m.value, unit=m.unit, better=m.better, stderr=m.stderr)
        )
    return {gauge.name: gauge for gauge in figures}


def _deterministic(record: Record) -> Iterator[Gauge]:
    facts, drawn = record.facts, fairness_topics.generates(record)
    for name, fact in HASHES.items():
        if fact in facts:
            yield Gauge(name=name, kind=Kind.DETERMINISTIC, value=str(facts[fact]), unit="sha256")
    if {"reference_weights_sha256", "initial_weights_sha256"} <= facts.keys():
        same = facts["reference_weights_sha256"] == facts["initial_weights_sha256"]
        yield Gauge(name="reference.weights", kind=Kind.DETERMINISTIC, value=UNCHANGED if same else CHANGED)
    for name, fact in COUNTS.items():
        if fact in facts:
            tokens = int(facts.get(COUNTS["tokens.response"], 0)) if name.startswith("tokens.") else 0
            of = "the response tokens" if tokens else ""
            yield Gauge(name=name, kind=Kind.DETERMINISTIC, value=int(facts[fact]), scale=tokens, of=of, drawn=drawn)
    settings = {**record.job, **record.settings}
    items = (f"{name}={value}" for name, value in sorted(settings.items()) if name not in OF_THE_MACHINE)
    yield Gauge(name=SETTINGS, kind=Kind.DETERMINISTIC, value=BETWEEN.join(items))
    rates = next((c for c in record.curves if c.metric in RATES and c.y), None)
    if rates is not None:
        points = (f"{y:.6g} after {x:.0f}" for x, y in zip(rates.x, rates.y, strict=True))
        yield Gauge(name=LEARNING_RATE, kind=Kind.DETERMINISTIC, value=BETWEEN.join(points))
    curve = next((c for c in record.curves if c.metric == LOSS and c.y), None)
    if curve is not None:
        last, scale = len(curve.y) - 1, max(abs(y) for y in curve.y)
        for i in sorted({round(last * part / (POINTS - 1)) for part in range(POINTS)}):
            name, of = f"{LOSS}.{curve.x[i]:.0f}", "the largest loss"
            yield Gauge(name=name, kind=Kind.DETERMINISTIC, value=curve.y[i], scale=scale, of=of, drawn=drawn)


def _arithmetic(record: Record, measured: dict[str, Measurement]) -> Iterator[Gauge]:
    drawn = fairness_topics.generates(record)
    for name, m in measured.items():
        if name == "compute.flops" or (name.startswith(RESIDENT) and name != REMAINDER):
            value = round(m.value) if m.unit == "B" else m.value
            yield Gauge(name=name, kind=Kind.DETERMINISTIC, value=value, unit=m.unit, better=Better.LOWER, drawn=drawn)


def _noisy(measured: dict[str, Measurement]) -> Iterator[Gauge]:
    """Yield the peak relative to predicted resident memory, and the step time relative to calibrated work."""
    held = sum(m.value for name, m in measured.items() if name.startswith(RESIDENT) and name != REMAINDER)
    if held and "memory.peak" in measured:
        peak = measured["memory.peak"].value / held
        yield Gauge(name="memory.peak_over_held", kind=Kind.NOISY, value=peak, better=Better.LOWER)
    if "pace.step" in measured:
        steps = measured["pace.step"]
        for name, value in (("pace.step", median(steps.samples)), ("pace.training", fmean(steps.samples))):
            yield Gauge(name=name, kind=Kind.NOISY, value=value, unit=steps.unit, better=Better.LOWER)
    elif "compute.utilization" in measured:
        share = measured["compute.utilization"]
        yield Gauge(name=share.metric, kind=Kind.NOISY, value=share.value, better=share.better)


def words(name: str) -> str:
    """Return a figure's name for messages."""
    family, _, rest = name.partition(".")
    return f"loss after {rest} responses" if family == LOSS else name
