"""Supported layouts of preference data and their conversion to judged responses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.judged_response import (
    Judged,
    Messages,
    ScoreError,
    Scoring,
    answer,
    conversation,
    number,
)

Row = Mapping[str, Any]
Reader = Callable[[int, Row, Scoring], Iterator[Judged]]
ULTRAFEEDBACK = (1.0, 10.0)
"""Range of UltraFeedback's overall scores."""
UNIT = (0.0, 1.0)
PAIR_SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
)
"""Column names of the two scores in data sets of pairs."""
TURN = re.compile(r"<extra_id_1>(User|Assistant)\n")
"""Marker of a turn within HelpSteer2's multi-turn prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A supported layout."""

    about: str
    needs: tuple[str, ...]
    """Required columns."""
    read: Reader


def _helpsteer(place: int, row: Row, scoring: Scoring) -> Iterator[Judged]:
    raw, score = scoring.weighted(row)
    text = str(row["prompt"] or "")
    messages = turns(text) if scoring.turns == "split" else conversation(text, "prompt")
    yield Judged(messages=messages, response=answer(row["response"], "response"), raw=raw, score=score)


def turns(prompt: str) -> Messages:
    """Split a HelpSteer2 prompt into its turns; the first is the user's."""
    first, *rest = TURN.split(prompt)
    later = [(role.lower(), text.strip("\n")) for role, text in zip(rest[::2], rest[1::2], strict=True)]
    messages = (("user", first.strip("\n") if later else first), *later)
    return tuple((role, text) for role, text in messages if text.strip())


def _ultrafeedback(place: int, row: Row, scoring: Scoring) -> Iterator[Judged]:
    messages = conversation(row["instruction"], "instruction")
    for completion in row["completions"] or ():
        try:
            raw, score = scoring.scaled(completion.get("overall_score"), ULTRAFEEDBACK)
        except ScoreError:
            continue  # the other completions of the row remain
        yield Judged(messages=messages, response=answer(completion["response"], "completions"), raw=raw, score=score)


def _pair(place: int, row: Row, scoring: Scoring) -> Iterator[Judged]:
    names = next((n for n in PAIR_SCORES if n[0] in row and n[1] in row), None)
    messages = _pair_prompt(row)
    for side, column in ((True, "chosen"), (False, "rejected")):
        if names is None:
            raw = score = float(side)
        else:
            raw, score = scoring.scaled(row[names[0] if side else names[1]], ULTRAFEEDBACK)
        response = answer(row[column], column)
        yield Judged(messages=messages, response=response, raw=raw, score=score, side=side, together=place)


def _pair_prompt(row: Row) -> Messages:
    if row.get("prompt") is not None:
        return conversation(row["prompt"], "prompt")
    if isinstance(row["chosen"], str):
        raise UserError("chosen and rejected are text, so a column prompt is needed.")
    return conversation(row["chosen"], "chosen")[:-1]


def _labeled(place: int, row: Row, scoring: Scoring) -> Iterator[Judged]:
    label = number(row["label"])
    if label not in UNIT:
        raise ScoreError
    yield Judged(
        messages=conversation(row["prompt"], "prompt"),
        response=answer(row["completion"], "completion"),
        raw=label,
        score=label,
        side=bool(label),
    )


def _scored(place: int, row: Row, scoring: Scoring) -> Iterator[Judged]:
    column = "response" if "response" in row else "completion"
    raw, score = scoring.scaled(row["score"], UNIT)
    if row.get("score_raw") is not None:
        raw = number(row["score_raw"])
    yield Judged(
        messages=conversation(row["prompt"], "prompt"), response=answer(row[column], column), raw=raw, score=score
    )


def layouts(scoring: Scoring) -> dict[str, Format]:
    """Return the layouts by name, the most specific first."""
    attributes = tuple(scoring.weights)
    return {
        "helpsteer": Format(about="attributes", needs=("prompt", "response", *attributes), read=_helpsteer),
        "ultrafeedback": Format(
            about="several scored answers", needs=("instruction", "completions"), read=_ultrafeedback
        ),
        "pairs": Format(about="pairs, scored or not", needs=("chosen", "rejected"), read=_pair),
        "labeled": Format(about="desirable or not", needs=("prompt", "completion", "label"), read=_labeled),
        "scored": Format(about="scored responses", needs=("prompt", "response", "score"), read=_scored),
        "scored_completions": Format(about="scored responses", needs=("prompt", "completion", "score"), read=_scored),
    }


def detect(columns: Sequence[str], scoring: Scoring, where: str) -> str:
    """Return the name of the layout of ``columns``.

    Raises:
        UserError: They match no layout.
    """
    formats = layouts(scoring)
    for name, format_ in formats.items():
        if set(format_.needs) <= set(columns):
            return name
    choices = "; ".join(f"{', '.join(f.needs)}" for f in formats.values())
    raise UserError(f"{where} has the columns {', '.join(columns)}. It needs one of these sets: {choices}.")


def judged(rows: Sequence[Row], scoring: Scoring, where: str) -> tuple[list[Judged], dict[str, Any]]:
    """Convert rows to judged responses; rows without a valid judgment are dropped and counted.

    Returns:
        The responses in the order of the rows, and facts for the manifest: ``format``, ``rows_without_valid_score``.
    """
    columns = list(dict.fromkeys(name for row in rows[:100] for name in row))
    name = detect(columns, scoring, where)
    format_ = layouts(scoring)[name]
    counts: Counter[str] = Counter()
    responses: list[Judged] = []
    for place, row in enumerate(rows):
        missing = [column for column in format_.needs if column not in row]
        if missing:
            raise UserError(
                f"{where}: row {place} lacks {', '.join(missing)}, which other rows have. Add it, or remove the row."
            )
        try:
            responses.extend(list(format_.read(place, row, scoring)))
        except UserError as error:
            raise UserError(f"{where}, row {place}: {error}") from None
        except ScoreError:
            counts["rows_without_valid_score"] += 1
    return responses, {"format": name, **counts}
