"""Closed formulas of what a run requires, worked out by hand, and the refusal of a machine that is too small."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.instruments import model_shape
from una_bench.reproduction.targets import Lengths
from una_bench.suite import capacity, plan, recipe, requirements
from una_bench.suite.capacity import Machine
from una_bench.suite.plan import Cell
from una_bench.suite.requirements import CARD, GIB, KNOWN, Requirements

LENGTHS = Lengths(prompt_tokens=100, response_tokens=300)
MISTRAL, QWEN, GEMMA = (
    KNOWN[name].parameters
    for name in ("mistralai/Mistral-7B-v0.1", "Qwen/Qwen2-1.5B", "Ray2333/GRM-Gemma-2B-rewardmodel-ft")
)
MISTRAL_ADAPTERS = 32 * 32 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))


def required(suite: str, method: str, *changes: str) -> tuple[Requirements, Cell]:
    planned = plan.make(recipe.load(suite, ["seeds=[0]", *changes]), [method])
    made = requirements.of(planned)
    assert made is not None
    return made, next(cell for cell in planned.cells if cell.trains)


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
    assert KNOWN[name].parameters == pytest.approx(parameters, rel=1e-4)  # biases are not counted


CONFIG = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "vocab_size": 10,
    "tie_word_embeddings": False,
}


def test_a_model_folder_states_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shape = requirements.shape_of(str(tmp_path))
    assert shape is not None and shape.parameters == 2 * (4 * 64 + 3 * 128 + 16) + 8 + 2 * 80


def test_every_expert_has_a_feed_forward_part() -> None:
    sizes = {"num_local_experts": 4, "num_experts_per_tok": 2}
    added = model_shape.from_config(CONFIG | sizes).parameters - model_shape.from_config(CONFIG).parameters
    assert added == 2 * 3 * 3 * 128


@pytest.mark.parametrize(
    ("suite", "method", "change", "weights"),
    [
        ("una-table4", "una_online", "lora=null", 4 * QWEN + QWEN + GEMMA),  # policy in training, reference, reward
        ("una-table4", "ppo", "lora=null", 4 * QWEN + QWEN + GEMMA + 4 * QWEN),  # and a value model in training
        ("una-table1", "una_score", "workers=1", MISTRAL + 4 * MISTRAL_ADAPTERS),
    ],
)
def test_state_is_weights_gradients_moments_and_models_beside_them(
    suite: str, method: str, change: str, weights: int
) -> None:
    needs, cell = required(suite, method, change)
    assert needs.state_bytes(cell) == 4 * weights


def test_a_value_model_with_adapters_needs_no_gradients_of_its_weights() -> None:
    whole, cell = required("una-table4", "ppo", "lora={r: 16}", "ppo.value_adapters=false")
    adapted, adapted_cell = required("una-table4", "ppo", "lora={r: 16}", "ppo.value_adapters=true")
    assert whole.state_bytes(cell) - adapted.state_bytes(adapted_cell) == 12 * QWEN - 16 * whole.adapters


def test_peak_is_state_activations_and_logits() -> None:
    needs, cell = required("una-table1", "una_score")
    layer = 16 * 4096 + 4 * 14336
    per_token = 2 * (layer + 32 * 4096) + 12 * 32000  # checkpointing keeps one layer and the inputs of all
    assert needs.peak_bytes(cell) == needs.state_bytes(cell) + 8 * 2048 * per_token


def test_ppo_keeps_the_logits_of_a_rollout_twice() -> None:
    needs, cell = required("una-table4", "ppo")
    cache = 4 * 8 * 2024 * 2 * 28 * 2 * 128
    assert needs.peak_bytes(cell) == needs.state_bytes(cell) + cache + 2 * 4 * 64 * 1024 * 151936


def test_time_of_adapters_is_forward_twice_backward_and_the_reference() -> None:
    needs, cell = required("una-table1", "una_score")
    per_token = 2 * MISTRAL + 2 * MISTRAL + (2 * MISTRAL + 2 * MISTRAL_ADAPTERS) + 2 * MISTRAL
    assert needs.train_seconds(cell, LENGTHS, CARD) == pytest.approx(40648 * 400 * per_token / CARD.flops)


def test_time_of_online_training_includes_scoring_and_decoding() -> None:
    needs, cell = required("una-table4", "una_online", "budget.responses=256")  # one rollout of 64, used 4 times
    operations = 400 * (256 * 6 * QWEN + 64 * 2 * (QWEN + GEMMA))
    assert needs.train_seconds(cell, LENGTHS, CARD) == pytest.approx(operations / CARD.flops + 300 * 0.03)


def test_an_evaluation_reads_documents_and_decodes_batches() -> None:
    needs, _ = required("una-table4", "una_online", "benchmarks.leaderboard.tasks=leaderboard-v1")
    tokens = 1319 * 1256 + 817 * 850 + 1267 * 260 + 1172 * 2900 + 10042 * 1150 + 14042 * 900
    assert needs.evaluation_seconds(CARD) == pytest.approx(2 * QWEN * tokens / CARD.flops + 83 * 256 * 0.03)


def test_trainings_at_the_same_time_need_their_memory_together() -> None:
    one, two = (required("una-table1", "una_binary", f"workers={n}")[0] for n in (1, 2))
    assert two.memory_bytes == 2 * one.memory_bytes


@pytest.mark.parametrize(
    ("policy", "machine", "message"),
    [
        (
            "mistralai/Mistral-7B-v0.1",
            Machine(device="cuda", device_bytes=24 * GIB, disk_bytes=10**13),
            "memory on cuda",
        ),
        ("mistralai/Mistral-7B-v0.1", Machine(device="cpu", device_bytes=10**13, disk_bytes=24), "free disk space"),
        (
            "somebody/new",
            Machine(device="cpu", device_bytes=10**13, disk_bytes=10**13),
            "size of somebody/new is unknown",
        ),
    ],
)
def test_a_machine_is_refused_with_the_reason(policy: str, machine: Machine, message: str) -> None:
    planned = plan.make(recipe.load("una-table1", [f"problem.policy={policy}"]))
    with pytest.raises(UserError, match=message):
        capacity.require(planned, machine)


def test_the_small_scale_fits_a_laptop() -> None:
    planned = plan.make(recipe.load("una-table1", ["scale=small"]))
    capacity.require(planned, Machine(device="cpu", device_bytes=8 * GIB, disk_bytes=8 * GIB))


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
    stderr_text = " ".join(capsys.readouterr().err.split())
    assert "too small for una-table1-paper, which needs 42.8 GiB of memory (available: 1.0 GiB)" in stderr_text
    assert not list(too_small.iterdir())


def test_a_dry_run_shows_time_memory_and_disk_and_what_is_missing(
    too_small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["reproduce", "una-table4", "--preset", "authors_code", "--dry-run"], monkeypatch) == 2
    text = " ".join(capsys.readouterr().out.split())
    assert all(word in text for word in ("Time: ", "Memory: ", "Disk: ", "una_online[beta=3.0]-s42", "too small"))
    assert "for 170 tokens per prompt and 1024 per response" in text
    assert not list(too_small.iterdir())


def test_a_suite_that_reproduces_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["reproduce", "exact"], monkeypatch) == 2
    assert "reproduces no published numbers" in capsys.readouterr().err
