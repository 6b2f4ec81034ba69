"""Rows of one file: parquet, JSON, JSON lines, CSV, or arrow of the library datasets."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from una_bench.errors import UserError

FORMATS = {".parquet", ".jsonl", ".json", ".csv"}
OTHER_FORMATS = {
    b"\x1f\x8b": "is compressed with gzip; decompress it",
    b"pk\x03\x04": "is a zip archive or an Excel workbook; unpack it, or save it as CSV in UTF-8",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
    b"version https://git-lfs": "is a pointer of Git LFS without the data; run `git lfs pull`",
    b"<!doctype html": "is a web page; download the file itself",
    b"<html": "is a web page; download the file itself",
    b"par1": "is parquet; name it .parquet",
}
"""First bytes (in lower case) of files that are often mistaken for data -> what they are, and what to do."""
NESTED = {"data", "rows", "examples", "instances", "train", "validation", "test"}
"""Names under which JSON files keep their rows."""
Row = dict[str, Any]


def file_rows(file: Path) -> list[Row]:
    """Return the rows of a file.

    Raises:
        UserError: It is of another format than its name says, or damaged.
    """
    import pyarrow

    try:
        return _parse(file)
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        begin = file.read_bytes()[:64].lower() if file.is_file() else b""
        for first_bytes, what in OTHER_FORMATS.items():
            if begin.startswith(first_bytes) and not (first_bytes == b"par1" and file.suffix == ".parquet"):
                raise UserError(f"{file} {what}.") from None
        raise UserError(
            f"{file} cannot be read as {file.suffix[1:] or 'data'}: {_reason(file, error)}. Fix the file, or give "
            "another."
        ) from None


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, RecursionError):  # of which Python says only how deep it went itself
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        content = file.read_bytes()  # a decoder of parts does not know the place in the file
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as first:
            line = content.count(b"\n", 0, first.start) + 1
            return f"line {line} is not UTF-8 text (byte 0x{content[first.start]:02x}); save the file as UTF-8"
    return str(error).strip().partition("\n")[0].rstrip(".")


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
        rows = _json_rows(file.read_text(encoding="utf-8-sig"))
    else:
        raise ValueError(f"it must be one of {', '.join(sorted(FORMATS))}")
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
            if len(header) == 1 and (other := next((mark for mark in ";\t" if mark in header[0]), "")):
                raise ValueError(f"its columns are separated by {other!r}; save it with commas")
            if twice := [name for name, count in Counter(header).items() if name and count > 1]:
                raise ValueError(f"the first line has the column {twice[0]!r} twice; rename or remove one")
            rows: list[Row] = []
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} columns, the first line {len(header)}")
                if cells:
                    rows.append({name: cell if cell else None for name, cell in zip(header, cells, strict=True)})
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None
    return rows


def _json_rows(content: str) -> Any:
    """Rows of a list, of JSON lines, or of the one object that a file with one line is."""
    if not content.strip():
        return []
    try:
        rows = json.loads(content, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _json_lines(content)
    if not isinstance(rows, dict):
        return rows
    values = list(rows.values())
    if any(name in NESTED and isinstance(value, list) for name, value in rows.items()):
        names = ", ".join(name for name in rows if name in NESTED)
        raise ValueError(f"its rows are inside an object, under {names}; write the list of rows alone")
    by_column = [v for v in values if isinstance(v, list) and v and not any(isinstance(cell, dict) for cell in v)]
    by_index = [v for v in values if isinstance(v, dict) and "0" in v]
    if len(rows) > 1 and len(values) in {len(by_column), len(by_index)}:
        raise ValueError("it is one object of columns; write a list of rows (in pandas: orient='records')")
    return [rows]


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """Return a JSON object; of two equal names Python would keep the last in silence."""
    values = dict(pairs)
    if len(values) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has {name!r} twice; rename or remove one")
    return values


def _json_lines(content: str) -> list[Any]:
    return [_json_line(line, number) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]


def _json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        rest = line[error.pos :].strip()
        what = "a comma after the object; JSON lines have none" if rest == "," else error.msg
        raise ValueError(
            f"line {number}, column {error.colno}: {what}" + (f" ({rest!r:.30})" if rest else "")
        ) from None
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
