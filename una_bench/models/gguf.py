"""GGUF to safetensors: what transformers reads from a GGUF file, made trainable, savable and tokenized as it was.

Three things go wrong otherwise. A model read from GGUF keeps a quantizer that refuses to be trained or saved, so its
weights are copied into a fresh model. The tokenizer reader knows only the byte-level half of some pre-tokenizers:
without the half that splits digits, "x  5" falls into other tokens than in the original (both seen with transformers
5.23). And transformers 5.17 takes the first special token for the end token, and a byte-level vocabulary for one of
SentencePiece.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from una_bench.errors import UserError

DIGITS_APART = ("smollm", "starcoder", "refact", "command-r")
"""``tokenizer.ggml.pre`` of models whose pre-tokenizer puts each digit apart before the byte-level split."""
NOT_CONFIGURATION = (
    "quantization_config",
    "_name_or_path",
    "_model_name_or_path",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "architectures",
    "model_type",
)
"""What a configuration read from GGUF holds beside the model's shape."""
SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
"""Names of special tokens here and in ``tokenizer.ggml.*_token_id``."""
LEFT_OVER = (
    "add_prefix_space",
    "clean_up_tokenization_spaces",
    "legacy",
    "model_type",
    *(f"{name}_id" for name in SPECIAL),
)
"""What transformers 5.17 keeps of the file in a tokenizer's own settings."""
Fields = Callable[[str], Any]
"""What a GGUF file says under a key; None where it says nothing."""


def gguf_to_safetensors(file: Path, out: Path) -> dict[str, Any]:
    """Write the model of a GGUF file as float32 safetensors with its tokenizer.

    Args:
        file: The GGUF file.
        out: Folder to make.

    Returns:
        What was done, for the manifest: ``pre_tokenizer`` of the file, and whether it was mended.

    Raises:
        UserError: The reader is not installed, or the file cannot be read as a causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    said = _fields(file)
    pre = str(said("tokenizer.ggml.pre") or "")
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file.name} cannot be read as a causal language model: {reason}.") from None
    model = _fresh(read)
    _put_tokens_right(tokenizer, said)
    mended = pre in DIGITS_APART
    if mended:
        _put_digits_apart(tokenizer)
    tokenizer.model_max_length = read.config.max_position_embeddings
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"pre_tokenizer": pre, "pre_tokenizer_mended": mended}


def _fields(file: Path) -> Fields:
    """Open the file and return what looks up its metadata."""
    try:
        gguf = import_module("gguf")
    except ImportError:
        raise UserError("Reading GGUF needs the package gguf: pip install 'una-bench[gguf]'.") from None
    try:
        reader = gguf.GGUFReader(file)
        reader.get_field("tokenizer.ggml.pre")
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{file.name} is not a GGUF file, or is cut off: {error}.") from None

    def said(key: str) -> Any:
        field = reader.get_field(key)
        return field.contents() if field else None

    return said


def _fresh(read: Any) -> Any:
    """Copy the weights into a model that never knew GGUF."""
    from transformers import GenerationConfig

    settings = {k: v for k, v in read.config.to_dict().items() if k not in NOT_CONFIGURATION}
    model = type(read)(type(read.config)(**settings))
    found = model.load_state_dict(read.state_dict(), strict=False)
    model.tie_weights()
    tied = {"lm_head.weight"} if read.config.tie_word_embeddings else set()
    if found.unexpected_keys or not set(found.missing_keys) <= tied:
        raise UserError(f"The GGUF file does not fill the model: {[*found.unexpected_keys, *found.missing_keys][:3]}.")
    ids = {name: settings.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ids)
    return model


def _put_tokens_right(tokenizer: Any, said: Fields) -> None:
    """Give a tokenizer the special tokens that the file names, and a byte-level one its own decoder."""
    from tokenizers.decoders import ByteLevel
    from tokenizers.models import BPE

    tokens = said("tokenizer.ggml.tokens") or []
    for name, key in SPECIAL.items():
        place = said(f"tokenizer.ggml.{key}_token_id")
        if place is not None and getattr(tokenizer, name) != tokens[place]:
            setattr(tokenizer, name, tokens[place])
    for name in LEFT_OVER:
        tokenizer.init_kwargs.pop(name, None)
    if said("tokenizer.ggml.model") == "gpt2":
        merges = [tuple(pair.split(" ")) for pair in said("tokenizer.ggml.merges")]
        vocabulary = {token: place for place, token in enumerate(tokens)}
        parts = tokenizer.backend_tokenizer
        parts.model = BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="")
        parts.decoder, parts.normalizer = ByteLevel(), None


def _put_digits_apart(tokenizer: Any) -> None:
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
