"""A run on a real Slurm of one node, which the test starts where Debian's packages are installed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_cluster

from una_bench.orchestration.slurm import submission
from una_bench.orchestration.slurm.task_files import TaskFiles


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if slurm_cluster.answers():
        yield
        return
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.started(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_on_a_real_slurm_a_killed_command_and_a_canceled_cell_change_no_weights(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    command = [sys.executable, "-m", "una_bench", "run", "ci", "--methods", "dpo", "--quiet", "--out"]
    on_slurm = [*command, str(tmp_path / "slurm"), "--executor", "slurm"]
    subprocess.run([*command, str(tmp_path / "local")], check=True)
    first = subprocess.Popen(on_slurm)
    while not list(tmp_path.glob("slurm/cells/*/train.log")):
        assert first.poll() is None
        time.sleep(0.2)
    first.kill()
    first.wait()
    folder = next(tmp_path.glob("slurm/cells/*/train.log")).parent
    ticket = TaskFiles(folder / "train.log").ticket()
    subprocess.run(
        ["scancel", submission.job_of(tmp_path / "slurm/slurm", ticket["batch"], ticket["index"])], check=True
    )
    assert subprocess.run(on_slurm, check=False).returncode in {0, 3}
    subprocess.run(on_slurm, check=True)

    def weights(name: str) -> dict[str, str]:
        records = map(json.loads, (tmp_path / name / "records.jsonl").read_text().splitlines())
        done = [(r["cell"], r["facts"].get("final_weights_sha256")) for r in records if r["status"] == "ok"]
        assert len(done) == len(dict(done)) == 2
        return dict(done)

    assert weights("slurm") == weights("local")
