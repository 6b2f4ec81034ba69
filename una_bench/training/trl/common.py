"""Helpers for all uses of TRL: quiet arguments with the same meaning in every release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Method


def quiet_arguments() -> dict[str, Any]:
    """Return training arguments that keep a trainer from writing, printing or recomputing by default.

    TRL enables gradient checkpointing by default; here it is off unless a method's settings enable it.
    """
    from transformers import TrainingArguments

    # transformers 5.22 renamed the switch and warns about the old name.
    known = {f.name for f in fields(TrainingArguments)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {checkpointing: False, "save_strategy": "no", "disable_tqdm": True}


def own_settings(method: Method) -> dict[str, Any]:
    """Return a method's settings beyond the shared ones, under TRL's names for TRL's configuration."""
    from una_bench.interfaces.method import Method

    return {name: value for name, value in method.settings().items() if name not in Method.model_fields}


def silence(trainer: Any) -> None:
    """Keep a trainer from printing its logs to standard output, which is for results."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def in_phase(probe: Probe, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` with each call in a phase; its signature stays visible."""

    @wraps(call)
    def measured(*args: Any, **kwargs: Any) -> Any:
        with probe.phase(name):
            return call(*args, **kwargs)

    return measured
