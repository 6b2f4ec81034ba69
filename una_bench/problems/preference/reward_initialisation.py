"""Initialization of a reward model: weights, a tokenizer with an end token, and the pairs in its tokens."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.prepared import Prepared
from una_bench.models import sizes
from una_bench.models.reward_scorer import text_ids
from una_bench.problems.preference.model_checks import require_length
from una_bench.problems.preference.policy import link_files

if TYPE_CHECKING:
    from una_bench.models.model import Model
    from una_bench.problems.preference.template import Template


def from_same_tokens(model: Model, template: Template, out: Path) -> None:
    """Initialize from a model with the policy's tokenizer.

    A decoder's reward is read at the last token that is not padding. If padding were the end token, libraries would
    disagree on whether that is before or at the end token.
    """
    tokenizer = copy.deepcopy(template.tokenizer)
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        spare = [t for t in (tokenizer.unk_token, tokenizer.bos_token) if t not in (None, tokenizer.eos_token)]
        if spare:
            tokenizer.pad_token = spare[0]
        else:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    if tokenizer.pad_token_id < sizes.embedding_rows(model):
        link_files(model, out)
    else:
        _write_body(model, tokenizer.pad_token_id + 1, out)
    _without_special_tokens(tokenizer)
    tokenizer.save_pretrained(out)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("text_config") or {}):
        part["pad_token_id"] = tokenizer.pad_token_id
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _without_special_tokens(tokenizer: Any) -> None:
    """Keep a tokenizer from adding special tokens: the policy's texts already contain them."""
    from tokenizers.processors import TemplateProcessing

    if tokenizer("a")["input_ids"] != tokenizer("a", add_special_tokens=False)["input_ids"]:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B")


def from_other_tokens(model: Model, tokenizer: Any, template: Template, prepared: Prepared, out: Path) -> None:
    """Initialize from a model with another tokenizer, to which the special tokens of the policy's texts are added.

    So each marker of a turn is one token, and the policy's end token ends responses for the reward model too.
    """
    texts = [*prepared.prompts().prompt, template.end]
    marks = [t for t in template.tokenizer.all_special_tokens if any(t in text for text in texts)]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.eos_token = template.end
    if tokenizer.pad_token in (None, template.end):  # rewards are read at the last token that is no padding
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    _write_body(model, len(tokenizer), out)
    tokenizer.save_pretrained(out)


def _write_body(model: Model, tokens: int, out: Path) -> None:
    """Write a model without its head, with embeddings for new tokens, each the mean of the old ones: deterministic."""
    import torch
    from transformers import AutoModel

    body = AutoModel.from_pretrained(model.folder, dtype=torch.float32, trust_remote_code=model.trusted)
    before = body.get_input_embeddings().weight.shape[0]
    if tokens > before:
        body.resize_token_embeddings(tokens, mean_resizing=False)
        weight = body.get_input_embeddings().weight
        with torch.no_grad():
            weight[before:] = weight[:before].mean(0)
    body.save_pretrained(out)


def retokenize(prepared: Prepared, tokenizer: Any, model: Model, out: Path) -> None:
    """Write the pairs in the reward model's tokens, with prompt and response as one text.

    Raises:
        UserError: A text is longer than the model's context.
    """
    out.mkdir(parents=True)
    context = sizes.context(sizes.configuration(model))
    for split, name in (("train", "responses"), ("heldout", "responses_heldout")):
        table = prepared.responses(split)
        ids = [text_ids(tokenizer, p + c) for p, c in zip(table.prompt, table.completion, strict=True)]
        longest = max(map(len, ids))
        require_length(model, context, longest)
        table["prompt_ids"] = table["prompt_ids"].map(lambda _: [])
        table["completion_ids"] = ids
        table.to_parquet(out / f"{name}.parquet", index=False)
