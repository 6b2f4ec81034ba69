"""Conversion of a dataset, possibly with several kinds of feedback, to `Examples`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from una_bench.errors import UserError
from una_bench.una.examples import Examples, Kind, pack
from una_bench.una.offsets import SCORE_EPSILON
from una_bench.una.rows import Row, check, chunks
from una_bench.una.tokens import pad_token, tokenize

logger = logging.getLogger(__name__)
GROUP = 2
"""Responses per group for ``offset="prompt_mean"``."""


def build_examples(dataset: Any, tokenizer: Any, args: Any) -> Examples:
    """Validate and tokenize every row, before training starts, under the settings ``args`` (a `UNAConfig`).

    The dataset is a `datasets.Dataset` or a sequence of mappings; docs/una.md lists the columns. Rows of messages need
    a tokenizer with a chat template. An invalid row is a UserError that names it and the column.
    """
    pad = pad_token(tokenizer)
    rows: list[Row] = []
    prompts: list[Sequence[int]] = []
    completions: list[Sequence[int]] = []
    first: list[int] = []
    for chunk in chunks(dataset):
        for raw in chunk:
            row = check(raw, len(rows), args)
            prompt, answers = tokenize(row, tokenizer, args)
            first.append(len(prompts))
            prompts.extend([prompt] * len(answers))
            completions.extend(answers)
            rows.append(row)
    numbers: dict[tuple[int, ...], int] = {}  # of distinct prompts, in order of appearance
    prompt_numbers = np.asarray([numbers.setdefault(tuple(prompts[i]), len(numbers)) for i in first], dtype=np.int64)
    examples = Examples(
        **pack(prompts, completions),
        first=np.asarray(first, dtype=np.int64),
        kinds=np.asarray([row.kind for row in rows], dtype=np.int8),
        targets=np.asarray([row.target for row in rows], dtype=np.float64),
        groups=np.arange(len(rows)),
        pad=pad,
    )
    if args.offset == "prompt_mean":
        examples.groups = _groups(prompt_numbers, examples.kinds)
    if args.offset == "partition":
        given = np.asarray([row.log_partition for row in rows])
        examples.log_partition = _log_partition(given, prompt_numbers, examples, args)
    counts = Counter(Kind(kind).name.lower() for kind in examples.kinds)
    logger.info("Feedback found: %s.", ", ".join(f"{number} rows {name}" for name, number in sorted(counts.items())))
    return examples


def _groups(prompt_numbers: NDArray[np.int64], kinds: NDArray[np.int8]) -> NDArray[np.int64]:
    """Group the scored responses of each prompt in pairs, in order; an odd last one joins the last pair."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(kinds == Kind.SCORE):
        members[int(prompt_numbers[row])].append(int(row))
    groups = np.full(len(kinds), -1, dtype=np.int64)
    count = 0
    for rows in members.values():
        if len(rows) < GROUP:
            raise UserError(
                f"Row {rows[0]}, column 'prompt': offset='prompt_mean' needs {GROUP} scored responses of each prompt,"
                " and this prompt has 1."
            )
        for place, member in enumerate(rows):
            groups[member] = count + min(place // GROUP, len(rows) // GROUP - 1)
        count += len(rows) // GROUP
    alone = groups < 0
    groups[alone] = count + np.arange(int(alone.sum()))
    return groups


def _log_partition(
    given: NDArray[np.float64], prompt_numbers: NDArray[np.int64], examples: Examples, args: Any
) -> NDArray[np.float64]:
    """Return log Z(x) from its column, or estimate it as log mean exp(goal / beta) over a prompt's scored responses.

    The estimate assumes that these responses were drawn from the reference policy.
    """
    singles = examples.kinds != Kind.PAIRWISE
    missing = np.isnan(given) & singles
    if not missing.any():
        return given
    scored = examples.kinds == Kind.SCORE
    clipped = np.clip(examples.targets, SCORE_EPSILON, 1 - SCORE_EPSILON)
    goals = examples.targets if args.space == "reward" else np.log(clipped) - np.log1p(-clipped)
    out = given.copy()
    by_prompt: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(singles):
        by_prompt[int(prompt_numbers[row])].append(int(row))
    for rows in by_prompt.values():
        judged = [row for row in rows if scored[row]]
        if np.isnan(given[rows]).any() and len(judged) < GROUP:
            raise UserError(
                f"Row {rows[0]}, column 'log_partition': offset='partition' needs it, or at least {GROUP} scored"
                " responses of the prompt to estimate it."
            )
        estimate = np.logaddexp.reduce(goals[judged] / args.beta) - np.log(len(judged)) if judged else np.nan
        out[rows] = np.where(np.isnan(given[rows]), estimate, given[rows])
    return out
