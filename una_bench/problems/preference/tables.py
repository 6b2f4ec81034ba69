"""Tables of the prepared folder: examples templated, tokenized, bounded in length, split and numbered."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.errors import UserError
from una_bench.problems.preference.pairs import Example
from una_bench.problems.preference.template import RefusedByTemplateError, Template

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

ROWS_AT_ONCE = 1024
RESPONSES = {
    "pair": "int64",
    "prompt": "string",
    "completion": "string",
    "prompt_ids": "list<int64>",
    "completion_ids": "list<int64>",
    "reward": "float64",
    "score": "float64",
    "label": "bool",
    "chosen": "bool",
}
"""Columns of ``responses.parquet`` and their types."""
PROMPTS = {"prompt": "string", "prompt_ids": "list<int64>", "split": "string", "messages": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An example as the policy sees it; texts and token ids of its responses."""

    example: Example
    prompt: str
    completions: tuple[str, ...]
    prompt_ids: NDArray[np.int32]
    completion_ids: tuple[NDArray[np.int32], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lengths in tokens that no method is given more of."""

    prompt: int
    response: int
    """With its end token."""
    whole: int | None = None
    """Of prompt and response together."""


def write(
    examples: Sequence[Example], template: Template, limits: Limits, *, most: int | None, seed: int
) -> tuple[list[Written], dict[str, int]]:
    """Template and tokenize examples, and drop those with a text beyond the limits.

    At most ``most`` examples are kept, the first in the random order that ``seed`` gives; None: all.

    Returns:
        The kept examples in the order of the data, pairs first, and the number of examples examined and dropped by
        reason.

    Raises:
        UserError: The template changes the words of an example.
    """
    counts: Counter[str] = Counter()
    order = range(len(examples)) if most is None else np.random.default_rng([seed, 2]).permutation(len(examples))
    kept: dict[int, Written] = {}
    for place in order:
        if most is not None and len(kept) >= most:
            break
        counts["looked_at"] += 1
        try:
            _require_words(examples[place], template)
            written = _write(examples[place], template, limits)
        except UserError as error:
            raise UserError(f"row {examples[place].responses[0].row + 1}: {error}") from None
        if isinstance(written, str):
            counts[written] += 1
        else:
            kept[int(place)] = written
    in_order = sorted(kept, key=lambda place: (not kept[place].example.paired, place))
    return [kept[place] for place in in_order], dict(sorted(counts.items()))


def _require_words(example: Example, template: Template) -> None:
    """Refuse what would be written twice, texts in a chat template already, or not at all, such as calls in plain text.

    Raises:
        UserError: A message has such a text.
    """
    marks = [token for token in template.tokenizer.all_special_tokens if token]
    if example.responses[0].tools and not template.chat:
        raise UserError("problem.template=plain leaves out the tools. Use a chat template that writes them.")
    for message in (*example.responses[0].messages, *(m for one in example.responses for m in one.completion)):
        words = message["content"].strip()
        if not template.chat:
            if more := [key for key in ("tool_calls", "reasoning_content") if message.get(key)]:
                raise UserError(
                    f"problem.template=plain leaves out the {more[0]}. Use a chat template that writes them."
                )
            continue
        if mark := next((mark for mark in marks if words.startswith(mark) or words.endswith(mark)), ""):
            raise UserError(
                f"the {message['role']}'s message ({words!r:.40}) begins or ends with the token {mark}, which the chat "
                "template writes. Remove it, or use texts unchanged: problem.template=plain."
            )


def _write(example: Example, template: Template, limits: Limits) -> Written | str:
    """Return the example as the policy sees it, or why it is left out."""
    first = example.responses[0]
    answers = [response.completion for response in example.responses]
    try:
        prompt, completions = template.write(first.messages, answers, first.tools)
    except RefusedByTemplateError:  # for example two turns of the same speaker
        return "refused_by_template"
    prompt_ids = template.ids(prompt)
    if len(prompt_ids) > limits.prompt:
        return "prompt_too_long"
    ids = [template.completion_ids(prompt, prompt_ids, text) for text in completions]
    if max(map(len, ids)) > limits.response:
        return "response_too_long"
    if limits.whole is not None and len(prompt_ids) + max(map(len, ids)) > limits.whole:
        return "together_too_long"
    return Written(
        example=example,
        prompt=prompt,
        completions=tuple(completions),
        prompt_ids=np.asarray(prompt_ids, dtype=np.int32),
        completion_ids=tuple(np.asarray(each, dtype=np.int32) for each in ids),
    )


def split(examples: Sequence[Example], share: float, seed: Sequence[int]) -> tuple[list[Example], list[Example]]:
    """Split examples by prompt into training and held-out ones, each in the order of the data.

    ``share`` is that of the prompts to hold out, at least one prompt.
    """
    prompts = sorted({one.prompt for one in examples})
    count = min(len(prompts) - 1, max(1, round(share * len(prompts)))) if prompts else 0
    aside = {prompts[i] for i in np.random.default_rng(seed).permutation(len(prompts))[:count]}
    return [one for one in examples if one.prompt not in aside], [one for one in examples if one.prompt in aside]


def write_responses(path: Path, written: Sequence[Written], *, label_threshold: float | None) -> None:
    """Write one row per response; order and columns as in `una_bench.interfaces.prepared`.

    ``label_threshold`` is the smallest score of a desirable response; None: the data's label, else the preferred
    response of each pair is.
    """
    _write_parquet(path, _response_rows(written, label_threshold), RESPONSES)


def _response_rows(written: Sequence[Written], label_threshold: float | None) -> Iterator[dict[str, Any]]:
    judged = judgments([one.example for one in written], label_threshold=label_threshold)
    for one in written:
        for completion, ids in zip(one.completions, one.completion_ids, strict=True):
            words = {"prompt": one.prompt, "completion": completion}
            yield {**words, "prompt_ids": one.prompt_ids, "completion_ids": ids, **next(judged)}


def judgments(examples: Sequence[Example], *, label_threshold: float | None) -> Iterator[dict[str, Any]]:
    """Yield what is said of each response: the columns of ``responses.parquet`` but words and tokens."""
    for number, example in enumerate(examples):
        for place, judged in enumerate(example.responses):
            chosen = example.paired and example.second_preferred == bool(place)
            score = float(chosen) if example.paired and math.isnan(judged.score) else judged.score
            yield {
                "pair": number if example.paired else -1,
                "reward": judged.raw,
                "score": score,
                "label": _label(judged.label, chosen if example.paired else None, score, label_threshold),
                "chosen": chosen,
            }


def _label(given: bool | None, chosen: bool | None, score: float, threshold: float | None) -> bool | None:
    if threshold is not None:
        return None if math.isnan(score) else score >= threshold
    return chosen if given is None else given


def double_ends(table: pd.DataFrame, tokenizer: Any, ends: Sequence[str]) -> pd.DataFrame:
    """Return responses with one more first token in each prompt (``bos``) or end token in each response (``eos``).

    The code released with UNA puts both around texts whose template has them already (trl 0.8.6, ``tokenize_row``).

    Raises:
        UserError: The tokenizer has no first token.
    """
    if "bos" in ends and tokenizer.bos_token_id is None:
        raise UserError("problem.doubled_ends: the policy's tokenizer has no first token. Remove 'bos'.")
    before = [tokenizer.bos_token_id] if "bos" in ends else []
    after = [tokenizer.eos_token_id] if "eos" in ends else []
    doubled = table.copy()
    doubled["prompt_ids"] = [[*before, *ids] for ids in table["prompt_ids"]]
    doubled["completion_ids"] = [[*ids, *after] for ids in table["completion_ids"]]
    return doubled


def write_prompts(path: Path, parts: Mapping[str, Sequence[Written]]) -> None:
    """Write each prompt once with its split and its messages as JSON (columns: `una_bench.interfaces.prepared`)."""
    _write_parquet(path, _prompt_rows(parts), PROMPTS)


def _prompt_rows(parts: Mapping[str, Sequence[Written]]) -> Iterator[dict[str, Any]]:
    for split_name, part in parts.items():
        once = {one.prompt: one for one in reversed(part)}  # the first of each
        for one in part:
            if once.get(one.prompt) is one:
                messages = json.dumps(one.example.responses[0].messages)
                yield {"prompt": one.prompt, "prompt_ids": one.prompt_ids, "split": split_name, "messages": messages}


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]], columns: Mapping[str, str]) -> None:
    """Write rows a part at a time: the table of a large file would not fit in memory a second time."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"list<int64>": pa.list_(pa.int64())}
    schema = pa.schema([(name, kinds.get(kind) or pa.type_for_alias(kind)) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema) as file:
        while part := list(islice(rows, ROWS_AT_ONCE)):
            file.write_table(pa.Table.from_pylist(part, schema=schema))
