"""The policy in the prepared folder: checks, template and files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import catalog, sizes, weight_files
from una_bench.problems.preference import model_checks, template_checks
from una_bench.problems.preference.template import Template

if TYPE_CHECKING:
    from una_bench.models.model import Model
    from una_bench.problems.preference.settings import PreferenceSettings


NOT_LINKED = {catalog.MARKER, "generation_config.json"}
"""Files that describe a model elsewhere: the cache's own, and settings that would change its samples."""


def load_tokenizer(model: Model) -> Any:
    """Return the tokenizer of a model, or raise `UserError` if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.folder, trust_remote_code=model.trusted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = str(error).strip().partition("\n")[0]
        raise UserError(f"The tokenizer of {model.name} cannot be loaded: {line}") from None


def find_policy(problem: PreferenceSettings, say: Callable[[str], None]) -> Model:
    """Return the initial policy, or raise `UserError` if its files are others than when the recipe was written."""
    model = catalog.resolve(
        problem.policy, revision=problem.policy_revision, trusted=problem.trust_remote_code, say=say
    )
    if problem.policy_fingerprint not in {"", catalog.fingerprint(problem.policy)}:
        raise UserError(
            f"The files of {problem.policy} have changed since the recipe was written. Restore them, or remove "
            "problem.policy_fingerprint."
        )
    return model


def make_template(problem: PreferenceSettings, model: Model) -> Template:
    """Check the policy and return its template.

    Raises:
        UserError: It is not a causal language model, lacks a chat template, or its context is too short or its
            embeddings too few.
    """
    _require_causal(model)
    model_checks.require_context(problem, model)
    tokenizer = load_tokenizer(model)
    if problem.chat_template:
        tokenizer.chat_template = problem.chat_template
    template = template_checks.make(tokenizer, chat=problem.template == "chat", name=model.name)
    rows = sizes.embedding_rows(model)
    if tokenizer.pad_token is not None and tokenizer.pad_token_id >= rows:
        note = f"{model.name}: the padding token {tokenizer.pad_token} (id {tokenizer.pad_token_id}) has no embedding"
        template = replace(template, notes=(*template.notes, f"{note} ({rows}); {tokenizer.eos_token} pads instead."))
        tokenizer.pad_token = None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model_checks.require_vocabulary(model, tokenizer)
    return template


def _require_causal(model: Model) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    architectures = model.config.get("architectures") or ["of unknown architecture"]
    causal = {
        name
        for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        for name in (names if isinstance(names, list | tuple) else [names])
    }
    if architectures[0] not in causal and not (model.trusted and "CausalLM" in architectures[0]):
        raise UserError(
            f"{model.name} is {architectures[0]}, not a causal language model. Choose one that generates text."
        )


def write_policy(model: Model, template: Template, out: Path) -> None:
    """Write weights, configuration and tokenizer of the policy to ``out``."""
    link_files(model, out)
    tokenizer = template.tokenizer
    # A model's recommended sampling settings would change the distribution of its samples.
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    write_generation_config(ids, out)
    tokenizer.save_pretrained(out)
    if model.trusted:
        weight_files.mark(out, model.name)


def write_generation_config(ids: dict[str, int | None], out: Path) -> None:
    """Write generation settings that contain only the special tokens."""
    from transformers import GenerationConfig

    GenerationConfig(**ids).save_pretrained(out)


def link_files(model: Model, out: Path) -> None:
    """Link or copy weights and configuration to ``out``; files of a local folder may change and are copied."""
    out.mkdir(parents=True, exist_ok=True)
    suffixes = {".json", *({".py"} if model.trusted else ())}
    weights = weight_files.weights(model.folder)
    for file in model.folder.iterdir():
        if file in weights or (file.suffix in suffixes and file.name not in NOT_LINKED):
            _place(file.resolve(), out / file.name, share=model.source != "local folder")


def _place(file: Path, target: Path, *, share: bool) -> None:
    if share and file.suffix == ".safetensors":
        try:
            os.link(file, target)
            return
        except OSError:  # another file system, or no support for links
            pass
    shutil.copyfile(file, target)
