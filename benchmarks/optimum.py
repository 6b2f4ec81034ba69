"""Estimated distance to the optimum of a known, bounded reward, with bounds on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from una_bench.benchmarks.oracle import BEST_OF, CHOOSES, FIGURES

from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.settings import Count, WholeNumber
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import Prepared
    from una_bench.problems.generated.bounds import Optimum
    from una_bench.problems.generated.judge import Figure

HOW = {
    "regret": "standard error over prompts and samples, with the width of the bounds",
    "frontier_gap": "reward of the estimated frontier at the same KL, minus E[r]",
    "kl_optimum": "KL(π‖π*) = (J* − J)/β",
    "reward": "E[r], known reward",
}
"""Figure -> what is said of it where that is not what `oracle` says."""
BEST_OF_HOW = "expected by order statistics of its samples, at the largest KL that the best of n can have"


class OptimumEstimate(Benchmark):
    """Samples responses of a policy and compares its objective with the estimated optimum."""

    label = "Distance to the estimated optimum"
    about = "regret, KL and reward on a language model, with bounds of the optimum on both sides"
    chooses: ClassVar[Mapping[str, Better]] = CHOOSES
    samples: Count = 8
    """Samples to each prompt at temperature 1."""
    seed: WholeNumber = 0
    """Seed of sampling; the seed of the training is added, so that seeds differ in their samples too."""

    def applies(self, prepared: Prepared) -> bool:
        """Return whether the optimum of the problem was estimated."""
        return (prepared.path / "optimum.npz").is_file()

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Evaluate a checkpoint on training and held-out prompts; prompt by prompt, with a sample, in JSON lines."""
        from una_bench.problems.generated import judge

        optima, measured = _optima(checkpoint.prepared.path), []
        untrained = checkpoint.path == checkpoint.prepared.policy
        for split, by in optima.items():
            if untrained:
                figures, shown = judge.of_reference(by), []
                how = f"from the {by.rewards.shape[1]} samples a prompt of the optimum"
            else:
                figures, shown = self._sampled(checkpoint, split, by)
                how = f"{self.samples} samples a prompt at temperature 1"
            measured += [_measurement(name, split, figure, how, by) for name, figure in figures.items()]
            best = dict(_best_of(split, by)) if untrained else {}
            measured += [_measurement(name, split, figure, BEST_OF_HOW, by) for name, figure in best.items()]
            if by.unresolved:
                measured.append(_unresolved(split, by))
            measured += _of_optimum(split, by)
            _keep(checkpoint.out / f"oracle.{split}.samples.jsonl", figures | best, shown)
        return measured

    def _sampled(
        self, checkpoint: Checkpoint, split: str, by: Optimum
    ) -> tuple[dict[str, Figure], list[tuple[str, str]]]:
        """Return the figures of a policy from its samples, and prompt and first sample of each prompt."""
        from una_bench.evaluation.checkpoints import load_checkpoint, load_initial
        from una_bench.interfaces import registry
        from una_bench.problems.generated import bounds, judge, sampling
        from una_bench.una.generation import Sampling, end_tokens

        prepared = checkpoint.prepared
        model, tokenizer = load_checkpoint(checkpoint)
        table = prepared.prompts(split)
        drawn = sampling.draw(
            model,
            [(ids, self.samples) for ids in table.prompt_ids],
            Sampling(
                max_new_tokens=int(prepared.manifest["max_new_tokens"]),
                eos=end_tokens(model, tokenizer),
                pad=int(tokenizer.pad_token_id),
            ),
            seed=(1 + self.seed + 1009 * checkpoint.seed, bounds.SPLITS.index(split)),
            reference=load_initial(prepared.policy, checkpoint.device),
        )
        reward = registry.true_reward(prepared)
        assert reward is not None
        prompts = [table.prompt[one.prompt] for one in drawn]
        texts = list(sampling.texts(tokenizer, drawn))
        values = [reward(prompts, texts), [one.log_ratio for one in drawn], [one.kl for one in drawn]]
        reward_PK, ratio_PK, kl_PK = (np.array(each).reshape(len(table), self.samples) for each in values)
        first = [(prompts[i], texts[i]) for i in range(0, len(drawn), self.samples)]
        return judge.judge(reward_PK, ratio_PK, kl_PK, by), first


@lru_cache(maxsize=1)
def _optima(folder: Path) -> dict[str, Optimum]:
    from una_bench.problems.generated import bounds

    return bounds.load(folder)


def _measurement(name: str, split: str, figure: Figure, how: str, by: Optimum) -> Measurement:
    figure_name = name.rpartition(".")[2]
    unit, better, about = FIGURES[figure_name]
    about = f"{about}; {HOW[figure_name]}" if figure_name == "regret" else HOW.get(figure_name, about)
    return Measurement(
        metric=f"oracle.{name}.{split}",
        unit=unit,
        better=better,
        samples=(figure.value,),
        how=f"{about}; estimated, {how} and {by.rewards.shape[1]} of the reference",
        stderr=figure.error if np.isfinite(figure.error) else None,
    )


def _unresolved(split: str, by: Optimum) -> Measurement:
    unit, better, _ = FIGURES["regret"]
    return Measurement(metric=f"oracle.regret.{split}", unit=unit, better=better, samples=(), how=by.unresolved)


def _of_optimum(split: str, by: Optimum) -> list[Measurement]:
    """Return both bounds of J*, and the samples behind them: the same for every cell."""
    values = {
        "lower": (by.beta * by.lower, "1", "lower bound of J*"),
        "upper": (by.beta * by.upper, "1", "upper bound of J*"),
    }
    made = [
        Measurement(
            metric=f"optimum.{name}.{split}",
            unit=unit,
            better=Better.NEITHER,
            samples=() if np.isnan(each).any() else (float(each.mean()),),
            how=by.unresolved if np.isnan(each).any() else f"{about}, mean over {len(each)} prompts",
        )
        for name, (each, unit, about) in values.items()
    ]
    least = f"least of {len(by.effective_samples)} prompts, of {by.rewards.shape[1]} samples each"
    metric = f"optimum.effective_samples.{split}"
    return [*made, Measurement.one(metric, "1", Better.NEITHER, float(by.effective_samples.min()), least)]


def _best_of(split: str, by: Optimum) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of the best of n samples of the untrained policy, which costs no training."""
    from una_bench.problems.generated import judge

    for n in BEST_OF:
        if n in by.best_of_sizes:
            yield from ((f"best_of_{n}.{name}", figure) for name, figure in judge.of_best(n, by).items())


def _keep(path: Path, figures: Mapping[str, Figure], shown: list[tuple[str, str]]) -> None:
    """Write one JSON object a prompt: what tables pair methods by, and a sample for the report."""
    count = len(next(iter(figures.values())).by_prompt)
    lines: list[dict[str, Any]] = []
    for place in range(count):
        line: dict[str, Any] = {"doc_id": place, **{n: float(f.by_prompt[place]) for n, f in figures.items()}}
        if shown:
            line |= {"arguments": shown[place][0], "resps": shown[place][1]}
        lines.append(line)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
