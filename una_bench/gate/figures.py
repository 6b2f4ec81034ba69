"""What the gate reads off a record: every figure with the rule that it is compared by."""

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
    """How a figure is compared."""

    DETERMINISTIC = "deterministic"
    """The same code gives the same figure: exactly, or within what floats lose."""
    NOISY = "noisy"
    """The machine is in it: within what unchanged code was seen to spread."""
    QUALITY = "quality"
    """What training is for: within its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One figure of one cell."""

    name: str
    kind: Kind
    value: int | float | str
    """A hash or a word is compared letter by letter."""
    unit: str = "1"
    better: Better = Better.NEITHER
    stderr: float | None = None
    scale: float = 0.0
    """Size of what a tolerance is a share of, where that is not the value, and what that is:"""
    of: str = ""
    drawn: bool = False
    """Whether it depends on responses that the method drew, which another machine's rounding draws otherwise."""


HASHES = {
    "weights.initial": "initial_weights_sha256",
    "weights.final": "final_weights_sha256",
    "data.responses": "responses_set_sha256",
    "data.prompts": "prompts_set_sha256",
}
COUNTS = {
    "count.responses": "responses_trained",
    "count.optimizer_steps": "optimizer_steps",
    "tokens.prompt": "prompt_tokens",
    "tokens.response": "response_tokens",
    "tokens.padding": "padding_tokens",
}
UNCHANGED, CHANGED = "as at the start", "changed while training"
LOSS = "loss"
POINTS = 3
"""Places of the loss curve that are compared: the first, the last, and evenly between."""
RESIDENT = "memory.resident."
REMAINDER = "memory.resident.activations"
"""Measured, unlike its siblings: what is left of the peak."""


def quality(records: Sequence[Record]) -> tuple[str, ...]:
    """Names of the metrics that say how good a policy is: those of the main table with a direction, no costs."""
    shown = column_heads.main(frame.metrics(records))
    return tuple(m.name for m in shown if m.better is not Better.NEITHER and not m.name.startswith(column_heads.COSTS))


def gauges(record: Record, of_quality: Sequence[str]) -> dict[str, Gauge]:
    """Return every figure of a cell that ended well; one that it lacks is absent."""
    measured = {m.metric: m for m in record.measurements if m.samples}
    found = [*_deterministic(record), *_arithmetic(record, measured), *_noisy(measured)]
    found += [_quality(measured[name]) for name in of_quality if name in measured]
    return {gauge.name: gauge for gauge in found}


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
    curve = next((c for c in record.curves if c.metric == LOSS and c.y), None)
    if curve is not None:
        last, scale = len(curve.y) - 1, max(abs(y) for y in curve.y)
        for i in sorted({round(last * part / (POINTS - 1)) for part in range(POINTS)}):
            name = f"{LOSS}.{curve.x[i]:.0f}"
            yield Gauge(
                name=name,
                kind=Kind.DETERMINISTIC,
                value=curve.y[i],
                scale=scale,
                of="the largest loss",
                drawn=drawn,
            )


def _arithmetic(record: Record, measured: dict[str, Measurement]) -> Iterator[Gauge]:
    drawn = fairness_topics.generates(record)
    for name, found in measured.items():
        if name == "compute.flops" or (name.startswith(RESIDENT) and name != REMAINDER):
            value = round(found.value) if found.unit == "B" else found.value
            yield Gauge(
                name=name, kind=Kind.DETERMINISTIC, value=value, unit=found.unit, better=Better.LOWER, drawn=drawn
            )


def _noisy(measured: dict[str, Measurement]) -> Iterator[Gauge]:
    """Peak over what arithmetic says was held, and a step over the work that it is measured in."""
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


def _quality(found: Measurement) -> Gauge:
    return Gauge(
        name=found.metric,
        kind=Kind.QUALITY,
        value=found.value,
        unit=found.unit,
        better=found.better,
        stderr=found.stderr,
    )


def words(name: str) -> str:
    """Return a figure's name as a message says it."""
    family, _, rest = name.partition(".")
    return f"loss after {rest} responses" if family == LOSS else name
