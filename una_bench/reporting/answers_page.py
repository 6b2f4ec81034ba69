"""Page to leaf through the answers of all methods to one prompt, one self-contained file beside the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from una_bench import formatting
from una_bench.analysis import documents, frame
from una_bench.record import storage
from una_bench.record.schema import Record

NAME = "answers.html"
MOST_CHARACTERS = 20_000
"""Longest text shown of an answer or a judge's reply."""


def write(run: Path, records: Sequence[Record]) -> Path | None:
    """Write the page into the folder of a run and return its path; None if no answers were judged."""
    data = collect(run, records)
    path = run / NAME
    if not data["prompts"]:
        path.unlink(missing_ok=True)
        return None
    storage.write_text(path, page(data, formatting.clean(records[0].suite)))
    return path


def collect(run: Path, records: Sequence[Record]) -> dict[str, Any]:
    """Return prompts in order, and of each the baseline's answer and those of all cells, as plain data."""
    names: list[str] = []
    prompts: dict[tuple[str, str], dict[str, Any]] = {}
    for row in frame.rows(records):
        for record in row.records:
            if row.fixed and (record.facts.get("judge") or {}).get("baseline") == record.method:
                continue  # its answers are the baseline's, which have a card
            name = row.label if row.fixed else f"{row.label} · seed {record.seed}"
            for task, rows in documents.kept(run, record).items():
                family, _, prompt_set = task.partition(".")
                if family != "judge":
                    continue
                names += [name] if name not in names else []
                for line in rows:
                    key = (prompt_set, str(line.get("doc_id")))
                    text, category = _text(line.get("arguments")), _text(line.get("category"))
                    prompt = prompts.setdefault(
                        key, {"id": key[1], "set": prompt_set, "prompt": text, "category": category, "answers": []}
                    )
                    if "baseline" in line and "baseline" not in prompt:
                        prompt["baseline"] = _text(line["baseline"])
                    prompt["answers"].append(_answer(names.index(name), line))
    baselines = {str(b) for r in records if (b := (r.facts.get("judge") or {}).get("baseline"))}
    return {"methods": names, "baseline": ", ".join(sorted(baselines)) or "baseline", "prompts": list(prompts.values())}


def _answer(method: int, line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of one answer: ``m`` method, ``t`` text, ``w`` win rate, ``g`` grade, ``r`` replies."""
    given = [("", v) for v in line.get("grades") or []]
    given += [("as A" if v.get("order") == 0 else "as B", v) for v in line.get("verdicts") or []]
    replies = [[where, str(v.get("value")), _text(v.get("reply"))] for where, v in given if isinstance(v, Mapping)]
    shown = {"m": method, "t": _text(line.get("resps")), "r": replies, "same": bool(line.get("same"))}
    return shown | {key: line[name] for key, name in (("w", "win_rate"), ("g", "grade")) if name in line}


def _text(value: object) -> str:
    return "" if value is None else str(value)[:MOST_CHARACTERS]


def page(data: Mapping[str, Any], suite: str) -> str:
    """Return the page; texts of models enter it as JSON alone, and the script writes them as text, never as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    # "</script>" or "<!--" in an answer would end or change the element that holds the data.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    environment = Environment(
        loader=PackageLoader("una_bench.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("answers.html.j2").render(suite=suite, data=Markup(text))
