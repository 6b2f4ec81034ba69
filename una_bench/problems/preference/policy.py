"""Brings the policy into the prepared folder, after checking that it can be one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import weight_files
from una_bench.problems.preference import template as templates
from una_bench.problems.preference.template import Template

if TYPE_CHECKING:
    from una_bench.models.catalog import Model
    from una_bench.problems.preference.settings import PreferenceSettings


def load_tokenizer(model: Model) -> Any:
    """Return the tokenizer that comes with a model.

    Raises:
        UserError: It has none that can be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.folder, trust_remote_code=model.trusted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = str(error).strip().partition("\n")[0]
        raise UserError(f"{model.name} has no tokenizer that can be read: {line}") from None


def make_template(problem: PreferenceSettings, model: Model) -> Template:
    """Check the policy and return how text looks to it.

    Raises:
        UserError: It is no causal language model, has no template where one is needed, or is too short.
    """
    _require_causal(model)
    most = model.config.get("max_position_embeddings")
    wanted = problem.max_prompt_length + problem.max_response_length
    if isinstance(most, int) and wanted > most:
        raise UserError(
            f"{model.name} reads {most} tokens, but max_prompt_length + max_response_length is {wanted}. Lower them."
        )
    tokenizer = load_tokenizer(model)
    if problem.chat_template:
        tokenizer.chat_template = problem.chat_template
    made = templates.make(tokenizer, chat=problem.template == "chat", name=model.name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return made


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
            f"{model.name} is {architectures[0]}, not a causal language model. Choose a model that writes text."
        )


def write_policy(model: Model, template: Template, out: Path) -> None:
    """Put weights, configuration and tokenizer of the policy into ``out``."""
    link_files(model, out)
    tokenizer = template.tokenizer
    # Sampling settings that a model recommends would make its samples something else than samples of the policy.
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    write_generation_config(ids, out)
    tokenizer.save_pretrained(out)
    if model.trusted:
        weight_files.mark(out, model.name)


def write_generation_config(ids: dict[str, int | None], out: Path) -> None:
    """Write generation settings that name the special tokens and nothing else."""
    from transformers import GenerationConfig

    GenerationConfig(**ids).save_pretrained(out)


def link_files(model: Model, out: Path) -> None:
    """Bring weights and configuration to ``out``: by a link where the file cannot change, else by a copy."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = {".safetensors", ".json", *({".py"} if model.trusted else ())}
    for file in model.folder.iterdir():
        if file.suffix in wanted and file.name not in {"una-bench.json", "generation_config.json"}:
            _place(file.resolve(), out / file.name, share=model.source != "local folder")


def _place(file: Path, target: Path, *, share: bool) -> None:
    if share and file.suffix == ".safetensors":
        try:
            os.link(file, target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(file, target)
