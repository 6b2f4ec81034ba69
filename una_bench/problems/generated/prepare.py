"""Preparation of a generated problem: samples of the policy, feedback on them, and the estimate of the optimum."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from una_bench.errors import UserError
from una_bench.evaluation.checkpoints import load_initial
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import process_tuning
from una_bench.models import sizes
from una_bench.problems.exact.feedback import Noise, judge_pairs
from una_bench.problems.generated import bounds, judging, prompts, sampling
from una_bench.problems.generated.bounds import Optimum
from una_bench.problems.generated.judging import Judge
from una_bench.problems.generated.prompts import Prompt
from una_bench.problems.generated.sampling import Drawn
from una_bench.problems.preference import model_checks, reward_model
from una_bench.problems.preference.policy import find_policy, make_template, write_policy
from una_bench.record.hashes import path_hash
from una_bench.una.generation import Sampling, end_tokens

if TYPE_CHECKING:
    from una_bench.problems.generated.settings import GeneratedSettings

Say = Callable[[str], None]
THREADS = 2
"""Threads of sampling; fixed, because their number changes rounding."""
LEAST_ACCEPTED = 1e-6
"""Probability to accept the best of all samples, below which the range of the reward is too wide for its β."""
FEEDBACK, OPTIMUM, ACCEPTANCE = 0, 10, 20
"""Streams of random numbers; the split is added."""


class Sampler:
    """The policy with its reward: judged samples of given prompts."""

    def __init__(self, problem: GeneratedSettings, folder: Path, judge: Judge, say: Say) -> None:
        from transformers import AutoTokenizer

        self.problem, self.judge, self.say = problem, judge, say
        self.model = load_initial(folder / "policy", "cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
        self.ends = end_tokens(self.model, self.tokenizer)

    def __call__(
        self, part: Sequence[Prompt], counts: Sequence[int], stream: int, what: str
    ) -> tuple[list[Drawn], list[str], np.ndarray[Any, np.dtype[np.float64]]]:
        """Return samples, their texts and rewards, in the order of the prompts."""
        most, pad = self.problem.max_response_length, int(self.tokenizer.pad_token_id)
        drawn = sampling.draw(
            self.model,
            [(one.ids, count) for one, count in zip(part, counts, strict=True)],
            Sampling(max_new_tokens=most, eos=self.ends, pad=pad),
            seed=(self.problem.seed, stream),
            progress=lambda done, of: self.say(f"{what}: {done} of {of} samples"),
        )
        texts = list(sampling.texts(self.tokenizer, drawn))
        rewards = self.judge([part[one.prompt].text for one in drawn], texts)
        return drawn, texts, np.array(rewards)


def prepare(problem: GeneratedSettings, out: Path, say: Say) -> None:
    """Write everything that `una_bench.interfaces.prepared` describes, and ``optimum.npz``."""
    import pandas as pd

    out.mkdir(parents=True, exist_ok=True)
    reward = judging.find(problem)  # refused before anything is loaded
    as_given = problem.as_preference()
    model = find_policy(as_given, say)
    template = make_template(as_given, model)
    parts, facts = prompts.read(problem, template, sizes.context(sizes.configuration(model)))
    longest = max(len(one.ids) for part in parts.values() for one in part)
    rows = [row for split, part in parts.items() for row in prompts.rows(part, split)]
    pd.DataFrame(rows).to_parquet(out / "prompts.parquet", index=False)
    write_policy(model, template, out / "policy")
    judging.keep_copy(problem, out)
    judge = Judge(reward, {one.text: one.given for part in parts.values() for one in part}, template.tokenizer)
    with process_tuning.fixed(THREADS):
        sampler = Sampler(problem, out, judge, say)
        optima = {split: _optimum(problem, part, split, sampler) for split, part in parts.items()}
        tables = {split: _feedback(problem, part, split, sampler) for split, part in parts.items()}
    bounds.save(out, optima)
    for split, table in tables.items():
        table.to_parquet(out / ("responses.parquet" if split == "train" else f"responses_{split}.parquet"), index=False)
    as_preference = problem.as_preference(longest)
    model_notes, checks = model_checks.check_policy(model, template, Prepared(out))
    figures: dict[str, Any] | None = None
    if problem.reward_model:
        figures = reward_model.write_reward_model(as_preference, out, template, say)
        model_notes += figures.pop("notes", [])
    summaries = {split: optimum.summary() for split, optimum in optima.items()}
    manifest = {
        "kind": problem.kind,
        "settings": problem.model_dump(mode="json"),
        "counts": {f"prompts_{split}": len(part) for split, part in parts.items()}
        | {f"responses_{split}": len(table) for split, table in tables.items()},
        "notes": [*template.notes, *model_notes, *_notes(problem, summaries)],
        "max_prompt_length": longest,
        "max_new_tokens": problem.max_response_length,
        "mean_tokens": {
            "prompt": fmean(len(one.ids) for one in parts["train"]),
            "response": float(tables["train"].completion_ids.map(len).mean()),
        },
        "policy": {"source": model.source, "revision": model.revision, "trusted": model.trusted},
        "template": template.describe(),
        "checks": checks,
        "data": facts,
        "reward": {"name": reward.name, "bounds": reward.bounds, "scale": reward.scale},
        "reward_model": figures,
        "optimum": summaries,
        "frontier": {**summaries["train"]["frontier"], "best_of": summaries["train"]["best_of"]},
        "hashes": {part.name: path_hash(part) for part in sorted(out.iterdir())},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _optimum(problem: GeneratedSettings, part: Sequence[Prompt], split: str, sampler: Sampler) -> Optimum:
    """Sample each prompt, and go on with those of whose samples none was accepted as one of the optimum.

    Raises:
        UserError: Nothing was accepted for any prompt.
    """
    stream, count = bounds.SPLITS.index(split), problem.optimum_samples
    what = f"samples for the optimum ({split})"
    _, _, rewards = sampler(part, [count] * len(part), OPTIMUM + stream, what)
    reward_PN, highest = rewards.reshape(len(part), count), sampler.judge.reward.bounds[1]
    rng = np.random.default_rng([problem.seed, ACCEPTANCE + stream])
    offered = reward_PN[:, count // 2 :]
    kept = bounds.accept(offered, problem.beta, highest, rng)
    exact = [rewards_P[taken] for rewards_P, taken in zip(offered, kept, strict=True)]
    tried = np.full(len(part), count - count // 2)
    if np.exp((reward_PN.max() - highest) / problem.beta) < LEAST_ACCEPTED:
        least, most = float(reward_PN.min()), float(reward_PN.max())
        raise UserError(
            f"The reward {sampler.judge.reward.name} may be up to {highest:g}, but of {rewards.size} samples none was "
            f"above {most:g} (least: {least:g}). At problem.beta={problem.beta:g} not one in "
            f"{1 / LEAST_ACCEPTED:,.0f} of the best would be accepted as a sample of the optimum. State a `highest` "
            "that is reached, or raise problem.beta."
        )
    for number in range(1, problem.optimum_rounds + 1):
        lacking = [place for place, each in enumerate(exact) if not len(each)]
        if not lacking:
            break
        again = [part[place] for place in lacking]
        _, _, more = sampler(
            again, [count // 2] * len(again), OPTIMUM + stream + 100 * number, f"{what}, round {number + 1}"
        )
        for place, rewards_P in zip(lacking, more.reshape(len(again), -1), strict=True):
            exact[place] = rewards_P[bounds.accept(rewards_P, problem.beta, highest, rng)]
            tried[place] += len(rewards_P)
    return Optimum(rewards=reward_PN, exact=tuple(exact), tried=tried, beta=problem.beta)


def _feedback(problem: GeneratedSettings, part: Sequence[Prompt], split: str, sampler: Sampler) -> Any:
    """Sample pairs and judge them; columns as in `una_bench.interfaces.prepared`, pairs in random order."""
    import pandas as pd

    stream = FEEDBACK + bounds.SPLITS.index(split)
    rng = np.random.default_rng([problem.seed, 5, stream])
    pairs = (problem.responses if split == "train" else problem.responses_heldout) // 2
    pairs_of_prompt = np.bincount(rng.permutation(np.resize(np.arange(len(part)), pairs)), minlength=len(part))
    drawn, texts, rewards = sampler(part, (2 * pairs_of_prompt).tolist(), stream, f"feedback ({split})")
    order = (2 * rng.permutation(pairs)[:, None] + np.arange(2)).ravel()
    judged = judge_pairs(rewards[order], Noise(label=problem.label_noise, score=problem.score_noise), rng)
    return pd.DataFrame(
        {
            "pair": judged.pop("pair"),
            "prompt": [part[drawn[i].prompt].text for i in order],
            "completion": [texts[i] for i in order],
            "prompt_ids": [part[drawn[i].prompt].ids for i in order],
            "completion_ids": [drawn[i].ids for i in order],
            **judged,
        }
    )


def _notes(problem: GeneratedSettings, summaries: dict[str, dict[str, Any]]) -> list[str]:
    """Return what a user has to know of the optimum."""
    train = summaries["train"]
    one = train["beta_at_one_nat"]
    rule = f"; it would be 1 nat at problem.beta={one:.2g}" if one else ""
    nats = f"{train['kl_ref']:.2g}"
    distance = f"{nats} nat{'s' * (nats != '1')}"
    notes = [f"The optimum at problem.beta={problem.beta:g} is {distance} from the policy{rule}."]
    for split, summary in summaries.items():
        if summary["unresolved"]:
            where = {"train": "training", "heldout": "held-out"}.get(split, split)
            notes.append(f"Regret on {where} prompts is {summary['unresolved']}.")
    return notes
