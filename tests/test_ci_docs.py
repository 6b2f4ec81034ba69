"""What docs/ci.md tells others to copy works: the method trains, the suite is valid, the workflow's commands exist."""

from __future__ import annotations

import re
import sys
import tomllib
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from una_bench.cli import app
from una_bench.gate import baseline
from una_bench.instruments.probe import Probe
from una_bench.interfaces.method import Job
from una_bench.suite import recipe

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "ci.md").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((DOCS / "ci-workflow.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["gate"]["steps"]
COMMANDS = [
    line.strip()
    for text in [step.get("run", "") for step in STEPS] + re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in re.split(r"\n|&&", text)
    if line.strip().startswith("una-bench ")
]


def block(name: str) -> str:
    return re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)[1]  # type: ignore[index]


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that the page shows."""
    module = types.ModuleType("chosen_sft")
    monkeypatch.setitem(sys.modules, "chosen_sft", module)
    exec(compile(block("method"), "docs/ci.md", "exec"), vars(module))
    return module


def test_the_method_trains_and_counts_real_tokens(method: Any, tiny_job: Job) -> None:
    probe = Probe()
    folder = method.ChosenSft(warmup_steps=1).train(replace(tiny_job, budget_responses=32), probe)
    assert (folder / "model.safetensors").is_file()
    assert probe.totals["responses"] == 32
    assert probe.totals["padding_tokens"] > 0
    assert probe.curves["loss"][1][-1] > 0


def test_the_entry_point_names_the_method(method: Any) -> None:
    ((group, points),) = tomllib.loads(block("entry point"))["project"]["entry-points"].items()
    ((name, value),) = points.items()
    assert group == "una_bench.methods"
    assert hasattr(method, value.partition(":")[2])
    assert yaml.safe_load(block("suite"))["methods"] == [name]


def test_the_suite_is_valid() -> None:
    known = yaml.safe_load(block("suite")) | {"methods": ["una_score"]}
    assert recipe.validate(known, "docs/ci.md").budget.responses == 1024


def test_the_workflow_has_the_commands_of_the_gate() -> None:
    assert {c.split()[1] for c in COMMANDS} == {"run", "gate", "baseline"}


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_shown_is_one_that_the_command_line_takes(command: str) -> None:
    found: Any = typer.main.get_command(app.app)
    words = command.split()[1:]
    context = found.make_context("una-bench", list(words), resilient_parsing=True)
    while hasattr(found, "resolve_command"):
        name, found, words = found.resolve_command(context, words)
    assert found.make_context(name, list(words)).params


def test_the_workflow_needs_no_gpu_and_keeps_its_records() -> None:
    assert WORKFLOW["jobs"]["gate"]["runs-on"] == "ubuntu-latest"
    assert STEPS[-1]["if"] == "always()"


def test_the_build_of_this_repository_uses_the_gate_after_the_tests() -> None:
    script = (DOCS.parent / ".ci" / "run").read_text()
    assert script.index("bash -euo pipefail -c") < script.index("una-bench run ci ") < script.index("una-bench gate ")


def test_the_committed_baseline_is_of_the_suite_as_it_is() -> None:
    from una_bench.suite import plan

    made = plan.make(recipe.load("ci"))
    kept = baseline.read(str(DOCS.parent / "results" / "baselines" / "ci.json"))
    assert (kept.suite, kept.key) == ("ci", made.key)
    assert set(kept.cells) == {cell.name for cell in made.cells}


def test_the_suite_ci_runs_every_method_of_the_default_run() -> None:
    assert set(recipe.load("ci").methods) == set(recipe.load("exact").methods)
