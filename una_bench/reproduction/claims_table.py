"""Table of a paper's claims and what runs show of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from una_bench import formatting
from una_bench.analysis.draws import Draws
from una_bench.reporting.tables import cell_values, column_heads, comparable_runs
from una_bench.reporting.tables.cell_values import Format
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table
from una_bench.reproduction import claims, published_numbers
from una_bench.reproduction.claims import Finding, Outcome, Sample
from una_bench.reproduction.published_numbers import Comparison

COLUMNS = (
    Column(key="outcome", head="result", numbers=(), wraps=True),
    Column(key="rows", head="compared", numbers=(), wraps=True),
    Column(key="metric", head="measured by", numbers=(), wraps=True),
    Column(key="difference", head="difference", unit="", numbers=("mean", "low", "high", "n", "p")),
)
MEANINGS = (
    "± is half of a 95 % interval (Student t) of first − second, paired by seed, or by draw of the problem where a run "
    "has several; for orders, Holm-corrected for all that the run tests",
    "held, did not hold: an order holds if the interval excludes zero on that side; an equality if it lies within the "
    "margin; no need of an offset if the row without is not worse by more than the margin",
    "not resolved: neither held nor did not hold; one seed resolves nothing, and a row with failed cells wins nothing",
    "not comparable: the suite lacks a row or a metric, the rows differ in more than the claim says, or the claim is "
    "about another scale",
)


def table(runs: Sequence[Path]) -> Table:
    """Return every claim for every run, and a table of their sources."""
    comparisons = published_numbers.load().comparisons
    samples = [claims.sample(run, name) for run, name in zip(runs, comparable_runs.names(runs), strict=True)]
    shown = [claims.findings(one, comparisons) for one in samples]
    return _table(samples, shown, comparisons)


def of_run(run: Path, draws: Draws | None = None) -> Table | None:
    """Return the claims that a run, read unless its records are given, measures something of; None without any."""
    comparisons = published_numbers.load().comparisons
    one = claims.sample(run, formatting.clean(run.resolve().name), draws)
    measured = [finding for finding in claims.findings(one, comparisons) if finding.effect is not None]
    made = {finding.claim.comparison for finding in measured}
    return _table([one], [measured], [c for c in comparisons if c.comparison in made]) if measured else None


def _table(samples: Sequence[Sample], shown: Sequence[Sequence[Finding]], comparisons: Sequence[Comparison]) -> Table:
    groups = tuple(
        Group(heading=_heading(one), lines=tuple(_line(one, finding) for finding in findings))
        for one, findings in zip(samples, shown, strict=True)
    )
    outcomes = [finding.outcome for findings in shown for finding in findings]
    counts = ", ".join(f"{outcome}: {count}" for outcome in Outcome if (count := outcomes.count(outcome)))
    return Table(
        title="Claims of the UNA paper",
        stub="claim",
        columns=COLUMNS,
        groups=groups,
        notes=(counts, *MEANINGS),
        then=(_sources(comparisons),),
    )


def _heading(one: Sample) -> str:
    weights = f"policy of {formatting.short(one.weights / claims.MILLION)} million weights" if one.weights else ""
    sample = f"{one.count} {one.unit}{'s' * (one.count != 1)}"
    return ", ".join(filter(None, (f"{one.run}: suite {one.suite}", sample, weights)))


def _line(one: Sample, finding: Finding) -> Line:
    compared = f"{finding.first} − {finding.second}" if finding.first else "–"
    metric = finding.metric
    measured = column_heads.title(metric, "") if metric else "–"
    return Line(
        label=finding.claim.statement,
        names={"run": one.run, "claim": finding.claim.comparison},
        cells=(
            Cell(text=str(finding.outcome), caveat=finding.why),
            Cell(text=compared),
            Cell(text=measured),
            _difference(finding),
        ),
    )


def _difference(finding: Finding) -> Cell:
    effect, metric = finding.effect, finding.metric
    if effect is None or metric is None or not effect.n:
        return Cell(text="–")
    scale = formatting.scale(metric.unit, [effect.mean])
    half = None if effect.half is None else effect.half / scale.factor
    form = Format(scale.factor, formatting.places([effect.mean / scale.factor], [half]))
    text = f"{form.text(effect, sign=True)} {scale.unit}".strip()
    return Cell(text=text, numbers=cell_values.numbers(effect, COLUMNS[-1].numbers))


def _sources(comparisons: Sequence[Comparison]) -> Table:
    margin = Column(key="margin", head="margin", unit="", numbers=("mean",))
    source = Column(key="source", head="source", numbers=(), wraps=True)
    lines = tuple(
        Line(
            label=one.statement,
            names={"claim": one.comparison},
            cells=(
                Cell(text=f"{one.source}: {one.place}"),
                Cell(text="–") if one.margin is None else Cell(text=f"{one.margin:g}", numbers={"mean": one.margin}),
            ),
        )
        for one in comparisons
    )
    return Table(title="Sources", stub="claim", columns=(source, margin), groups=(Group(lines=lines),))
