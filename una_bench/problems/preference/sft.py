"""Supervised fine-tuning of the policy in the prepared folder, before any method learns from it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared, with_feedback
from una_bench.machine import process_tuning
from una_bench.models import weight_files

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.problems.preference.settings import PreferenceSettings, Sft
    from una_bench.problems.preference.template import Template

THREADS = 2
"""Threads of training; fixed, because their number changes rounding."""
MOST_JUDGED = 256
"""Responses of each split whose loss is computed before and after, chosen by the seed."""
NAMES = {"chosen": "preferred responses", "desirable": "desirable responses", "all": "responses"}


def fine_tune_policy(
    problem: PreferenceSettings, prepared: Prepared, template: Template, say: Callable[[str], None]
) -> dict[str, Any]:
    """Replace the weights of the prepared policy by fine-tuned ones, and return facts for the manifest.

    ``loss`` is the mean over response tokens, nats, of each split before and after.

    Raises:
        UserError: The data has none of the responses to learn.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from una_bench.training.trl.sft import fine_tune

    settings, folder = problem.sft, prepared.policy
    assert settings is not None
    train = _responses(prepared, "train", settings)
    if train.empty:
        raise UserError(_nothing_to_learn(prepared.responses(), settings))
    judged = {
        split: table.sample(min(MOST_JUDGED, len(table)), random_state=settings.seed)
        for split, table in (("train", train), ("heldout", _responses(prepared, "heldout", settings)))
        if len(table)
    }
    name = f"{len(train)} {NAMES[settings.responses]}"
    say(f"supervised fine-tuning of {problem.policy} on {name}")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **weight_files.loading(folder))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    with process_tuning.fixed(THREADS), tempfile.TemporaryDirectory(dir=prepared.path.parent) as scratch:
        before = {split: _loss(model, table) for split, table in judged.items()}
        model, steps = fine_tune(
            model,
            template.tokenizer,
            train,
            seed=settings.seed,
            epochs=settings.epochs,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            lora=settings.lora,
        )
        after = {split: _loss(model, table) for split, table in judged.items()}
        model.save_pretrained(scratch)
        _replace_weights(folder, Path(scratch))
    loss = {
        split: {"before": before[split], "after": after[split], "responses": len(judged[split])} for split in judged
    }
    facts = {"responses": len(train), "epochs": settings.epochs, "steps": steps, "loss": loss}
    return {**facts, "notes": [_note(problem.policy, name, facts)]}


def _responses(prepared: Prepared, split: str, settings: Sft) -> pd.DataFrame:
    """Return the responses to learn of a split, each once: one may be preferred in several pairs."""
    table = prepared.responses(split)
    if settings.responses == "chosen":
        table = table[table["chosen"]]
    elif settings.responses == "desirable":
        labeled = with_feedback(table, "binary")
        table = labeled[labeled["label"].astype(bool)]
    return table.drop_duplicates(["prompt", "completion"])


def _nothing_to_learn(table: pd.DataFrame, settings: Sft) -> str:
    labeled = len(with_feedback(table, "binary")) > 0
    kind = {"chosen": "pairs", "desirable": "desirable responses" if labeled else "labels"}[settings.responses]
    remedy = "Learn all responses: --set problem.sft.responses=all"
    if settings.responses == "chosen" and labeled:
        remedy = "Learn its desirable responses: --set problem.sft.responses=desirable"
    elif not labeled:
        learn = " and learn the desirable responses (problem.sft.responses=desirable)"
        labels = f"Let scores make labels (problem.label_threshold){learn if settings.responses == 'chosen' else ''}"
        remedy = f"{labels}, or {remedy[0].lower()}{remedy[1:]}"
    return f"problem.sft.responses is '{settings.responses}', but the data to train on has no {kind}. {remedy}"


def _loss(model: Any, table: pd.DataFrame) -> float:
    """Return the mean negative log-probability of the response tokens, nats."""
    from una_bench.problems.preference.policy_scores import log_probabilities

    completions = [[int(i) for i in ids] for ids in table["completion_ids"]]
    prompts = [[int(i) for i in ids] for ids in table["prompt_ids"]]
    model.eval()
    return -sum(log_probabilities(model, prompts, completions)) / sum(map(len, completions))


def _replace_weights(folder: Path, trained: Path) -> None:
    """Move the trained weights to ``folder``, whose own may be links to the cache; the rest of it stays as it is."""
    for file in [*weight_files.weights(folder), folder / weight_files.INDEX]:
        file.unlink(missing_ok=True)
    for file in trained.glob("model*.safetensors*"):
        shutil.move(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("text_config") or {}):
        part |= {key: "float32" for key in ("dtype", "torch_dtype") if key in part}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _note(policy: str, name: str, facts: dict[str, Any]) -> str:
    epochs = "1 epoch" if facts["epochs"] == 1 else f"{facts['epochs']} epochs"
    parts = {"heldout": "held-out", "train": "training"}
    losses = [f"{parts[s]} loss {of['before']:.3f} → {of['after']:.3f}" for s, of in facts["loss"].items()]
    return (
        f"Policy and reference of every method are {policy} after supervised fine-tuning on {name} ({epochs}): "
        f"{', '.join(losses)} nats per token. The row without training is that fine-tuned model."
    )
