"""Folders of models that are not one whole, trainable model: each one message, to the letter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from text_models import write_model

from una_bench.errors import UserError
from una_bench.models import catalog, weight_files

INDEX = "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m")


def configured(model: Path, **changed: Any) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | changed))


def sharded(model: Path) -> dict[str, str]:
    """Put the weights into two files, and return the index."""
    weights = load_file(model / "model.safetensors")
    names = sorted(weights)
    files = {name: f"model-0000{1 + (i > 3)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({n: weights[n] for n in names if files[n] == file}, model / file, metadata={"format": "pt"})
    (model / "model.safetensors").unlink()
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return files


def without_a_shard(model: Path) -> None:
    sharded(model)
    (model / "model-00002-of-00002.safetensors").unlink()


def with_a_weight_too_many(model: Path) -> None:
    files = sharded(model)
    (model / INDEX).write_text(json.dumps({"weight_map": files | {"lost.weight": files[min(files)]}}))


def with_a_damaged_index(model: Path) -> None:
    sharded(model)
    (model / INDEX).write_text("[]")


def of_another_name(model: Path) -> None:
    (model / "model.safetensors").rename(model / "consolidated.safetensors")


def with_an_adapter(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    (model / "adapter_model.safetensors").write_bytes(b"")


def with_an_adapters_settings(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")


def quantized(model: Path) -> None:
    configured(model, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def quantized_inside(model: Path) -> None:
    configured(model, text_config={"quantization_config": {"quant_method": "gptq"}})


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (
        without_a_shard,
        "m lacks 1 of the 2 files of weights that model.safetensors.index.json names: "
        "model-00002-of-00002.safetensors. Copy what is missing there, or download the model again.",
    ),
    (
        with_a_weight_too_many,
        "m: model.safetensors.index.json names 1 weights that its files do not hold, as lost.weight. "
        "Download the model again.",
    ),
    (with_a_damaged_index, "m/model.safetensors.index.json is damaged. Download the model again."),
    (
        of_another_name,
        "m has neither model.safetensors nor model.safetensors.index.json, and transformers reads weights of no other "
        "name. Download the model again, or save it with save_pretrained.",
    ),
    (
        with_an_adapter,
        "m holds a model and an adapter (adapter_config.json), so it is not clear which is meant. Move "
        "adapter_config.json and the adapter's weights to a folder of their own. Name that folder for the model with "
        "the adapter, and this one for the model without it.",
    ),
    (
        with_an_adapters_settings,
        "m has an adapter_config.json beside its weights, but no weights of an adapter. Remove adapter_config.json.",
    ),
    (
        quantized,
        "m is quantized (quantization_config in config.json: bitsandbytes), and quantized weights cannot be trained. "
        "Name the model that it was made from, or save a copy after transformers' model.dequantize().",
    ),
    (
        quantized_inside,
        "m is quantized (quantization_config in config.json: gptq), and quantized weights cannot be trained. "
        "Name the model that it was made from, or save a copy after transformers' model.dequantize().",
    ),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN, ids=[damage.__name__ for damage, _ in BROKEN])
def test_a_folder_that_is_no_trainable_model_is_refused(
    damage: Callable[[Path], None], message: str, model: Path
) -> None:
    damage(model)
    with pytest.raises(UserError) as caught:
        catalog.resolve(str(model))
    assert str(caught.value).replace(f"{model.parent}/", "") == message


def test_weights_in_several_files_are_one_model(model: Path) -> None:
    before = weight_files.parameter_count(model)
    sharded(model)
    assert catalog.resolve(str(model)).notes == () and weight_files.parameter_count(model) == before


def test_weights_that_are_not_read_are_named_and_not_counted(model: Path) -> None:
    before = weight_files.parameter_count(model)
    (model / "pytorch_model.bin").write_bytes(b"")
    (model / "consolidated.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    (model / "optimizer.pt").write_bytes(b"")  # a trainer's state is no weights
    notes = catalog.resolve(str(model)).notes
    files = "the weights are those of model.safetensors; not read: consolidated.safetensors, pytorch_model.bin."
    assert (notes, weight_files.parameter_count(model)) == ((f"{model}: {files}",), before)
