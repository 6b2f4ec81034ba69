"""Documents that lm-eval saved beside the records, with answers and scores, for pairing methods and for display."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Row
from una_bench.record.reader import trained
from una_bench.record.schema import Record

log = logging.getLogger("una_bench")
Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""(cell, metric) -> document id -> score."""


def kept(run: Path, record: Record) -> dict[str, list[dict[str, Any]]]:
    """Return the saved documents of one cell by task."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((run / "cells").glob(f"*-s{record.seed}-{record.key[:8]}/**/*.samples.jsonl")):
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError):
            log.warning("%s cannot be read and is ignored.", path)
            continue
        by_task[path.name.removesuffix(".samples.jsonl")] = [line for line in lines if isinstance(line, dict)]
    return by_task


def scores(run: Path, records: Sequence[Record]) -> Scores:
    """Return the score of every document, for the metrics that are means of document scores."""
    by_metric: dict[tuple[str, str], Mapping[str, float]] = {}
    for record in records:
        documents = kept(run, record)
        for m in record.measurements:
            task, metric, filtered = _place(m.metric, documents)
            if not task or not m.samples:
                continue
            by_id = {
                str(d.get("doc_id")): float(d[metric])
                for d in documents[task]
                if d.get("filter", "none") == (filtered or "none") and isinstance(d.get(metric), int | float)
            }
            if by_id and math.isclose(fmean(by_id.values()), m.value, abs_tol=1e-6):
                by_metric[record.cell, m.metric] = by_id
    return by_metric


def _place(name: str, tasks: Collection[str]) -> tuple[str, str, str]:
    """Return the task that a metric is a mean over, its key in a document, and lm-eval's filter; empty without one.

    Prompts are the documents of ``oracle.regret.train``: its task is ``oracle.train``.
    """
    family, _, rest = name.partition(".")
    if family == "task":
        task = next((t for t in tasks if rest.startswith(t + ".")), "")
        metric, _, filtered = rest.removeprefix(task + ".").partition(".")
        return task, metric, filtered
    metric, _, split = rest.rpartition(".")
    task = f"{family}.{split}"
    return (task if task in tasks else ""), metric, ""


def paired(rows: Sequence[Row], base: Row, metric: str, document_scores: Scores) -> list[stats.Effect] | None:
    """Return differences to ``base`` paired by seed and document, or None if a row lacks its documents.

    They are one family of comparisons under Holm, like `stats.paired`.
    """
    differences = [_matrix(row, base, metric, document_scores) for row in rows]
    if not differences or not all(d and d[0] for d in differences):
        return None
    pvalues = [p for d in differences if (p := aggregate.by_document(d).p) is not None]
    if len(pvalues) != len(differences):
        return None
    corrected = zip(differences, stats.holm(pvalues), stats.holm_levels(pvalues), strict=True)
    return [aggregate.by_document(d, level=level, p=p) for d, p, level in corrected]


def _matrix(row: Row, base: Row, metric: str, document_scores: Scores) -> list[list[float]]:
    """Return differences, (seeds, documents), over the seeds and documents that both rows have."""
    ours, theirs = _by_seed(row, metric, document_scores), _by_seed(base, metric, document_scores)
    if not ours or not theirs:
        return []
    if base.fixed:
        theirs = dict.fromkeys(ours, next(iter(theirs.values())))
    if row.fixed:
        ours = dict.fromkeys(theirs, next(iter(ours.values())))
    seeds = sorted(ours.keys() & theirs.keys())
    documents = sorted(set.intersection(*(ours[s].keys() & theirs[s].keys() for s in seeds))) if seeds else []
    return [[ours[s][d] - theirs[s][d] for d in documents] for s in seeds]


def _by_seed(row: Row, metric: str, document_scores: Scores) -> dict[int, Mapping[str, float]]:
    name = row.recorded.get(metric, metric)
    return {r.seed: document_scores[r.cell, name] for r in row.records if (r.cell, name) in document_scores}


def samples(run: Path, records: Sequence[Record]) -> list[dict[str, str]]:
    """Return each method's answer to the first document of each task."""
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
    """Return the first text of a nested value; lm-eval's nesting depends on the kind of task."""
    while isinstance(value, dict | list | tuple) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return str(value)[:most]
