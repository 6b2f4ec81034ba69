"""A small prepared folder and a job on it, shared by every test that trains."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many tests run at once as there are cores

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C, and so would runs
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.append(str(Path(__file__).parent / "helpers"))  # pytest's importlib mode leaves the path alone

import goldens
import hypothesis
import pytest
from tiny_world import write_tiny_prepared

from una_bench.interfaces.method import Job

# A busy machine draws examples slowly; how fast is no claim of these tests.
slow = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("busy machine", deadline=None, suppress_health_check=slow)
hypothesis.settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def what_a_long_test_imported_is_not_searched_for_garbage() -> Iterator[None]:
    """Every trainer collects garbage four times, which takes a fifth of a second with the libraries in it."""
    start = time.perf_counter()
    yield
    if time.perf_counter() - start > 1:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder with policy, reward model, 32 pairs and prompts; read only."""
    return write_tiny_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def tiny_job(tiny_prepared: Path, tmp_path: Path) -> Job:
    """Eight optimizer steps of eight responses on `tiny_prepared`."""
    out = tmp_path / "cell"
    out.mkdir()
    return Job(
        prepared=tiny_prepared,
        out=out,
        seed=0,
        budget_responses=64,
        batch_responses=8,
        max_prompt_length=2,
        max_new_tokens=4,
    )


def refuse(*_: Any, **__: Any) -> None:
    """Take the place of all work."""
    raise AssertionError("work was started")


@pytest.fixture
def attempt(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Call the command line, or a function in its place, in a folder where nothing may start or be written.

    What it says must be the golden message of this test, to the letter, with status 2; it is returned.
    """
    from una_bench.cli import app
    from una_bench.orchestration import process_pool

    monkeypatch.setattr(process_pool.Pool, "run", refuse)
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, instead: Callable[[], object] | None = None) -> str:
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
        if instead is not None:
            monkeypatch.setattr(app, "app", instead)
        with pytest.raises(SystemExit) as end:
            app.main()
        said = capsys.readouterr().err
        assert end.value.code == 2, said
        assert said.startswith("una-bench: ")
        assert "Traceback" not in said
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        text = re.sub(r"\S*/benchmarks/recipes/", "…/", said.strip().replace(str(tmp_path), "…"))
        goldens.told(request.node.name, re.sub(r"\b[0-9a-f]{16}\b", "KEY", text))
        return said

    return call
