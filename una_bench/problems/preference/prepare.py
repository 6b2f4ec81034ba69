"""Fills the prepared folder of a problem made of a language model and preference data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.models import catalog
from una_bench.problems.preference import formats, lengths, pairs, reward_model, sources, tables
from una_bench.problems.preference.judged_response import Scoring
from una_bench.problems.preference.pairs import RULES, Pair, pair_up
from una_bench.problems.preference.policy import make_template, write_policy
from una_bench.problems.preference.tables import Limits, Written
from una_bench.problems.preference.template import Template
from una_bench.record.hashes import content_hash, path_hash

if TYPE_CHECKING:
    from una_bench.problems.preference.settings import PreferenceSettings
    from una_bench.problems.preference.sources import Source

Say = Callable[[str], None]


def prepare(problem: PreferenceSettings, out: Path, say: Say) -> None:
    """Write everything that `una_bench.interfaces.prepared` describes."""
    out.mkdir(parents=True, exist_ok=True)
    model = catalog.resolve(
        problem.policy, revision=problem.policy_revision, trusted=problem.trust_remote_code, say=say
    )
    if problem.policy_fingerprint not in {"", catalog.fingerprint(problem.policy)}:
        raise UserError(
            f"The files of {problem.policy} have changed since the recipe was written. Restore them, or remove "
            "problem.policy_fingerprint."
        )
    template = make_template(problem, model)
    say("preference data")
    context = model.config.get("max_position_embeddings")
    train, heldout, facts = read_pairs(problem, template, context=context if isinstance(context, int) else None)
    _write_tables(problem, out, train, heldout)
    for method, ends in problem.doubled_ends.items():
        table = tables.double_ends(Prepared(out).responses(), template.tokenizer, ends)
        table.to_parquet(out / f"responses_for_{method}.parquet", index=False)
    write_policy(model, template, out / "policy")
    figures = reward_model.write_reward_model(problem, out, template, say) if problem.reward_model else {}
    counts: dict[str, int] = {}
    for name, part in (("train", train), ("heldout", heldout)):
        counts |= {f"pairs_{name}": len(part)}
        counts |= {f"prompts_{name}": len({w.prompt for w in part})}
    manifest = {
        "kind": problem.kind,
        "settings": problem.model_dump(mode="json"),
        "counts": counts,
        "notes": [*facts["notes"], *(note for name in ("train", "heldout") for note in notes(facts[name]))],
        "max_prompt_length": facts["limits"]["prompt"],
        "max_new_tokens": facts["limits"]["response"],
        "mean_tokens": {
            "prompt": fmean(len(w.prompt_ids) for w in train),
            "response": fmean(len(ids) for w in train for ids in w.completion_ids),
        },
        "policy": {"source": model.source, "revision": model.revision, "trusted": model.trusted},
        "template": template.describe(),
        "data": facts,
        "reward_model": figures,
        "hashes": {part.name: path_hash(part) for part in sorted(out.iterdir())},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_pairs(
    problem: PreferenceSettings, template: Template, *, context: int | None = None
) -> tuple[list[Written], list[Written], dict[str, Any]]:
    """Read and judge the data, and put it into the template; the policy reads at most ``context`` tokens.

    Returns:
        Training pairs, held-out pairs, and facts about both for the manifest.

    Raises:
        UserError: Data is missing, has not the needed columns, or nothing of it is left.
    """
    pairs_of_data, facts = pairs_of(problem, problem.dataset)
    if problem.heldout is None:
        train, heldout = tables.split(pairs_of_data, problem.heldout_share, problem.seed)
        rule = f"{problem.heldout_share:g} of the prompts, chosen by seed {problem.seed}"
        aside: dict[str, Any] = {"source": "split off the training data", "rule": rule}
    else:
        heldout, aside = pairs_of(problem, problem.heldout)
        heldout_prompts = {pair.prompt for pair in heldout}
        train = [pair for pair in pairs_of_data if pair.prompt not in heldout_prompts]
        facts["prompt_is_held_out"] = len(pairs_of_data) - len(train)
    limits, decided = lengths.limits(problem, train, template, context)
    wider = lengths.heldout_limits(problem, heldout, template, context, limits)
    written = []
    parts = ((train, facts, problem.pairs, limits), (heldout, aside, problem.heldout_pairs, wider))
    for part, part_facts, most, part_limits in parts:
        where = (problem.heldout or problem.dataset).name if part is heldout else problem.dataset.name
        try:
            kept, dropped = tables.write(part, template, part_limits, most=most, seed=problem.seed)
        except UserError as error:
            raise UserError(f"{where}, {error}") from None
        part_facts |= {"looked_at": dropped.pop("looked_at", 0), "left_out": dropped, "pairs": len(kept)}
        part_facts["content_sha256"] = content_hash([[w.prompt, *w.completions, w.pair.second_preferred] for w in kept])
        written.append(kept)
        if not kept:
            raise UserError(_nothing_left(where, part_facts, "hold out" if part is heldout else "train on"))
    about = {
        "rules": [*RULES, *_settings_rules(problem, limits)],
        "limits": {**asdict(limits), **decided},
        "notes": [lengths.note(limits, decided, problem)] if decided else [],
    }
    return written[0], written[1], {"train": facts, "heldout": aside, **about}


def pairs_of(problem: PreferenceSettings, source: Source) -> tuple[list[Pair], dict[str, Any]]:
    """Read and judge one part of the data, and pair it; with facts for the manifest."""
    rows, facts = sources.read(source)
    scoring = Scoring(weights=problem.score_weights, score_range=problem.score_range, turns=problem.turns)
    responses, reading = formats.judged(
        rows, scoring, source.name, columns=problem.columns, scores=problem.scores == "use"
    )
    made, counts = pair_up(responses, keep_ties=problem.ties == "keep", pairing=problem.pairing)
    return made, {**facts, **reading, "responses": len(responses), "rules_applied": counts, "pairs_made": len(made)}


def _settings_rules(problem: PreferenceSettings, limits: Limits) -> list[str]:
    label = (
        "Desirable is the preferred response of each pair."
        if problem.label_threshold is None
        else f"Desirable is a response with a score of at least {problem.label_threshold:g}."
    )
    together = f", or both more than {problem.max_length}" if problem.max_length else ""
    return [
        f"Pairing: {pairs.HOW[problem.pairing]}.",
        f"Ties: {problem.ties.replace('_', ' ')}.",
        label,
        f"A pair is left out where the prompt has more than {limits.prompt} tokens or a response more "
        f"than {limits.response}{together}, for every method alike.",
        "No prompt is both trained on and held out; white space around it does not count.",
    ]


WORDS = {
    "rows_without_judgment": "rows without a judgment",
    "empty": "with an empty prompt or response",
    "duplicates": "given twice",
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


def notes(facts: dict[str, Any]) -> list[str]:
    """Return what a user has to know of how one part of the data was read, a line each."""
    lines = []
    dropped = {name: count for name, count in _left_out(facts).items() if name != "rows_of_other_splits"}
    lost, kept = sum(dropped.values()), facts["pairs"]
    if lost:
        warning = "Warning: " if lost >= WARN * (lost + kept) else ""
        reasons = ", ".join(f"{count} {WORDS[name]}" for name, count in dropped.items())
        lines.append(f"{warning}{facts['source']}: {kept} pairs; left out: {reasons}.")
    if facts.get("rows_of_other_splits"):
        lines.append(f"{facts['source']}: {facts['rows_of_other_splits']} rows of other splits are not read.")
    if facts.get("columns_not_used"):
        lines.append(f"{facts['source']}: not used: column {', '.join(facts['columns_not_used'])}.")
    return lines


def _nothing_left(where: str, facts: dict[str, Any], purpose: str) -> str:
    """Say by which rule the data ran out, and what to do about that one."""
    remedies = {
        "rows_without_judgment": "fill in labels or scores",
        "without_partner": "give two responses to a prompt",
        "ties_left_out": "keep ties (problem.ties=keep)",
        "prompt_is_held_out": "hold out other prompts",
        "refused_by_template": "give another template (problem.chat_template=FILE or problem.template=plain)",
        "prompt_too_long": "raise problem.max_prompt_length",
        "response_too_long": "raise problem.max_response_length",
        "together_too_long": "raise problem.max_length",
    }
    dropped = _left_out(facts)
    counts = [f"{facts[key]} {key.replace('_', ' ')}" for key in ("rows", "responses", "pairs_made") if key in facts]
    reasons = ", ".join(f"{count} {WORDS[name]}" for name, count in dropped.items())
    worst = max((name for name in dropped if name in remedies), key=dropped.__getitem__, default="")
    remedy = remedies[worst] if worst else "give more data"
    return (
        f"No pair of {where} is left to {purpose}: {', '.join(counts) or 'no prompts'}; "
        f"left out: {reasons or 'nothing'}. {remedy[0].upper()}{remedy[1:]}."
    )


def _write_tables(problem: PreferenceSettings, out: Path, train: Sequence[Written], heldout: Sequence[Written]) -> None:
    for name, part in (("responses", train), ("responses_heldout", heldout)):
        table = tables.responses(part, label_threshold=problem.label_threshold)
        table.to_parquet(out / f"{name}.parquet", index=False)
    tables.prompts(train, heldout).to_parquet(out / "prompts.parquet", index=False)
