"""lm-eval's output files, from its command or from una-bench, and their comparison by score and by answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDING = 1e-4
"""Tolerance of scores: a mean of probabilities depends on the order of summation."""
Scores = dict[str, dict[str, float]]
"""Value by lm-eval's task and metric."""


@dataclass(frozen=True)
class Answers:
    """Output of one task of one model, from either side."""

    folder: Path
    name: str
    """Requested task or group."""
    command: bool
    """Whether lm-eval's command wrote it."""

    @property
    def results(self) -> dict[str, Any]:
        """lm-eval's results without samples."""
        pattern = "**/results_20*.json" if self.command else f"{self.name}.results.json"
        files = sorted(self.folder.glob(pattern))
        results: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
        return results

    def scores(self) -> Scores:
        """Return metrics without standard errors, which depend on the number of draws."""
        return {task: _figures(values) for task, values in self.results["results"].items() if _figures(values)}

    def samples(self, task: str) -> list[dict[str, Any]]:
        """Return the documents of a task with the model's answers."""
        pattern = f"**/samples_{task}_20*.jsonl" if self.command else f"{task}.samples.jsonl"
        [file] = self.folder.glob(pattern)
        lines = file.read_text(encoding="utf-8").splitlines()
        samples: list[dict[str, Any]] = sorted(map(json.loads, lines), key=lambda s: (s["doc_id"], s["filter"]))
        return samples

    def documents(self) -> dict[str, list[int]]:
        """Return the document numbers of each task."""
        tasks = self.results["n-samples"]
        return {task: sorted({int(s["doc_id"]) for s in self.samples(task)}) for task in tasks}


def _figures(values: dict[str, Any]) -> dict[str, float]:
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and "," in k and "_stderr" not in k}
    return {metric: float(value) for metric, value in numbers.items()}


@dataclass(kw_only=True)
class Compared:
    """Agreement of two sets of answers."""

    documents: int = 0
    same_prompts: bool = True
    """Whether both sides used the same documents, prompts and targets."""
    log_likelihoods: int = 0
    largest_difference: float = 0.0
    """Largest difference of a log-likelihood, nats."""
    sum_of_differences: float = 0.0
    """Sum of absolute differences, nats."""
    greedy: int = 0
    """Answers on whether greedy decoding would produce a choice."""
    greedy_that_differ: int = 0
    texts: int = 0
    texts_that_differ: int = 0
    scores: list[dict[str, Any]] = field(default_factory=list)

    def add(self, ours: Any, theirs: Any) -> None:
        """Compare one answer; lm-eval's command writes answers as text."""
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
    """Compare every score and answer of ``theirs`` with ``ours``."""
    compared = Compared()
    our_scores = ours.scores()
    for task, metrics in theirs.scores().items():
        for metric, value in metrics.items():
            our_value = our_scores[task][metric]
            line = {"task": task, "metric": metric, "ours": our_value, "lm_eval": value}
            compared.scores.append(line | {"difference": abs(our_value - value), "identical": our_value == value})
    for task in theirs.results["n-samples"]:
        first, second = ours.samples(task), theirs.samples(task)
        compared.same_prompts &= [_request(s) for s in first] == [_request(s) for s in second]
        # Several filters may read one answer: a document counts once.
        answered = {s["doc_id"]: (s["resps"], t["resps"]) for s, t in zip(first, second, strict=False)}
        compared.documents += len(answered)
        for responses in answered.values():
            for our_answer, their_answer in _leaves(*responses):
                compared.add(our_answer, their_answer)
    return compared


def _request(sample: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sample[key] for key in ("doc_id", "filter", "doc_hash", "prompt_hash", "target_hash"))


def _leaves(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(ours, list):
        for one, other in zip(ours, theirs, strict=True):
            yield from _leaves(one, other)
    else:
        yield ours, theirs


def verdict(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarize comparisons, each with ``scores`` and the counts of `Compared`."""
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
