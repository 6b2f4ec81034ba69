"""Untrained language models of several architectures, small enough to compare every number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

VOCABULARY = 18
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def phi() -> Any:
    from transformers import PhiConfig, PhiForCausalLM

    model = PhiForCausalLM(PhiConfig(**SIZES, intermediate_size=64, resid_pdrop=0.0))
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def llama_with_tied_embeddings() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SIZES, intermediate_size=64, tie_word_embeddings=True))


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2)).eval()


def gemma_with_soft_caps() -> Any:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        **SIZES, intermediate_size=64, head_dim=16, num_key_value_heads=2, final_logit_softcapping=0.5
    )
    return Gemma2ForCausalLM(config)


def lora_on_the_output_layer() -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM", init_lora_weights=False)
    return get_peft_model(phi(), config)


FOUR_HEADS = SIZES | {"num_attention_heads": 4}


def of(name: str, **settings: Any) -> Any:
    import transformers

    config = getattr(transformers, f"{name}Config")(**FOUR_HEADS, **settings)
    return getattr(transformers, f"{name}ForCausalLM")(config)


def grouped_llama() -> Any:
    return of("Llama", intermediate_size=64, num_key_value_heads=2)


def qwen2() -> Any:
    return of("Qwen2", intermediate_size=64, num_key_value_heads=2)


def gemma() -> Any:
    return of("Gemma", intermediate_size=64, head_dim=8, num_key_value_heads=1)


def opt() -> Any:
    return of("OPT", ffn_dim=64, dropout=0.0, word_embed_proj_dim=32)


def mistral(window: int = 64) -> Any:
    return of("Mistral", intermediate_size=64, num_key_value_heads=2, sliding_window=window)


def gemma3() -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    sizes = FOUR_HEADS | {"intermediate_size": 64, "head_dim": 8, "num_key_value_heads": 2, "sliding_window": 64}
    return Gemma3ForCausalLM(Gemma3TextConfig(**sizes))


def gradients(model: Any, logps: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (logps * torch.linspace(-1, 2, len(logps))).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
