"""Checkpoints that hold an adapter alone, and their merging onto the base model."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import sizes, weight_files

if TYPE_CHECKING:
    from una_bench.models.model import Model

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HEAD = re.compile(r"\b(score|classifier|classifier\.out_proj)\.weight$")
"""Names of the output layer of a sequence classifier."""
TOKENIZER = ("tokenizer", "special_tokens_map", "added_tokens", "chat_template", "vocab", "merges", "spiece")
"""How the names of a tokenizer's files begin."""


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not has_model(folder)


def has_model(folder: Path) -> bool:
    """Return whether a folder holds the weights of a model."""
    return any((folder / n).is_file() for n in (weight_files.WHOLE, weight_files.INDEX, "pytorch_model.bin"))


def base_name(folder: Path) -> tuple[str, str]:
    """Return the name of an adapter's base model and its hub revision; a UserError if the adapter names none."""
    settings = _settings(folder)
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"{folder / CONFIG} names no base model. Write its folder or name there as base_model_name_or_path."
        )
    if Path(base).is_dir() and Path(base).resolve() == folder.resolve():
        raise UserError(
            f"{folder / CONFIG} names its own folder as the base model. Write the base's folder or name there as "
            "base_model_name_or_path."
        )
    return base, str(settings.get("revision") or "")


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise UserError(f"{folder / CONFIG} is damaged. Save the adapter again.") from None


def merge(adapter: Model, base: Model, out: Path) -> None:
    """Write the base model with the adapter merged into its weights, in float32, and the adapter's tokenizer.

    Raises:
        UserError: The adapter does not fit the base model, or is of a kind that cannot be merged.
    """
    from peft import PeftModel

    if not (adapter.folder / WEIGHTS).is_file():
        raise UserError(
            f"{adapter.name} has no {WEIGHTS}. Other formats can run code when loaded; save the adapter as safetensors."
        )
    settings, shapes = _settings(adapter.folder), dict(weight_files.tensors(adapter.folder / WEIGHTS))
    model = _load(base, str(settings.get("task_type")), shapes)
    try:
        with warnings.catch_warnings():
            # What an adapter lacks stays untrained: that is another model than the user's.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, adapter.folder)
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, UserWarning) as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        raise UserError(
            f"The adapter {adapter.name} does not fit its base model {base.name}: {' '.join(lines)[:200].rstrip('.')}. "
            "Name the model that it was trained on as base_model_name_or_path in its adapter_config.json."
        ) from None
    if not hasattr(adapted, "merge_and_unload"):
        raise UserError(
            f"{adapter.name} is an adapter of the kind {settings.get('peft_type')}, which cannot be merged into a "
            "model. Choose one that changes weights, as LoRA."
        )
    adapted.merge_and_unload().save_pretrained(out)
    _copy_rest(adapter, base, out)


def _load(base: Model, task: str, shapes: dict[str, list[int]]) -> Any:
    """Load the base model, with as many outputs or embeddings as the adapter brings weights for."""
    import torch
    import transformers

    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": base.trusted}
    kind = transformers.AutoModelForCausalLM
    if task == "SEQ_CLS":
        kind = transformers.AutoModelForSequenceClassification
        options["num_labels"] = next((shape[0] for name, shape in shapes.items() if HEAD.search(name)), 1)
    model = kind.from_pretrained(base.folder, **options)
    rows = next((shape[0] for name, shape in shapes.items() if sizes.EMBEDDINGS.search(name)), None)
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    return model


def _copy_rest(adapter: Model, base: Model, out: Path) -> None:
    has_tokenizer = any((adapter.folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    for file in sorted((adapter.folder if has_tokenizer else base.folder).iterdir()):
        if file.name.startswith(TOKENIZER) or file.suffix == ".model":
            shutil.copyfile(file, out / file.name)
    for file in sorted(base.folder.iterdir()):
        if file.name == "generation_config.json" or (base.trusted and file.suffix == ".py"):
            shutil.copyfile(file, out / file.name)
