"""Launch of `training/train_on_processes.py`, which trains cases on one or several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "training" / "train_on_processes.py"
Case = tuple[str, dict[str, Any], dict[str, Any]]
"""A method, its settings, and changes to the job."""


def launch(folder: Path, processes: int, cases: Mapping[str, Case], sharding: Any = "none") -> None:
    """Train all cases in ``folder``, whose ``prepared`` they share; imports take longest."""
    alone = [sys.executable]
    many = [*alone, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    texts = json.dumps([[name, *case] for name, case in cases.items()]), json.dumps(sharding)
    command = [*(many if processes > 1 else alone), str(SCRIPT), str(folder), *texts]
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
