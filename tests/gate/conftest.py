"""Runs of made-up records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic

from una_bench.record.schema import Record


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run of the given records."""

    def made(name: str, *found: Record, **info: Any) -> Path:
        return synthetic.write_run(tmp_path / name, list(found), {**synthetic.INFO, **info})

    return made
