"""Line of ``records.jsonl`` that stores one record, and the record of a line of any format.

A line holds settings, facts and the samples of each metric, readable as they are. Two texts hold the rest: ``series``
(`una_bench.record.series`) curves and raw steps; ``shared``, the same for every seed, what a cell has in common with
others: environment, hashes of code and problem, and unit, direction and method of measurement of each metric.
``shared`` is base 85 of deflated JSON.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from typing import Any

from una_bench.record import series
from una_bench.record.schema import Record

MOST_BYTES = 2**24
"""Largest content of ``shared``; more is not from una-bench."""
FACTS = ("code", "prepared")
MEANING = ("unit", "better", "how")


def dump(record: Record) -> str:
    """Return the line of a record, without a line break."""
    apart = {"measurements", "plain_curves", "plain_steps", "series", "environment"}
    content = json.loads(record.model_dump_json(by_alias=True, exclude=apart))
    shared: dict[str, Any] = {
        "environment": record.environment,
        "facts": {k: v for k, v in record.facts.items() if k in FACTS},
    }
    content["facts"] = {k: v for k, v in content["facts"].items() if k not in FACTS}
    by_metric = {m.metric: m for m in record.measurements}
    if len(by_metric) == len(record.measurements):
        content["measurements"] = {
            name: m.samples[0] if len(m.samples) == 1 else m.samples for name, m in by_metric.items()
        }
        content["stderr"] = {name: m.stderr for name, m in by_metric.items() if m.stderr is not None}
        shared["measurements"] = [[m.unit, m.better, m.how] for m in record.measurements]
    else:  # a metric twice
        content["measurements"] = [m.model_dump(mode="json") for m in record.measurements]
    content["shared"] = _packed(shared)
    content["series"] = record.series or series.pack(record.plain_curves, record.plain_steps)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def load(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a line as `Record` validates it; `ValueError` if ``shared`` is damaged."""
    if "shared" not in content:
        return content  # format 0 or 1
    rest = {key: value for key, value in content.items() if key not in {"shared", "stderr"}}
    shared, stderr = _unpacked(str(content["shared"])), content.get("stderr")
    measured, meanings = content.get("measurements"), shared.get("measurements")
    rest["environment"] = shared["environment"]
    if isinstance(content.get("facts"), dict):
        rest["facts"] = {**content["facts"], **shared["facts"]}
    if not isinstance(measured, dict):
        return rest
    if meanings is None or len(meanings) != len(measured) or not isinstance(stderr, dict):
        raise ValueError("measurements: there is not one unit for each")
    rest["measurements"] = [
        {"metric": name, "samples": one if isinstance(one, list) else [one], **meaning, "stderr": stderr.get(name)}
        for (name, one), meaning in zip(measured.items(), meanings, strict=True)
    ]
    return rest


def plain(record: Record) -> dict[str, Any]:
    """Return everything in a record as JSON: its measurements with their units, its curves and steps as numbers."""
    content: dict[str, Any] = json.loads(record.model_dump_json(by_alias=True, exclude={"series"}))
    curves = [json.loads(curve.model_dump_json()) for curve in record.curves]
    return {**content, "curves": curves, "steps": record.steps.model_dump(mode="json")}


def _packed(content: dict[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode()


@lru_cache(maxsize=256)
def _unpacked(text: str) -> dict[str, Any]:
    """Return what `_packed` got, the measurements as mappings; equal texts share it, so nothing may change it."""
    try:
        raw = zlib.decompressobj().decompress(base64.b85decode(text), MOST_BYTES)
        content = json.loads(raw)
        if "measurements" in content:
            content["measurements"] = [dict(zip(MEANING, row, strict=True)) for row in content["measurements"]]
        return {"environment": content["environment"], "facts": dict(content["facts"]), **content}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, zlib.error):
        raise ValueError("shared: it was changed after it was written") from None
