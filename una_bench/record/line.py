"""Line of ``records.jsonl`` that stores one record, and the record of a line of any format.

A line is readable as it is, but for two texts: ``series`` has curves and raw steps (`una_bench.record.series`);
``meanings``, base 85 of deflated JSON, each unit, direction and method of measurement once. An entry of
``measurements`` is the number of its meaning, then its samples.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from typing import Any

from una_bench.record import series
from una_bench.record.schema import Record

MEANING = ("unit", "better", "how")
MOST_BYTES = 2**24
"""Largest content of ``meanings``; more is not from una-bench."""


def dump(record: Record) -> str:
    """Return the line of a record, without a line break."""
    apart = {"measurements", "plain_curves", "plain_steps", "series"}
    content = json.loads(record.model_dump_json(by_alias=True, exclude=apart))
    by_metric = {m.metric: m for m in record.measurements}
    if len(by_metric) == len(record.measurements):
        meanings: dict[tuple[str, str, str], int] = {}
        content["measurements"] = {
            name: [meanings.setdefault((m.unit, m.better, m.how), len(meanings)), *m.samples]
            for name, m in by_metric.items()
        }
        content["stderr"] = {name: m.stderr for name, m in by_metric.items() if m.stderr is not None}
        content["meanings"] = _packed(list(meanings))
    else:  # a metric twice
        content["measurements"] = [m.model_dump(mode="json") for m in record.measurements]
    content["series"] = record.series or series.pack(record.plain_curves, record.plain_steps)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def load(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a line as `Record` validates it; `ValueError` if a measurement has no meaning."""
    measured = content.get("measurements")
    if not isinstance(measured, dict):
        return content  # format 0 or 1
    rest = {key: value for key, value in content.items() if key not in {"meanings", "stderr"}}
    try:
        stderr = dict(content["stderr"])
        meanings = _unpacked(str(content["meanings"]))
        rest["measurements"] = [
            {"metric": name, "samples": samples, "stderr": stderr.pop(name, None), **_at(meanings, place)}
            for name, (place, *samples) in measured.items()
        ]
    except (ValueError, TypeError, LookupError, RecursionError, zlib.error):
        raise ValueError("measurements: there is not one of the meanings for each") from None
    if stderr:
        raise ValueError(f"stderr: there is no measurement {next(iter(stderr))}")
    return rest


def plain(record: Record) -> dict[str, Any]:
    """Return everything in a record as JSON: its measurements with their units, its curves and steps as numbers."""
    content: dict[str, Any] = json.loads(record.model_dump_json(by_alias=True, exclude={"series"}))
    curves = [json.loads(curve.model_dump_json()) for curve in record.curves]
    return {**content, "curves": curves, "steps": record.steps.model_dump(mode="json")}


def _at(meanings: list[dict[str, Any]], place: Any) -> dict[str, Any]:
    if type(place) is not int or place < 0:
        raise LookupError
    return meanings[place]


def _packed(meanings: list[tuple[str, str, str]]) -> str:
    text = json.dumps(meanings, ensure_ascii=False, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode()


@lru_cache(maxsize=256)
def _unpacked(text: str) -> list[dict[str, str]]:
    """Return what `_packed` got, as mappings; equal texts, as of all seeds, share it, so nothing may change it."""
    rows = json.loads(zlib.decompressobj().decompress(base64.b85decode(text), MOST_BYTES))
    return [dict(zip(MEANING, row, strict=True)) for row in rows]
