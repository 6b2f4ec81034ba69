"""Stopping a run, at any moment and in any way, loses nothing; several runs at once do not get in each other's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import plugin
import psutil
import pytest
import typer

import una_bench.cli
from una_bench import __main__
from una_bench.cli import app, messages
from una_bench.instruments.probe import Probe
from una_bench.interfaces.benchmark import Benchmark
from una_bench.record.schema import Better, Measurement, Status
from una_bench.suite import plan
from una_bench.worker import entry

SLOW = {**plugin.RECIPE, "settings": {"breaks": [{"how": "not", "wait": 60}]}}


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start runs; what is left of them in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def one(*arguments: Any, **more: Any) -> subprocess.Popen[str]:
        started.append(plugin.start(*arguments, **more))
        return started[-1]

    yield one
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            process.communicate()


def wait_for(there: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 90.0) -> Any:
    """Wait until something is there, while the run goes on."""
    end = time.monotonic() + seconds
    while not (found := there()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


def training(folder: Path) -> Callable[[], Any]:
    return lambda: list(folder.glob("run/cells/breaks-*/train.log"))


def records(folder: Path) -> str:
    path = folder / "run" / "records.jsonl"
    return path.read_text() if path.exists() else ""


def stopped(process: subprocess.Popen[str], seconds: float = 30.0) -> tuple[int, str]:
    """Wait for a stopped run; its status and what it said."""
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in out + err, err
    return process.returncode, err


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=15)[1]


def test_an_interrupt_during_the_first_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupt:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "una_bench.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "una_bench.cli.app", raising=False)
    monkeypatch.delattr(una_bench.cli, "app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupt, *sys.meta_path])
    monkeypatch.setattr(__main__.signal, "signal", lambda *_: None)  # this process keeps its own
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert (end.value.code, capsys.readouterr().err) == (130, "una-bench: Stopped before anything began.\n")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_asking_twice_stops_at_once(start: Any, first: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path, SLOW)
    wait_for(training(tmp_path), process)
    children = family(process)
    process.send_signal(first)
    time.sleep(1.0)
    assert process.poll() is None, "one request lets the cell save"
    process.send_signal(signal.SIGINT)
    code, err = stopped(process)
    assert (code, "To resume: " in err) == (130, True)
    assert all_gone(children)


LATE = """
import time
import una_bench.cli.results as ends
from una_bench.__main__ import main

def results(*_, **__):
    print("reporting", flush=True)
    time.sleep(60)

ends.show = results
main()
"""
"""The command line with a report that takes long."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_during_its_report_says_how_to_go_on(start: Any, number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path, plugin.RECIPE, code=LATE)
    assert process.stdout.readline() == "reporting\n"
    process.send_signal(number)
    code, err = stopped(process)
    assert (code, "To resume: una-bench run" in err) == (130, True), err


def test_the_workers_of_a_killed_run_end_with_it(start: Any, tmp_path: Path) -> None:
    process = start(tmp_path, SLOW)
    wait_for(training(tmp_path), process)
    children = family(process)
    process.kill()
    process.communicate()
    assert len(children) >= 2
    assert all_gone(children)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_signal_to_the_group_is_a_request_too(
    start: Any, number: signal.Signals, seconds: float, tmp_path: Path
) -> None:
    """As a terminal or a scheduler sends it, at a moment at which the fork server may still be importing."""
    recipe = {**SLOW, "problem": {"kind": "fake", "seconds": 40}}
    process = start(tmp_path, recipe)
    wait_for(lambda: (tmp_path / "run" / ".owner.json").exists(), process)
    time.sleep(seconds)
    os.killpg(process.pid, number)
    # A fork server that is still importing ends after that; on a loaded machine this takes long.
    assert stopped(process, 120.0)[0] == 130


def test_a_stopped_preparation_leaves_nothing_half_made_and_is_made_anew(start: Any, tmp_path: Path) -> None:
    recipe = {**plugin.RECIPE, "problem": {"kind": "fake", "seconds": 4}}
    process = start(tmp_path, recipe)
    wait_for((tmp_path / "prepared.txt").exists, process)
    process.send_signal(signal.SIGINT)
    code, err = stopped(process, 3.5)
    assert (code, "To resume: " in err) == (130, True)
    assert plugin.call(tmp_path, recipe)[0] == 0
    assert [p.name for p in (tmp_path / "cache" / "prepared").iterdir() if p.is_dir() and p.name.startswith(".")] == []


def test_a_killed_preparation_is_told_in_one_message_and_made_by_the_same_command(start: Any, tmp_path: Path) -> None:
    recipe = {**plugin.RECIPE, "problem": {"kind": "fake", "seconds": 4}}
    process = start(tmp_path, recipe)
    mark = wait_for(lambda: (tmp_path / "prepared.txt").exists() and (tmp_path / "prepared.txt").read_text(), process)
    os.kill(int(mark), signal.SIGKILL)
    code, err = stopped(process)
    assert code == 2
    assert "could not be prepared: killed by SIGKILL, which the kernel sends when memory runs out" in err
    assert "run the same command again" in err
    assert plugin.call(tmp_path, recipe)[0] == 0


def test_a_stopped_evaluation_keeps_what_was_trained_and_judged(start: Any, tmp_path: Path) -> None:
    settings = {"breaks": [{"how": f"not-{i}", "slowly_judged": True} for i in range(3)]}
    recipe = {**plugin.RECIPE, "workers": 1, "settings": settings}
    process = start(tmp_path, recipe)
    wait_for(lambda: list(tmp_path.glob("run/cells/breaks-*/evaluated.json")), process)
    process.send_signal(signal.SIGINT)
    code, err = stopped(process)
    assert (code, "To resume: una-bench run" in err) == (130, True), err
    assert "Trained and kept, but not evaluated yet: breaks[how=not-" in err
    trained = {p: p.stat().st_mtime_ns for p in tmp_path.glob("run/cells/*/trained.json")}
    code, out, err = plugin.call(tmp_path, recipe)
    assert (code, "0 cells trained now, 4 in the table" in out) == (0, True), err
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in trained.items())
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    whole = [line["cell"] for line in lines if line["status"] == Status.OK]
    assert len(whole) == len(set(whole)) == 4


def test_where_nothing_evaluates_a_cell_is_in_the_table_as_soon_as_it_is_trained(start: Any, tmp_path: Path) -> None:
    settings = {"breaks": [{"how": "not"}, {"how": "not", "wait": 2.0}]}
    recipe = {**plugin.RECIPE, "workers": 1, "settings": settings, "benchmarks": {"memory": {}, "throughput": {}}}
    process = start(tmp_path, recipe)
    wait_for(lambda: '"breaks[wait=0.12]-s0"' in records(tmp_path), process)
    process.send_signal(signal.SIGINT)
    code, err = stopped(process)
    assert (code, "not evaluated yet" in err) == (130, False), err
    done = [(line["cell"], line["status"]) for line in map(json.loads, records(tmp_path).splitlines())]
    assert done[:2] == [("base-s0", "ok"), ("breaks[wait=0.12]-s0", "ok")]  # the third may not have started yet


def test_a_run_that_waits_for_another_ones_preparation_can_be_stopped(start: Any, tmp_path: Path) -> None:

    prepared = tmp_path / "cache" / "prepared"
    prepared.mkdir(parents=True)
    first = start(tmp_path, {**SLOW, "problem": {"kind": "fake", "seconds": 60}}, out="first")
    wait_for((tmp_path / "prepared.txt").exists, first)
    second = start(tmp_path, {**SLOW, "problem": {"kind": "fake", "seconds": 60}}, out="second")
    wait_for(lambda: (tmp_path / "second" / ".owner.json").exists(), second)
    time.sleep(1.0)
    second.send_signal(signal.SIGINT)
    code, err = stopped(second, 10)
    first.kill()
    first.communicate()
    assert code == 130
    assert "Waiting for another run that is preparing the same suite" in err


# what a resumed training says ------------------------------------------------------------------------------------


class Rate(Benchmark):
    """One reading."""

    label = "Rate"
    about = "one reading"

    def read(self, probe: Probe) -> list[Measurement]:
        return [Measurement(metric="rate", unit="1", better=Better.HIGHER, samples=(1.0,), how="total over total")]


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        ({}, "total over total"),
        ({"resumed": 2}, "total over total; resumed 2 times; the time between two processes is not counted"),
    ],
)
def test_a_reading_of_a_resumed_training_says_so(facts: dict[str, int], how: str) -> None:
    (found,) = entry._measured(Probe(facts=facts), {"rate": Rate()})
    assert found["how"] == how


def test_the_time_between_two_processes_is_no_step() -> None:
    now = [0.0]

    def step(probe: Probe) -> None:
        probe.begin_step()
        now[0] += 1.0
        probe.count(responses=8)
        probe.end_step()

    before = Probe(clock=lambda: now[0])
    step(before)
    state = json.loads(json.dumps(before.state()))
    now[0] += 1000.0
    after = Probe(clock=lambda: now[0])
    after.restore(state)
    step(after)
    assert after.step_samples().seconds == (1.0, 1.0)
    assert after.used("seconds") == 2.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_a_library_turns_into_its_own_error_is_a_request(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as end, messages.stoppable("una-bench run x"):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise ValueError("Invalid affine transformation matrix") from None
    assert end.value.exit_code == 130
    assert "To resume: una-bench run x" in capsys.readouterr().err


def test_an_error_that_nobody_asked_for_stays_one() -> None:
    with pytest.raises(ValueError, match="a bug"), messages.stoppable("una-bench run x"):
        raise ValueError("a bug")


def test_an_interrupt_while_the_run_is_planned_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "make", interrupt)
    monkeypatch.setattr(sys, "argv", ["una-bench", "run", "exact"])
    with pytest.raises(SystemExit) as end:
        app.main()
    said = "una-bench: Interrupted. To run it again: una-bench run exact\n"
    assert (end.value.code, capsys.readouterr().err, list(tmp_path.iterdir())) == (130, said, [])
