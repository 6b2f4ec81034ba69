"""What docs/extending.md tells others to write trains, with this TRL and with another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
OTHER = os.environ.get("UNA_BENCH_OTHER_PYTHON", "")
"""Python of an environment with another TRL and una-bench's test requirements."""


def block(name: str) -> str:
    return re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)[1]  # type: ignore[index]


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class that the page shows, found by its entry point."""
    ((group, points),) = tomllib.loads(block("entry point"))["project"]["entry-points"].items()
    ((name, value),) = points.items()
    module_name, _, attribute = value.partition(":")
    module = types.ModuleType(module_name)
    monkeypatch.setitem(sys.modules, module_name, module)
    exec(compile(block("method"), "docs/extending.md", "exec"), vars(module))
    assert (group, name) == ("una_bench.methods", module_name)
    return getattr(module, attribute)


def losses(method: Any, job: Job, **settings: Any) -> list[float]:
    probe = Probe()
    two_steps = replace(job, budget_responses=32, batch_responses=16)
    folder = method(warmup_steps=1, **settings).train(two_steps, probe)
    assert (folder / "model.safetensors").is_file()
    assert probe.totals["responses"] == 32
    return [float(loss) for loss in probe.curves["loss"][1]]


def test_the_method_of_the_page_trains_two_steps(method: Any, tiny_job: Job) -> None:
    assert len(losses(method, tiny_job)) == 2


def test_its_twist_reaches_the_loss(method: Any, tiny_job: Job, tmp_path: Path) -> None:
    def first(kind: Any, folder: str, **settings: Any) -> float:
        return losses(kind, replace(tiny_job, out=tmp_path / folder), beta=1.0, **settings)[0]

    orpo = first(registry.method("orpo"), "orpo")
    assert first(method, "loose", cap=1e6) == orpo
    assert first(method, "capped", cap=0.1) < orpo


@pytest.mark.slow
@pytest.mark.skipif(not OTHER, reason="UNA_BENCH_OTHER_PYTHON names no environment with another TRL")
@pytest.mark.timeout(1800)
def test_methods_train_with_another_trl() -> None:
    tests = ["tests/training/trl", "tests/test_contract.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "UNA_BENCH_OTHER_PYTHON": ""}
    command = [OTHER, "-m", "pytest", "-n0", "-q", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
