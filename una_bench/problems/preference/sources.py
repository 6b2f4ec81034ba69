"""Rows of a hub data set or of local files, with hashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from una_bench.errors import UserError
from una_bench.interfaces.settings import Settings
from una_bench.models import hub
from una_bench.record.hashes import content_hash, file_sha256

FORMATS = {".parquet", ".jsonl", ".json", ".csv"}
Row = dict[str, Any]


class Source(Settings):
    """Source of rows."""

    source: str
    """A file, a folder of files (parquet, jsonl, json, csv), or a data set on the hub."""
    config: str = ""
    """Configuration of a hub data set."""
    split: str = "train"
    """Split of a hub data set; ignored for files."""
    revision: str = ""
    """Branch, tag or commit of a hub data set."""
    sha256: str = ""
    """Hash of local files, filled in if they exist; files that do not match it are refused."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        """Accept a bare name, and fill in the hash of files: equal settings must mean equal rows."""
        values = {"source": given} if isinstance(given, str) else dict(given) if isinstance(given, dict) else given
        if isinstance(values, dict) and isinstance(values.get("source"), str) and not values.get("sha256"):
            files = local_files(values["source"])
            values["sha256"] = files_hash(files) if files else ""
        return values

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.source


def local_files(source: str) -> list[Path]:
    """Return the sorted files of a local source, empty if there is no such path."""
    path = Path(source)
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.suffix in FORMATS) if source and path.is_dir() else []


def files_hash(files: Sequence[Path]) -> str:
    """Return the SHA-256 over the contents of files, whatever they are called, 16 hex digits."""
    return content_hash([file_sha256(file) for file in files])


def read(source: Source) -> tuple[list[Row], dict[str, Any]]:
    """Return all rows, and facts for the manifest: source, number of rows, hash.

    Raises:
        UserError: The source is missing, unreadable or changed, or has no rows.
    """
    if Path(source.source).exists() or Path(source.source).suffix in FORMATS:
        rows, facts = _from_files(source)
    else:
        data = hub.open_dataset(source.source, config=source.config, split=source.split, revision=source.revision)
        rows = data.to_list()
        facts = {"source": source.source, "config": source.config, "split": source.split, "revision": source.revision}
    if not rows:
        raise UserError(f"{source.name} has no rows. Give data with at least one row.")
    return rows, {**facts, "rows": len(rows), "rows_sha256": content_hash(rows)}


def _from_files(source: Source) -> tuple[list[Row], dict[str, Any]]:
    files = local_files(source.source)
    if not files:
        raise UserError(
            f"There is no data at {source.source}. Give a file or a folder with {', '.join(sorted(FORMATS))}, "
            "or the name of a data set on the hub."
        )
    digest = files_hash(files)
    if source.sha256 and digest != source.sha256:
        raise UserError(
            f"{source.source} has changed or is damaged: its hash is {digest}, not {source.sha256}. "
            "Restore it, or leave out sha256."
        )
    rows = [row for file in files for row in _file_rows(file)]
    return rows, {"source": ", ".join(file.name for file in files), "sha256": digest}


def _file_rows(file: Path) -> list[Row]:
    import pyarrow

    try:
        return _parse(file)
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"{file} cannot be read as {file.suffix[1:] or 'data'}: {reason}. Fix the file, or give another."
        ) from None


def _parse(file: Path) -> list[Row]:
    if file.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[Row] = pyarrow.parquet.read_table(file).to_pylist()
    elif file.suffix == ".csv":
        import pyarrow.csv

        rows = pyarrow.csv.read_csv(file).to_pylist()
    elif file.suffix == ".jsonl":
        # Not splitlines: JSON strings may contain other line separators.
        lines = file.read_text(encoding="utf-8").split("\n")
        rows = [_json_line(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
    elif file.suffix == ".json":
        rows = json.loads(file.read_text(encoding="utf-8"))
    else:
        raise ValueError(f"the suffix must be one of {', '.join(sorted(FORMATS))}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("every row must be an object")
    return rows


def _json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None
