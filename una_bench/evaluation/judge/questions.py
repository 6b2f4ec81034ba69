"""Prompts that policies answer: the suite's held-out ones, a file, or a published set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.models import offline
from una_bench.record.hashes import content_hash

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import Prepared

HELDOUT = "heldout"
"""Name of the suite's held-out prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A published set of prompts, which is not shipped with una-bench."""

    repository: str
    file: str
    license: str


SETS = {
    "alpaca_eval": PublishedSet(repository="tatsu-lab/alpaca_eval", file="alpaca_eval.json", license="CC-BY-NC-4.0"),
    "mt_bench": PublishedSet(
        repository="HuggingFaceH4/mt_bench_prompts", file="raw/question.jsonl", license="Apache-2.0"
    ),
}
"""Name -> data set on the hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt, of one or several turns."""

    id: str
    turns: tuple[str, ...]
    """What the user says, turn by turn, as a judge reads it."""
    category: str = ""
    reference: tuple[str, ...] = ()
    """Reference answers, turn by turn, if there are any."""
    prompt: str = ""
    """Text in the policy's template, for held-out prompts."""
    ids: tuple[int, ...] = ()
    """Its tokens, for held-out prompts."""


def set_name(prompts: str) -> str:
    """Return the last part of the names of metrics: ``heldout``, a published set, or ``file``."""
    return prompts if prompts == HELDOUT or prompts in SETS else "file"


def digest(questions: Sequence[Question]) -> str:
    """Return a hash of the prompts."""
    return content_hash([[one.id, one.turns, one.prompt, one.ids] for one in questions])


def load(prompts: str, prepared: Prepared, most: int | None) -> list[Question]:
    """Return the first ``most`` prompts; a UserError if they cannot be read."""
    if prompts == HELDOUT:
        return _of_suite(prepared, most)
    return of_file(_path(prompts), most)


def _path(prompts: str) -> Path:
    if prompts not in SETS:
        return Path(prompts).expanduser()
    from huggingface_hub import errors, hf_hub_download

    published = SETS[prompts]
    try:
        local = offline.is_on()
        path = hf_hub_download(published.repository, published.file, repo_type="dataset", local_files_only=local)
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError):
        raise UserError(
            f"The prompts {prompts} ({published.repository}, {published.license}) are not on this machine, and the hub "
            "cannot be reached. Download them on a machine with network access: "
            f"hf download --repo-type dataset {published.repository} {published.file}"
        ) from None
    return Path(path)


def of_file(path: Path, most: int | None = None) -> list[Question]:
    """Read JSON lines, or a JSON list, with ``prompt``, ``instruction`` or ``turns`` in each row.

    The published sets have this form too. ``id`` or ``question_id``, ``category`` and ``reference`` (or ``output``)
    are optional.
    """
    try:
        text = path.read_text(encoding="utf-8")
        listed = text.lstrip().startswith("[")
        rows = json.loads(text) if listed else [json.loads(line) for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"The prompts {path} cannot be read: {error.strerror}. Give a file of JSON lines.") from None
    except ValueError as error:
        raise UserError(f"The prompts {path} are not JSON lines: {error}. Write one object a line.") from None
    questions = [_question(row, number, path) for number, row in enumerate(rows[:most], start=1)]
    if not questions:
        raise UserError(f'The prompts {path} are empty. Write one object a line, as {{"prompt": "…"}}.')
    ids = [one.id for one in questions]
    twice = next((i for i in ids if ids.count(i) > 1), None)
    if twice is not None:
        raise UserError(f"The prompts {path} have the id {twice} twice. Give each prompt its own.")
    return questions


def _question(row: Any, number: int, path: Path) -> Question:
    given = row if isinstance(row, Mapping) else {}
    turns = given.get("turns") or given.get("prompt") or given.get("instruction")
    turns = [turns] if isinstance(turns, str) else turns
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) and t.strip() for t in turns):
        raise UserError(f"{path}, row {number}: there is no prompt. Give text as prompt, or a list of texts as turns.")
    reference = given.get("reference") or given.get("output") or ()
    return Question(
        id=str(given.get("id", given.get("question_id", number))),
        turns=tuple(turns),
        category=str(given.get("category") or given.get("dataset") or ""),
        reference=(reference,) if isinstance(reference, str) else tuple(map(str, reference)),
    )


def _of_suite(prepared: Prepared, most: int | None) -> list[Question]:
    table = prepared.prompts("heldout")
    table = table if most is None else table.head(most)
    preferred = _preferred(prepared)
    questions = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        messages = row.get("messages") or row.get("given")
        text = _as_text(json.loads(messages)) if messages else str(row["prompt"])
        reference = preferred.get(row["prompt"], "")
        questions.append(
            Question(
                id=str(number),
                turns=(text,),
                reference=(reference,) if reference else (),
                prompt=str(row["prompt"]),
                ids=tuple(map(int, row["prompt_ids"])),
            )
        )
    return questions


def _preferred(prepared: Prepared) -> dict[str, str]:
    """Return the preferred held-out response of each prompt that has one, without its end token."""
    if not (prepared.path / "responses_heldout.parquet").is_file():
        return {}
    table = prepared.responses("heldout")
    chosen = table[table["chosen"]]
    end = _end(prepared)
    return {p: c.removesuffix(end) for p, c in zip(chosen["prompt"], chosen["completion"], strict=True)}


def known_pairs(prepared: Prepared, most: int) -> list[tuple[Question, str, str]]:
    """Return prompt, preferred and other response of the first held-out pairs."""
    from una_bench.interfaces.prepared import sides

    if not (prepared.path / "responses_heldout.parquet").is_file():
        return []
    chosen, rejected = sides(prepared.responses("heldout"))
    asked = {one.prompt: one for one in _of_suite(prepared, None)}
    end = _end(prepared)
    rows = zip(chosen["prompt"], chosen["completion"], rejected["completion"], strict=True)
    return [(asked[p], a.removesuffix(end), b.removesuffix(end)) for p, a, b in rows if p in asked][:most]


def _end(prepared: Prepared) -> str:
    """Return the end token of responses in the prepared data."""
    return str((prepared.manifest.get("template") or {}).get("end") or "")


def _as_text(messages: Any) -> str:
    """Return a conversation as a judge reads it; a single message stands for itself."""
    if isinstance(messages, str):
        return messages
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{str(m['role']).capitalize()}: {m['content']}" for m in messages)
