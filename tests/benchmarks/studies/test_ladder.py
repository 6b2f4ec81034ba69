"""The study of the ladder: its rungs, its arithmetic, and the documentation's tables."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from una_bench.interfaces import registry

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "studies"))

ladder: Any = importlib.import_module("ladder")
ladder_tables: Any = importlib.import_module("ladder_tables")
sampler: Any = importlib.import_module("sampler")

ROOT = Path(__file__).parents[3]
RUNGS = [rung for rungs in ladder.LADDERS.values() for rung in rungs]


def readings(*seconds: float, peak: int) -> list[dict[str, Any]]:
    return [{"cpu_seconds": each, "flops": 4.0 * peak, "peak_bytes": peak * 2**20} for each in seconds]


@pytest.fixture
def record() -> dict[str, Any]:
    first, second, third, fourth = (ladder.ONLINE[place] for place in (1, 3, 4, 5))
    samples = {
        first.name: readings(8.0, 6.0, peak=200),
        second.name: readings(4.0, 2.0, peak=100),
        third.name: readings(2.0, 2.0, peak=80),
        fourth.name: readings(1.0, 2.0, peak=40),
    }
    return {"samples": {f"online/small/24/{name}": each for name, each in samples.items()}}


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: f"{rung.method}: {rung.name}")
def test_every_rung_is_a_method_with_valid_settings(rung: Any) -> None:
    assert registry.method(rung.method)(**rung.settings).settings().items() >= rung.settings.items()


def test_one_rung_changes_one_thing() -> None:
    for before, after in zip(ladder.ONLINE, ladder.ONLINE[1:], strict=False):
        changed = {k for k in {**before.settings, **after.settings} if before.settings.get(k) != after.settings.get(k)}
        assert before.method != after.method or len(changed) == 1


def test_a_change_is_the_ratio_to_the_rung_before_within_a_round(record: dict[str, Any]) -> None:
    assert ladder_tables.cell(record, "online", ladder.ONLINE[1], "small", 24) == "7.00 s; 200 MiB"
    assert ladder_tables.cell(record, "online", ladder.ONLINE[3], "small", 24) == "2.50 [2.00, 3.00]; 2.00; 0.50"


def test_a_rung_that_was_not_measured_is_a_dash(record: dict[str, Any]) -> None:
    assert ladder_tables.cell(record, "online", ladder.ONLINE[0], "small", 24) == "—"


def test_a_share_is_the_product_of_its_changes(record: dict[str, Any]) -> None:
    both = ladder_tables.shares(record, "online", "small", 24, ("method", "loss, trainer"))
    assert both == "**3.50 [3.00, 4.00]; 2.50; 0.40**"
    assert ladder_tables.shares(record, "online", "small", 24, ("logits",)) == "**1.50 [1.00, 2.00]; 2.00; 0.50**"


@pytest.mark.parametrize(("study", "tables"), [("ladder", ladder_tables), ("sampler", sampler)])
def test_the_tables_of_the_documentation_are_those_of_the_record(study: str, tables: Any) -> None:
    record = json.loads((ROOT / "results" / "studies" / f"{study}.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "una.md").read_text(encoding="utf-8")
    assert tables.markdown(record) == page.split(f"<!-- {study} -->\n")[1].split(f"\n<!-- /{study} -->")[0]
