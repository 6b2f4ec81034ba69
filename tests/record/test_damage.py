"""What the cache and a run's folder hold: made once for all who ask, and counted as absent where it is damaged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plugin
import pytest

from una_bench.evaluation import result_cache
from una_bench.instruments import fairness_facts
from una_bench.orchestration.run_folder import RunFolder
from una_bench.record import code_facts, storage
from una_bench.suite import plan, recipe

ENSURE = """
import sys
from pathlib import Path
from una_bench.orchestration import preparation
from una_bench.orchestration.process_pool import Pool
from una_bench.suite import plan, recipe
pool = Pool(workers=1, threads=1, listen=lambda *_: None, preload=())
made = plan.make(recipe.load(sys.argv[1]))
print(preparation.ensure(made, pool, log=Path(sys.argv[1]).with_suffix(".log"), say=print).path)
"""


def ensure(folder: Path, count: int = 1, **problem: Any) -> list[str]:
    """Ask for the prepared suite from ``count`` processes at once; what each printed."""
    import yaml

    path = folder / "fake.yaml"
    path.write_text(yaml.safe_dump({**plugin.RECIPE, "problem": {"kind": "fake", **problem}}))
    command = [sys.executable, "-c", ENSURE, str(path)]
    started = [
        subprocess.Popen(command, env=plugin.environment(folder), stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    said = [process.communicate(timeout=90)[0] for process in started]
    assert {process.returncode for process in started} == {0}
    return said


def times_prepared(folder: Path) -> int:
    return len((folder / "prepared.txt").read_text().splitlines())


def prepared(said: str) -> Path:
    return Path(said.strip().splitlines()[-1])


def test_several_runs_fill_the_cache_once(tmp_path: Path) -> None:
    said = ensure(tmp_path, 3, seconds=1.0)
    assert times_prepared(tmp_path) == 1
    assert len({prepared(text) for text in said}) == 1


def test_different_suites_have_caches_of_their_own(tmp_path: Path) -> None:
    assert prepared(ensure(tmp_path, number=1)[0]) != prepared(ensure(tmp_path, number=2)[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "data.txt").write_text("dat4"),
        lambda folder: (folder / "data.txt").unlink(),
        lambda folder: (folder / "sealed.json").unlink(),
        lambda folder: (folder / "sealed.json").write_text("{"),
    ],
    ids=["changed", "gone", "not sealed", "seal damaged"],
)
def test_a_damaged_prepared_suite_is_made_again(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    folder = prepared(ensure(tmp_path)[0])
    damage(folder)
    (said,) = ensure(tmp_path)
    assert "Preparing the suite again, because its folder in the cache is damaged: " in said
    assert (times_prepared(tmp_path), (folder / "data.txt").read_text()) == (2, "data")


def test_what_a_killed_preparation_left_is_removed(tmp_path: Path) -> None:
    folder = prepared(ensure(tmp_path)[0])
    half = folder.with_name(f".{folder.name}.123")
    half.mkdir()
    (folder / "sealed.json").unlink()
    ensure(tmp_path)
    assert not half.exists()


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:12] + bytes(8) + b[20:], lambda b: b""])
def test_a_damaged_answer_of_lm_eval_counts_as_absent(
    damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path))
    result_cache.write("task", {"acc": [0.25, 0.5], "docs": list(range(99))})
    (file,) = (tmp_path / "lm-eval").iterdir()
    assert result_cache.read("task") is not None
    file.write_bytes(damage(file.read_bytes()))
    assert result_cache.read("task") is None


@pytest.mark.parametrize(
    ("damage", "whole"),
    [
        (lambda folder: None, True),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"weighs"), False),
        (lambda folder: (folder / "model.safetensors").unlink(), False),
        (shutil.rmtree, False),
    ],
    ids=["whole", "altered", "gone", "no folder"],
)
def test_a_cell_whose_checkpoint_is_damaged_counts_as_not_trained(
    damage: Callable[[Path], Any], whole: bool, tmp_path: Path
) -> None:
    cell = plan.make(recipe.load("exact"), ["dpo"], [0]).cells[-1]
    run = RunFolder(tmp_path)
    checkpoint = run.cell(cell) / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    code = code_facts.part(cell.code, code_facts.TRAINING)
    left = {"key": cell.key, "code": code, "checkpoint": "checkpoint"}
    digest = {"final_weights_sha256": fairness_facts.checkpoint_sha256(checkpoint)}
    storage.write_json(run.cell(cell) / "trained.json", {**left, "facts": digest})
    damage(checkpoint)
    assert (run.trained(cell) is not None) == whole
