"""Energy: differences of counter readings, and no figure without a counter."""

from __future__ import annotations

from pathlib import Path

import pytest
from una_bench.benchmarks.energy import Energy

from una_bench.instruments import energy
from una_bench.instruments.energy import Counter, EnergyMeter
from una_bench.instruments.probe import Probe


def domain(folder: Path, name: str, kind: str, microjoules: int = 0, limit: int = 10_000_000) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(kind + "\n")
    (made / "energy_uj").write_text(f"{microjoules}\n")
    (made / "max_energy_range_uj").write_text(f"{limit}\n")
    return made


def measured(probe: Probe) -> dict[str, float]:
    return {m.metric: m.value for m in Energy().read(probe)}


def stepped(probe: Probe, joules: list[float]) -> Probe:
    """Train one step of ten tokens that uses three joules."""
    joules[0] += 100  # before the step
    probe.begin_step()
    joules[0] += 3
    probe.count(response_tokens=10)
    probe.end_step()
    joules[0] += 100  # after the step
    return probe


def counting() -> tuple[Probe, list[float]]:
    joules = [0.0]
    return Probe(counted=EnergyMeter([Counter(name="package0", read=lambda: joules[0])])), joules


def test_a_domain_is_read_in_joules(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    meter = energy.meter("cpu", tmp_path)
    meter.start()
    (package / "energy_uj").write_text("3500000")
    meter.stop()
    assert meter.joules == {"package0": 2.5}


def test_a_counter_that_wraps_around_is_read_on(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 9_000_000, limit=10_000_000)
    meter = energy.meter("cpu", tmp_path)
    meter.start()
    (package / "energy_uj").write_text("500000")
    meter.stop()
    assert meter.joules["package0"] == pytest.approx(1.5)


def test_domains_inside_the_package_are_not_counted_twice(tmp_path: Path) -> None:
    for number, kind in enumerate(["package-0", "core", "uncore", "dram", "package-1", "psys"]):
        domain(tmp_path, f"intel-rapl:{number}", kind)
    assert [c.name for c in energy.meter("cpu", tmp_path).counters] == ["package0", "dram0", "package1"]


def test_steps_are_counted_and_what_is_between_them_is_not() -> None:
    probe, joules = counting()
    stepped(stepped(probe, joules), joules)
    assert measured(probe)["energy.training"] == 6


def test_an_evaluation_inside_a_step_is_not_counted() -> None:
    probe, joules = counting()
    probe.evaluate_at, probe._pending = [1], [1]

    def watch(_: object) -> dict[str, float]:
        joules[0] += 50
        return {}

    probe.watchers = [watch]
    probe.begin_step()
    joules[0] += 1
    probe.count(responses=1)
    probe.check(None)
    joules[0] += 2
    probe.end_step()
    assert measured(probe)["energy.training"] == 3


def test_joules_per_token_are_total_over_total() -> None:
    assert measured(stepped(*counting()))["energy.per_token"] == pytest.approx(0.3)


def test_a_machine_without_counters_gives_a_reason_and_no_figure(tmp_path: Path) -> None:
    probe = Probe(counted=energy.meter("cpu", tmp_path))
    assert measured(probe) == {}
    assert probe.facts["energy"] == "not available: the machine shows no RAPL counter (/sys/class/powercap)"


def test_counters_that_may_not_be_read_are_no_counters(tmp_path: Path) -> None:
    (domain(tmp_path, "intel-rapl:0", "package-0") / "energy_uj").unlink()
    meter = energy.meter("cpu", tmp_path)
    assert (list(meter.counters), meter.why_not) == ([], "the RAPL counters may only be read by the administrator")


def test_energy_goes_on_after_a_kill() -> None:
    probe, joules = counting()
    state = stepped(probe, joules).state()
    resumed, joules = counting()
    resumed.restore(state)
    assert measured(stepped(resumed, joules))["energy.training"] == 6
