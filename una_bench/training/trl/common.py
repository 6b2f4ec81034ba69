"""What every use of TRL here shares: quiet arguments that mean the same in every release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Method


def quiet_arguments() -> dict[str, Any]:
    """Training arguments that keep a trainer from writing, printing or recomputing anything by itself.

    TRL switches gradient checkpointing on by default, for memory; here it is off unless a method's settings ask for it.
    """
    from transformers import TrainingArguments

    # transformers 5.22 renamed the switch and warns about the old name.
    known = {f.name for f in fields(TrainingArguments)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {checkpointing: False, "save_strategy": "no", "disable_tqdm": True}


def own_settings(method: Method) -> dict[str, Any]:
    """Settings that a method adds to the shared ones; their names are TRL's, so TRL's configuration takes them."""
    from una_bench.interfaces.method import Method

    shared = {f.name for f in fields(Method)}
    return {name: value for name, value in method.settings().items() if name not in shared}


def silence(trainer: Any) -> None:
    """Keep a trainer from printing its logs to standard output, where results go."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def in_phase(probe: Probe, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` with each run of it in a phase of its own; its signature stays visible."""

    @wraps(call)
    def measured(*args: Any, **kwargs: Any) -> Any:
        with probe.phase(name):
            return call(*args, **kwargs)

    return measured
