"""The import rules of the design: what each box may know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from una_bench.interfaces import registry

ROOT = Path(__file__).parent.parent
STEERING = [
    "cli.app",
    "recipe",
    "plan",
    "catalog",
    "runner",
    "supervise",
    "progress",
    "store",
    "estimate",
    "show",
    "doctor",
    "presets",
    "capacity",
    "cli_reproduce",
]
READING = ["read", "stats", "table", "plot", "report", "compare", "export", "fairness", "reference", "reproduction"]
READING += ["gate", "baseline", "bounds", "gauges", "rebase", "announce"]
ENGINE = sorted((ROOT / "una_bench").rglob("*.py"))
METHODS = sorted((ROOT / "methods").glob("[a-z]*.py"))


def imported(path: Path) -> set[str]:
    """Every dotted name that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


@pytest.mark.parametrize("module", STEERING + READING)
def test_steering_and_reading_do_not_import_torch(module: str) -> None:
    code = f"import sys, una_bench.{module}; print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_imports_no_method_and_no_benchmark(path: Path) -> None:
    found = {n for n in imported(path) if n.startswith(("una_bench.methods.", "una_bench.benchmarks."))}
    assert not found


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.stem)
def test_methods_do_not_import_methods(path: Path) -> None:
    assert not {name for name in imported(path) if name.startswith("una_bench.methods")}


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_names_no_method(path: Path) -> None:
    names = set(registry.method_names()) - {"base"}
    # The UNA library's own module names and docstrings may say una_online; strings that decide something may not.
    strings = {n.value for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)}
    assert not names & {s for s in strings if isinstance(s, str)} - ALLOWED.get(path.stem, set())


ALLOWED = {"cli": {"dpo"}}
"""The default of --baseline; a run without that method has no baseline."""


@pytest.mark.parametrize(
    "path",
    [p for p in ENGINE + METHODS if "trl_bridge" not in str(p)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_only_the_bridge_knows_trl(path: Path) -> None:
    assert not {name for name in imported(path) if name == "trl" or name.startswith("trl.")}
