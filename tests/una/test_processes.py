"""One and two processes give the same numbers for the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parent / "una_processes.py"


CASES = ("packed-ema", "offline-ema", "offline-learned", "offline-prompt_mean", "online-prompt_mean")
RESULT = Mapping[str, Any]


def launch(folder: Path, processes: int) -> None:
    # not accelerate launch: with --cpu on one machine, accelerate 1.15 starts one process whatever --num_processes says
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(SCRIPT), str(folder), str(16 // processes), *CASES]
    quiet = {
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, int], RESULT]:
    """Return the results of each case by number of processes; cases share a launch, whose imports take longest."""
    folder = tmp_path_factory.mktemp("processes")
    for processes in (1, 2):
        launch(folder, processes)
    return {(c, n): json.loads((folder / f"{c}-{n}.json").read_text()) for c in CASES for n in (1, 2)}


@pytest.mark.slow
def test_there_are_two_processes(results: Mapping[tuple[str, int], RESULT]) -> None:
    assert [results[CASES[0], n]["processes"] for n in (1, 2)] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_with_the_weights_of_one(case: str, results: Mapping[tuple[str, int], RESULT]) -> None:
    assert results[case, 2]["weights"] == pytest.approx(results[case, 1]["weights"], rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_log_the_numbers_of_one(case: str, results: Mapping[tuple[str, int], RESULT]) -> None:
    one, two = (np.array([list(entry.values()) for entry in results[case, n]["logs"]]) for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
