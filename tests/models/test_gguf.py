"""GGUF files: converted models predict, train and tokenize like the original."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from text_models import write_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from una_bench.errors import UserError
from una_bench.models import catalog


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def quiet(_: str) -> None: ...


def write_gguf(path: Path, model: Path, *, pre: str) -> Path:
    """Write a Llama as llama.cpp's converter does: rotary halves interleaved, byte-level vocabulary."""
    import gguf

    network, tokenizer = LlamaForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    config = network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    vocabulary += ["ĠĠ", "ĠĠĠ", *(f"<unused{i}>" for i in range(config.vocab_size - len(vocabulary) - 2))]
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] * 3 + [1] * (len(vocabulary) - 3))
    writer.add_token_merges(["Ġ Ġ", "ĠĠ Ġ"])  # one alone transformers 5.17 reads letter by letter
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in network.state_dict().items():
        array = tensor.numpy().astype(np.float32)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for projection, count in heads.items():
            if projection in name:
                array = array.reshape(count, 2, -1, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def converted(tmp_path: Path, model: Path) -> Path:
    return catalog.resolve(str(write_gguf(tmp_path / "tiny.gguf", model, pre="smollm")), say=quiet).folder


def test_a_converted_model_predicts_what_the_original_does(converted: Path, model: Path) -> None:
    ids = torch.tensor([[1, 5, 9, 13]])
    ours, theirs = (AutoModelForCausalLM.from_pretrained(folder)(ids).logits for folder in (converted, model))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_converted_model_can_be_trained_and_saved(converted: Path, tmp_path: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(converted)
    network(torch.tensor([[1, 5, 9]]), labels=torch.tensor([[1, 5, 9]])).loss.backward()
    network.save_pretrained(tmp_path / "saved")
    assert next(network.parameters()).grad is not None and (tmp_path / "saved" / "model.safetensors").is_file()


def test_spaces_before_a_digit_are_split_as_the_original_splits_them(converted: Path) -> None:
    pieces = AutoTokenizer.from_pretrained(converted).tokenize("x  5")
    assert pieces == ["x", "ĠĠ", "5"]


def test_the_special_tokens_are_those_that_the_file_names(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (
        0,
        1,
        2,
        2,
    )


def test_text_comes_back_from_its_tokens(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.decode(tokenizer.encode(" x   5", add_special_tokens=False)) == " x   5"


def test_the_mending_is_recorded(converted: Path) -> None:
    marker = json.loads((converted / catalog.MARKER).read_text())
    assert (marker["pre_tokenizer"], marker["pre_tokenizer_mended"]) == ("smollm", True)


def test_another_pre_tokenizer_is_left_alone(tmp_path: Path, model: Path) -> None:
    folder = catalog.resolve(str(write_gguf(tmp_path / "tiny.gguf", model, pre="default")), say=quiet).folder
    assert json.loads((folder / catalog.MARKER).read_text())["pre_tokenizer_mended"] is False


def test_a_gguf_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no GGUF at all" * 10)
    with pytest.raises(UserError, match=r"no.gguf is not a GGUF file"):
        catalog.resolve(str(tmp_path / "no.gguf"), say=quiet)
