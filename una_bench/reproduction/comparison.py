"""Table of a paper's numbers and ours: value, interval, difference and verdict per cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from una_bench import formatting
from una_bench.analysis import frame
from una_bench.analysis.frame import Row
from una_bench.record.schema import Record
from una_bench.reporting.tables import cell_values
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table
from una_bench.reproduction import verdicts
from una_bench.reproduction.published_numbers import AVERAGE, Claim, PublishedTable, Reference
from una_bench.reproduction.targets import Target
from una_bench.reproduction.verdicts import Ours, Verdict

TIME = "throughput.training_seconds"
GENERATION = {
    "mt_bench": ("MT-Bench, 1 to 10", "judge.grade.mt_bench", 1.0),
    "alpacaeval_lc_wr": ("AlpacaEval, length-controlled", "judge.win_rate_lc.alpaca_eval", 0.01),
}
"""Column of a published table of judged answers -> label, our metric, and its unit in the published one's."""
PAPERS_JUDGE = "judge gpt-4"
"""How our measurement ends where the judge is the one of MT-Bench and AlpacaEval."""
JUDGED = (
    "MT-Bench and AlpacaEval are run only with --judge and benchmarks.judge.prompts=mt_bench or alpaca_eval, and are "
    "not comparable unless the judge is GPT-4, as theirs"
)
COLUMNS = (
    Column(key="paper", head="paper", numbers=("mean",)),
    Column(key="ours", head="ours"),
    Column(key="difference", head="ours − paper", numbers=("mean",)),
    Column(key="verdict", head="verdict", numbers=(), wraps=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One published number and ours."""

    label: str
    published: float
    ours: Ours | None
    verdict: Verdict
    percent: bool = True


def table(records: Sequence[Record], aim: Target, reference: Reference, *, name: str, apart: str = "") -> Table:
    """Return the comparison of the suite ``name``; ``apart`` says why it is not comparable, empty if it is."""
    rows = frame.rows(records)
    groups, all_compared = [], []
    tables = [reference.table(number) for number in aim.tables]
    for published in tables:
        for published_row in published.rows:
            for row in chosen(rows, aim.rows.get(published_row.row)):
                judged = not published.leaderboard
                compared = list((_judged if judged else _tasks)(published, published_row.row, row, apart))
                source = f"Table {published.table} ({_mark(published)}{published.policy})"
                groups.append(_group(f"{source}, {published_row.row}", row, compared))
                all_compared += compared
    for claim in (reference.claim(key) for key in aim.claims):
        compared = list(_ratios(claim, rows, aim, apart))
        groups.append(_group(f"{claim.about} ({claim.hardware}, {_mark(claim)}{claim.source})", None, compared))
        all_compared += compared
    sources = dict.fromkeys(published.source for published in tables)
    numbers = f"table{'s' * (len(aim.tables) > 1)} {' and '.join(aim.tables)}"
    warning = f"NOT A REPRODUCTION ({apart}): this only tests that the suite runs. " if apart else ""
    return Table(
        title=f"{warning}{name} and {' and '.join(sources)}, {numbers}",
        stub="task",
        columns=COLUMNS,
        groups=tuple(groups),
        notes=_notes([one.verdict for one in all_compared], apart, any(not t.leaderboard for t in tables)),
    )


def _mark(published: PublishedTable | Claim) -> str:
    return "secondary source: " if published.provenance == "secondary" else ""


def chosen(rows: Sequence[Row], selection: Mapping[str, Any] | None) -> list[Row | None]:
    """Return our rows that correspond to a published one; ``[None]`` if there is none."""
    if selection is None:
        return [None]
    settings = {key: value for key, value in selection.items() if key != "method"}
    matching: list[Row | None] = [
        row
        for row in rows
        if row.method == selection.get("method")
        and all(row.records[0].settings.get(key) == value for key, value in settings.items())
    ]
    return matching or [None]


def _tasks(published: PublishedTable, name: str, row: Row | None, apart: str) -> Iterator[_Compared]:
    values = published.row(name)
    prefix = f"paper.{published.leaderboard.replace('-', '_')}"
    tasks = [c for c in values if c != AVERAGE]
    run = [c for c in tasks if verdicts.ours(row, f"{prefix}.{c}") is not None]
    missing = [c for c in tasks if c not in run]
    for column, percent in values.items():
        label, theirs, metric = column.replace("_", "-"), percent / 100, f"{prefix}.{column}"
        if column == AVERAGE and run and missing:
            label = f"average of {len(run)} (without {', '.join(missing)})"
            theirs, metric = fmean(values[c] for c in run) / 100, f"{metric}_without_{'_'.join(missing)}"
        ours = verdicts.ours(row, metric)
        verdict = verdicts.judge(theirs, ours, incomparable=bool(apart))
        yield _Compared(label=label, published=theirs, ours=ours, verdict=verdict)


def _judged(published: PublishedTable, name: str, row: Row | None, apart: str) -> Iterator[_Compared]:
    """Compare judged answers: comparable only with the published prompts, which the metric names, and judge."""
    for column, value in published.row(name).items():
        label, metric, unit = GENERATION[column]
        ours = verdicts.ours(row, metric)
        hows = [m.how for record in (row.records if row else ()) for m in record.measurements if m.metric == metric]
        other = not all(PAPERS_JUDGE in how for how in hows)
        verdict = verdicts.judge(value * unit, ours, incomparable=bool(apart) or other)
        yield _Compared(label=label, published=value * unit, ours=ours, verdict=verdict, percent=unit < 1)


def _ratios(claim: Claim, rows: Sequence[Row], aim: Target, apart: str) -> Iterator[_Compared]:
    """Compare a published ratio of times with that of our training times."""
    first, second = claim.rows
    for slow in chosen(rows, aim.rows.get(first)):
        for fast in chosen(rows, aim.rows.get(second)):
            ours = verdicts.ratio(slow, fast, TIME)
            verdict = verdicts.judge(claim.ratio, ours, incomparable=bool(apart), rounding=0.005)
            labels = f" ({slow.label} / {fast.label})" if slow is not None and fast is not None else ""
            label = f"{first} / {second}{labels}"
            yield _Compared(label=label, published=claim.ratio, ours=ours, verdict=verdict, percent=False)


def _group(heading: str, row: Row | None, compared: Sequence[_Compared]) -> Group:
    names = {"method": row.method, "variant": row.variant} if row is not None else {"method": "", "variant": ""}
    shown = f" · ours: {row.label if row is not None else 'none'}"
    heading = formatting.clean(heading)
    lines = tuple(
        Line(label=one.label, names={"row": heading, **names, "metric": one.label}, cells=_cells(one))
        for one in compared
    )
    return Group(heading=heading + (shown if any(one.percent for one in compared) else ""), lines=lines)


def _cells(one: _Compared) -> tuple[Cell, ...]:
    scale = 100.0 if one.percent else 1.0
    theirs = Cell(text=formatting.number(one.published * scale, 2), numbers={"mean": one.published})
    verdict = Cell(text=str(one.verdict), caveat=_reason(one))
    if one.ours is None:
        return theirs, Cell(text="n/a"), Cell(text="n/a"), verdict
    mean = one.ours.estimate
    half = "" if mean.half is None else f" ± {formatting.half(mean.half * scale, 2)}"
    ours = Cell(text=formatting.number(mean.mean * scale, 2) + half, numbers=cell_values.numbers(mean))
    gap = mean.mean - one.published
    return theirs, ours, Cell(text=formatting.number(gap * scale, 2, sign=True), numbers={"mean": gap}), verdict


def _reason(one: _Compared) -> str:
    if one.ours is None or one.verdict not in {Verdict.UNRESOLVED, Verdict.AGREES}:
        return ""
    if one.ours.estimate.low is None:
        return "no interval"
    return "" if one.ours.covers_seeds else "one seed"


def _notes(judged: Sequence[Verdict], apart: str, generation: bool) -> tuple[str, ...]:
    counts = ", ".join(f"{verdict}: {count}" for verdict in Verdict if (count := judged.count(verdict)))
    counted = f"{counts or 'nothing was compared'} of {len(judged)} cells"
    meanings = (f"not comparable: {apart}",) if apart else verdicts.MEANINGS
    how = (
        "percent, scored as in the paper (metrics paper.*); ± is half of a 95 % interval; averages, the paper's "
        "included, are over the tasks that ran"
    )
    return (counted, *meanings, how, *((JUDGED,) if generation else ()))
