"""Preparation of a preference problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.models import catalog
from una_bench.problems.preference import formats, reward_model, sources, tables
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
    train, heldout, facts = read_pairs(problem, template)
    _write_tables(problem, out, train, heldout)
    for method, ends in problem.doubled_ends.items():
        table = tables.double_ends(Prepared(out).responses(), template.tokenizer, ends)
        table.to_parquet(out / f"responses_for_{method}.parquet", index=False)
    write_policy(model, template, out / "policy")
    figures = reward_model.write_reward_model(problem, out, template, say) if problem.reward_model else {}
    manifest = {
        "kind": problem.kind,
        "settings": problem.model_dump(mode="json"),
        "counts": {
            "pairs_train": len(train),
            "pairs_heldout": len(heldout),
            "prompts_train": len({w.prompt for w in train}),
            "prompts_heldout": len({w.prompt for w in heldout}),
        },
        "max_prompt_length": problem.max_prompt_length,
        "max_new_tokens": problem.max_response_length,
        "policy": {"source": model.source, "revision": model.revision, "trusted": model.trusted},
        "template": template.describe(),
        "data": facts,
        "reward_model": figures,
        "hashes": {part.name: path_hash(part) for part in sorted(out.iterdir())},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_pairs(problem: PreferenceSettings, template: Template) -> tuple[list[Written], list[Written], dict[str, Any]]:
    """Read, pair and tokenize the data.

    Returns:
        Training pairs, held-out pairs, and facts about both for the manifest.

    Raises:
        UserError: Data is missing, lacks required columns, or no pairs are left.
    """
    pairs, facts = _pairs(problem, problem.dataset)
    if problem.heldout is None:
        train, heldout = tables.split(pairs, problem.heldout_share, problem.seed)
        rule = f"{problem.heldout_share:g} of the prompts, chosen by seed {problem.seed}"
        heldout_facts: dict[str, Any] = {"source": "split off the training data", "rule": rule}
    else:
        heldout, heldout_facts = _pairs(problem, problem.heldout)
        heldout_prompts = {pair.prompt for pair in heldout}
        train = [pair for pair in pairs if pair.prompt not in heldout_prompts]
        facts["prompt_is_held_out"] = len(pairs) - len(train)
    limits = Limits(prompt=problem.max_prompt_length, response=problem.max_response_length, whole=problem.max_length)
    heldout_limits = Limits(
        prompt=problem.heldout_max_prompt_length or limits.prompt,
        response=problem.heldout_max_response_length or limits.response,
    )
    written = []
    parts = ((train, facts, problem.pairs, limits), (heldout, heldout_facts, problem.heldout_pairs, heldout_limits))
    for part, part_facts, most, limits in parts:
        chosen, dropped = tables.write(part, template, limits, most=most, seed=problem.seed)
        part_facts |= {"looked_at": dropped.pop("looked_at", 0), "left_out": dropped, "pairs": len(chosen)}
        content = [[w.prompt, *w.completions, w.pair.second_preferred] for w in chosen]
        part_facts["content_sha256"] = content_hash(content)
        written.append(chosen)
        if not chosen:
            where = (problem.heldout or problem.dataset).name if part is heldout else problem.dataset.name
            raise UserError(_nothing_left(where, part_facts, "hold out" if part is heldout else "train on"))
    rules = [*RULES, *_rules_of(problem)]
    return written[0], written[1], {"train": facts, "heldout": heldout_facts, "rules": rules}


def _pairs(problem: PreferenceSettings, source: Source) -> tuple[list[Pair], dict[str, Any]]:
    rows, facts = sources.read(source)
    scoring = Scoring(weights=problem.score_weights, score_range=problem.score_range, turns=problem.turns)
    judged, format_facts = formats.judged(rows, scoring, source.name)
    pairs, counts = pair_up(judged, keep_ties=problem.ties == "keep")
    counted = {"responses": len(judged), "rules_applied": counts, "pairs_made": len(pairs)}
    return pairs, {**facts, **format_facts, **counted}


def _rules_of(problem: PreferenceSettings) -> list[str]:
    label = (
        "Desirable is the preferred response of each pair."
        if problem.label_threshold is None
        else f"Desirable is a response with a score of at least {problem.label_threshold:g}."
    )
    whole = f", or both more than {problem.max_length}" if problem.max_length else ""
    return [
        f"Ties: {problem.ties.replace('_', ' ')}.",
        label,
        f"A pair is left out where the prompt has more than {problem.max_prompt_length} tokens or a response more than "
        f"{problem.max_response_length}{whole}, for every method alike.",
        "No prompt is both trained on and held out.",
    ]


def _nothing_left(where: str, facts: dict[str, Any], purpose: str) -> str:
    """Describe how much data each step left."""
    steps = [f"{facts[key]} {key.replace('_', ' ')}" for key in ("rows", "responses", "pairs_made") if key in facts]
    reasons = {**facts.get("rules_applied", {}), **facts["left_out"]}
    for key in ("rows_without_valid_score", "prompt_is_held_out"):
        if facts.get(key):
            reasons[key] = facts[key]
    lost = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in reasons.items())
    return (
        f"No pair of {where} is left to {purpose}: {', '.join(steps) or 'no prompts'}; dropped: {lost or 'nothing'}. "
        "Raise problem.max_prompt_length or problem.max_response_length, keep ties, or check the range of scores."
    )


def _write_tables(problem: PreferenceSettings, out: Path, train: Sequence[Written], heldout: Sequence[Written]) -> None:
    for name, part in (("responses", train), ("responses_heldout", heldout)):
        table = tables.responses(part, label_threshold=problem.label_threshold)
        table.to_parquet(out / f"{name}.parquet", index=False)
    tables.prompts(train, heldout).to_parquet(out / "prompts.parquet", index=False)
