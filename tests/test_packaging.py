"""A wheel, an editable install and a bare checkout all find the methods, also beside a stranger's benchmarks folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = (
    "from una_bench.interfaces import registry; from una_bench.reproduction import published_numbers; "
    "print(sorted(registry.method_names()), registry.suite_names(), registry.benchmark('memory').__module__, "
    "len(published_numbers.load().tables))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A working directory with folders that would shadow ours."""
    for name in ("benchmarks", "methods"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the stranger was imported')")
    return tmp_path


def run(folder: Path, path: str) -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run([sys.executable, "-c", CODE], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_wheel_works_beside_a_strangers_folders(wheel: Path, strange: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(strange / "site")
    assert "'dpo'" in run(strange, str(strange / "site"))


def test_a_bare_checkout_works_beside_a_strangers_folders(strange: Path) -> None:
    assert "'dpo'" in run(strange, str(ROOT))


def test_a_wheel_holds_what_is_needed_and_nothing_at_top_level_that_is_not_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"una_bench"}
    assert "una_bench/benchmarks/recipes/exact.yaml" in names
    assert "una_bench/published/una.yaml" in names
    assert {"una_bench/analysis/ladders.yaml", "una_bench/py.typed"} <= set(names)
