"""Export of a run: CSV, Parquet, JSON, LaTeX, and a model card for the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.analysis import frame
from una_bench.analysis.draws import Draws
from una_bench.errors import UserError, nearest
from una_bench.record import line, reader, storage
from una_bench.record.schema import Record
from una_bench.reporting import fairness
from una_bench.reporting.report import CITATION
from una_bench.reporting.tables import across_draws, render, results_table
from una_bench.reporting.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

Info = Mapping[str, Any]


def write(run: Path, fmt: str, out: Path) -> Path:
    """Write a run's records as ``fmt`` to the file ``out`` and return it.

    ``csv`` and ``parquet`` have one line per measurement of a cell, in base units; ``json`` has everything;
    ``latex`` is the table of results, for a document that loads the package booktabs. All take in further draws of
    the problem; the tables of the model card are of draw 0, and it says so.
    """
    if fmt not in FORMATS:
        raise UserError(f"There is no format '{fmt}'.{nearest(fmt, FORMATS)} Choose from: {', '.join(FORMATS)}.")
    if out.is_dir():
        raise UserError(f"{out} is a folder. Give the name of a file.")
    draws, info = reader.draws(run), reader.run_info(run)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        FORMATS[fmt](draws, info, out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}. Choose another file.") from None
    return out


def _long(draws: Draws) -> pd.DataFrame:
    """Return one line per measurement of every cell, with the number of the draw if there are several."""
    import pandas as pd

    if len(draws) == 1:
        return frame.long(draws[0])
    return pd.concat([frame.long(draws[number]).assign(draw=number) for number in draws], ignore_index=True)


def _csv(draws: Draws, info: Info, out: Path) -> None:
    table = _long(draws)
    for name in table.columns[table.dtypes.map(str).isin(["object", "str"])]:
        # Neither a terminal nor a spreadsheet may interpret a cell as a command.
        table[name] = table[name].map(lambda v: formatting.no_formula(formatting.clean(v)) if isinstance(v, str) else v)
    storage.write_text(out, table.to_csv(index=False, lineterminator="\n"))


def _json(draws: Draws, info: Info, out: Path) -> None:
    plain = {str(number): [line.plain(record) for record in records] for number, records in draws.items()}
    whole = {
        "run": dict(info),
        "records": plain.pop("0"),
        "fairness": fairness.to_json(fairness.ledger(draws[0])),
        **({"draws": plain} if plain else {}),
    }
    storage.write_text(out, json.dumps(whole, indent=1, sort_keys=True) + "\n")


def _latex(draws: Draws, info: Info, out: Path) -> None:
    tables = [results_table.results(draws[0]), *_over(draws, info)]
    storage.write_text(out, "\n".join(map(render.latex, tables)))


def _over(draws: Draws, info: Info) -> list[Table]:
    return [across_draws.table(draws, planned=across_draws.planned(info))] if len(draws) > 1 else []


def _card(draws: Draws, info: Info, out: Path) -> None:
    import yaml

    records = draws[0]
    of_draws = [
        f"The model index and the tables that follow those over draws are of draw 0 of {len(draws)}.",
        *map(render.markdown, _over(draws, info)),
    ]
    suite = formatting.clean(records[0].suite)
    head = {
        "library_name": "transformers",
        "tags": sorted({"una-bench", "alignment", *(formatting.clean(r.method) for r in records)}),
        "model-index": _index(records, suite),
    }
    text = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        f"# Models of the suite {render.md(suite)}",
        render.md(formatting.clean(info.get("about") or "Trained and evaluated by una-bench.")),
        *(of_draws if len(draws) > 1 else ()),
        render.markdown(results_table.results(records)),
        render.markdown(fairness.table(fairness.ledger(records))),
        f"### Run it again\n\n    {formatting.clean(info.get('command') or f'una-bench run {suite}')}",
        f"### Cite\n\n```bibtex\n{CITATION}\n```",
    ]
    storage.write_text(out, "\n\n".join(text).replace("---\n\n", "---\n", 1).replace("\n\n---\n", "\n---\n", 1) + "\n")


def _index(records: Sequence[Record], suite: str) -> list[dict[str, Any]]:
    """Return the means over seeds of each row in the format of the hub's metadata."""
    metrics = frame.metrics(records)
    return [
        {
            "name": row.label,
            "results": [
                {
                    "task": {"type": "text-generation"},
                    "dataset": {"name": _dataset(name, suite), "type": suite},
                    "metrics": [
                        {"type": name, "value": fmean(values.values()), "name": f"{name} [{metrics[name].unit}]"}
                    ],
                }
                for name, values in row.values.items()
            ],
        }
        for row in frame.rows(records)
        if row.values
    ]


def _dataset(metric: str, suite: str) -> str:
    parts = metric.split(".")
    return formatting.clean(parts[1]) if parts[0] == "task" and len(parts) > 2 else suite


FORMATS: Mapping[str, Callable[[Draws, Info, Path], None]] = {
    "csv": _csv,
    "parquet": lambda draws, _, out: _long(draws).to_parquet(out, index=False),
    "json": _json,
    "latex": _latex,
    "hf-model-card": _card,
}
