"""How preference data is read: layout, what each rule leaves out, lengths in tokens, and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from una_bench.errors import UserError
from una_bench.interfaces.prepared import with_feedback
from una_bench.models import catalog
from una_bench.problems.preference import layouts, notes, prepare, tables
from una_bench.problems.preference.judged_response import Scoring
from una_bench.problems.preference.policy import make_template
from una_bench.problems.preference.tables import Limits

if TYPE_CHECKING:
    from una_bench.problems.preference.pairs import Example
    from una_bench.problems.preference.settings import PreferenceSettings

SAMPLED = 2000
"""Examples whose tokens are counted, chosen by the seed."""
NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One example in words: a prompt, and each response with what is said of it."""

    row: int
    """Counted from 1."""
    prompt: str
    responses: tuple[tuple[str, str], ...]
    """Judgment and trained text of each response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """How one file is read."""

    rows: int
    layout: str
    columns: dict[str, str]
    """What a column holds -> its name."""
    notes: tuple[str, ...]
    """What is left out or not used."""
    feedback: dict[str, str]
    """Kind of feedback -> how much of it there is, or why there is none."""
    lengths: Mapping[str, Sequence[int]]
    """Tokens of prompts and of responses; empty without a model."""
    examples: tuple[Shown, ...]


def inspect(problem: PreferenceSettings, *, model: bool, examples: int, say: Callable[[str], None]) -> Inspection:
    """Read the training data of ``problem``, with its policy's chat template and tokens if ``model``.

    Raises:
        UserError: The data, or the model, cannot be read.
    """
    judged, facts = prepare.examples_of(problem, problem.dataset)
    facts |= {"pairs": sum(one.paired for one in judged), "unpaired": sum(not one.paired for one in judged)}
    if not judged:
        raise UserError(notes.nothing_left(problem.dataset.name, facts, "train on"))
    table = pd.DataFrame(tables.judgments(judged, label_threshold=problem.label_threshold))
    scores = not set(table.score.dropna()) <= {0.0, 1.0}
    shown = [_in_words(one, scores) for one in judged[:examples]]
    lengths: dict[str, list[int]] = {}
    of_model: tuple[str, ...] = ()
    if model:
        policy = catalog.resolve(
            problem.policy, revision=problem.policy_revision, trusted=problem.trust_remote_code, say=say
        )
        template = make_template(problem, policy)
        of_model = template.notes
        written, left_out = tables.write(
            judged, template, Limits(prompt=NO_LIMIT, response=NO_LIMIT), most=SAMPLED, seed=problem.seed
        )
        left_out.pop("looked_at")
        facts |= {"left_out": left_out}
        lengths = {
            "prompt": [len(one.prompt_ids) for one in written],
            "response": [len(ids) for one in written for ids in one.completion_ids],
        }
        shown = [_in_words(one.example, scores, one.prompt, one.completions) for one in written[:examples]]
    layout = layouts.layouts(Scoring(weights=problem.score_weights))[facts["layout"]]
    return Inspection(
        rows=facts["rows"],
        layout=f"{facts['layout']}: {layout.about}",
        columns=facts["columns"],
        notes=(*of_model, *notes.of_reading(facts), *notes.of_feedback(table)),
        feedback=_feedback(problem, table),
        lengths=lengths,
        examples=tuple(shown),
    )


def _feedback(problem: PreferenceSettings, table: pd.DataFrame) -> dict[str, str]:
    missing = notes.not_applicable(problem, table)
    counts = {kind: len(with_feedback(table, kind)) for kind in ("pairwise", "binary", "score")}
    labels = with_feedback(table, "binary").label.astype(bool)
    there = {
        "pairwise": f"{counts['pairwise'] // 2} pairs",
        "binary": f"{counts['binary']} labels, {int(labels.sum())} of them desirable",
        "score": f"{counts['score']} scores",
    }
    return {kind: missing.get(kind, text) for kind, text in there.items()}


def _in_words(example: Example, scores: bool, prompt: str = "", completions: Sequence[str] = ()) -> Shown:
    first = example.responses[0]
    asked = prompt or "\n".join(f"{message['role']}: {message['content']}" for message in first.messages)
    responses = []
    for place, one in enumerate(example.responses):
        side = ("preferred" if example.second_preferred == bool(place) else "other") if example.paired else ""
        label = "" if one.label is None else "desirable" if one.label else "undesirable"
        score = f"score {one.score:.3g}" if scores else ""
        judgment = ", ".join(filter(None, (side, label, score)))
        responses.append((judgment, completions[place] if completions else one.response))
    return Shown(row=first.row + 1, prompt=asked, responses=tuple(responses))


def options(data: str, model: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of a problem that reads ``data``; without a model its fingerprint must not be looked for."""
    without = {} if model else {"policy_fingerprint": "none"}
    return {"kind": "preference", "policy": model, "dataset": data, **without, **settings}
