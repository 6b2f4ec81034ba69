"""Rows of a hub data set or of local files, and exactly which rows they were."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from una_bench.errors import UserError
from una_bench.interfaces.settings import Settings
from una_bench.models import hub
from una_bench.problems.preference.file_rows import FORMATS, Row, file_rows
from una_bench.record.hashes import content_hash, file_sha256

SPLITS = {
    "train": "train|training",
    "validation": "validation|valid|val|dev",
    "test": "test|testing|eval|evaluation|heldout",
}
"""Splits, and the words in names of files and folders that stand for them (as the library datasets has it)."""


class Source(Settings):
    """Source of rows."""

    source: str
    """A file, a folder of files (parquet, jsonl, json, csv) or one saved by the library datasets, or a data set on the
    hub."""
    config: str = ""
    """Configuration of a hub data set."""
    split: str = "train"
    """Split of a hub data set, of a folder whose files are named by splits, or of a column ``split``."""
    revision: str = ""
    """Branch, tag or commit of a hub data set."""
    sha256: str = ""
    """Hash of local files, filled in where they are there; files that do not match it are refused."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        """Take a bare name, and note what the files hold now: the same settings must mean the same rows."""
        values = {"source": given} if isinstance(given, str) else dict(given) if isinstance(given, dict) else given
        if isinstance(values, dict) and isinstance(values.get("source"), str) and not values.get("sha256"):
            files = local_files(values["source"], str(values.get("split", "train")))
            values["sha256"] = files_hash(files) if files else ""
        return values

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.source


def split_of(name: str) -> str:
    """Return the split that a name stands for, in the names of `SPLITS`; empty where it says none."""
    for split, words in SPLITS.items():
        if re.search(rf"(?:^|[^a-z])(?:{words})(?:[^a-z]|$)", name.lower()):
            return split
    return ""


def local_files(source: str, split: str = "train") -> list[Path]:
    """Files behind a local source, sorted; none where it is no path on this machine.

    Of a folder whose files (or their folders) are named by splits, those of ``split``.

    Raises:
        UserError: There are splits, but not this one.
    """
    path = Path(source).expanduser()
    if not source or not path.exists():
        return []
    if path.is_file():
        return [path]
    saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    suffixes = {".arrow"} if saved else FORMATS
    names = {file: file.relative_to(path) for file in sorted(path.rglob("*")) if file.suffix in suffixes}
    names = {file: name for file, name in names.items() if not any(part.startswith(".") for part in name.parts)}
    splits = {
        file: split_of(str(name.with_suffix(""))) or (name.parts[0] if saved else "") for file, name in names.items()
    }
    if (path / "state.json").is_file() or not any(splits.values()):
        return list(names)
    wanted = split_of(split) or split
    chosen = [file for file, of in splits.items() if of == wanted]
    if not chosen:
        there = ", ".join(sorted({of for of in splits.values() if of}))
        raise UserError(f"{source} has no split '{split}'; it has {there}. Choose one of them (split: …).")
    return chosen


def files_hash(files: Sequence[Path]) -> str:
    """SHA-256 over the contents of files, whatever they are called, 16 hex digits."""
    return content_hash([file_sha256(file) for file in files])


def read(source: Source) -> tuple[list[Row], dict[str, Any]]:
    """Return all rows, and facts for the manifest: where they came from, how many, and a hash over them.

    Raises:
        UserError: The source cannot be had or read, has changed, or has no rows.
    """
    path = Path(source.source).expanduser()
    if path.exists() or path.suffix in FORMATS:
        rows, facts = _from_files(source)
    else:
        data = hub.open_dataset(source.source, config=source.config, split=source.split, revision=source.revision)
        rows = data.to_list()
        facts = {"source": source.source, "config": source.config, "split": source.split, "revision": source.revision}
    if not rows:
        raise UserError(f"{source.name} has no rows. Give data with at least one row.")
    return rows, {**facts, "rows": len(rows), "rows_sha256": content_hash(rows)}


def _from_files(source: Source) -> tuple[list[Row], dict[str, Any]]:
    files = local_files(source.source, source.split)
    if not files:
        raise UserError(
            f"There is no data at {source.source}: give a file or a folder with {', '.join(sorted(FORMATS))}, "
            "or the name of a data set on the hub."
        )
    found = files_hash(files)
    if source.sha256 and found != source.sha256:
        raise UserError(
            f"{source.source} has changed or is damaged: its hash is {found}, not {source.sha256}. "
            "Restore it, or remove sha256."
        )
    by_file = {file: file_rows(file) for file in files}
    _require_common_columns(by_file, source)
    rows = [row for rows_of_file in by_file.values() for row in rows_of_file]
    chosen = _of_split(rows, source)
    facts = {"source": ", ".join(file.name for file in files), "sha256": found}
    return chosen, facts | ({"rows_of_other_splits": len(rows) - len(chosen)} if len(chosen) < len(rows) else {})


def _require_common_columns(by_file: Mapping[Path, list[Row]], source: Source) -> None:
    """Refuse a file that describes data instead of holding it, or holds data of another layout."""
    columns = {file: {name for row in rows for name in row} for file, rows in by_file.items() if rows}
    for file in sorted(columns, key=lambda each: len(by_file[each])):
        of_file = columns[file]
        others = {column for other, names in columns.items() if other != file for column in names}
        if others and not of_file & others:
            raise UserError(
                f"{source.source}: {file.name} has other columns ({', '.join(sorted(of_file))}) than the other files "
                f"({', '.join(sorted(others))}). Move it elsewhere, or give one file."
            )


def _of_split(rows: list[Row], source: Source) -> list[Row]:
    """Return the rows of the wanted split, where a column ``split`` tells."""
    values = Counter(row.get("split") for row in rows)
    if not values or None in values or not all(isinstance(value, str) and split_of(value) for value in values):
        return rows
    wanted = split_of(source.split) or source.split
    chosen = [row for row in rows if split_of(row["split"]) == wanted]
    if not chosen:
        there = ", ".join(f"{name} ({count} rows)" for name, count in values.items())
        raise UserError(
            f"{source.name} has no split '{source.split}'; its column split has {there}. Choose one (split: …)."
        )
    return chosen
