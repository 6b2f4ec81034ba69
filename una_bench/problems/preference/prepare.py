"""Fills the prepared folder of a problem made of a language model and preference data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.models import sizes
from una_bench.problems.preference import (
    formats,
    lengths,
    model_checks,
    notes,
    pairs,
    reward_model,
    sft,
    sources,
    tables,
)
from una_bench.problems.preference.judged_response import Scoring
from una_bench.problems.preference.pairs import RULES, Example, make_examples
from una_bench.problems.preference.policy import find_policy, make_template, write_policy
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
    model = find_policy(problem, say)
    if problem.reward_model:  # refused before the data is read
        reward_model.resolve(problem, problem.reward_model, say)
    template = make_template(problem, model)
    say("preference data")
    parts, facts = read_examples(problem, template, context=sizes.context(sizes.configuration(model)))
    given = problem
    limits = facts["limits"]
    problem = given.model_copy(
        update={"max_prompt_length": limits["prompt"], "max_response_length": limits["response"]}
    )
    train = parts["train"]
    _write_tables(problem, out, parts)
    for method, ends in problem.doubled_ends.items():
        table = tables.double_ends(Prepared(out).responses(), template.tokenizer, ends)
        table.to_parquet(out / f"responses_for_{method}.parquet", index=False)
    model_notes, checks = model_checks.check_policy(model, template, Prepared(out))
    write_policy(model, template, out / "policy")
    tuning = sft.fine_tune_policy(problem, Prepared(out), template, say) if problem.sft else {}
    without = notes.not_applicable(problem, Prepared(out).responses())
    figures: dict[str, Any] = {}
    if problem.reward_model and "prompts" not in without:
        figures = reward_model.write_reward_model(problem, out, template, say)
    model_notes += figures.pop("notes", [])
    counts: dict[str, int] = {}
    for name, part in parts.items():
        pairs_of_part = sum(w.example.paired for w in part)
        counts |= {f"pairs_{name}": pairs_of_part, f"unpaired_{name}": len(part) - pairs_of_part}
        counts |= {f"prompts_{name}": len({w.prompt for w in part})}
    manifest = {
        "kind": problem.kind,
        "settings": given.model_dump(mode="json"),
        "counts": counts,
        "notes": [
            *facts["notes"],
            *model_notes,
            *tuning.pop("notes", ()),
            *(note for name in parts for note in notes.of_reading(facts[name])),
            *notes.of_feedback(Prepared(out).responses()),
            *notes.of_heldout(counts["pairs_heldout"]),
        ],
        "not_applicable": without,
        "max_prompt_length": limits["prompt"],
        "max_new_tokens": limits["response"],
        "mean_tokens": {
            "prompt": fmean(len(w.prompt_ids) for w in train),
            "response": fmean(len(ids) for w in train for ids in w.completion_ids),
        },
        "policy": {"source": model.source, "revision": model.revision, "trusted": model.trusted},
        "template": template.describe(),
        "checks": checks,
        "data": facts,
        **({"sft": tuning} if tuning else {}),
        "reward_model": figures,
        "hashes": {part.name: path_hash(part) for part in sorted(out.iterdir())},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_examples(
    problem: PreferenceSettings, template: Template, *, context: int | None = None
) -> tuple[dict[str, list[Written]], dict[str, Any]]:
    """Read and judge the data, and put it into the template; the policy reads at most ``context`` tokens.

    Returns:
        Examples of each split (``train``, ``heldout``, and ``validation`` if a share of the prompts is held back for
        it), and facts about each for the manifest.

    Raises:
        UserError: Data is missing, has not the needed columns, or nothing of it is left.
    """
    examples, facts = examples_of(problem, problem.dataset)
    if problem.heldout is None:
        train, heldout = tables.split(examples, problem.heldout_share, [problem.seed, 1])
        rule = f"{problem.heldout_share:g} of the prompts, chosen by seed {problem.seed}"
        aside: dict[str, Any] = {"source": "split off the training data", "rule": rule}
    else:
        heldout, aside = examples_of(problem, problem.heldout)
        heldout_prompts = {one.prompt for one in heldout}
        train = [one for one in examples if one.prompt not in heldout_prompts]
        facts["prompt_is_held_out"] = len(examples) - len(train)
    validation, of_validation = _held_back(problem, train)
    train = [one for one in train if one.prompt not in {other.prompt for other in validation}]
    limits, decided = lengths.limits(problem, train, template, context)
    wider = lengths.heldout_limits(problem, heldout, template, context, limits)
    written: dict[str, list[Written]] = {}
    parts = [("train", train, facts, problem.pairs, limits), ("heldout", heldout, aside, problem.heldout_pairs, wider)]
    if problem.validation_share:
        parts.append(("validation", validation, of_validation, problem.heldout_pairs, wider))
    for name, part, part_facts, most, part_limits in parts:
        where = (problem.heldout or problem.dataset).name if part is heldout else problem.dataset.name
        try:
            kept, dropped = tables.write(part, template, part_limits, most=most, seed=problem.seed)
        except UserError as error:
            raise UserError(f"{where}, {error}") from None
        paired = sum(w.example.paired for w in kept)
        part_facts |= {"looked_at": dropped.pop("looked_at", 0), "left_out": dropped}
        part_facts |= {"pairs": paired, "unpaired": len(kept) - paired}
        # Pairs hash as they did before responses without a partner were used.
        part_facts["content_sha256"] = content_hash(
            [[w.prompt, *w.completions, *([w.example.second_preferred] if w.example.paired else [])] for w in kept]
        )
        written[name] = kept
        if not kept:
            purpose = {"train": "train on", "heldout": "hold out", "validation": "choose settings by"}[name]
            raise UserError(notes.nothing_left(where, part_facts, purpose))
    about = {
        "rules": [*RULES, *_settings_rules(problem, limits)],
        "limits": {**asdict(limits), **decided},
        "notes": [lengths.note(limits, decided, problem)] if decided else [],
    }
    return written, {**{name: part_facts for name, _, part_facts, _, _ in parts}, **about}


def _held_back(problem: PreferenceSettings, train: Sequence[Example]) -> tuple[list[Example], dict[str, Any]]:
    """Return the examples of the prompts that settings are chosen by, and facts about them."""
    share = problem.validation_share
    aside = tables.split(train, share, [problem.seed, 4])[1] if share else []
    rule = f"{share:g} of the other prompts, chosen by seed {problem.seed}"
    return aside, {"source": "held back from the training data", "rule": rule}


def examples_of(problem: PreferenceSettings, source: Source) -> tuple[list[Example], dict[str, Any]]:
    """Read and judge one part of the data, and pair it; with facts for the manifest."""
    rows, facts = sources.read(source)
    scoring = Scoring(weights=problem.score_weights, score_range=problem.score_range, turns=problem.turns)
    responses, reading = formats.judged(
        rows, scoring, source.name, columns=problem.columns, scores=problem.scores == "use"
    )
    examples, counts = make_examples(
        responses,
        keep_ties=problem.ties == "keep",
        pairing=problem.pairing,
        unpaired=problem.unpaired == "use",
    )
    made = {"rules_applied": counts, "pairs_made": sum(one.paired for one in examples)}
    return examples, {**facts, **reading, "responses": len(responses), **made}


def _settings_rules(problem: PreferenceSettings, limits: Limits) -> list[str]:
    label = (
        "Desirable is what the data says, else the preferred response of each pair."
        if problem.label_threshold is None
        else f"Desirable is a response with a score of at least {problem.label_threshold:g}."
    )
    together = f", or both more than {problem.max_length}" if problem.max_length else ""
    return [
        f"Pairing: {pairs.HOW[problem.pairing]}.",
        f"Ties: {problem.ties.replace('_', ' ')}.",
        label,
        f"Responses without a partner: {problem.unpaired.replace('_', ' ')}.",
        f"A pair or response is left out where the prompt has more than {limits.prompt} tokens or the response more "
        f"than {limits.response}{together}, for every method alike.",
        "No prompt is both trained on and held out; white space around it does not count.",
    ]


def _write_tables(problem: PreferenceSettings, out: Path, parts: Mapping[str, Sequence[Written]]) -> None:
    for split, part in parts.items():
        name = "responses" if split == "train" else f"responses_{split}"
        tables.write_responses(out / f"{name}.parquet", part, label_threshold=problem.label_threshold)
    tables.write_prompts(out / "prompts.parquet", parts)
