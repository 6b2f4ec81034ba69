"""Preference data of any layout: which one a file has, and its rows as judged responses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.columns import ALIASES, Row, Table, resolve
from una_bench.problems.preference.judged_response import Judged, ScaleError, ScoreError, Scoring, missing, number
from una_bench.problems.preference.layouts import layouts

NOTEWORTHY = re.compile(
    r"scor|rating|reward|rank|label|prefer|grade|quality|vote|system|input|context|history|tool|document|question|instr"
    r"|prompt|conversation|messages|^(respon|answer|complet|output|reason|think)(?!.*token)",
    re.I,
)
"""Columns that look like a judgment, or like part of the prompt or response: named where they are not used."""
PICTURES = ("images", "image", "videos", "video", "audios", "audio")
"""Columns of what cannot be trained on."""


def detect(columns: Sequence[str], names: Mapping[str, str], scoring: Scoring, where: str) -> str:
    """Return the name of the layout that a file has.

    Raises:
        UserError: It is none that is known.
    """
    known = layouts(scoring)
    for name, layout in known.items():
        if set(layout.needs) <= names.keys() and set(layout.extra) <= set(columns):
            return name
    choices = "; ".join(", ".join((*layout.needs, *layout.extra)) for layout in known.values())
    renamed = {name: plain for name in columns if (plain := name.strip().lower()) != name and plain not in columns}
    alike = {name: plain for name, plain in renamed.items() if any(plain in aliases for aliases in ALIASES.values())}
    lacking = [name for name in scoring.weights if name not in columns]
    remedy = "Name columns that are called otherwise: problem.columns={prompt: question, …}."
    if alike:
        remedy = f"Rename {', '.join(f'{name!r} to {plain!r}' for name, plain in alike.items())}."
    elif 0 < len(lacking) < len(scoring.weights):
        remedy = f"It lacks {', '.join(lacking)}; to do without, set problem.score_weights to weights of the others."
    raise UserError(f"{where} has the columns {', '.join(columns)}. It needs one of these sets: {choices}. {remedy}")


def judged(
    rows: Sequence[Row],
    scoring: Scoring,
    where: str,
    *,
    columns: Mapping[str, str] | None = None,
    scores: bool = True,
) -> tuple[list[Judged], dict[str, Any]]:
    """Bring rows into judged responses; rows without a judgment are left out and counted.

    Returns:
        The responses in the order of the rows, and facts for the manifest: ``layout``, ``columns`` (what each is read
        as), ``columns_not_used`` (that look as if they mattered), ``rows_without_judgment``.

    Raises:
        UserError: The layout is not known, a row cannot be read as it says, or a score is outside its scale.
    """
    present = list(dict.fromkeys(name for row in rows for name in row))
    names = resolve(present, columns or {}, where)
    name = detect(present, names, scoring, where)
    layout = layouts(scoring)[name]
    used = {what: names[what] for what in (*layout.needs, *layout.uses) if what in names}
    for one, other in (("score_chosen", "score_rejected"), ("score_rejected", "score_chosen"), ("ranks", "scores")):
        if one in used and (other in used) == (one == "ranks"):
            del used[one]  # a score of one side alone says nothing, nor do ranks beside scores
    table = Table(names=used, scoring=scoring, scores=scores)
    counts: Counter[str] = Counter()
    responses: list[Judged] = []
    for place, row in enumerate(rows):
        try:
            _require_text(row)
            from_row = list(layout.read(row, table))
        except ScaleError as error:
            raise UserError(_scale(error, rows, where, place)) from None
        except (AttributeError, KeyError, TypeError):
            raise UserError(f"{where}, row {place + 1} is not as the layout '{name}' has it: {row!r:.200}") from None
        except UserError as error:
            raise UserError(f"{where}, row {place + 1}: {error}") from None
        except ScoreError:
            counts["rows_without_judgment"] += 1
            continue
        paired = name in {"pairs", "shp"}
        counts["answers_without_judgment"] += from_row.count(None)
        responses += [replace(one, row=place, together=place if paired else None) for one in from_row if one]
    unused = [c for c in present if c not in {*used.values(), *layout.extra} and NOTEWORTHY.search(c)]
    counted = {reason: count for reason, count in counts.items() if count}
    return responses, {"layout": name, "columns": used, "columns_not_used": unused, **counted}


def _require_text(row: Row) -> None:
    for column in PICTURES:
        if row.get(column) and not missing(row[column]):
            raise UserError(
                f"column {column} holds {row[column]!r:.40}; only text can be trained on. Drop the row, or the column "
                "where the text makes sense without it."
            )


def _scale(error: ScaleError, rows: Sequence[Row], where: str, place: int) -> str:
    """Say which scores the file has, and how to give their scale."""
    column = error.column
    values = [v for row in rows for v in _values(row, column.split("."))]
    seen = f"{where}: {column} goes from {min(values):g} to {max(values):g}"
    remedy = "Give the scale: problem.score_range=[LOW,HIGH], the values that mean worst and best"
    if error.scale is None:
        return f"{seen}, and its scale is not known. {remedy}; or leave scores aside: problem.scores=ignore."
    low, high = error.scale
    return f"{seen} (row {place + 1}: {error.value:g}), but the scale is taken to be {low:g} to {high:g}. {remedy}."


def _values(cell: Any, path: Sequence[str]) -> Iterator[float]:
    """Yield the numbers at a path of keys through a row."""
    if isinstance(cell, list | tuple):
        for one in cell:
            yield from _values(one, path)
    elif path:
        if isinstance(cell, Mapping):
            yield from _values(cell.get(path[0]), path[1:])
    else:
        try:
            yield number(cell, "")
        except (ScoreError, UserError):
            return
