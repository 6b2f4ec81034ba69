"""TRL as it is installed, read from its files: importing it would import torch."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


@cache
def _folder() -> Path:
    spec = find_spec("trl")
    return Path((spec.submodule_search_locations or [""])[0]) if spec else Path("trl is not installed")


def has(trainer: str) -> bool:
    """Return whether the installed TRL has a trainer, as ``trl.experimental.orpo.ORPOTrainer``; every one has none."""
    if not trainer:
        return True
    package = _folder().joinpath(*trainer.split(".")[1:-1])
    return package.is_dir() or package.with_suffix(".py").is_file()


def missing(trainer: str, last: str) -> tuple[str, str] | None:
    """Return why a trainer cannot be used and what to do; None if the installed TRL has it.

    ``last`` is the last release that has it, as ``1.12``; empty: any later one.
    """
    if has(trainer):
        return None
    name, installed = trainer.rpartition(".")[2], f"TRL {version('trl')} is installed"
    if not last:
        return f"needs {name}, and {installed}", "Install a newer one: pip install --upgrade trl"
    return (
        f"needs TRL {last}, the last release with {name}; {installed}",
        f"Run it in an environment of its own: pip install 'trl=={last}.*'",
    )


def losses(module: str) -> tuple[str, ...]:
    """Return the values of ``loss_type`` that a module of TRL compares with, as ``trl.trainer.dpo_trainer``."""
    file = _folder().joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not file.is_file():
        return ()
    compared = re.findall(r'loss_type (?:==|in) (\[[^\]]*\]|"\w+")', file.read_text(encoding="utf-8"))
    return tuple(dict.fromkeys(word for words in compared for word in re.findall(r'"(\w+)"', words)))
