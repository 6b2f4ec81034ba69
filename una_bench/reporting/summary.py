"""Summary of a run in three sentences: quality, cost, fairness."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from una_bench import formatting
from una_bench.analysis import aggregate, frame, stats
from una_bench.analysis import draws as across
from una_bench.analysis.documents import Scores
from una_bench.analysis.draws import Draws
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import Better, Record, Status
from una_bench.reporting import fairness
from una_bench.reporting.fairness import LedgerLine, Verdict
from una_bench.reporting.tables import across_draws, cell_values, column_heads, differences, results_table

SPEED, MEMORY = "throughput.tokens_per_second", "memory.peak"


def sentences(
    records: Sequence[Record], lines: Sequence[LedgerLine] | None = None, documents: Scores | None = None
) -> list[str]:
    """Return the summary of the largest group of comparable rows.

    ``lines`` is the fairness ledger of ``records``, if the caller has it; ``documents`` pair rows as in the tables.
    """
    metrics = frame.metrics(records)
    groups = results_table.grouped(aggregate.with_task_means(frame.rows(records), column_heads.tasks(metrics)))
    rows = max((members for _, members in groups), key=len, default=[])
    trained = [row for row in rows if not row.fixed]
    quality = column_heads.primary(metrics)
    best = _best(trained, quality) if quality else None
    return [
        _quality(trained, quality, best, len(groups), documents or {}),
        _cost(trained, metrics, best),
        _fair(records, fairness.ledger(records) if lines is None else lines),
    ]


def over_draws(draws: Draws) -> list[str]:
    """Return the answer over draws of a problem, and what the other sentences are of; nothing for one draw."""
    if len(draws) == 1:
        return []
    metrics = frame.metrics([record for records in draws.values() for record in records])
    rows = [one.row for one in across.rows(draws) if not one.row.fixed]
    deciding = next(iter(across_draws.deciding(metrics)), None)
    best = _best(rows, deciding) if deciding else None
    of_first = f"The rest of the report, but for the tables over draws, is of draw 0 of {len(draws)}."
    if deciding is None or best is None:
        return [of_first]
    mean = _with_interval(stats.interval(list(best.values[deciding.name].values())), deciding)
    count, unresolved, _ = _behind(best, rows, deciding.name, {})
    lead = f"its lead over {_list(unresolved)} is not resolved" if unresolved else "its lead is resolved"
    failed = [row.label for row in rows if row.failed]
    return [
        f"Over {len(draws)} draws of the problem {best.label} has the best mean {column_heads.head(deciding.name)}, "
        f"{mean}; {lead if count else 'there is nothing to compare it with'}."
        + (f" Cells failed of {_list(failed)}." if failed else ""),
        of_first,
    ]


def _best(rows: Sequence[Row], metric: Metric) -> Row | None:
    having = [row for row in rows if row.values.get(metric.name)]
    sign = 1 if metric.better is Better.HIGHER else -1
    return max(having, key=lambda r: sign * fmean(r.values[metric.name].values()), default=None)


def _quality(rows: Sequence[Row], metric: Metric | None, best: Row | None, groups: int, documents: Scores) -> str:
    estimate = cell_values.estimate(best, metric.name) if metric and best else None
    if metric is None or best is None or estimate is None:
        return "No trained method has a quality metric, so none can be called best."
    word = "highest" if metric.better is Better.HIGHER else "lowest"
    shown = _with_interval(estimate, metric)
    count = len([row for row in rows if row.values.get(metric.name)])
    if count == 1:
        return (
            f"Only {best.label} has a {column_heads.head(metric.name)}, {shown}; there is nothing to compare it with."
        )
    first = f"{best.label} has the {word} {column_heads.head(metric.name)} of {count} trained methods, {shown}"
    mean = _mean(best, metric.name)
    equal = [r.label for r in rows if r is not best and r.values.get(metric.name) and _mean(r, metric.name) == mean]
    first += f", equal to {_list(equal)}" if equal else ""
    group = f" (in the largest of {groups} groups that are not comparable with each other)" if groups > 1 else ""
    return f"{first}{group}; {_lead(best, rows, metric, documents)}."


def _lead(best: Row, rows: Sequence[Row], metric: Metric, documents: Scores) -> str:
    """State whether the lead of the best is resolved, and over what."""
    count, unresolved, one_seed = _behind(best, rows, metric.name, documents)
    if not count:
        return "there is nothing to compare it with"
    if len(one_seed) == count:
        return "one seed cannot show whether the difference is more than chance"
    lead = f"its lead over {_list(unresolved)} is not resolved" if unresolved else "its lead is resolved"
    alone = differences.over_seeds_alone(rows, metric.name, documents)
    lead += f" ({differences.SEEDS_ALONE})" if alone else ""
    return lead + (f"; {_list(one_seed)}: one common seed, no interval" if one_seed else "")


def _behind(best: Row, rows: Sequence[Row], metric: str, documents: Scores) -> tuple[int, list[str], list[str]]:
    """Return the number of other rows, those not resolved from the best, and those that share one seed or none."""
    others = [row for row in rows if row is not best and row.values.get(metric)]
    effects = differences.paired(others, best, metric, documents)
    pairs = list(zip(others, effects, strict=True))
    unresolved = [row.label for row, effect in pairs if effect.p is not None and not effect.resolved]
    return len(others), unresolved, [row.label for row, effect in pairs if effect.p is None]


def _with_interval(estimate: stats.Estimate, metric: Metric) -> str:
    scale = formatting.scale(metric.unit, [estimate.mean])
    half = None if estimate.half is None else estimate.half / scale.factor
    form = cell_values.Format(scale.factor, formatting.places([estimate.mean / scale.factor], [half]))
    return f"{form.text(estimate)} {scale.unit}".strip()


def _list(names: Sequence[str], most: int = 4) -> str:
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _cost(rows: Sequence[Row], metrics: dict[str, Metric], best: Row | None) -> str:
    fast = _best(rows, metrics[SPEED]) if SPEED in metrics else None
    small = _best(rows, metrics[MEMORY]) if MEMORY in metrics else None
    first, second = [], []
    if fast:
        speed = formatting.quantity(_mean(fast, SPEED), metrics[SPEED].unit) + _unless_resolved(fast, rows, SPEED)
        first.append(f"{fast.label} trains fastest ({speed})")
        if best and fast is not best and best.values.get(SPEED):
            second.append(f"runs at {formatting.short(_mean(best, SPEED) / _mean(fast, SPEED))} times that speed")
    if small:
        peak = f"{formatting.quantity(_mean(small, MEMORY), 'B')} at the peak" + _unless_resolved(small, rows, MEMORY)
        needs = f"needs the least memory ({peak})"
        first.append(needs if small is fast else f"{small.label} {needs}")
        if best and small is not best and best.values.get(MEMORY):
            second.append(f"needs {formatting.short(_mean(best, MEMORY) / _mean(small, MEMORY))} times that memory")
    if not first:
        return "Neither speed nor memory was measured."
    compared = f"; {best.label} {' and '.join(second)}" if best and second else ""
    return " and ".join(first) + compared + "."


def _unless_resolved(best: Row, rows: Sequence[Row], metric: str) -> str:
    _, unresolved, one_seed = _behind(best, rows, metric, {})
    return f", not resolved from {_list(unresolved)}" if unresolved else ", one seed" if one_seed else ""


def _mean(row: Row, metric: str) -> float:
    return fmean(row.values[metric].values())


def _fair(records: Sequence[Record], lines: Sequence[LedgerLine]) -> str:
    recorded = [line for line in lines if line.verdict is not Verdict.NOT_KNOWN]
    differing = [line.topic for line in recorded if line.verdict is Verdict.DIFFERS]
    failed = sum(r.status not in {Status.OK, Status.NOT_APPLICABLE} for r in records)
    cells = f"{len(records)} cell{'s' * (len(records) != 1)}"
    equal = f"Conditions were equal on {len(recorded) - len(differing)} of {len(recorded)} recorded topics"
    but = f" and differed in {_list(differing)}" if differing else ""
    return f"{equal}{but}; {failed or 'none'} of {cells} failed."
