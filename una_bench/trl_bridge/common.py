"""What every use of TRL here shares: quiet arguments that mean the same in every release."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def quiet_arguments() -> dict[str, Any]:
    """Training arguments that keep a trainer from writing, printing or recomputing anything by itself.

    TRL switches gradient checkpointing on by default, for memory; here it is off for every method alike.
    """
    from transformers import TrainingArguments

    # transformers 5.22 renamed the switch and warns about the old name.
    known = {f.name for f in fields(TrainingArguments)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {checkpointing: False, "save_strategy": "no", "report_to": "none", "disable_tqdm": True}


def silence(trainer: Any) -> None:
    """Keep a trainer from printing its logs to standard output, where results go."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
