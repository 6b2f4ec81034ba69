"""What a user has to know of how the data was read: what was left out, what is missing, what is uneven."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.prepared import with_feedback

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.problems.preference.settings import PreferenceSettings

WORDS = {
    "rows_without_judgment": "rows without a judgment",
    "empty": "with an empty prompt or response",
    "duplicates": "given twice",
    "same_responses": "pairs of equal responses",
    "answers_without_judgment": "answers without a rank or score",
    "without_partner": "responses without a partner",
    "ties_left_out": "ties",
    "prompt_is_held_out": "with a held-out prompt",
    "refused_by_template": "refused by the chat template",
    "prompt_too_long": "with too long a prompt (problem.max_prompt_length)",
    "response_too_long": "with too long a response (problem.max_response_length)",
    "together_too_long": "too long together (problem.max_length)",
    "rows_of_other_splits": "rows of other splits",
}
"""Reasons for leaving something out, in the words of messages."""
WARN = 0.1
"""Share of the data from which leaving out is a warning."""


def _left_out(facts: dict[str, Any]) -> dict[str, int]:
    """Return what was left out, by reason."""
    reasons = {**facts, **facts.get("rules_applied", {}), **facts.get("left_out", {})}
    return {name: int(reasons[name]) for name in WORDS if reasons.get(name)}


def of_reading(facts: dict[str, Any]) -> list[str]:
    """Return what a user has to know of how one part of the data was read, a line each."""
    lines = []
    dropped = {name: count for name, count in _left_out(facts).items() if name != "rows_of_other_splits"}
    lost, kept, source = sum(dropped.values()), facts["pairs"] + facts["unpaired"], facts["source"]
    if lost:
        warning = "Warning: " if lost >= WARN * (lost + kept) else ""
        reasons = ", ".join(f"{count} {WORDS[name]}" for name, count in dropped.items())
        lines.append(f"{warning}{source}: {_used(facts)}; left out: {reasons}.")
    elif facts["unpaired"]:
        lines.append(f"{source}: {_used(facts)}.")
    if lower := facts.get("rules_applied", {}).get("preferred_has_lower_score"):
        lines.append(f"{source}: in {lower} pairs the preferred response has the lower score.")
    if facts.get("rows_of_other_splits"):
        lines.append(f"{source}: {facts['rows_of_other_splits']} rows of other splits are not read.")
    if facts.get("columns_not_used"):
        lines.append(f"{source}: not used: column {', '.join(facts['columns_not_used'])}.")
    return lines


def _used(facts: dict[str, Any]) -> str:
    alone = f"{facts['unpaired']} responses without a partner"
    if not facts["pairs"]:
        return alone
    return f"{facts['pairs']} pairs" + (f" and {alone}" if facts["unpaired"] else "")


BALANCED = (1.0, 4 / 3)
"""Range that the KTO paper (arXiv:2402.01306) and TRL's documentation advise for desirable over undesirable responses,
each times its weight."""


def of_feedback(table: pd.DataFrame) -> list[str]:
    """Return what a user has to know of the labels and scores to train on."""
    labels = with_feedback(table, "binary")["label"].astype(bool)
    good, bad = int(labels.sum()), int((~labels).sum())
    lines = []
    if good + bad and not (bad and BALANCED[0] <= good / bad <= BALANCED[1]):
        advice = "KTO's weights should bring it to 1 to 1.33: kto.balance_labels=true, or kto.desirable_weight"
        one_kind = "all are alike, so that nothing tells good from bad; give labels of both kinds"
        lines.append(f"{good} desirable and {bad} undesirable responses: {advice if good and bad else one_kind}.")
    scores = with_feedback(table, "score")["score"]
    if len(scores) and set(scores.unique()) <= {0.0, 1.0}:
        lines.append("No scores but 1 and 0, of pairs or labels: UNA-score learns what UNA-binary learns.")
    return lines


FEW = 100
"""Held-out pairs below which the sampling error of an accuracy is said."""


def of_heldout(pairs: int) -> list[str]:
    """Return what few held-out pairs mean for the preference accuracy."""
    if not 0 < pairs < FEW:
        return []
    half = 1.96 * 0.5 / math.sqrt(pairs)
    return [f"Held out: {pairs} pairs, so that an accuracy near 0.5 has a 95 % interval of ± {half:.2f}."]


def nothing_left(where: str, facts: dict[str, Any], purpose: str) -> str:
    """Say by which rule the data ran out, and what to do about that one."""
    remedies = {
        "rows_without_judgment": "fill in labels or scores"
        + (", or judge pairs by their sides (problem.scores=ignore)" if facts.get("layout") == "pairs" else ""),
        "answers_without_judgment": "give each answer a rank or a score",
        "empty": "fill in the empty prompts or responses",
        "duplicates": "give different prompts or responses",
        "same_responses": "make chosen and rejected differ",
        "without_partner": "give two responses to a prompt, or use single ones (problem.unpaired=use)",
        "ties_left_out": "keep ties (problem.ties=keep)",
        "prompt_is_held_out": "hold out other prompts",
        "refused_by_template": "give another template (problem.chat_template=FILE or problem.template=plain)",
        "prompt_too_long": "raise problem.max_prompt_length, within what the model reads",
        "response_too_long": "raise problem.max_response_length, within what the model reads",
        "together_too_long": "raise problem.max_length",
    }
    dropped = _left_out(facts)
    counts = [f"{facts[key]} {key.replace('_', ' ')}" for key in ("rows", "responses", "pairs_made") if key in facts]
    reasons = ", ".join(f"{count} {WORDS[name]}" for name, count in dropped.items())
    worst = max((name for name in dropped if name in remedies), key=dropped.__getitem__, default="")
    remedy = remedies[worst] if worst else "give more data"
    return (
        f"Nothing of {where} is left to {purpose}: {', '.join(counts) or 'no prompts'}; "
        f"left out: {reasons or 'nothing'}. {remedy[0].upper()}{remedy[1:]}."
    )


def not_applicable(problem: PreferenceSettings, table: pd.DataFrame) -> dict[str, str]:
    """Return the kinds of feedback that the data does not give, each with the reason."""
    missing = {
        "pairwise": "the data has no pairs",
        "binary": "the data has no labels; problem.label_threshold makes them of scores",
        "score": "the data has no scores",
    }
    without = {kind: reason for kind, reason in missing.items() if with_feedback(table, kind).empty}
    if problem.reward_model is None:
        without["prompts"] = "the suite has no reward model (problem.reward_model)"
    elif not problem.reward_model.name and "pairwise" in without:
        without["prompts"] = "the data has no pairs to train a reward model on; name one (problem.reward_model.name)"
    return without
