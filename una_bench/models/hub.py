"""Downloads of models and datasets from the Hugging Face hub, with errors as one message to the user."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.models import offline

PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
"""Files of a model to download: no pickles, and code only if the user trusts it."""
_NOT_A_NAME = "It is neither a folder nor a file on this machine, nor a name on the hub"


def snapshot(name: str, revision: str, *, code: bool) -> tuple[Path, str]:
    """Return the local folder of a hub model, downloaded if allowed, and its commit; a UserError if unavailable."""
    from huggingface_hub import errors, snapshot_download

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"There is no model '{name}'. {_NOT_A_NAME} (owner/name).")
    try:
        patterns, local = PATTERNS + (["*.py"] if code else []), offline.is_on()
        path = snapshot_download(name, revision=revision or None, allow_patterns=patterns, local_files_only=local)
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise UserError(
            f"The model {name} is not on this machine{_at(revision)}, and "
            + ("connections are off. " if offline.is_on() else "the hub could not be reached. ")
            + f"Download it on a machine with network access: {model_command(name, revision)}"
        ) from None
    except errors.GatedRepoError:
        raise UserError(
            f"The model {name} is gated. Accept its terms at huggingface.co/{name}, then run `hf auth login`."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise UserError(f"There is no model '{name}'. {_NOT_A_NAME}, or it is private (`hf auth login`).") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"The model {name} has no revision '{revision}'.") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise UserError(f"The model {name} could not be downloaded: {_line(error)}") from None
    return Path(path), Path(path).name


def cached_config(name: str, revision: str = "", file_name: str = "config.json") -> Path | None:
    """Return the configuration of a hub model in the local cache, without using the network."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(name, file_name, revision=revision or None)
    return Path(file) if isinstance(file, str) else None


def model_command(name: str, revision: str = "") -> str:
    """Return the command that downloads a model."""
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")


def dataset_command(name: str, config: str = "", revision: str = "") -> str:
    """Return the command that fills the dataset's cache in the form that loads offline."""
    arguments = [repr(name), *([repr(config)] if config else []), *([f"revision={revision!r}"] if revision else [])]
    return f'python -c "import datasets; datasets.load_dataset({", ".join(arguments)})"'


def open_dataset(name: str, *, config: str, split: str, revision: str) -> Any:
    """Return one split of a hub dataset as a `datasets.Dataset`; a UserError if it is unavailable."""
    import datasets
    from huggingface_hub import errors

    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"There is no dataset '{name}'. It is neither a file nor a folder on this machine, nor a name on the hub."
        )
    try:
        return datasets.load_dataset(name, config or None, split=split, revision=revision or None)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, errors.OfflineModeIsEnabled) as error:
        if offline.is_on():
            raise UserError(
                f"The dataset {name} is not on this machine, and connections are off. Download it on a machine with "
                f"network access: {dataset_command(name, config, revision)}"
            ) from None
        raise UserError(f"The dataset {name} could not be downloaded: {_line(error)}") from None
    except RuntimeError as error:  # datasets refuses to run scripts
        if "scripts" not in str(error):
            raise
        raise UserError(
            f"The dataset {name} is loaded by its own code, which is not run. Use a copy of its rows as files."
        ) from None
    except (ValueError, FileNotFoundError) as error:  # an unknown split or configuration
        raise UserError(f"The dataset {name} cannot be opened{_at(revision)}: {_line(error)}") from None


def _at(revision: str) -> str:
    return f" at revision {revision}" if revision else ""


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def cached_datasets(name: str) -> list[Path]:
    """Return the cache folders that hold a dataset in the form that loads offline."""
    owner, _, short = name.rpartition("/")
    words = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", short)).lower()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets").expanduser()
    folder = cache / (f"{owner}___{words}" if owner else words)
    return [folder] if any(folder.rglob("*.arrow")) else []
