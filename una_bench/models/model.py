"""A model whose files are on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model on this machine."""

    name: str
    """As the user wrote it."""
    folder: Path
    """Safetensors, configuration and tokenizer."""
    source: str
    """Origin, without paths of this machine."""
    revision: str = ""
    """Commit of a hub repository."""
    trusted: bool = False
    """Whether the user allows the model's own code to run."""
    notes: tuple[str, ...] = ()
    """What a user has to know of its files, a line each."""

    @property
    def config(self) -> dict[str, Any]:
        """Its ``config.json``."""
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config
