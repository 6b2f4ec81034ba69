"""Cache of lm-eval's results by content of model, tasks, documents and versions."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces import source_code
from una_bench.record import storage
from una_bench.record.hashes import content_hash, file_sha256

if TYPE_CHECKING:
    from una_bench.interfaces.benchmark import Checkpoint

PARTS = ("*.safetensors", "*config.json", "tokenizer*", "chat_template*")
"""Files that determine a checkpoint's answers."""


def model_key(checkpoint: Checkpoint) -> str:
    """Return a content hash of a checkpoint's weights and tokenizer, including the initial policy under adapters."""
    adapted = (checkpoint.path / "adapter_config.json").is_file()
    folders = [checkpoint.path, *([checkpoint.prepared.policy] if adapted else [])]
    files = [file for folder in folders for pattern in PARTS for file in sorted(folder.glob(pattern))]
    return content_hash([[file.name, file_sha256(file)] for file in files])


def key(model: str, tasks: Mapping[str, Any], settings: Mapping[str, Any], device: str) -> str:
    """Return a content hash of all that determines lm-eval's results: a `model_key`, loaded tasks, settings, device."""
    import lm_eval
    import torch
    import transformers

    return content_hash(
        {
            "model": model,
            "tasks": {name: [task.dump_config(), _data(task)] for name, task in tasks.items()},
            "settings": dict(settings),
            "device": device,
            "code": source_code.of_packages("evaluation", "models"),
            "versions": [lm_eval.__version__, torch.__version__, transformers.__version__],
        }
    )


def _data(task: Any) -> list[str]:
    """Return fingerprints of a task's documents."""
    splits = task.dataset.items() if hasattr(task.dataset, "items") else []
    return sorted(f"{name}:{getattr(split, '_fingerprint', len(split))}" for name, split in splits)


def _path(name: str) -> Path:
    return storage.cache_folder() / "lm-eval" / f"{name}.json.gz"


def read(name: str) -> dict[str, Any] | None:
    """Return cached results, or None if there are none or they are corrupt."""
    try:
        value: dict[str, Any] = json.loads(gzip.decompress(_path(name).read_bytes()))
    except (OSError, ValueError, EOFError, zlib.error):
        return None
    return value


def write(name: str, results: Mapping[str, Any]) -> None:
    """Cache results, atomically; a write error (such as a full disk) is ignored."""
    path = _path(name)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(gzip.compress(json.dumps(results, ensure_ascii=False).encode(), mtime=0))
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
