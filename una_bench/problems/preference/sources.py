"""Rows of a hub data set or of local files, and exactly which rows they were."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from una_bench.errors import UserError
from una_bench.interfaces.settings import Settings
from una_bench.models import hub
from una_bench.record.hashes import content_hash, file_sha256

FORMATS = {".parquet", ".jsonl", ".json", ".csv"}
SPLITS = {
    "train": "train|training",
    "validation": "validation|valid|val|dev",
    "test": "test|testing|eval|evaluation|heldout",
}
"""Splits, and the words in names of files and folders that stand for them (as the library datasets has it)."""
Row = dict[str, Any]


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
    rows = [row for file in files for row in _file_rows(file)]
    chosen = _of_split(rows, source)
    facts = {"source": ", ".join(file.name for file in files), "sha256": found}
    return chosen, facts | ({"rows_of_other_splits": len(rows) - len(chosen)} if len(chosen) < len(rows) else {})


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


def _file_rows(file: Path) -> list[Row]:
    import pyarrow

    try:
        return _parse(file)
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        deep = isinstance(error, RecursionError)  # of which Python says only how deep it went itself
        said = "it is nested too deeply" if deep else str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"{file} cannot be read as {file.suffix[1:] or 'data'}: {said}. Fix the file, or give another."
        ) from None


def _parse(file: Path) -> list[Row]:
    if file.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[Row] = pyarrow.parquet.read_table(file).to_pylist()
    elif file.suffix == ".arrow":
        import pyarrow

        with pyarrow.memory_map(str(file)) as mapped:
            rows = pyarrow.ipc.open_stream(mapped).read_all().to_pylist()
    elif file.suffix == ".csv":
        rows = _csv_rows(file)
    elif file.suffix == ".jsonl":
        # Not splitlines: JSON strings may hold line separators that are no newlines.
        rows = _json_lines(file.read_text(encoding="utf-8-sig"))
    elif file.suffix == ".json":
        content = file.read_text(encoding="utf-8-sig")
        try:
            rows = json.loads(content)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            rows = _json_lines(content)
        if isinstance(rows, dict):  # a file with one line is one object
            rows = [rows]
    else:
        raise ValueError(f"one of {', '.join(sorted(FORMATS))} is needed")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("every row must be an object")
    return rows


def _csv_rows(file: Path) -> list[Row]:
    """Rows of text; an empty cell is missing, as null is in JSON."""
    csv.field_size_limit(2**31 - 1)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = next(reader, [])
            rows: list[Row] = []
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} columns, the first line {len(header)}")
                if cells:
                    rows.append({name: cell if cell else None for name, cell in zip(header, cells, strict=True)})
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None
    return rows


def _json_lines(content: str) -> list[Any]:
    return [_json_line(line, number) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]


def _json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None
