"""Supervised fine-tuning of the common initial policy: its tokens, its losses, and who starts from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problem import prepared_with, train, write_problem
from text_models import write_model, write_rows
from transformers import AutoModelForCausalLM

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import weights_sha256
from una_bench.interfaces import registry
from una_bench.interfaces.prepared import Prepared, sides
from una_bench.models.reward_scorer import Scorer
from una_bench.problems.preference import sft
from una_bench.problems.preference.settings import Sft
from una_bench.suite import plan, recipe

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
SFT = {"epochs": 4, "batch": 6, "learning_rate": 0.01}


def weights(folder: Path) -> str:
    return weights_sha256(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, list[dict[str, Any]]]:
    """Return a prepared problem and every batch that SFTTrainer computed a loss on."""
    from trl.trainer.sft_trainer import SFTTrainer

    batches: list[dict[str, Any]] = []
    step = SFTTrainer.training_step

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        batches.append({name: tensor.tolist() for name, tensor in inputs.items()})
        return step(self, model, inputs, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", training_step)
        made = prepared_with(tmp_path_factory.mktemp("sft"), sft=SFT, reward_model={"steps": 1, "batch": 2})
    return made, batches


@pytest.fixture(scope="module")
def prepared(recorded: tuple[Prepared, list[dict[str, Any]]]) -> Prepared:
    return recorded[0]


@pytest.fixture(scope="module")
def batches(recorded: tuple[Prepared, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return recorded[1]


def seen_rows(batches: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    """Return prompt and response of each row that was trained on, by the mask of the loss."""
    rows = []
    for batch in batches:
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            real = [(i, label) for i, m, label in zip(ids, mask, labels, strict=True) if m]
            assert all(label in (i, -100) for i, label in real)
            rows.append(([i for i, label in real if label == -100], [i for i, label in real if label != -100]))
    return rows


def test_it_sees_the_prepared_tokens_and_learns_the_responses_alone(
    prepared: Prepared, batches: list[dict[str, Any]]
) -> None:
    chosen, _ = sides(prepared.responses())
    given = [(list(p), list(c)) for p, c in zip(chosen.prompt_ids, chosen.completion_ids, strict=True)]
    assert sorted(seen_rows(batches)) == sorted(given * SFT["epochs"])


def test_what_it_sees_reads_as_the_template_writes_it(prepared: Prepared, batches: list[dict[str, Any]]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    texts = {(tokenizer.decode(prompt), tokenizer.decode(response)) for prompt, response in seen_rows(batches)}
    written = {
        (f"<|im_start|>user\nquestion {i}<|im_end|>\n<|im_start|>assistant\n", "yes" * (i % 4 + 1) + "<|im_end|>")
        for i in range(12)
    }
    assert len(texts) == 9 and texts < written


def test_held_out_prompts_are_not_trained_on(prepared: Prepared, batches: list[dict[str, Any]]) -> None:
    heldout = {tuple(ids) for ids in prepared.prompts("heldout").prompt_ids}
    assert heldout and not heldout & {tuple(prompt) for prompt, _ in seen_rows(batches)}


def test_the_loss_falls_and_the_manifest_has_it(prepared: Prepared) -> None:
    facts = prepared.manifest["sft"]
    assert (facts["responses"], facts["epochs"], facts["steps"]) == (9, 4, 8)
    assert {split: of["responses"] for split, of in facts["loss"].items()} == {"train": 9, "heldout": 3}
    assert all(of["after"] < of["before"] - 0.3 for of in facts["loss"].values())


def test_the_loss_is_that_of_transformers(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy, dtype=torch.float32)
    chosen, _ = sides(prepared.responses("heldout"))
    total = tokens = 0.0
    for prompt, response in zip(chosen.prompt_ids, chosen.completion_ids, strict=True):
        ids = torch.tensor([[*prompt, *response]])
        labels = torch.tensor([[*[-100] * len(prompt), *response]])
        total += model(input_ids=ids, labels=labels).loss.item() * len(response)
        tokens += len(response)
    assert prepared.manifest["sft"]["loss"]["heldout"]["after"] == pytest.approx(total / tokens, rel=1e-5)


def test_a_note_says_what_the_policy_is(prepared: Prepared) -> None:
    settings, loss = prepared.manifest["settings"], prepared.manifest["sft"]["loss"]
    shown = [f"{of['before']:.3f} → {of['after']:.3f}" for of in (loss["train"], loss["heldout"])]
    assert prepared.manifest["notes"][0] == (
        f"Policy and reference of every method are {settings['policy']} after supervised fine-tuning on 9 preferred "
        f"responses (4 epochs): training loss {shown[0]}, held-out loss {shown[1]} nats per token. The row without "
        "training is that fine-tuned model."
    )


def test_policy_and_reference_of_a_method_are_the_fine_tuned_model(prepared: Prepared, tmp_path: Path) -> None:
    facts, tuned = train("dpo", prepared, tmp_path).facts, weights(prepared.policy)
    assert facts["initial_weights_sha256"] == facts["reference_weights_sha256"] == tuned
    assert tuned != weights(Path(prepared.manifest["settings"]["policy"]))


def test_a_reward_model_that_starts_from_the_policy_starts_from_the_fine_tuned_one(prepared: Prepared) -> None:
    body = Scorer(prepared).model.model.embed_tokens.weight
    tuned, base = (
        AutoModelForCausalLM.from_pretrained(folder).model.embed_tokens.weight
        for folder in (prepared.policy, prepared.manifest["settings"]["policy"])
    )
    assert (body - tuned).abs().max() < 1e-3 < (body - base).abs().max()
    assert prepared.manifest["reward_model"]["source"] == "local folder, after supervised fine-tuning"


def test_the_same_settings_prepare_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    registry.problem(prepared.manifest["settings"]).prepare(tmp_path / "again", lambda _: None)
    assert Prepared(tmp_path / "again").manifest == prepared.manifest


def test_adapters_are_merged_into_the_weights(tmp_path: Path) -> None:
    tuned = [prepared_with(tmp_path / name, sft={**SFT, "lora": {"r": 2}}) for name in ("first", "second")]
    assert weights(tuned[0].policy) == weights(tuned[1].policy)
    assert {file.name for file in tuned[0].policy.glob("*adapter*")} == set()
    loss = tuned[0].manifest["sft"]["loss"]["train"]
    assert loss["after"] < loss["before"]


def test_a_model_in_other_precision_is_fine_tuned_in_float32(tmp_path: Path) -> None:
    write_model(tmp_path / "model", dtype=torch.bfloat16)
    tuned = prepared_with(tmp_path, sft={"batch": 3})
    assert AutoModelForCausalLM.from_pretrained(tuned.policy, dtype="auto").dtype == torch.float32


def test_weights_that_the_cache_shares_are_not_written_to(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "config.json").write_bytes((model / "config.json").read_bytes())
    os.link(model / "model.safetensors", folder / "model.safetensors")
    before = (model / "model.safetensors").read_bytes()
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "model.safetensors").write_bytes(b"trained")
    sft._replace_weights(folder, tmp_path / "trained")
    assert (model / "model.safetensors").read_bytes() == before
    assert (folder / "model.safetensors").read_bytes() == b"trained"


def labels_alone(count: int = 8) -> list[dict[str, Any]]:
    return [{"prompt": f"p{i}", "completion": "yes" * (i % 3 + 1), "label": i % 4 != 0} for i in range(count)]


def scores_alone() -> list[dict[str, Any]]:
    return [{"prompt": f"p{i}", "response": "yes" * (i % 3 + 1), "score": i / 8} for i in range(8)]


@pytest.mark.parametrize("responses", ["desirable", "all"])
def test_labels_alone_give_responses_to_learn(responses: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "data.jsonl", labels_alone())
    tuned = prepared_with(tmp_path, sft={"responses": responses, "batch": 3})
    labels = tuned.responses().label
    assert tuned.manifest["sft"]["responses"] == (labels.sum() if responses == "desirable" else len(labels))


def test_a_response_that_several_pairs_prefer_is_learned_once(tmp_path: Path) -> None:
    answers = (("a", 0), ("b", 1), ("c", 0.5))
    rows = [{"prompt": f"p{i}", "response": r, "score": s} for i in range(4) for r, s in answers]
    write_rows(tmp_path / "data.jsonl", rows)
    tuned = prepared_with(tmp_path, sft={"batch": 2}, pairing="all")
    assert (tuned.responses().chosen.sum(), tuned.manifest["sft"]["responses"]) == (9, 6)


CHOSEN, DESIRABLE = "problem.sft.responses is 'chosen', but", "problem.sft.responses is 'desirable', but"
REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    (
        labels_alone(),
        {},
        f"{CHOSEN} the data to train on has no pairs. Learn its desirable responses: "
        "--set problem.sft.responses=desirable",
    ),
    (
        scores_alone(),
        {},
        f"{CHOSEN} the data to train on has no pairs. Let scores make labels (problem.label_threshold) and learn the "
        "desirable responses (problem.sft.responses=desirable), or learn all responses: --set "
        "problem.sft.responses=all",
    ),
    (
        scores_alone(),
        {"responses": "desirable"},
        f"{DESIRABLE} the data to train on has no labels. Let scores make labels (problem.label_threshold), or learn "
        "all responses: --set problem.sft.responses=all",
    ),
    (
        [{**row, "label": False} for row in labels_alone()],
        {"responses": "desirable"},
        f"{DESIRABLE} the data to train on has no desirable responses. Learn all responses: --set "
        "problem.sft.responses=all",
    ),
]


@pytest.mark.parametrize(("rows", "settings", "message"), REFUSED)
def test_data_without_responses_to_learn_is_refused(
    rows: list[dict[str, Any]], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_rows(tmp_path / "data.jsonl", rows)
    with pytest.raises(UserError) as refusal:
        prepared_with(tmp_path, sft=settings)
    assert str(refusal.value) == message


def planned(folder: Path, changes: tuple[str, ...] = (), **problem: Any) -> plan.Plan:
    raw = {"problem": write_problem(folder, **problem), "name": "x", "methods": ["dpo"], "budget": {"responses": 8}}
    path = folder / "r.yaml"
    path.write_text(json.dumps({**raw, "batch_responses": 4, "benchmarks": {}}), encoding="utf-8")
    return plan.make(recipe.load(str(path), changes))


def test_a_problem_without_it_keeps_its_key(tmp_path: Path) -> None:
    keys = {planned(tmp_path, **given).problem_key for given in ({}, {"sft": None}, {"sft": False})}
    assert len(keys) == 1
    assert not {planned(tmp_path, sft={}).problem_key, planned(tmp_path, sft={"epochs": 2}).problem_key} & keys


@pytest.mark.parametrize(
    ("given", "changes", "epochs"),
    [
        ({"sft": {}}, (), 1),
        ({"sft": True}, (), 1),
        ({}, ("problem.sft={}",), 1),
        ({}, ("problem.sft=true",), 1),
        ({}, ("problem.sft.epochs=2",), 2),
        ({"sft": None}, ("problem.sft.epochs=2",), 2),
        ({"sft": {"seed": 1}}, ("problem.sft.epochs=2",), 2),
    ],
)
def test_it_is_switched_on_by_any_of_its_settings(
    given: dict[str, Any], changes: tuple[str, ...], epochs: int, tmp_path: Path
) -> None:
    assert Sft(**planned(tmp_path, changes, **given).recipe.problem["sft"]).epochs == epochs


WRONG = [
    ("problem.sft.epochs=0", "'problem.sft.epochs' is 0: input should be greater than or equal to 1."),
    ("problem.sft.batch=0", "'problem.sft.batch' is 0: input should be greater than or equal to 1."),
    ("problem.sft.learning_rate=0", "'problem.sft.learning_rate' is 0: input should be greater than 0."),
    (
        "problem.sft.responses=best",
        "'problem.sft.responses' is 'best'. Choose from: chosen, desirable, all.",
    ),
    (
        "problem.sft.epoch=2",
        "there is no key 'problem.sft.epoch'. Did you mean 'epochs'? Valid keys: responses, epochs, batch, "
        "learning_rate, seed, lora.",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_setting_is_refused(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        planned(tmp_path, (change,))
    assert str(refusal.value) == f"{tmp_path / 'r.yaml'}: {message}"


def test_plain_text_is_fine_tuned_without_a_template(tmp_path: Path) -> None:
    write_model(tmp_path / "model", template=None)
    tuned = prepared_with(tmp_path, sft={"batch": 3}, template="plain")
    assert tuned.manifest["sft"]["steps"] == 3
