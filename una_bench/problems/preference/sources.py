"""Reads rows from a hub data set or from local files, and says exactly which rows they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from una_bench.errors import UserError
from una_bench.models import hub
from una_bench.record.hashes import content_hash, file_sha256

FORMATS = {".parquet", ".jsonl", ".json", ".csv"}
Row = dict[str, Any]


class Source(BaseModel):
    """Where rows come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """A file, a folder of files (parquet, jsonl, json, csv), or a data set on the hub."""
    config: str = ""
    """Configuration of a hub data set."""
    split: str = "train"
    """Split of a hub data set; files have none."""
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
            files = local_files(values["source"])
            values["sha256"] = files_hash(files) if files else ""
        return values

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.source


def local_files(source: str) -> list[Path]:
    """Files behind a local source, sorted; none where it is no path on this machine."""
    path = Path(source)
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.suffix in FORMATS) if source and path.is_dir() else []


def files_hash(files: Sequence[Path]) -> str:
    """Return the SHA-256 over the contents of files, whatever they are called, 16 hex digits."""
    return content_hash([file_sha256(file) for file in files])


def read(source: Source) -> tuple[list[Row], dict[str, Any]]:
    """Return all rows, and facts for the manifest: where they came from, how many, and a hash over them.

    Raises:
        UserError: The source cannot be had or read, has changed, or has no rows.
    """
    if Path(source.source).exists() or Path(source.source).suffix in FORMATS:
        rows, facts = _from_files(source)
    else:
        data = hub.open_dataset(source.source, config=source.config, split=source.split, revision=source.revision)
        rows = data.to_list()
        facts = {"source": source.source, "config": source.config, "split": source.split, "revision": source.revision}
    if not rows:
        raise UserError(f"{source.name} has no rows. Give data with at least one.")
    return rows, {**facts, "rows": len(rows), "rows_sha256": content_hash(rows)}


def _from_files(source: Source) -> tuple[list[Row], dict[str, Any]]:
    files = local_files(source.source)
    if not files:
        raise UserError(
            f"There is no data at {source.source}: give a file or a folder with {', '.join(sorted(FORMATS))}, "
            "or the name of a data set on the hub."
        )
    found = files_hash(files)
    if source.sha256 and found != source.sha256:
        raise UserError(
            f"{source.source} is not the data that was asked for: its hash is {found}, not {source.sha256}. "
            "It has changed or is damaged; restore it, or leave out sha256."
        )
    rows = [row for file in files for row in _file_rows(file)]
    return rows, {"source": ", ".join(file.name for file in files), "sha256": found}


def _file_rows(file: Path) -> list[Row]:
    import pyarrow

    try:
        return _parse(file)
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        deep = isinstance(error, RecursionError)  # of which Python says only how deep it went itself
        said = "it is nested too deeply" if deep else str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"{file} cannot be read as {file.suffix[1:] or 'data'}: {said}. Mend the file, or give another."
        ) from None


def _parse(file: Path) -> list[Row]:
    if file.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[Row] = pyarrow.parquet.read_table(file).to_pylist()
    elif file.suffix == ".csv":
        import pyarrow.csv

        rows = pyarrow.csv.read_csv(file).to_pylist()
    elif file.suffix == ".jsonl":
        # Not splitlines: JSON strings may hold line separators that are no newlines.
        lines = file.read_text(encoding="utf-8").split("\n")
        rows = [_json_line(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
    elif file.suffix == ".json":
        rows = json.loads(file.read_text(encoding="utf-8"))
    else:
        raise ValueError(f"one of {', '.join(sorted(FORMATS))} is needed")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("one object a row is needed")
    return rows


def _json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None
