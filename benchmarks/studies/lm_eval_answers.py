"""Reads what lm-eval leaves, by its command or through una-bench, and compares score by score and answer by answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDING = 1e-4
"""Scores that differ by no more agree: a mean of probabilities moves with the order in which numbers are added."""
Scores = dict[str, dict[str, float]]
"""Value by task and metric, as lm-eval names them."""


@dataclass(frozen=True)
class Answers:
    """One task of one model, as it was left in a folder by either side."""

    folder: Path
    name: str
    """Task or group that was asked for."""
    command: bool
    """Whether lm-eval's command left it."""

    @property
    def results(self) -> dict[str, Any]:
        """lm-eval's results without samples."""
        pattern = "**/results_20*.json" if self.command else f"{self.name}.results.json"
        files = sorted(self.folder.glob(pattern))
        found: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
        return found

    def scores(self) -> Scores:
        """Return metrics without their standard errors, which depend on a number of draws."""
        return {task: _figures(values) for task, values in self.results["results"].items() if _figures(values)}

    def samples(self, task: str) -> list[dict[str, Any]]:
        """Return the documents of a task with what the model made of them."""
        pattern = f"**/samples_{task}_20*.jsonl" if self.command else f"{task}.samples.jsonl"
        [file] = self.folder.glob(pattern)
        lines = file.read_text(encoding="utf-8").splitlines()
        found: list[dict[str, Any]] = sorted(map(json.loads, lines), key=lambda s: (s["doc_id"], s["filter"]))
        return found

    def documents(self) -> dict[str, list[int]]:
        """Numbers of the documents of each single task."""
        tasks = self.results["n-samples"]
        return {task: sorted({int(s["doc_id"]) for s in self.samples(task)}) for task in tasks}


def _figures(values: dict[str, Any]) -> dict[str, float]:
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and "," in k and "_stderr" not in k}
    return {metric: float(value) for metric, value in numbers.items()}


@dataclass(kw_only=True)
class Compared:
    """How far two sets of answers agree."""

    documents: int = 0
    same_prompts: bool = True
    """Both sides put the same documents, prompts and targets."""
    log_likelihoods: int = 0
    largest_difference: float = 0.0
    """Of a log-likelihood, nats."""
    sum_of_differences: float = 0.0
    """Without sign, nats."""
    greedy: int = 0
    """Judgments whether greedy decoding would write a choice."""
    greedy_that_differ: int = 0
    texts: int = 0
    texts_that_differ: int = 0
    scores: list[dict[str, Any]] = field(default_factory=list)

    def add(self, ours: Any, theirs: Any) -> None:
        """Count one answer; lm-eval's command writes each as text."""
        if isinstance(ours, bool):
            self.greedy += 1
            self.greedy_that_differ += str(ours) != str(theirs)
        elif isinstance(ours, float):
            difference = abs(ours - float(theirs))
            self.log_likelihoods += 1
            self.sum_of_differences += difference
            self.largest_difference = max(self.largest_difference, difference)
        else:
            self.texts += 1
            self.texts_that_differ += str(ours) != str(theirs)


def compare(ours: Answers, theirs: Answers) -> Compared:
    """Compare every score and every answer that the other side gives."""
    found = Compared()
    mine = ours.scores()
    for task, metrics in theirs.scores().items():
        for metric, value in metrics.items():
            own = mine[task][metric]
            line = {"task": task, "metric": metric, "ours": own, "lm_eval": value}
            found.scores.append(line | {"difference": abs(own - value), "identical": own == value})
    for task in theirs.results["n-samples"]:
        first, second = ours.samples(task), theirs.samples(task)
        found.same_prompts &= [_asked(s) for s in first] == [_asked(s) for s in second]
        # Several filters read the same answer: a document counts once.
        answered = {s["doc_id"]: (s["resps"], t["resps"]) for s, t in zip(first, second, strict=False)}
        found.documents += len(answered)
        for responses in answered.values():
            for mine_one, their_one in _leaves(*responses):
                found.add(mine_one, their_one)
    return found


def _asked(sample: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sample[key] for key in ("doc_id", "filter", "doc_hash", "prompt_hash", "target_hash"))


def _leaves(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(ours, list):
        for one, other in zip(ours, theirs, strict=True):
            yield from _leaves(one, other)
    else:
        yield ours, theirs


def verdict(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up comparisons, each with ``scores`` and the counts of `Compared`."""
    scores = [score for line in lines for score in line["scores"]]
    counts = ("documents", "log_likelihoods", "greedy", "greedy_that_differ", "texts", "texts_that_differ")
    return {
        "scores": len(scores),
        "scores_identical": sum(score["identical"] for score in scores),
        "largest_score_difference": max((score["difference"] for score in scores), default=None),
        "scores_agree": bool(scores) and all(score["difference"] <= ROUNDING for score in scores),
        "rounding": ROUNDING,
        "same_prompts": all(line["same_prompts"] for line in lines),
        "largest_log_likelihood_difference": max((line["largest_difference"] for line in lines), default=None),
        **{name: sum(line[name] for line in lines) for name in counts},
    }
