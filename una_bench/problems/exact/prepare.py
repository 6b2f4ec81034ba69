"""Preparation of the exact problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from una_bench.machine import process_tuning
from una_bench.problems.exact import feedback, language, policy, reward_model, tasks, world
from una_bench.problems.exact.settings import ExactSettings
from una_bench.problems.exact.truth import Truth, make
from una_bench.record.hashes import path_hash


def prepare(problem: ExactSettings, out: Path, say: Callable[[str], None]) -> None:
    """Write everything that `una_bench.interfaces.prepared` describes, and ``truth.npz``."""
    out.mkdir(parents=True, exist_ok=True)
    with process_tuning.fixed(1):  # models this small gain nothing from more threads
        truth = make_truth(problem, out, say)
        say("feedback")
        counts = _write_feedback(problem, truth, out)
        tasks.write_tasks(out / "tasks", truth, problem.seed)
        truth.save(out)
        figures: dict[str, Any] | None = None
        if problem.reward_model:
            say("reward model")
            figures = reward_model.learn(out, truth, seed=problem.seed, steps=problem.reward_model_steps)
    summary = truth.summary()
    manifest = {
        "kind": problem.kind,
        "settings": problem.model_dump(mode="json"),
        "counts": counts,
        "max_prompt_length": language.PROMPT_TOKENS,
        "max_new_tokens": language.MAX_TOKENS,
        "reward_model": figures,
        "optimum": summary,
        "frontier": {axis: summary["train"]["frontier"][axis] for axis in ("kl", "reward")},
        "hashes": {part.name: path_hash(part) for part in sorted(out.iterdir())},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def make_truth(problem: ExactSettings, out: Path, say: Callable[[str], None]) -> Truth:
    """Create the reference policy and the reward, and write the policy."""
    splits = world.split_prompts(problem.seed, problem.heldout_prompts, problem.validation_prompts)
    reference = policy.new_policy(problem.seed + 1)
    logp_teacher = policy.enumerate_responses(policy.teacher(problem.seed, problem.teacher_sharpness))
    say("reference policy")
    train = np.flatnonzero(splits["train"])
    policy.sft(reference, logp_teacher, prompts=train, steps=problem.sft_steps, seed=problem.seed, say=say)
    reference.save_pretrained(out / "policy")
    language.build_tokenizer().save_pretrained(out / "policy")
    logp_reference = policy.enumerate_responses(reference)
    raw = world.raw_reward(problem.reward_seed, problem.prompt_share)
    reward = world.standardized(raw, logp_reference, splits)
    reward += world.offsets(problem.seed, problem.shift, problem.shift_sd, splits)[:, None]
    return make(logp_reference, reward, splits, problem.beta)


def _write_feedback(problem: ExactSettings, truth: Truth, out: Path) -> dict[str, int]:
    """Write the tables of responses and prompts and return their counts."""
    import pandas as pd

    noise = feedback.Noise(label=problem.label_noise, score=problem.score_noise)
    counts: dict[str, int] = {}
    amounts = {"train": problem.responses, "heldout": problem.responses_heldout}
    for stream, (split, amount) in enumerate(amounts.items()):
        table = feedback.draw_feedback(
            truth.logp_reference,
            truth.reward,
            prompts=truth.rows(split),
            pairs=amount // 2,
            noise=noise,
            rng=np.random.default_rng([problem.seed, 5, stream]),
        )
        name = "responses.parquet" if split == "train" else "responses_heldout.parquet"
        table.to_parquet(out / name, index=False)
        counts |= {f"prompts_{split}": len(truth.rows(split)), f"responses_{split}": len(table)}
    prompts = list(language.prompts())
    splits = [next(name for name, mask in truth.splits.items() if mask[i]) for i in range(len(prompts))]
    ids = [language.token_ids(text) for text in prompts]
    table = pd.DataFrame({"prompt": prompts, "prompt_ids": ids, "split": splits})
    table.to_parquet(out / "prompts.parquet", index=False)
    if "validation" in truth.splits:
        counts["prompts_validation"] = len(truth.rows("validation"))
    return counts | {"responses_a_prompt": truth.reward.shape[1]}
