"""What a run needs by arithmetic, and that a machine that is too small is refused with the figure."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.reproduction import targets
from una_bench.suite import capacity, estimate, model_shapes, plan, recipe, requirements
from una_bench.suite.capacity import CARD, Machine
from una_bench.suite.plan import Plan
from una_bench.suite.requirements import GIB, Assumed

ASSUMED = Assumed(prompt_tokens=100, response_tokens=300)
ROOMY = Machine(device="cuda", device_bytes=10**13, disk_bytes=10**13)


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {n: plan.make(recipe.load(n, ["seeds=[0]"])) for n in ("una-table1", "una-table4")}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096),
        ("Qwen/Qwen2-1.5B", 1_543_714_304),
        ("Ray2333/GRM-Gemma-2B-rewardmodel-ft", 2_506_172_416),
        ("Ray2333/GRM-Llama3.2-3B-rewardmodel-ft", 3_212_749_824),
        ("smollm2", 134_515_008),
    ],
)
def test_parameters_of_known_models_are_those_that_their_makers_state(name: str, parameters: int) -> None:
    assert model_shapes.KNOWN[name].parameters == parameters


def test_adapters_are_rank_times_the_widths_of_every_product() -> None:
    widths = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)
    assert model_shapes.KNOWN["mistralai/Mistral-7B-v0.1"].adapters(32, "all-linear") == 32 * 32 * widths


def test_a_model_folder_says_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 16, "num_attention_heads": 2,'
        ' "vocab_size": 10, "tie_word_embeddings": false}'
    )
    found = model_shapes.of(str(tmp_path))
    assert found is not None
    assert found.parameters == 2 * (4 * 64 + 3 * 128 + 16) + 8 + 2 * 80


def bytes_of(found: Plan, method: str) -> float:
    cell = next(c for c in found.cells if c.method == method)
    return requirements.cell_bytes(found, cell, requirements.sizes(found))


def test_full_training_holds_weights_gradients_and_two_moments(plans: dict[str, Plan]) -> None:
    found = plans["una-table4"]
    qwen, gemma = 1_543_714_304, 2_506_172_416
    assert bytes_of(found, "una_online") > 16 * qwen + 4 * qwen + 4 * gemma  # policy, reference, reward model


def test_a_value_model_is_another_policy_in_training(plans: dict[str, Plan]) -> None:
    found = plans["una-table4"]
    assert bytes_of(found, "ppo") - bytes_of(found, "una_online") > 16 * 1_543_714_304


def test_adapters_need_no_gradients_of_the_weights(plans: dict[str, Plan]) -> None:
    assert bytes_of(plans["una-table1"], "una_score") < 2 * 4 * 7_241_732_096


def test_a_value_model_with_adapters_needs_no_gradients_of_its_weights_either() -> None:
    plans = {
        adapted: plan.make(recipe.load("una-table4", ["lora={r: 16}", "seeds=[0]", f"ppo.value_adapters={adapted}"]))
        for adapted in ("true", "false")
    }
    saved = bytes_of(plans["false"], "ppo") - bytes_of(plans["true"], "ppo")
    adapters = requirements.sizes(plans["true"]).adapters or 0
    assert saved == 12 * 1_543_714_304 - 16 * adapters


def test_operations_of_adapters_are_forward_twice_and_the_reference(plans: dict[str, Plan]) -> None:
    found = plans["una-table1"]
    size, cell = requirements.sizes(found), next(c for c in found.cells if c.method == "una_score")
    seconds = requirements.train_seconds(found, cell, size, ASSUMED, CARD)
    weights, adapters = size.policy.parameters, size.adapters or 0
    per_token = 2 * weights + 2 * weights + 2 * weights + 2 * adapters + 2 * weights  # forward, again, back, reference
    assert seconds == pytest.approx(40648 * 400 * per_token / CARD.flops)


def test_fewer_documents_make_an_evaluation_cheaper() -> None:
    full = requirements.of({"tasks": ["leaderboard-v1"], "batch_size": 16})
    few = requirements.of({"tasks": ["leaderboard-v1"], "batch_size": 16, "limit": 2})
    assert few.read_tokens < full.read_tokens / 100


def test_a_policy_of_unknown_size_is_refused(tmp_path: Path) -> None:
    changed = recipe.load("una-table1", ["problem.policy=somebody/new"])
    with pytest.raises(UserError, match="The size of somebody/new is not known"):
        requirements.sizes(plan.make(changed))


def test_trainings_at_the_same_time_need_their_memory_together(plans: dict[str, Plan]) -> None:
    one = capacity.need(plans["una-table1"], ASSUMED, CARD)
    both = capacity.need(plan.make(recipe.load("una-table1", ["seeds=[0]", "workers=2"])), ASSUMED, CARD)
    assert both.device_bytes == 2 * one.device_bytes
    assert both.hours == pytest.approx(one.hours / 2)


def test_a_machine_that_is_large_enough_lacks_nothing(plans: dict[str, Plan]) -> None:
    assert capacity.lacking(capacity.need(plans["una-table4"], ASSUMED, CARD), ROOMY) == []


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (
            Machine(device="cuda", device_bytes=24 * GIB, disk_bytes=10**13),
            r"GiB of memory on cuda, and there are 24\.0",
        ),
        (Machine(device="cpu", device_bytes=10**13, disk_bytes=GIB), r"GiB of free disk, and there are 1\.0 GiB"),
    ],
)
def test_a_machine_that_is_too_small_is_refused_with_the_figure(
    machine: Machine, message: str, plans: dict[str, Plan]
) -> None:
    with pytest.raises(UserError, match=message):
        capacity.require(capacity.need(plans["una-table1"], ASSUMED, CARD), machine, "una-table1")


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    return int(end.value.code or 0)


@pytest.fixture
def too_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    small = Machine(device="cpu", device_bytes=GIB, disk_bytes=10**13)
    monkeypatch.setattr(capacity, "here", lambda *_: small)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reproduce_refuses_such_a_machine_before_anything_is_written(
    too_small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["reproduce", "una-table1"], monkeypatch) == 2
    said = capsys.readouterr().err
    assert "This machine cannot hold una-table1-paper: it needs" in said and "there are 1.0 GiB" in said
    assert not list(too_small.iterdir())


def test_a_dry_run_says_hours_memory_and_disk_and_whether_they_are_here(
    too_small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["reproduce", "una-table4", "--preset", "authors_code", "--dry-run"], monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(word in said for word in ("Hours: ", "Memory: ", "Disk: ", "una_online[beta=3.0]-s42"))
    assert "This machine cannot hold it: " in said
    assert not list(too_small.iterdir())


def test_the_small_scale_fits_a_laptop() -> None:
    chosen = recipe.choose("una-table1", ["scale=small"])
    lengths = requirements.Assumed(**targets.target(chosen.reproduces, "una-table1").assumed.model_dump())
    needed = capacity.need(plan.make(recipe.validate(chosen.raw, "una-table1")), lengths, capacity.CORE)
    assert needed.device_bytes < 8 * GIB


def test_a_suite_that_reproduces_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["reproduce", "exact"], monkeypatch) == 2
    assert "reproduces no published numbers" in capsys.readouterr().err


def test_the_arithmetic_is_printed_with_what_is_assumed(plans: dict[str, Plan]) -> None:
    console = Console(width=200, record=True, file=StringIO())
    capacity.show(console, plans["una-table1"], ASSUMED, ROOMY)
    assert "assumed 100 tokens a prompt and 300 a response" in " ".join(console.export_text().split())


@pytest.mark.parametrize(
    ("lora", "floats"),
    [("null", 5 * 134_515_008), ("{r: 16}", 134_515_008 + 4 * 16 * 30 * (2 * 1152 + 2 * 768 + 3 * 2112))],
)
def test_the_state_of_dpo_is_that_of_the_weights_that_are_trained(lora: str, floats: int) -> None:
    planned = plan.make(recipe.load("smollm2", [f"lora={lora}"]), ["dpo"], [0])
    [cell] = [cell for cell in planned.cells if cell.trains]
    assert estimate.of_cell(planned, cell).state_bytes == 4 * floats


def test_cells_that_take_long_start_first_and_unknown_ones_keep_their_order() -> None:
    known = {"kto": {"seconds": 30.0}, "ppo": {"seconds": 50.0}}
    made = recipe.load("exact").model_copy(update={"expected": known})
    planned = plan.make(made, methods=["dpo", "kto", "una_score", "ppo"], seeds=[0])
    cells = estimate.longest_first(planned, planned.cells)
    assert [cell.method for cell in cells] == ["ppo", "kto", "base", "dpo", "una_score"]
