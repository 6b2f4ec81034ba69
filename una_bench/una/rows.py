"""Validation of a dataset row: its kind of feedback and its values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from una_bench.errors import UserError
from una_bench.una.examples import Kind

TEXTS = ("prompt", "chosen", "rejected", "completion")
TARGETS = ("label", "score")
CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A validated row; texts are as in the dataset: str, messages or token ids."""

    number: int
    kind: Kind
    prompt: Any
    completions: tuple[Any, ...]
    """The chosen and the rejected one, or the only one."""
    names: tuple[str, ...]
    """Their columns."""
    target: float
    """Label (0, 1), score mapped to [0, 1], or raw reward; nan for a pair."""
    log_partition: float


def chunks(dataset: Any) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the rows of a `datasets.Dataset` or of a sequence of mappings, a thousand at a time."""
    if not hasattr(dataset, "__len__"):
        raise UserError(
            "The dataset has no length: streaming datasets are not supported. Pass a datasets.Dataset or a list."
        )
    if len(dataset) == 0:
        raise UserError("The dataset has no rows.")
    for start in range(0, len(dataset), CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, len(dataset))
        if hasattr(dataset, "column_names"):
            columns = dataset[start:stop]
            yield [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        else:
            yield [dataset[i] for i in range(start, stop)]


def _present(row: Mapping[str, Any], name: str) -> Any:
    """Return token ids where the row has them, else the text; None where it has neither."""
    ids = row.get(f"{name}_ids")
    return row.get(name) if ids is None else ids


def _kind(row: Mapping[str, Any], number: int) -> Kind:
    present = {name for name in TEXTS if _present(row, name) is not None}
    present |= {name for name in TARGETS if row.get(name) is not None}
    if "prompt" not in present:
        raise UserError(f"Row {number} has nothing in column 'prompt' (or 'prompt_ids').")
    pair, single = present & {"chosen", "rejected"}, present & {"completion", *TARGETS}
    if pair and single:
        first, second = min(pair), min(single)
        raise UserError(
            f"Row {number} has both '{first}' and '{second}': a row is one kind of feedback. Leave one of them empty."
        )
    if pair:
        for name in ("chosen", "rejected"):
            if name not in pair:
                raise UserError(f"Row {number} has nothing in column '{name}', which a pair needs.")
        return Kind.PAIRWISE
    if "completion" not in present:
        raise UserError(
            f"Row {number} has nothing in column 'completion' (nor in 'chosen' and 'rejected'): there is no response."
        )
    if single >= {"label", "score"}:
        raise UserError(f"Row {number} has both 'label' and 'score': a row is one kind of feedback. Drop one column.")
    if not single & set(TARGETS):
        raise UserError(f"Row {number} has nothing in column 'label' or 'score', one of which a completion needs.")
    return Kind.BINARY if "label" in single else Kind.SCORE


def _target(row: Mapping[str, Any], number: int, kind: Kind, args: Any) -> float:
    if kind is Kind.PAIRWISE:
        return math.nan
    if kind is Kind.BINARY:
        label = row["label"]
        if not isinstance(label, bool | np.bool_):
            raise UserError(f"Row {number}, column 'label': {label!r} is not a boolean. Give True or False.")
        if args.space == "reward":
            raise UserError(f"Row {number}, column 'label': space='reward' needs scores. Use space='score' for labels.")
        if args.offset == "prompt_mean":
            raise UserError(
                f"Row {number}, column 'label': offset='prompt_mean' needs scores, since a label has no logit."
                " Use offset='learned' or 'ema'."
            )
        return float(label)
    return _score(row["score"], number, args)


def _score(raw: Any, number: int, args: Any) -> float:
    if isinstance(raw, bool | np.bool_) or not isinstance(raw, int | float | np.integer | np.floating):
        raise UserError(f"Row {number}, column 'score': {raw!r} is not a number.")
    score = float(raw)
    if not math.isfinite(score):
        raise UserError(f"Row {number}, column 'score': {score} is not a finite number.")
    if args.space == "reward":
        return score
    low, high = args.score_range
    if not low <= score <= high:
        raise UserError(
            f"Row {number}, column 'score': {score} is outside score_range=[{low}, {high}]. Set score_range to the"
            " lowest and highest possible score."
        )
    return float((score - low) / (high - low))


def check(row: Mapping[str, Any], number: int, args: Any) -> Row:
    """Return row ``number``, validated under a `UNAConfig`; a wrong value is a UserError that names row and column."""
    kind = _kind(row, number)
    names = ("chosen", "rejected") if kind is Kind.PAIRWISE else ("completion",)
    for name in ("prompt", *names):
        value = _present(row, name)
        if not isinstance(value, str | list | tuple | np.ndarray):
            raise UserError(f"Row {number}, column '{name}': {value!r} is neither text, nor messages, nor token ids.")
        if len(value) == 0 or (isinstance(value, str) and name != "prompt" and not value.strip()):
            raise UserError(f"Row {number}, column '{name}' is empty.")
    log_partition = row.get("log_partition")
    return Row(
        number=number,
        kind=kind,
        prompt=_present(row, "prompt"),
        completions=tuple(_present(row, name) for name in names),
        names=names,
        target=_target(row, number, kind, args),
        log_partition=math.nan if log_partition is None else float(log_partition),
    )
