"""Totals and printed summary of the study of lm-eval's commands."""

from __future__ import annotations

import statistics
from typing import Any

import lm_eval_sides as sides

TARGET_RATIO = 3.0
"""Minimum ratio of wall times."""


def totals(lines: list[dict[str, Any]], fast: sides.Spent, each: list[sides.Evaluated], methods: int) -> dict[str, Any]:
    """Compare wall and processor time of both sides for ``methods`` methods.

    Checkpoints that a side did not run on are assumed to take as long as the mean of its adapters.
    """
    result: dict[str, Any] = {"methods": methods}
    for kind in ("seconds", "cpu_seconds"):
        slow: dict[str, float] = {}
        for line in lines:
            if not line["status"]:
                slow[line["checkpoint"]] = slow.get(line["checkpoint"], 0.0) + line[kind]
        ours_by_checkpoint = {facts.checkpoint: float(getattr(facts, kind)) for facts in each}
        theirs = sum(slow.values()) + (methods - len(slow)) * _typical(slow)
        ours = float(getattr(fast, kind)) + (methods - len(ours_by_checkpoint)) * _typical(ours_by_checkpoint)
        result[kind] = {"lm_eval": theirs, "una_bench": ours, "ratio": theirs / ours}
        # Ratio without startup: a command that fails on its data has started and loaded the model.
        start = [line[kind] for line in lines if line["status"]]
        if start:
            ran = [line[kind] - statistics.mean(start) for line in lines if not line["status"]]
            rest = sum(ran) / len(slow) / statistics.mean(ours_by_checkpoint[name] for name in slow)
            result[kind] |= {"start_of_a_command": statistics.mean(start), "ratio_without_starts": rest}
    return result


def _typical(costs: dict[str, float]) -> float:
    adapters = [value for name, value in costs.items() if name != sides.BASE]
    return statistics.mean(adapters or costs.values())


def show(record: dict[str, Any]) -> None:
    """Print the results of a record."""
    ran = [line for line in record["commands"] if not line["status"]]
    for name in dict.fromkeys(line["task"] for line in ran):
        theirs = statistics.mean(line["seconds"] for line in ran if line["task"] == name)
        ours = statistics.mean(facts["tasks"][name] for facts in record["una_bench"]["evaluated"])
        scores = [score for line in ran if line["task"] == name for score in line.get("scores", ())]
        differs = max((score["difference"] for score in scores), default=0.0)
        same = f"differ by {differs:.1g}" if differs else "identical"
        print(f"{name:26s} lm_eval {theirs:7.1f} s  una-bench {ours:7.1f} s  scores {same}")
    wall, verdict = record["totals"]["seconds"], record["verdict"]
    sums = f"{wall['lm_eval']:.0f} s / {wall['una_bench']:.0f} s = {wall['ratio']:.2f}"
    met = "met" if wall["ratio"] >= TARGET_RATIO else "NOT MET"
    print(f"{record['totals']['methods']} methods: {sums}, target {TARGET_RATIO:.1f}: {met}")
    same = f"{verdict['scores_identical']} of {verdict['scores']} scores identical"
    agree = "agree" if verdict["scores_agree"] else "DO NOT AGREE"
    print(f"{same}, largest difference {verdict['largest_score_difference']}: {agree}")
