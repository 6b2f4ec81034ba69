"""The Hugging Face hub: fetches models and opens data sets, and turns what goes wrong into one message."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.models import offline

WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
"""What is fetched of a model: no pickles, no code."""
CODE = ["*.py"]
"""Fetched as well where the user trusts the model's own code."""
_NOT_A_NAME = "That is neither a folder nor a file here, nor a name on the hub"


def snapshot(name: str, revision: str, *, code: bool) -> tuple[Path, str]:
    """Return the folder of a hub model on this machine, fetched first where that is allowed, and its commit.

    Raises:
        UserError: It cannot be had.
    """
    from huggingface_hub import errors, snapshot_download

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"There is no model '{name}'. {_NOT_A_NAME} (those are written owner/name).")
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=WANTED + (CODE if code else []),
                local_files_only=offline.is_on(),
            )
        )
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise UserError(
            f"The model {name} is not on this machine{_at(revision)}, and "
            + ("connections are off. " if offline.is_on() else "the hub could not be reached. ")
            + f"Where there is a network: {model_command(name, revision)}"
        ) from None
    except errors.GatedRepoError:
        raise UserError(
            f"The model {name} is gated: accept its terms at huggingface.co/{name}, then `hf auth login`."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise UserError(f"There is no model '{name}'. {_NOT_A_NAME}, or it is private (`hf auth login`).") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"The model {name} has no revision '{revision}'.") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise UserError(f"The model {name} could not be fetched: {_line(error)}") from None
    return folder, folder.name


def is_here(name: str, revision: str = "") -> bool:
    """Whether a hub model is in the hub's cache on this machine; never uses the network."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision or None), str)


def model_command(name: str, revision: str = "") -> str:
    """Return the command that fetches a model."""
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")


def dataset_command(name: str, config: str = "", revision: str = "") -> str:
    """Return the command that fills the data set's cache, in the form that loads offline."""
    arguments = [repr(name), *([repr(config)] if config else []), *([f"revision={revision!r}"] if revision else [])]
    return f'python -c "import datasets; datasets.load_dataset({", ".join(arguments)})"'


def open_dataset(name: str, *, config: str, split: str, revision: str) -> Any:
    """Return one split of a hub data set as a `datasets.Dataset`.

    Raises:
        UserError: It cannot be had.
    """
    import datasets
    from huggingface_hub import errors

    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise UserError(f"There is no data set '{name}': no such file or folder here, and no name on the hub.")
    try:
        return datasets.load_dataset(name, config or None, split=split, revision=revision or None)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, errors.OfflineModeIsEnabled) as error:
        if offline.is_on():
            raise UserError(
                f"The data set {name} is not on this machine, and connections are off. Where there is a network: "
                f"{dataset_command(name, config, revision)}"
            ) from None
        raise UserError(f"The data set {name} could not be had: {_line(error)}") from None
    except RuntimeError as error:  # the library runs none, and says so
        if "scripts" not in str(error):
            raise
        raise UserError(
            f"The data set {name} comes with code of its own, which is not run. Use a copy of its rows as files."
        ) from None
    except (ValueError, FileNotFoundError) as error:  # an unknown split or configuration
        raise UserError(f"The data set {name} cannot be opened{_at(revision)}: {_line(error)}") from None


def _at(revision: str) -> str:
    return f" at revision {revision}" if revision else ""


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def cached_datasets(name: str) -> list[Path]:
    """Folders of the cache that hold a data set in the form that loads offline."""
    owner, _, short = name.rpartition("/")
    words = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", short)).lower()
    folder = _datasets_cache() / (f"{owner}___{words}" if owner else words)
    return [folder] if any(folder.rglob("*.arrow")) else []


def _datasets_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the library datasets keeps what it has loaded."""
    home = environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(environment.get("HF_DATASETS_CACHE") or Path(home) / "datasets").expanduser()
