"""The import rules of the design: contracts of import-linter, and what those cannot say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from una_bench.interfaces import registry

ROOT = Path(__file__).parents[1]
ENGINE = sorted((ROOT / "una_bench").rglob("*.py"))
METHODS = sorted((ROOT / "methods").glob("[a-z]*.py"))
TORCHLESS = ("cli", "suite", "orchestration", "interfaces", "record", "analysis", "reporting", "gate", "reproduction")
ALLOWED = {"app": {"dpo"}}
"""The default of --baseline; a run without that method has no baseline."""


def imported(path: Path) -> set[str]:
    """Every dotted name that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def test_imports_go_one_way() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken." in result.stdout


def test_steering_and_reading_load_no_torch() -> None:
    """The contract is about import statements; this is about what they load."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ENGINE
        if path.parent != ROOT / "una_bench" and path.relative_to(ROOT / "una_bench").parts[0] in TORCHLESS
    ]
    code = f"import sys, {', '.join(names)}; print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_imports_no_method_and_no_benchmark(path: Path) -> None:
    assert not {n for n in imported(path) if n.startswith(("una_bench.methods.", "una_bench.benchmarks."))}


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.stem)
def test_methods_do_not_import_methods(path: Path) -> None:
    """The contract sees ``methods.x``; the name that methods are imported by is ``una_bench.methods.x``."""
    assert not {name for name in imported(path) if name.startswith("una_bench.methods")}


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_names_no_method(path: Path) -> None:
    names = set(registry.method_names()) - {"base"}
    # The UNA library's own module names and docstrings may say una_online; strings that decide something may not.
    strings = {n.value for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)}
    assert not names & {s for s in strings if isinstance(s, str)} - ALLOWED.get(path.stem, set())
