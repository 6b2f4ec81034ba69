"""The answer in three sentences, made from the records: how good, at what cost, how fairly."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from una_bench import compose, entries, fairness, frame, heads, stats, words
from una_bench.fairness import Verdict
from una_bench.frame import Metric, Row
from una_bench.record import Better, Record, Status

SPEED, MEMORY = "throughput.tokens_per_second", "memory.peak"


def sentences(records: Sequence[Record]) -> list[str]:
    """Return three sentences; only the largest group of comparable rows is spoken of."""
    metrics = frame.metrics(records)
    groups = compose.grouped(frame.rows(records))
    rows = max((members for _, members in groups), key=len, default=[])
    trained = [row for row in rows if not row.fixed]
    quality = primary(metrics)
    best = _best(trained, quality) if quality else None
    return [_quality(trained, quality, best, len(groups)), _cost(trained, metrics, best), _fair(records)]


def primary(metrics: dict[str, Metric]) -> Metric | None:
    """Return what quality means here: the first metric of the main table with a direction that is no cost."""
    costs = ("throughput.", "memory.", "compute.", "energy.")
    return next(
        (m for m in heads.main(metrics) if m.better is not Better.NEITHER and not m.name.startswith(costs)), None
    )


def _best(rows: Sequence[Row], metric: Metric) -> Row | None:
    having = [row for row in rows if row.values.get(metric.name)]
    sign = 1 if metric.better is Better.HIGHER else -1
    return max(having, key=lambda r: sign * fmean(r.values[metric.name].values()), default=None)


def _quality(rows: Sequence[Row], metric: Metric | None, best: Row | None, groups: int) -> str:
    if metric is None or best is None:
        return "No quality was measured on any trained method, so that none can be called best."
    word = "highest" if metric.better is Better.HIGHER else "lowest"
    found = stats.interval(list(best.values[metric.name].values()))
    shown = _with_interval(found, metric)
    first = f"{best.label} has the {word} {heads.head(metric.name)} of {len(rows)} trained rows, {shown}"
    others = [row for row in rows if row is not best and row.values.get(metric.name)]
    effects = stats.paired([entries.matched(row, best, metric.name) for row in others])
    unresolved = [row.label for row, effect in zip(others, effects, strict=True) if not effect.resolved]
    if not others:
        second = "there is nothing to compare it with"
    elif all(effect.p is None for effect in effects):
        second = "with one seed nothing says whether that is more than chance"
    elif unresolved:
        second = f"its lead is not resolved over {_list(unresolved)}"
    else:
        second = "its lead over every other is resolved (paired by seed, Holm)"
    apart = f" (in the largest of {groups} groups that are not comparable with each other)" if groups > 1 else ""
    return f"{first}{apart}; {second}."


def _with_interval(found: stats.Estimate, metric: Metric) -> str:
    scale = words.scale(metric.unit, [found.mean])
    half = None if found.half is None else found.half / scale.factor
    decimals = words.places([found.mean / scale.factor], [half])
    spread = "" if half is None else f" ± {words.half(half, decimals)}"
    return f"{words.number(found.mean / scale.factor, decimals)}{spread} {scale.unit}".strip()


def _list(names: Sequence[str], most: int = 4) -> str:
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _cost(rows: Sequence[Row], metrics: dict[str, Metric], best: Row | None) -> str:
    fast = _best(rows, metrics[SPEED]) if SPEED in metrics else None
    small = _best(rows, metrics[MEMORY]) if MEMORY in metrics else None
    parts = []
    if fast:
        parts.append(f"{fast.label} trains fastest ({words.quantity(_mean(fast, SPEED), metrics[SPEED].unit)})")
    if small:
        parts.append(f"{small.label} needs the least memory ({words.quantity(_mean(small, MEMORY), 'B')} at the peak)")
    if not parts:
        return "Neither speed nor memory was measured."
    if best and fast and fast is not best and best.values.get(SPEED):
        parts.append(f"{best.label} runs at {words.short(_mean(best, SPEED) / _mean(fast, SPEED))} times the fastest")
    if best and small and small is not best and best.values.get(MEMORY):
        parts.append(
            f"{best.label} takes {words.short(_mean(best, MEMORY) / _mean(small, MEMORY))} times the least memory"
        )
    return "; ".join(parts) + "."


def _mean(row: Row, metric: str) -> float:
    return fmean(row.values[metric].values())


def _fair(records: Sequence[Record]) -> str:
    lines = fairness.ledger(records)
    known = [line for line in lines if line.verdict is not Verdict.NOT_KNOWN]
    differing = [line.topic for line in known if line.verdict is Verdict.DIFFERS]
    failed = sum(r.status is not Status.OK for r in records)
    cells = f"{len(records)} cells" if len(records) != 1 else "1 cell"
    fair = (
        f"Methods were treated alike on {len(known) - len(differing)} of the {len(known)} topics that the records tell"
    )
    but = f" and differ in {_list(differing)}" if differing else ""
    return f"{fair}{but}; {failed or 'none'} of {cells} failed."
