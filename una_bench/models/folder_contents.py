"""Contents of a model's folder: complete, of one model, and trainable as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import adapters, weight_files

if TYPE_CHECKING:
    from una_bench.models.model import Model

OTHER_WEIGHTS = re.compile(r"(pytorch_model|tf_model|flax_model|consolidated|model)\b.*\.(bin|h5|msgpack|pth|ckpt)")
"""Names of weights in formats that are not read; a trainer's state is none of them."""


def check(model: Model) -> tuple[str, ...]:
    """Refuse a folder that is not one whole, trainable model, and return a note on each thing that is not read."""
    if not (model.folder / "config.json").is_file():
        raise UserError(f"{model.name} is not a model: it has no config.json. Give the folder of a model, or its name.")
    _refuse_adapter(model)
    files = _weights(model)
    try:
        config = model.config
    except ValueError:
        raise UserError(f"{model.name}: config.json is damaged. Download the model again.") from None
    _refuse_quantized(model, config)
    if "auto_map" in config and not model.trusted:
        raise UserError(
            f"{model.name} needs its own code, which does not run by default. If you trust it, add "
            f"--set problem.trust_remote_code={model.name}"
        )
    others = sorted(
        file.name
        for file in model.folder.iterdir()
        if OTHER_WEIGHTS.fullmatch(file.name) or (file.suffix == ".safetensors" and file.name not in files)
    )
    if not others:
        return ()
    read = files[0] if len(files) == 1 else f"the {len(files)} files that {weight_files.INDEX} names"
    return (f"{model.name}: the weights are those of {read}; not read: {', '.join(others)}.",)


def _refuse_adapter(model: Model) -> None:
    """Refuse an adapter beside a model: transformers would load it too, and say nothing."""
    if not (model.folder / adapters.CONFIG).is_file():
        return
    if not any(model.folder.glob("adapter_model.*")):
        raise UserError(
            f"{model.name} has an {adapters.CONFIG} beside its weights, but no weights of an adapter. Remove "
            f"{adapters.CONFIG}."
        )
    raise UserError(
        f"{model.name} holds a model and an adapter ({adapters.CONFIG}), so it is not clear which is meant. Move "
        f"{adapters.CONFIG} and the adapter's weights to a folder of their own. Name that folder for the model with "
        "the adapter, and this one for the model without it."
    )


def _weights(model: Model) -> list[str]:
    """Return the names of the files of weights, after checking that they are whole and hold what the index says."""
    files = weight_files.weights(model.folder)
    if not files and any(model.folder.glob("*.safetensors")):
        raise UserError(
            f"{model.name} has neither {weight_files.WHOLE} nor {weight_files.INDEX}, and transformers reads weights "
            "of no other name. Download the model again, or save it with save_pretrained."
        )
    if not files:
        raise UserError(f"{model.name} has no safetensors. Other formats can run code when loaded; convert it.")
    held = {name for name, _ in weight_files.shapes(model.folder)}
    if files[0].name != weight_files.WHOLE:
        absent = sorted(weight_files.indexed(model.folder).keys() - held)
        if absent:
            raise UserError(
                f"{model.name}: {weight_files.INDEX} names {len(absent)} weights that its files do not hold, as "
                f"{absent[0]}. Download the model again."
            )
    return [file.name for file in files]


def _refuse_quantized(model: Model, config: dict[str, Any]) -> None:
    parts = (config, config.get("text_config") or {})
    quantized = next((p[k] for p in parts for k in ("quantization_config", "compression_config") if p.get(k)), None)
    if quantized is not None:
        kind = quantized.get("quant_method", "of unknown kind") if isinstance(quantized, dict) else quantized
        raise UserError(
            f"{model.name} is quantized (quantization_config in config.json: {kind}), and quantized weights cannot be "
            "trained. Name the model that it was made from, or save a copy after transformers' model.dequantize()."
        )
