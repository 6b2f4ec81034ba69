"""A tiny language model that chats, its tokenizer of bytes, and preference data in every layout; made by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

START, END, UNKNOWN = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(template: str | None = TEMPLATE, extra: tuple[str, ...] = ()) -> Any:
    """One token a byte, three special tokens in front; the end token also pads, as SmolLM2 has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([UNKNOWN, START, END, *extra, *alphabet])}
    inner = Tokenizer(models.BPE(vocabulary, [], unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token=UNKNOWN, bos_token=START, eos_token=END, pad_token=END
    )
    tokenizer.chat_template = template
    return tokenizer


def sizes() -> dict[str, Any]:
    return {
        "vocab_size": 264,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }


def write_model(folder: Path, *, template: str | None = TEMPLATE, **changed: Any) -> Path:
    """Write a Llama of two layers that has learned nothing."""
    return write_kind(folder, "Llama", template=template, **changed)


def write_kind(
    folder: Path,
    kind: str,
    *,
    tokenizer: Any = None,
    template: str | None = TEMPLATE,
    shards: str = "1GB",
    **config: Any,
) -> Path:
    """Write a causal language model of a kind that transformers has, with weights of the ``dtype`` in ``config``."""
    import transformers

    torch.manual_seed(0)
    dtype = config.pop("dtype", torch.float32)
    settings = getattr(transformers, f"{kind}Config")(**sizes() | config)
    model = getattr(transformers, f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(settings)
    model.to(dtype).save_pretrained(folder, max_shard_size=shards)
    (tokenizer or byte_tokenizer(template)).save_pretrained(folder)
    return folder


def write_reward_model(folder: Path, *, outputs: int = 1, tokenizer: Any = None) -> Path:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(1)
    config = LlamaConfig(**sizes() | {"pad_token_id": 0, "num_labels": outputs})
    LlamaForSequenceClassification(config).float().save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return folder


def write_encoder(folder: Path) -> Path:
    """Write a BERT with a tokenizer of its own: letters, and its own marks."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate([*marks, *map(chr, range(97, 123))])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
    )
    BertModel(config).float().save_pretrained(folder)
    return folder


def scored_rows(prompts: int = 12) -> list[dict[str, Any]]:
    """Two responses to each prompt; the longer one is better."""
    rows = []
    for i in range(prompts):
        rows.append({"prompt": f"question {i}", "response": "no" * (i % 3 + 1), "score": 0.2, "score_raw": 2.8})
        rows.append({"prompt": f"question {i}", "response": "yes" * (i % 4 + 1), "score": 0.8, "score_raw": 8.2})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines, or as parquet by the file's name."""
    if path.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
