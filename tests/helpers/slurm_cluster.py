"""A Slurm of one node on this machine, for tests, from Debian's packages ``slurm-wlm`` and ``munge``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=5
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""


def _listing() -> str:
    return subprocess.run(["sinfo"], capture_output=True, text=True, check=False).stdout


def answers() -> bool:
    """Return whether there is a Slurm already."""
    return shutil.which("sinfo") is not None and bool(_listing())


def missing() -> str:
    """Return why none can be started here, "" if one can."""
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no Slurm here: {', '.join(absent)} missing (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "no Slurm here, and only root can start one"


@contextmanager
def started(folder: Path) -> Iterator[None]:
    """Run a Slurm that this process and its children see."""
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    for parent in (folder, *folder.parents[:2]):  # pytest's folders; munged wants all to be able to enter
        parent.chmod(0o755)
    key, configuration = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
    values = {"host": socket.gethostname().partition(".")[0], "cores": os.cpu_count()}
    configuration.write_text(CONFIGURATION.format(folder=folder, ports=ports, **values))
    files = {"key-file": key, "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munge.log"}
    munge = [f"--{option}={folder / file}" for option, file in {**files, "seed-file": "munge.seed"}.items()]
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        for command in (["munged", "--force", *munge], ["slurmctld"], ["slurmd"]):
            subprocess.run(command, check=True)
        deadline = time.monotonic() + 60
        while "idle" not in _listing():
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.5)
        yield
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            if (pid := folder / f"{name}.pid").exists():
                os.kill(int(pid.read_text()), 15)
        del os.environ["SLURM_CONF"]
