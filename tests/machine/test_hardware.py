"""What a run computes on, and the precision that is fast there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from una_bench.machine import hardware
from una_bench.orchestration import engines
from una_bench.suite import plan, recipe

PROCESSORS = {
    "vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 amx_bf16 amx_tile": "bfloat16",
    "vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 avx512_fp16": "float32",
    "vendor_id : AuthenticAMD\nflags : avx512f avx512_bf16": "bfloat16",
    "vendor_id : AuthenticAMD\nflags : avx2 fma": "float32",
    "CPU implementer : 0x41\nFeatures : fp asimd bf16 i8mm": "bfloat16",
    "CPU implementer : 0x41\nFeatures : fp asimd": "float32",
}


@pytest.mark.parametrize(("cpuinfo", "precision"), PROCESSORS.items())
def test_bfloat16_is_taken_where_the_processor_is_faster_with_it(
    cpuinfo: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{cpuinfo}\n\nprocessor : 1\n")
    assert hardware.resolve_precision("auto", "cpu") == precision


def test_a_processor_that_tells_nothing_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "none")
    assert hardware.resolve_precision("auto", "cpu") == "float32"


def test_a_card_computes_in_bfloat16() -> None:
    assert hardware.resolve_precision("auto", "cuda") == "bfloat16"


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_precision_that_was_asked_for_stays(name: str) -> None:
    assert hardware.resolve_precision(name, "cuda") == name


def test_a_plan_says_which_precision_auto_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "none")
    made = plan.make(recipe.load("smollm2"))
    asked = plan.make(recipe.load("smollm2", ["precision=float32"]))
    assert (made.recipe.precision, made.key) == ("float32", asked.key)


@pytest.mark.parametrize(("cpuinfo", "precision"), PROCESSORS.items())
def test_a_plan_says_in_which_precision_the_leaderboards_are_evaluated(
    cpuinfo: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    asked = recipe.load("smollm2", ["benchmarks.leaderboard.precision=auto"])
    assert plan.make(asked).recipe.benchmarks["leaderboard"]["precision"] == precision


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """Put a driver on the path that names one card, and any other that it is asked for."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_the_driver_tells_name_and_memory_of_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, 'echo "NVIDIA H200, 143771"; echo "NVIDIA H100, 81559"')
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.card() == ("NVIDIA H200", 143771 * 2**20)


def test_the_card_is_the_first_that_this_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, 'for last; do :; done; echo "card $last, 1"')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,0")
    assert hardware.card() == ("card --id=3", 2**20)


@pytest.mark.parametrize("says", ["exit 9", "true", "echo nothing", "echo 'a, b'"])
def test_a_driver_that_names_no_card_is_no_error(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, says)
    assert hardware.card() is None


CARDS = """GPU 0: NVIDIA H100 (UUID: GPU-0a)
GPU 1: NVIDIA H100 (UUID: GPU-0b)
  MIG 3g.40gb     Device  0: (UUID: MIG-1a)
  MIG 3g.40gb     Device  1: (UUID: MIG-1b)"""


@pytest.mark.parametrize(
    ("chosen", "cards"),
    [
        (None, ["0", "MIG-1a", "MIG-1b"]),
        ("1,0", ["1", "0"]),
        ("GPU-0b, MIG-1b", ["GPU-0b", "MIG-1b"]),
        ("", []),
        ("0,-1,1", ["0"]),
    ],
)
def test_cards_are_those_of_the_user_or_all(
    chosen: str | None, cards: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(tmp_path, monkeypatch, f"echo '{CARDS}'")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert hardware.cards() == cards


def test_no_driver_has_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    assert hardware.cards() == []


def test_cores_that_are_busy_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_percent", lambda **_: [99.0, 3.0, 80.0])
    assert hardware.idle_first([0, 1, 2, 7]) == [1, 7, 0, 2]


TOPOLOGY = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tCPU Affinity\x1b[0m
GPU0\t X \tNV12\tSYS\t0-31
GPU1\tNV12\t X \tSYS\t0-31
GPU2\tSYS\tSYS\t X \t32-63

Legend:
  SYS  = Connection traversing PCIe
"""


@pytest.mark.parametrize(
    ("ids", "links"), [(("0", "1"), "NV12"), (("0", "1", "2"), "NV12, SYS"), (("0",), ""), (("GPU-0b", "GPU-1c"), "")]
)
def test_the_links_between_cards_are_those_that_the_driver_names(
    ids: tuple[str, ...], links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = subprocess.CompletedProcess([], 0, stdout=TOPOLOGY)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: driver)
    assert hardware.links(ids) == links


@pytest.mark.parametrize(
    ("device", "visible", "threads", "workers"),
    [("cpu", "0,1", 1, 6), ("cpu", "0,1", 4, 1), ("cpu", "0,1", 8, 1), ("cuda", "0,1", 1, 2), ("cuda", "3", 1, 1)],
)
def test_workers_auto_is_one_a_card_or_as_many_as_there_are_cores_for(
    device: str, visible: str, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(6)))
    asked = recipe.load("ci", ["workers=auto", f"device={device}", f"threads={threads}"])
    assert plan.make(asked).recipe.workers == workers


def test_workers_auto_is_every_cell_on_a_cluster() -> None:
    most = engines.most_workers(engines.Engine.SLURM)
    made = plan.make(recipe.load("ci", ["workers=auto"]), most_workers=most)
    assert made.recipe.workers == len(made.cells)
