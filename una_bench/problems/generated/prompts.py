"""Prompts of a generated problem: read, checked by row, tokenized and split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.errors import UserError, nearest
from una_bench.interfaces.prepared import DataSize
from una_bench.problems.generated.openings import OPENINGS
from una_bench.problems.preference import conversations, sources
from una_bench.problems.preference.conversations import Messages
from una_bench.problems.preference.preview import CHARACTERS, TEMPLATE_TOKENS
from una_bench.problems.preference.sources import Source
from una_bench.problems.preference.template import RefusedByTemplateError, Template

if TYPE_CHECKING:
    from una_bench.problems.generated.settings import GeneratedSettings

COLUMN = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as given, and as the policy sees it."""

    given: str | list[dict[str, Any]]
    """What the reward function gets: text, or messages where the data has several."""
    text: str
    ids: list[int]


def sources_of(problem: GeneratedSettings) -> list[tuple[str, Source]]:
    """Return the sources of prompts that are not una-bench's own, each with its role."""
    given = [("prompts", problem.prompts), ("held-out prompts", problem.heldout)]
    return [(role, source) for role, source in given if isinstance(source, Source)]


def _read(source: Source | str) -> tuple[str, list[Messages], dict[str, Any]]:
    """Return the name of a source, its prompts without repetitions, and facts for the manifest."""
    if isinstance(source, Source):
        rows, facts = sources.read(source)
        name = source.name
    else:
        rows, name = [{COLUMN: opening} for opening in OPENINGS], source
        facts = {"source": name, "rows": len(rows)}
    unique: dict[str, Messages] = {}
    for number, row in enumerate(rows, start=1):
        if COLUMN not in row:
            columns = ", ".join(row) or "none"
            raise UserError(
                f"{name}, row {number}: there is no column '{COLUMN}'.{nearest(COLUMN, row)} It has: {columns}."
            )
        try:
            messages = conversations.conversation(row[COLUMN], COLUMN)
        except UserError as error:
            raise UserError(f"{name}, row {number}: {error}") from None
        if conversations.empty(messages):
            raise UserError(f"{name}, row {number}: the prompt is empty. Fill it in, or remove the row.")
        unique.setdefault(conversations.key(messages), messages)
    return name, list(unique.values()), {**facts, "prompts": len(unique), "repeated": len(rows) - len(unique)}


def read(
    problem: GeneratedSettings, template: Template, context: int | None
) -> tuple[dict[str, list[Prompt]], dict[str, Any]]:
    """Return the prompts of each split, and facts for the manifest; the policy reads ``context`` tokens.

    The splits are ``train``, ``heldout``, and ``validation`` if there are prompts to choose settings by.

    Raises:
        UserError: A row has no prompt, one that the template refuses, or one that is too long; or there are too few.
    """
    name, everything, facts = _read(problem.prompts)
    order = [everything[i] for i in np.random.default_rng([problem.seed, 1]).permutation(len(everything))]
    if problem.heldout is None:
        heldout, train = order[: problem.heldout_prompts], order[problem.heldout_prompts :]
        of_heldout: dict[str, Any] = {"source": f"{len(heldout)} of these"}
    else:
        _, heldout, of_heldout = _read(problem.heldout)
        heldout = heldout[: problem.heldout_prompts]
        aside = {conversations.key(messages) for messages in heldout}
        train = [messages for messages in order if conversations.key(messages) not in aside]
    validation, train = train[: problem.validation_prompts], train[problem.validation_prompts :]
    train = train[: problem.train_prompts]
    if min(len(train), len(heldout)) < 2 or len(validation) == 1:
        also = f" and {len(validation)} to choose settings by" if problem.validation_prompts else ""
        lower = " or problem.validation_prompts" if problem.validation_prompts else ""
        raise UserError(
            f"{name} has {len(everything)} different prompts: {len(train)} to train on and {len(heldout)} held out"
            f"{also}. At least 2 of each are needed. Give more, or lower problem.heldout_prompts{lower}."
        )
    rows = {conversations.key(messages): number for number, messages in enumerate(everything, start=1)}
    given = {"train": train, "heldout": heldout, **({"validation": validation} if validation else {})}
    parts = {
        split: [
            _written(one, template, problem, context, f"{name}, prompt {rows.get(conversations.key(one), 0)}")
            for one in part
        ]
        for split, part in given.items()
    }
    return parts, {"train": facts, "heldout": of_heldout}


def _written(
    messages: Messages, template: Template, problem: GeneratedSettings, context: int | None, where: str
) -> Prompt:
    try:
        text, _ = template.write(messages, [({"role": "assistant", "content": "a"},)])
    except (RefusedByTemplateError, UserError) as error:
        raise UserError(f"{where}: {error}") from None
    ids = template.ids(text)
    most = problem.max_prompt_length
    if most is not None and len(ids) > most:
        raise UserError(
            f"{where} has {len(ids)} tokens, more than problem.max_prompt_length={most}. Raise it, or shorten the "
            "prompt."
        )
    if context is not None and len(ids) + problem.max_response_length > context:
        raise UserError(
            f"{where} has {len(ids)} tokens, and with problem.max_response_length={problem.max_response_length} more "
            f"the policy would have to read {len(ids) + problem.max_response_length}; it reads {context}. Shorten it."
        )
    alone = len(messages) == 1 and messages[0]["role"] == "user"
    return Prompt(given=messages[0]["content"] if alone else list(messages), text=text, ids=ids)


def rows(part: list[Prompt], split: str) -> list[dict[str, Any]]:
    """Return the rows of ``prompts.parquet``; ``given`` is JSON."""
    return [{"prompt": one.text, "prompt_ids": one.ids, "split": split, "given": json.dumps(one.given)} for one in part]


def size(problem: GeneratedSettings) -> DataSize | None:
    """Return the amount of the data before preparation; None if its prompts are not on this machine."""
    if isinstance(problem.prompts, Source) and not sources.local_files(problem.prompts.source, problem.prompts.split):
        return None
    around = TEMPLATE_TOKENS if problem.template == "chat" else 0
    _, everything, _ = _read(problem.prompts)
    tokens = [around + sum(len(m["content"]) for m in messages) / CHARACTERS for messages in everything]
    return DataSize(
        responses=problem.responses,
        prompt_tokens=fmean(tokens),
        response_tokens=float(problem.max_response_length),
        max_prompt_length=problem.max_prompt_length or round(max(tokens)),
        max_response_length=problem.max_response_length,
        estimated=True,
    )
