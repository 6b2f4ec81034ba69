"""What lm-eval kept beside the records: each document with its answer and score, to pair methods by and to look at."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Row
from una_bench.record.reader import trained
from una_bench.record.schema import Record

log = logging.getLogger("una_bench")
Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""(cell, metric) -> number of the document -> score."""


def kept(run: Path, record: Record) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of one cell by task, empty where nothing was kept."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((run / "cells").glob(f"*-s{record.seed}-{record.key[:8]}/**/*.samples.jsonl")):
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError):
            log.warning("%s cannot be read and is passed over.", path)
            continue
        found[path.name.removesuffix(".samples.jsonl")] = [line for line in lines if isinstance(line, dict)]
    return found


def scores(run: Path, records: Sequence[Record]) -> Scores:
    """Return the score of every document for the metrics that are the mean of such scores."""
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    for record in records:
        documents = kept(run, record)
        for m in record.measurements:
            family, _, rest = m.metric.partition(".")
            task = next((t for t in documents if family == "task" and rest.startswith(t + ".")), None)
            if task is None or not m.samples:
                continue
            metric, _, filtered = rest.removeprefix(task + ".").partition(".")
            own = {str(d.get("doc_id")): float(d[metric]) for d in documents[task] if _scored(d, metric, filtered)}
            if own and math.isclose(fmean(own.values()), m.value, abs_tol=1e-6):
                found[record.cell, m.metric] = own
    return found


def _scored(document: Mapping[str, Any], metric: str, filtered: str) -> bool:
    right = document.get("filter", "none") == (filtered or "none")
    return right and isinstance(document.get(metric), int | float)


def paired(rows: Sequence[Row], base: Row, metric: str, found: Scores) -> list[stats.Effect] | None:
    """Differences of rows to ``base`` paired by seed and document, or None where a row lacks its documents.

    They are one family of comparisons under Holm, like `stats.paired`.
    """
    differences = [_matrix(row, base, metric, found) for row in rows]
    if not differences or any(d is None or not d or not d[0] for d in differences):
        return None
    whole = [d for d in differences if d is not None]
    first = [aggregate.by_document(d) for d in whole]
    pvalues = [effect.p for effect in first if effect.p is not None]
    if len(pvalues) != len(first):
        return None
    corrected = zip(whole, stats.holm(pvalues), stats.holm_levels(pvalues), strict=True)
    return [aggregate.by_document(d, level=level, p=p) for d, p, level in corrected]


def _matrix(row: Row, base: Row, metric: str, found: Scores) -> list[list[float]] | None:
    """Differences, (seeds, documents), over what both have; None where one has no documents."""
    own, other = _by_seed(row, metric, found), _by_seed(base, metric, found)
    if not own or not other:
        return None
    if base.fixed:
        other = dict.fromkeys(own, next(iter(other.values())))
    if row.fixed:
        own = dict.fromkeys(other, next(iter(own.values())))
    seeds = sorted(own.keys() & other.keys())
    documents = sorted(set.intersection(*(own[s].keys() & other[s].keys() for s in seeds))) if seeds else []
    return [[own[s][d] - other[s][d] for d in documents] for s in seeds]


def _by_seed(row: Row, metric: str, found: Scores) -> dict[int, Mapping[str, float]]:
    return {r.seed: found[r.cell, metric] for r in row.records if (r.cell, metric) in found}


def samples(run: Path, records: Sequence[Record]) -> list[dict[str, str]]:
    """Return each method's answer to the first document of each task, to be looked at."""
    shown, seen = [], set()
    for record in records:
        if (record.method, record.variant) in seen:
            continue
        for task, documents in kept(run, record).items():
            seen.add((record.method, record.variant))
            if documents:
                title = f"{record.label} · {task}" + (f" · seed {record.seed}" if trained(record) else "")
                prompt, answer = _text(documents[0].get("arguments")), _text(documents[0].get("resps"))
                shown.append({"title": title, "prompt": prompt, "answer": answer})
    return shown


def _text(value: Any, most: int = 2000) -> str:
    """First text in what lm-eval keeps, whose nesting depends on the kind of task."""
    while isinstance(value, dict | list | tuple) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return str(value)[:most]
