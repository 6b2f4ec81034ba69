"""What the installed TRL has, read without importing it, and the rows of methods that it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from una_bench.errors import UserError
from una_bench.interfaces import registry, trl_source
from una_bench.orchestration.cell_records import not_applicable_record
from una_bench.orchestration.run_folder import RunFolder
from una_bench.orchestration.runner import Options, Runner
from una_bench.record.schema import Status
from una_bench.reporting.tables import render, results_table
from una_bench.suite import plan, recipe

PPO = "trl.experimental.ppo.PPOTrainer"
NAMED = [n for n in registry.method_names() if registry.method(n).trainer]


def lack(monkeypatch: pytest.MonkeyPatch, *trainers: str) -> None:
    """Let the installed TRL be a later one that lacks these trainers."""
    has = trl_source.has
    monkeypatch.setattr(trl_source, "has", lambda trainer: trainer not in trainers and has(trainer))
    monkeypatch.setattr(trl_source, "version", lambda _: "1.16.0")


def runner(methods: list[str], folder: Path, **without: str) -> Runner:
    made = Runner(plan.make(recipe.load("ci"), methods, [0]), RunFolder(folder), Options(quiet=True))
    manifest = {"not_applicable": without, "max_prompt_length": 2, "max_new_tokens": 4}
    made.prepared = SimpleNamespace(manifest=manifest, path=folder)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("name", NAMED)
def test_a_named_trainer_is_where_it_is_said_to_be(name: str) -> None:
    from importlib import import_module

    trainer = registry.method(name).trainer
    if not trl_source.has(trainer):
        assert registry.method(name).last_trl
        return
    module, _, attribute = trainer.rpartition(".")
    assert hasattr(import_module(module), attribute)


def test_it_is_read_without_importing_torch_or_trl() -> None:
    code = (
        "import sys; from una_bench.interfaces import trl_source as t; "
        f"t.has('{PPO}'); t.losses('trl.trainer.dpo_trainer'); print({{'torch', 'trl'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_losses_of_grpo_are_those_that_its_trainer_compares_with() -> None:
    assert {"grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo"} <= set(trl_source.losses("trl.trainer.grpo_trainer"))


def test_a_method_without_its_trainer_is_a_row_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lack(monkeypatch, PPO)
    made = runner(["ppo", "dpo"], tmp_path)
    assert made.plan.notes()[0].startswith("PPO: not run: needs TRL 1.12, the last release with PPOTrainer;")
    ((name, why),) = made._not_applicable().items()
    assert name == "ppo-s0"
    record = not_applicable_record(made._common(made.plan.cells[2]), *why)
    assert record.failure is not None and record.status is Status.NOT_APPLICABLE
    assert record.failure.reason == "needs TRL 1.12, the last release with PPOTrainer; TRL 1.16.0 is installed"
    assert "pip install 'trl==1.12.*'" in record.failure.advice
    assert "not run: needs TRL 1.12" in render.markdown(results_table.results([record]))


def test_a_trainer_that_only_newer_releases_have_says_to_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, "trl.new.NewTrainer")
    assert trl_source.missing("trl.new.NewTrainer", "") == (
        "needs NewTrainer, and TRL 1.16.0 is installed",
        "Install a newer one: pip install --upgrade trl",
    )


def test_a_run_of_nothing_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lack(monkeypatch, PPO)
    with pytest.raises(UserError, match=r"can be trained here \(PPO: needs TRL 1.12.*Choose among --methods apo,"):
        runner(["ppo"], tmp_path)._not_applicable()


def test_a_row_that_was_not_run_is_run_once_the_trainer_is_there(tmp_path: Path) -> None:
    made: Any = runner(["ppo", "dpo"], tmp_path)
    cell = next(c for c in made.plan.cells if c.method == "ppo")
    made.folder.append(not_applicable_record(made._common(cell), "needs TRL 1.12", "Install it"))
    made.not_applicable = {cell.name: ("needs TRL 1.12", "Install it")}
    assert cell not in made._missing()
    made.not_applicable = {}
    assert cell in made._missing()
