"""One table of a paper's numbers beside ours: value, interval, difference and verdict, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from una_bench import formatting
from una_bench.analysis import frame
from una_bench.analysis.frame import Row
from una_bench.analysis.stats import Estimate
from una_bench.record.schema import Record
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table
from una_bench.reproduction import verdicts
from una_bench.reproduction.published_numbers import AVERAGE, Claim, PublishedTable, Reference
from una_bench.reproduction.targets import Target
from una_bench.reproduction.verdicts import Ours, Verdict

TIME = "throughput.training_seconds"
COLUMNS = (
    Column(key="paper", head="paper", numbers=("mean",)),
    Column(key="ours", head="ours"),
    Column(key="difference", head="ours − paper", numbers=("mean",)),
    Column(key="verdict", head="verdict", numbers=(), wraps=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One line before it is put into words."""

    label: str
    published: float
    found: Ours | None
    verdict: Verdict
    percent: bool = True


def table(records: Sequence[Record], aim: Target, reference: Reference, *, name: str, apart: str = "") -> Table:
    """Return the comparison.

    Args:
        records: Of the run.
        aim: What it is held against.
        reference: What is published.
        name: Of the suite.
        apart: Why the run cannot be compared with what is published, in words; empty where it can.
    """
    rows = frame.rows(records)
    groups, said = [], []
    for published in (reference.table(number) for number in aim.tables):
        for row in published.rows:
            for own in chosen(rows, aim.rows.get(row.row)):
                compared = list(_tasks(published, row.row, own, apart))
                groups.append(_group(f"{_source(published)}, {row.row}", own, compared))
                said += [one.verdict for one in compared]
    for claim in (reference.claim(key) for key in aim.claims):
        compared = list(_ratios(claim, rows, aim, apart))
        groups.append(_group(f"{claim.about} ({claim.hardware}, {_mark(claim)}{claim.source})", None, compared))
        said += [one.verdict for one in compared]
    warning = f"NOT A REPRODUCTION ({apart}): the path was proved, the numbers are of something else. " if apart else ""
    return Table(
        title=f"{warning}{name} beside {_sources(aim, reference)}",
        stub="task",
        columns=COLUMNS,
        groups=tuple(groups),
        notes=_notes(said, apart),
    )


def _sources(aim: Target, reference: Reference) -> str:
    sources = dict.fromkeys(reference.table(number).source for number in aim.tables)
    return f"{' and '.join(sources)}, table{'s' * (len(aim.tables) > 1)} {' and '.join(aim.tables)}"


def _mark(published: PublishedTable | Claim) -> str:
    return "secondary source: " if published.provenance == "secondary" else ""


def _source(published: PublishedTable) -> str:
    return f"Table {published.table} ({_mark(published)}{published.policy})"


def chosen(rows: Sequence[Row], selection: Mapping[str, Any] | None) -> list[Row | None]:
    """Rows of ours that stand for one of theirs; None alone where there is none."""
    if selection is None:
        return [None]
    wanted = {key: value for key, value in selection.items() if key != "method"}
    found: list[Row | None] = [
        row
        for row in rows
        if row.method == selection.get("method")
        and all(row.records[0].settings.get(key) == value for key, value in wanted.items())
    ]
    return found or [None]


def _tasks(published: PublishedTable, name: str, own: Row | None, apart: str) -> Iterator[_Compared]:
    values = published.row(name)
    prefix = f"paper.{published.leaderboard.replace('-', '_')}"
    run = [c for c in values if c != AVERAGE and verdicts.ours(own, f"{prefix}.{c}") is not None]
    for column, percent in values.items():
        label, theirs, metric = column.replace("_", "-"), percent / 100, f"{prefix}.{column}"
        missing = [c for c in values if c != AVERAGE and c not in run]
        if column == AVERAGE and run and missing:
            label = f"average of {len(run)} (without {', '.join(missing)})"
            theirs, metric = fmean(values[c] for c in run) / 100, f"{metric}_without_{'_'.join(missing)}"
        found = verdicts.ours(own, metric)
        verdict = verdicts.judge(theirs, found, incomparable=bool(apart))
        yield _Compared(label=label, published=theirs, found=found, verdict=verdict)


def _ratios(claim: Claim, rows: Sequence[Row], aim: Target, apart: str) -> Iterator[_Compared]:
    """Compare a ratio of times; ours is of the hours that a training took, whatever the machine."""
    first, second = claim.rows
    for slow in chosen(rows, aim.rows.get(first)):
        for fast in chosen(rows, aim.rows.get(second)):
            found = verdicts.ratio(slow, fast, TIME)
            verdict = verdicts.judge(claim.ratio, found, incomparable=bool(apart), rounding=0.005)
            ours = f" ({slow.label} / {fast.label})" if slow is not None and fast is not None else ""
            yield _Compared(
                label=f"{first} / {second}{ours}",
                published=claim.ratio,
                found=found,
                verdict=verdict,
                percent=False,
            )


def _group(heading: str, own: Row | None, compared: Sequence[_Compared]) -> Group:
    names = {"method": own.method, "variant": own.variant} if own is not None else {"method": "", "variant": ""}
    shown = f" · ours: {own.label}" if own is not None else " · ours: none"
    lines = (
        Line(label=one.label, names={"row": formatting.clean(heading), **names, "metric": one.label}, cells=_cells(one))
        for one in compared
    )
    return Group(
        heading=formatting.clean(heading) + (shown if compared and compared[0].percent else ""), lines=tuple(lines)
    )


def _cells(one: _Compared) -> tuple[Cell, ...]:
    scale = 100.0 if one.percent else 1.0
    theirs = Cell(text=formatting.number(one.published * scale, 2), numbers={"mean": one.published})
    verdict = Cell(text=str(one.verdict), caveat=_reason(one))
    if one.found is None:
        return theirs, Cell(text="n/a"), Cell(text="n/a"), verdict
    found = one.found.estimate
    half = "" if found.half is None else f" ± {formatting.half(found.half * scale, 2)}"
    own = Cell(text=formatting.number(found.mean * scale, 2) + half, numbers=_numbers(found))
    gap = found.mean - one.published
    return theirs, own, Cell(text=formatting.number(gap * scale, 2, sign=True), numbers={"mean": gap}), verdict


def _numbers(found: Estimate) -> dict[str, float]:
    ends = {} if found.low is None or found.high is None else {"low": found.low, "high": found.high}
    return {"mean": found.mean, "n": found.n, **ends}


def _reason(one: _Compared) -> str:
    if one.found is None or one.verdict not in {Verdict.UNRESOLVED, Verdict.AGREES}:
        return ""
    if one.found.estimate.low is None:
        return "no interval"
    return "" if one.found.covers_seeds else "one seed"


def _notes(said: Sequence[Verdict], apart: str) -> tuple[str, ...]:
    counted = f"{verdicts.summary(said)} of {len(said)} cells"
    why = (f"not comparable: {apart}",) if apart else verdicts.MEANINGS
    how = (
        "percent, counted as the paper says (metrics paper.*); ± is half of a 95 % interval; averages are those of the "
        "tasks that ran, theirs recomputed over the same",
    )
    return (counted, *why, *how)
