"""The study of samplers: the documentation's table is that of its record."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "benchmarks" / "studies"))

sampler: Any = importlib.import_module("sampler")


def test_the_table_of_the_documentation_is_that_of_the_record() -> None:
    record = json.loads((ROOT / "results" / "studies" / "sampler.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "una.md").read_text(encoding="utf-8")
    assert sampler.markdown(record) == page.split("<!-- sampler -->\n")[1].split("\n<!-- /sampler -->")[0]
