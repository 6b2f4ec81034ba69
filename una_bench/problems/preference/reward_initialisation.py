"""What a reward model is trained from: weights, a tokenizer that shows where a response ends, the pairs as it reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.preference.policy import link_files

if TYPE_CHECKING:
    from una_bench.models.catalog import Model
    from una_bench.problems.preference.template import Template


def from_same_tokens(model: Model, template: Template, out: Path) -> None:
    """Start from a model that reads the policy's tokens.

    A decoder's reward is read at the last token that is not padding. So padding must not be the end token, or the
    reward would be read before the end in one library and at the end in another.
    """
    link_files(model, out)
    tokenizer = copy.deepcopy(template.tokenizer)
    config = model.config
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        spare = [t for t in (tokenizer.unk_token, tokenizer.bos_token) if t not in (None, tokenizer.eos_token)]
        if spare:
            tokenizer.pad_token = spare[0]
        elif config["vocab_size"] > len(tokenizer):
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        else:
            raise UserError(f"{model.name} has no token to pad with apart from its end token. Name a reward model.")
    _as_it_stands(tokenizer)
    tokenizer.save_pretrained(out)
    (out / "config.json").write_text(json.dumps({**config, "pad_token_id": tokenizer.pad_token_id}), encoding="utf-8")


def _as_it_stands(tokenizer: Any) -> None:
    """Keep a tokenizer from adding tokens: the policy's texts have their special tokens in them already."""
    from tokenizers.processors import TemplateProcessing

    if tokenizer("a")["input_ids"] != tokenizer("a", add_special_tokens=False)["input_ids"]:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B")


def from_other_tokens(model: Model, tokenizer: Any, template: Template, prepared: Prepared, out: Path) -> None:
    """Start from a model with a tokenizer of its own, taught the special tokens that the policy's texts hold.

    So a turn's marks are one token each, and the policy's end token ends a response for the reward model too.
    """
    from transformers import AutoModel

    texts = [*prepared.prompts().prompt, template.end]
    marks = [t for t in template.tokenizer.all_special_tokens if any(t in text for text in texts)]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.eos_token = template.end
    if tokenizer.pad_token is None:
        raise UserError(f"The tokenizer of {model.name} has no padding token. Start from another model.")
    body = AutoModel.from_pretrained(model.folder, trust_remote_code=model.trusted)
    _make_room(body, len(tokenizer))
    body.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _make_room(body: Any, tokens: int) -> None:
    """Add embeddings for new tokens, each the mean of the old ones: no random numbers."""
    import torch

    before = body.get_input_embeddings().weight.shape[0]
    if tokens > before:
        body.resize_token_embeddings(tokens, mean_resizing=False)
        weight = body.get_input_embeddings().weight
        with torch.no_grad():
            weight[before:] = weight[:before].mean(0)


def retokenize(prepared: Prepared, tokenizer: Any, model: Model, out: Path) -> None:
    """Write the pairs as the reward model reads them: prompt and response as one text.

    Raises:
        UserError: A text is longer than the model reads.
    """
    out.mkdir(parents=True)
    most = model.config.get("max_position_embeddings")
    for split, name in (("train", "responses"), ("heldout", "responses_heldout")):
        table = prepared.responses(split)
        ids = tokenizer([p + c for p, c in zip(table.prompt, table.completion, strict=True)])["input_ids"]
        longest = max(map(len, ids))
        if isinstance(most, int) and longest > most:
            raise UserError(
                f"The reward model {model.name} reads {most} tokens, but a prompt with its response has {longest} of "
                "its tokens. Lower problem.max_prompt_length or problem.max_response_length, or start from another."
            )
        table["prompt_ids"] = table["prompt_ids"].map(lambda _: [])
        table["completion_ids"] = ids
        table.to_parquet(out / f"{name}.parquet", index=False)
