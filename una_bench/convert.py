"""GGUF to safetensors: what transformers reads from a GGUF file, made trainable, savable and tokenised as it was.

Two things go wrong otherwise (seen with transformers 5.23). A model read from GGUF keeps a quantizer that refuses to be
trained or saved, so its weights are copied into a fresh model. And the tokenizer reader knows only the byte-level half
of some pre-tokenizers: without the half that splits digits, "x  5" falls into other tokens than in the original.
"""

from __future__ import annotations

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
    pre = _pre_tokenizer(file)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file.name} cannot be read as a causal language model: {reason}.") from None
    model = _fresh(read)
    mended = pre in DIGITS_APART
    if mended:
        _put_digits_apart(tokenizer)
    tokenizer.model_max_length = read.config.max_position_embeddings
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"pre_tokenizer": pre, "pre_tokenizer_mended": mended}


def _pre_tokenizer(file: Path) -> str:
    """Return the name that the file gives to its pre-tokenizer."""
    try:
        gguf = import_module("gguf")
    except ImportError:
        raise UserError("Reading GGUF needs the package gguf: pip install 'una-bench[gguf]'.") from None
    try:
        field = gguf.GGUFReader(file).get_field("tokenizer.ggml.pre")
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{file.name} is not a GGUF file, or is cut off: {error}.") from None
    return str(field.contents()) if field else ""


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


def _put_digits_apart(tokenizer: Any) -> None:
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
