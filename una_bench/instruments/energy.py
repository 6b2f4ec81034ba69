"""Energy readings from the machine's counters, or the reason why there are none; never an estimate from nameplates.

Processors use RAPL (/sys/class/powercap, microjoules, wraps around), NVIDIA GPUs use NVML (millijoules, needs the
optional package nvidia-ml-py). A counter covers the whole processor or GPU, including other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
KINDS = ("package", "dram")
"""Disjoint RAPL domains; cores and graphics are part of the package."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One energy counter."""

    name: str
    """``package``, ``dram`` or ``gpu``, with a number."""
    read: Callable[[], float]
    """Returns joules since an arbitrary start."""
    wraps_at: float = 0.0
    """Joules at which the counter wraps to 0; 0: never."""


class EnergyMeter:
    """Sums the counters' energy between `start` and `stop`; ``why_not`` says why counters are missing."""

    def __init__(self, counters: Sequence[Counter], why_not: str = "") -> None:
        self.counters, self.why_not = counters, why_not
        self.joules = dict.fromkeys((c.name for c in counters), 0.0)
        self._before: list[float] | None = None

    def start(self) -> None:
        """Begin an interval."""
        self._before = [c.read() for c in self.counters]

    def stop(self) -> None:
        """Add the energy used since `start`."""
        if self._before is None:
            return
        for counter, before in zip(self.counters, self._before, strict=True):
            used = counter.read() - before
            self.joules[counter.name] += used + counter.wraps_at if used < 0 else used
        self._before = None


def meter(device: str = "cpu", powercap: Path = POWERCAP) -> EnergyMeter:
    """Return a meter of the processor and, on CUDA, of the training GPU."""
    parts = [_rapl(powercap), *([_nvml(device)] if device != "cpu" else [])]
    return EnergyMeter([c for counters, _ in parts for c in counters], "; ".join(why for _, why in parts if why))


def _rapl(folder: Path) -> tuple[list[Counter], str]:
    """Return counters of processors and memory, or why there are none."""
    domains = sorted(folder.glob("*rapl:*")) if folder.is_dir() else []
    if not domains:
        return [], "the machine shows no RAPL counter (/sys/class/powercap)"
    counters: list[Counter] = []
    refused = ""
    for domain in domains:
        try:
            name = (domain / "name").read_text().strip()
            kind = next((k for k in KINDS if name.startswith(k)), None)
            if kind is None:
                continue
            file = domain / "energy_uj"
            file.read_text()
            limit = float((domain / "max_energy_range_uj").read_text()) / 1e6
        except OSError:
            refused = "the RAPL counters may only be read by the administrator"
            continue
        number = sum(c.name.startswith(kind) for c in counters)
        read = partial(lambda file: float(file.read_text()) / 1e6, file)
        counters.append(Counter(name=f"{kind}{number}", read=read, wraps_at=limit))
    return counters, "" if counters else refused or "RAPL counts neither package nor memory here"


def _nvml(device: str) -> tuple[list[Counter], str]:
    """Return the counter of one GPU, or why there is none."""
    try:
        import pynvml  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return [], "NVML cannot be asked: nvidia-ml-py is not installed"
    import torch

    try:
        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(card)
    except pynvml.NVMLError as error:
        return [], f"NVML does not count energy here: {error}"
    return [Counter(name="gpu0", read=lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3)], ""
