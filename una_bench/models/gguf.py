"""Conversion of GGUF files to safetensors, trainable and with the original tokenization.

transformers alone gets three things wrong. A model loaded from GGUF keeps a quantizer that prevents training and
saving, so its weights are copied into a new model. Of some pre-tokenizers only the byte-level part is loaded, without
the one that splits digits, which changes the tokens of "x  5" (both in transformers 5.23). And transformers 5.17 takes
the first special token as end token, and a byte-level vocabulary as SentencePiece.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from una_bench.errors import UserError

DIGITS_APART = ("smollm", "starcoder", "refact", "command-r")
"""``tokenizer.ggml.pre`` of models whose pre-tokenizer splits digits before the byte-level split."""
NOT_CONFIGURATION = (
    *("quantization_config", "_name_or_path", "_model_name_or_path", "dtype", "torch_dtype"),
    *("transformers_version", "architectures", "model_type"),
)
"""Entries of a GGUF configuration that do not describe the model's shape."""
SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
"""Names of special tokens here and in ``tokenizer.ggml.*_token_id``."""
LEFT_OVER = ("add_prefix_space", "clean_up_tokenization_spaces", "legacy", "model_type", *(f"{n}_id" for n in SPECIAL))
"""Entries that transformers 5.17 leaves in the tokenizer's settings."""
Fields = Callable[[str], Any]
"""Returns the value of a GGUF key, or None."""


def gguf_to_safetensors(file: Path, out: Path) -> dict[str, Any]:
    """Write a GGUF file's model as float32 safetensors with its tokenizer; return facts. A UserError if it cannot."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    fields = _fields(file)
    pre = str(fields("tokenizer.ggml.pre") or "")
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file.name} cannot be read as a causal language model: {reason}.") from None
    model = _fresh(read)
    _set_special_tokens(tokenizer, fields)
    splits_digits = pre in DIGITS_APART
    if splits_digits:
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.model_max_length = read.config.max_position_embeddings
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"pre_tokenizer": pre, "pre_tokenizer_mended": splits_digits}


def _fields(file: Path) -> Fields:
    """Open the file and return a function that looks up its metadata."""
    try:
        gguf = import_module("gguf")
    except ImportError:
        raise UserError("Reading GGUF needs the package gguf: pip install 'una-bench[gguf]'.") from None
    try:
        reader = gguf.GGUFReader(file)
        reader.get_field("tokenizer.ggml.pre")
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{file.name} is not a GGUF file, or is truncated: {error}.") from None
    return lambda key: field.contents() if (field := reader.get_field(key)) else None


def _fresh(read: Any) -> Any:
    """Return a new model with these weights and no trace of GGUF."""
    from transformers import GenerationConfig

    settings = {k: v for k, v in read.config.to_dict().items() if k not in NOT_CONFIGURATION}
    model = type(read)(type(read.config)(**settings))
    result = model.load_state_dict(read.state_dict(), strict=False)
    model.tie_weights()
    tied = {"lm_head.weight"} if read.config.tie_word_embeddings else set()
    if result.unexpected_keys or not set(result.missing_keys) <= tied:
        keys = [*result.unexpected_keys, *result.missing_keys][:3]
        raise UserError(f"The weights of the GGUF file do not match its model: {keys}.")
    ids = {name: settings.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ids)
    return model


def _set_special_tokens(tokenizer: Any, fields: Fields) -> None:
    """Set the special tokens named in the file, and the vocabulary and decoder of a byte-level tokenizer."""
    from tokenizers.decoders import ByteLevel
    from tokenizers.models import BPE

    tokens = fields("tokenizer.ggml.tokens") or []
    for name, key in SPECIAL.items():
        place = fields(f"tokenizer.ggml.{key}_token_id")
        if place is not None and getattr(tokenizer, name) != tokens[place]:
            setattr(tokenizer, name, tokens[place])
    for name in LEFT_OVER:
        tokenizer.init_kwargs.pop(name, None)
    if fields("tokenizer.ggml.model") == "gpt2":
        merges = [tuple(pair.split(" ")) for pair in fields("tokenizer.ggml.merges")]
        vocabulary = {token: place for place, token in enumerate(tokens)}
        parts = tokenizer.backend_tokenizer
        parts.model = BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="")
        parts.decoder, parts.normalizer = ByteLevel(), None
