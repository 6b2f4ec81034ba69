"""HTML report of a run, one self-contained file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.analysis import documents, frame, tuning
from una_bench.analysis.draws import Draws
from una_bench.analysis.frame import Row
from una_bench.record import reader, storage
from una_bench.record.schema import Record, Status
from una_bench.reporting import answers_page, fairness, summary
from una_bench.reporting.fairness_topics import TUNING
from una_bench.reporting.plots import figures, ladder
from una_bench.reporting.plots import tuning as tuning_plots
from una_bench.reporting.plots.style import INK, MOST_ROWS, RULE, Plot
from una_bench.reporting.tables import across_draws, ladder_table, render, results_table, tuning_tables
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table

if TYPE_CHECKING:
    from markupsafe import Markup

    from una_bench.analysis.tuning import Tuning

MOST_FAILURES, MOST_SAMPLES = 50, 12
CITATION = """@article{wang2024una,
  title   = {{UNA}: Unifying Alignments of {RLHF/PPO}, {DPO} and {KTO} by a Generalized Implicit Reward Function},
  author  = {Wang, Zhichao and Bi, Bin and Huang, Can and Pentyala, Shiva Kumar and Zhu, Zixu James and Asur, Sitaram
             and Cheng, Na Claire},
  journal = {arXiv preprint arXiv:2408.15339},
  year    = {2024}
}"""


def write(
    run: Path,
    *,
    baseline: str | None = None,
    claims: Table | None = None,
    draws: Draws | None = None,
    plots: Sequence[Plot] | None = None,
) -> Path:
    """Write ``report.html`` into the folder of a run and return its path; equal records give equal bytes.

    ``claims`` is the table of published claims, from `una_bench.reproduction.claims_table`. ``baseline`` defaults to
    the one in ``run.json`` if the run has that row. ``draws`` are the run's records, which are read if not given, and
    ``plots`` their figures, which are drawn if not given.
    """
    draws, info, path = draws or reader.draws(run), reader.run_info(run), run / "report.html"
    records = draws[0]
    usual = info.get("baseline")
    if not baseline and usual and isinstance(usual, str):
        baseline = frame.first(frame.rows(records), usual)
    samples, scores = documents.samples(run, records), documents.scores(run, records)
    answers = answers_page.write(run, records)
    text = page(
        records,
        info,
        baseline=baseline,
        samples=samples,
        scores=scores,
        draws=draws,
        tuned=tuning.read(run),
        answers=answers.name if answers else "",
        claims=claims,
        plots=plots,
    )
    storage.write_text(path, text)
    return path


def page(  # noqa: PLR0913 - one parameter a source of the report
    records: Sequence[Record],
    info: Mapping[str, Any],
    *,
    baseline: str | None = None,
    samples: Sequence[Mapping[str, str]] = (),
    scores: documents.Scores | None = None,
    answers: str = "",
    tuned: Tuning | None = None,
    draws: Draws | None = None,
    claims: Table | None = None,
    plots: Sequence[Plot] | None = None,
) -> str:
    """Return the report as HTML; ``samples`` and ``scores`` are from `una_bench.analysis.documents`.

    ``answers`` is the file with judged answers, if there is one. ``draws`` are the records of all draws of the problem;
    ``records`` are then those of draw 0. ``plots`` are their figures, which are drawn if not given.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    metrics = frame.metrics(records)
    suite, command = formatting.clean(records[0].suite), formatting.clean(info.get("command") or "")
    rows, ledger = frame.rows(records), fairness.ledger(records)
    tasks = results_table.tasks(records, baseline=baseline, documents=scores)
    boards = results_table.leaderboards(records, baseline=baseline)
    every = results_table.of_metrics("Every metric", rows, list(metrics.values()), baseline=None)
    climbed = ladder_table.of_records(records)
    counts = ((len(rows), "row"), (len({r.seed for r in records}), "seed"), (len(records), "cell"))
    drawn = figures.draw(records, info, baseline=baseline) if plots is None else plots
    inline = [(plot, _inline(plot)) for plot in drawn]
    template = Environment(
        loader=PackageLoader("una_bench.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    return template.render(
        suite=suite,
        answers=answers,
        judged=_html(judged) if (judged := results_table.judged(records)) else None,
        about=formatting.clean(info.get("about") or ""),
        changes=_changes(command),
        answer=[
            *(summary.over_draws(draws) if draws else ()),
            *summary.sentences(records, ledger, scores),
            *_notes(info),
        ],
        over_draws=_over_draws(draws or {}, info),
        claims=claims and _html(claims),
        ledger=_html(fairness.table(ledger)),
        results=_html(results_table.results(records, baseline=baseline, documents=scores)),
        plots=[(plot, svg) for plot, svg in inline if plot.name != ladder.NAME],
        ladder=climbed and _html(climbed),
        ladder_plots=[(plot, svg) for plot, svg in inline if plot.name == ladder.NAME],
        tuning=_tuning(tuned, records, info) if tuned else None,
        tasks=tasks and _html(tasks),
        leaderboards=[_html(board) for board in boards],
        every=_html(every),
        failures=[_failure(r) for r in records if r.status is not Status.OK][:MOST_FAILURES],
        failed=sum(r.status is not Status.OK for r in records),
        settings=_html(settings(rows)),
        environment=environment(records),
        samples=[{k: formatting.clean(v) for k, v in s.items()} for s in samples[:MOST_SAMPLES]],
        command=command or f"una-bench run {suite}",
        citation=CITATION,
        counts=" · ".join(f"{number} {noun}{'s' * (number != 1)}" for number, noun in counts),
        started=min(formatting.clean(r.started) for r in records)[:16].replace("T", " ") + " UTC",
        seconds=formatting.quantity(sum(r.seconds for r in records), "s"),
    )


def _over_draws(draws: Draws, info: Mapping[str, Any]) -> Markup | None:
    return _html(across_draws.table(draws, planned=across_draws.planned(info))) if len(draws) > 1 else None


def _changes(command: str) -> list[str]:
    """Return the ``--set`` values of a command line: with them the suite's description may not hold."""
    try:
        parts = shlex.split(command)
    except ValueError:
        return []
    after = [value for option, value in pairwise(parts) if option == "--set"]
    return after + [part.removeprefix("--set=") for part in parts if part.startswith("--set=")]


def _tuning(tuned: Tuning, records: Sequence[Record], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of tuning: its state where it is not finished, else ledger line, tables and figures."""
    waiting = sum(trial.waiting for search in tuned.searches for trial in search.trials)
    if waiting:
        return {"unfinished": f"{waiting} of {tuned.trials * len(tuned.searches)} trials have no result yet."}
    lines = [line for line in fairness.ledger(tuned.tuned) if line.topic == TUNING]
    compared = tuning_tables.before_and_after(records, tuned.tuned)
    methods = [str(m) for m in info.get("catalog") or info.get("methods") or ()]
    return {
        "unfinished": "",
        "ledger": [f"Fairness of tuning: {line.verdict}: {line.detail}." for line in lines],
        "compared": compared and _html(compared),
        "trials": _html(tuning_tables.trials(tuned)),
        "plots": [(p, _inline(p)) for p in tuning_plots.draw(tuned, frame.rows(records), methods)],
    }


def _html(table: Table) -> Markup:
    """Return a table as safe HTML: `render` has escaped everything from records."""
    from markupsafe import Markup

    return Markup(render.html(table))


def _notes(info: Mapping[str, Any]) -> list[str]:
    """Return what the preparation left out of the data, or did not use."""
    return [formatting.clean(str(note)) for note in (info.get("prepared") or {}).get("notes", ())]


def _inline(plot: Plot) -> Markup:
    """Return a figure as inline SVG with unique ids and the page's colors, legible in dark mode."""
    from markupsafe import Markup

    svg = plot.svg[plot.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{plot.name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{plot.name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(RULE, "var(--rule)").replace("#ffffff", "var(--page)")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-labelledby="{plot.name}-title" ', 1))


def _failure(record: Record) -> dict[str, Any]:
    failure = record.failure
    return {
        "cell": formatting.clean(record.cell),
        "label": formatting.clean(record.label),
        "status": str(record.status).replace("_", " "),
        "phase": formatting.clean(failure.phase) if failure else "",
        "step": failure.step if failure else None,
        "reason": formatting.clean(failure.reason) if failure else "no reason was recorded",
        "advice": formatting.clean(failure.advice) if failure else "",
        "log": [formatting.clean(line) for line in failure.log_tail] if failure else [],
    }


def settings(rows: Sequence[Row]) -> Table:
    """Return a table of the settings that differ between rows."""
    shown = [row for row in rows if not row.fixed][:MOST_ROWS]
    by_row = {row.label: row.records[0].settings for row in shown}
    names = list(dict.fromkeys(name for values in by_row.values() for name in values))
    differing = [n for n in names if len({repr(values.get(n, "not a setting")) for values in by_row.values()}) > 1]
    lines = tuple(
        Line(
            label=formatting.clean(name),
            names={"setting": formatting.clean(name)},
            cells=tuple(
                Cell(
                    text=formatting.clean(by_row[row.label].get(name, "–")),
                    caveat="changed" if name in row.records[0].settings_changed else "",
                )
                for row in shown
            ),
        )
        for name in differing
    )
    columns = tuple(Column(key=row.label, head=row.label, numbers=(), wraps=True) for row in shown)
    notes = [
        "–: the method has no such setting",
        "changed: not the default",
        f"{len(names) - len(differing)} other settings are equal for all methods",
    ]
    notes += [f"the first {MOST_ROWS} of {len(rows)} rows"] if len(rows) > MOST_ROWS else []
    return Table(
        title="Settings that differ", stub="setting", columns=columns, groups=(Group(lines=lines),), notes=tuple(notes)
    )


def environment(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return machine and versions as (name, value); values that differ between records are joined by ``|``."""
    by_key: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in _flat(record.environment):
            by_key.setdefault(key, {})[formatting.clean(value)] = None
    return [(formatting.clean(key), " | ".join(values)) for key, values in by_key.items()]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key} ")
        elif key.endswith("bytes") and isinstance(value, int):
            flat.append((f"{prefix}{key.removesuffix('_bytes').replace('_', ' ')}", formatting.quantity(value, "B")))
        else:
            flat.append((f"{prefix}{key.replace('_', ' ')}", "unknown" if value is None else value))
    return flat
