"""Limits of a model by its files: the tokens that it reads at once, and the rows of its embeddings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import weight_files

if TYPE_CHECKING:
    from una_bench.models.model import Model

POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx")
"""Names under which configurations state the context."""
COUNTED_FROM_PADDING = ("roberta", "camembert", "xmod", "mpnet", "longformer", "data2vec-text", "luke", "ibert", "esm")
"""Kinds of models, by a part of their name, whose first position is the one after the padding token's id."""
EMBEDDINGS = re.compile(r"\b(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")
"""Names of the input embeddings in files of weights."""


def configuration(model: Model) -> Any:
    """Return the configuration of a model's text part, defaults included; a UserError if it cannot be read."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(model.folder, trust_remote_code=model.trusted).get_text_config()
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(f"The config.json of {model.name} cannot be used: {line}. Download the model again.") from None


def context(config: Any) -> int | None:
    """Return the tokens that a model reads at once by its configuration, None if it states no limit."""
    config = config.get_text_config()
    stated = (getattr(config, name, None) for name in POSITIONS)
    limit = next((value for value in stated if isinstance(value, int) and value > 0), None)
    if limit is not None and any(kind in str(config.model_type) for kind in COUNTED_FROM_PADDING):
        limit -= (config.pad_token_id or 0) + 1
    return limit


def embedding_rows(model: Model) -> int:
    """Return the number of tokens that have an embedding.

    Raises:
        UserError: Configuration and weights disagree, so that the model cannot be loaded.
    """
    stated = int(getattr(configuration(model), "vocab_size", None) or 0)
    held = {shape[0] for name, shape in weight_files.shapes(model.folder) if EMBEDDINGS.search(name)}
    if len(held) == 1 and stated not in {0, *held}:
        raise UserError(
            f"{model.name} has {held.pop()} embeddings, but its config.json says vocab_size {stated}. "
            "Write the number of embeddings there."
        )
    return stated or max(held, default=0)
