"""The estimated optimum beside the exact one, on a run of the suite exact, whose truth is enumerable.

    una-bench run exact --seeds 0 --out results/runs/exact
    python benchmarks/studies/estimated_optimum.py results/runs/exact

Samples of π_ref are drawn and judged 100 times over. For each repetition: do the bounds (with their sampling error)
hold the true mean log Z; and does each method's estimated regret, from new samples of its checkpoint, agree with the
exact one within its interval?
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from una_bench.machine import environment
from una_bench.problems.exact import language, optimum, tree, truth
from una_bench.problems.exact.policy import sampler
from una_bench.problems.exact.truth import Truth
from una_bench.problems.generated import bounds, judge, sampling
from una_bench.problems.generated.bounds import Optimum
from una_bench.record import storage
from una_bench.una.generation import Sampling

OUT = Path(__file__).parents[2] / "results" / "studies" / "estimated_optimum.json"
SPLITS = ("train", "heldout")
SAMPLES, POLICY_SAMPLES = 512, 8
"""To each prompt, of the reference and of a policy. The optimum of exact is 1.6 nats away, that of sentiment 1."""


def estimate(known: Truth, split: str, rng: np.random.Generator, samples: int = SAMPLES) -> Optimum:
    """Estimate the optimum of one split from samples of the enumerated reference, as the preparation does."""
    rows = known.rows(split)
    draw = sampler(known.logp_reference[rows], rng)
    places = np.repeat(np.arange(len(rows)), samples)
    reward_PN = known.reward[rows][places, draw(places)].reshape(len(rows), samples)
    offered, highest = reward_PN[:, samples // 2 :], float(known.reward.max())
    taken = bounds.accept(offered, known.beta, highest, rng)
    exact = [r[t] for r, t in zip(offered, taken, strict=True)]
    tried = np.full(len(rows), offered.shape[1])
    for place, row in enumerate(rows):
        while not len(exact[place]):
            again = known.reward[row][sampler(known.logp_reference[[row]], rng)(np.zeros(samples, dtype=np.int64))]
            exact[place] = again[bounds.accept(again, known.beta, highest, rng)]
            tried[place] += samples
    return Optimum(rewards=reward_PN, exact=tuple(exact), tried=tried, beta=known.beta)


class Policy:
    """A checkpoint of the run, with its exact regret and new samples."""

    def __init__(self, folder: Path, reference: Any, known: Truth) -> None:
        from transformers import PhiForCausalLM

        self.model, self.reference, self.known = PhiForCausalLM.from_pretrained(folder).eval(), reference, known
        with torch.no_grad():
            self.exact = known.judge(tree.log_probabilities(self.model, tree.prompt_ids()).numpy())

    def figures(self, split: str, by: Optimum, repetition: int) -> dict[str, judge.Figure]:
        """Return what `benchmarks/optimum.py` would say of it."""
        rows = self.known.rows(split)
        ids = [language.token_ids(language.prompts()[row]) for row in rows]
        cut = Sampling(max_new_tokens=language.MAX_TOKENS, eos=(language.END_ID,), pad=language.PAD_ID)
        drawn = sampling.draw(
            self.model, [(each, POLICY_SAMPLES) for each in ids], cut, seed=(repetition, 7), reference=self.reference
        )
        texts = ["".join(language.VOCABULARY[i] for i in one.ids) for one in drawn]
        reward = [
            self.known.reward[rows[d.prompt], language.response_number(t)] for d, t in zip(drawn, texts, strict=True)
        ]
        values = (reward, [d.log_ratio for d in drawn], [d.kl for d in drawn])
        return judge.judge(*(np.array(v).reshape(len(rows), -1) for v in values), by)


def study(run: Path, repetitions: int) -> dict[str, Any]:
    """Repeat the estimate and compare it with the truth."""
    from transformers import PhiForCausalLM

    prepared = _prepared(run)
    known = truth.load(prepared)
    reference = PhiForCausalLM.from_pretrained(prepared / "policy").eval()
    # The folder of a cell is called METHOD-sSEED-KEY.
    folders = sorted((run / "cells").glob("*/checkpoint"))
    policies = {f.parent.name: Policy(f, reference, known) for f in folders}
    held: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    regrets: dict[str, list[tuple[float, float, float]]] = {}
    for repetition in range(repetitions):
        rng = np.random.default_rng([repetition, 1])
        for split in SPLITS:
            by = estimate(known, split, rng)
            exact = float(
                optimum.log_normalizer(
                    known.logp_reference[known.rows(split)], known.reward[known.rows(split)], known.beta
                ).mean()
            )
            low, high = by.interval
            held[split].append(
                {
                    "low": low,
                    "high": high,
                    "lower": by.lower.mean(),
                    "upper": by.upper.mean(),
                    "exact": exact,
                    "least": by.effective_samples.min(),
                    "unresolved": by.unresolved,
                }
            )
            for name, policy in policies.items():
                figures = policy.figures(split, by, repetition)
                if "regret" in figures:
                    figure = figures["regret"]
                    regrets.setdefault(f"{name} {split}", []).append(
                        (figure.value, figure.error, policy.exact[f"regret.{split}"])
                    )
    return {
        "schema": 1,
        "kind": "estimated_optimum",
        "repetitions": repetitions,
        "samples": SAMPLES,
        "policy_samples": POLICY_SAMPLES,
        "environment": environment.machine(),
        "bounds": {split: _of_bounds(rows) for split, rows in held.items()},
        "regrets": {name: _of_regrets(rows) for name, rows in regrets.items()},
    }


def _of_bounds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "exact": rows[0]["exact"],
        "held": sum(bool(row["low"] <= row["exact"] <= row["high"]) for row in rows),
        "below_held": sum(bool(row["low"] <= row["exact"]) for row in rows),
        "above_held": sum(bool(row["exact"] <= row["high"]) for row in rows),
        "lower_mean": float(fmean(row["lower"] for row in rows)),
        "upper_mean": float(fmean(row["upper"] for row in rows)),
        "unresolved": sum(bool(row["unresolved"]) for row in rows),
        "effective_samples_least": float(min(row["least"] for row in rows)),
    }


def _of_regrets(rows: list[tuple[float, float, float]]) -> dict[str, Any]:
    values = [value for value, _, _ in rows]
    return {
        "exact": rows[0][2],
        "mean": fmean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "error_mean": fmean(error for _, error, _ in rows),
        "covered": sum(abs(value - exact) <= bounds.Z95 * error for value, error, exact in rows),
        "of": len(rows),
    }


def _prepared(run: Path) -> Path:
    """Return the prepared folder of a run."""
    info = json.loads((run / "run.json").read_text())
    folders = (storage.cache_folder() / "prepared").glob(f"exact-*-{info['preparation']}/manifest.json")
    return next(
        file.parent for file in folders if json.loads(file.read_text())["settings"] == info["prepared"]["settings"]
    )


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = study(given.run, given.repetitions)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    for split, row in result["bounds"].items():
        print(f"log Z ({split}): held in {row['held']} of {given.repetitions} repetitions")
    for name, row in result["regrets"].items():
        estimated = f"{row['mean']:.3f} ± {row['error_mean']:.3f}"
        print(f"{name}: exact {row['exact']:.3f}, estimated {estimated}, covered {row['covered']} of {row['of']}")


if __name__ == "__main__":
    main()
