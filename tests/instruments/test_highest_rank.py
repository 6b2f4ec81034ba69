"""Maximum of a figure over all processes of a training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from una_bench.instruments.peak_memory import highest

PROCESS = """
import json, sys
import torch.distributed as distributed
from una_bench.instruments.peak_memory import highest
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
print(json.dumps(highest({"": 100 + rank, "forward": 50 - rank, f"only{rank}": rank})))
distributed.destroy_process_group()
"""


def test_one_process_has_its_own_figures() -> None:
    assert highest({"": 3, "forward": 2}) == {"": 3, "forward": 2}


def test_every_process_gets_the_largest_of_each_name(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS]
    started = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    found = [json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for process in started]
    assert found[0] == found[1] == {"": 101, "forward": 50, "only0": 0, "only1": 1}
