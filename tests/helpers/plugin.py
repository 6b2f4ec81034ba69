"""A package beside una-bench that brings a problem, a benchmark and a method through entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

POINTS = """
[una_bench.problems]
fake = fake_methods:Fake
[una_bench.benchmarks]
verdict = fake_methods:Verdict
[una_bench.methods]
breaks = fake_methods:Breaks
"""
RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "fake",
    "problem": {"kind": "fake"},
    "methods": ["base", "breaks"],
    "seeds": [0],
    "budget": {"responses": 24},
    "batch_responses": 8,
    "benchmarks": {"memory": {}, "throughput": {}, "verdict": {}},
    "workers": 2,
    "timeout_minutes": 2,
}
HASTY = (
    "import una_bench.orchestration.process_pool as s; s.HANG_SECONDS = 2.0; from una_bench.cli.app import main; main()"
)
"""The command line that takes a training for hung soon."""


def install(folder: Path) -> Path:
    """Write what a package manager would leave of the package, and return the folder to look for it in."""
    about = folder / "una_bench_fake-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: una-bench-fake\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The environment of a call in which the package is installed and the cache is below ``folder``."""
    plugin = folder / "plugin"
    path = install(plugin) if not plugin.exists() else plugin
    places = os.pathsep.join([str(path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": places, "UNA_BENCH_CACHE": str(folder / "cache"), "FAKE_MARKS": str(folder)}
    return {**os.environ, **own, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def start(
    folder: Path, recipe: dict[str, Any], *more: str, out: str = "run", code: str = HASTY
) -> subprocess.Popen[str]:
    """Start ``una-bench run`` on a recipe, in a session of its own, so that its process group can be killed."""
    path = folder / f"{out}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-c", code, "run", str(path), "--out", str(folder / out), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def call(folder: Path, recipe: dict[str, Any], *more: str, out: str = "run") -> tuple[int, str, str]:
    """Run to the end: exit status, output, errors."""
    process = start(folder, recipe, *more, out=out)
    said, errors = process.communicate(timeout=240)
    return process.returncode, said, errors
