"""The two Open LLM Leaderboards: their tasks, few-shot examples and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_BBH = {
    2: "boolean_expressions causal_judgement formal_fallacies hyperbaton navigate snarks sports_understanding "
    "web_of_lies",
    3: "disambiguation_qa logical_deduction_three_objects tracking_shuffled_objects_three_objects",
    4: "temporal_sequences",
    5: "logical_deduction_five_objects penguins_in_a_table tracking_shuffled_objects_five_objects",
    6: "date_understanding movie_recommendation ruin_names salient_translation_error_detection",
    7: "logical_deduction_seven_objects tracking_shuffled_objects_seven_objects",
    11: "geometric_shapes",
    18: "reasoning_about_colored_objects",
    19: "object_counting",
}
BBH_CHOICES = {name: count for count, names in _BBH.items() for name in names.split()}
MUSR_CHOICES = {"murder_mysteries": 2, "object_placements": 5, "team_allocation": 3}
CHOICES = {
    f"leaderboard_{group}_{name}": n
    for group, counts in (("bbh", BBH_CHOICES), ("musr", MUSR_CHOICES))
    for name, n in counts.items()
}
"""Number of choices of each sub-task, from the leaderboard's documentation of its normalization."""
IFEVAL = tuple(f"{level}_level_{kind}_acc,none" for level in ("prompt", "inst") for kind in ("strict", "loose"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One task of a leaderboard."""

    name: str
    """Name in the paper's tables."""
    task: str
    """Name in lm-eval."""
    data: str
    """Dataset on the hub that lm-eval reads for it."""
    folder: str
    """Its folder in lm-eval's tasks."""
    shots: int | None
    """Few-shot examples; None: the task's default, which is the leaderboard's."""
    metrics: tuple[str, ...]
    """lm-eval's metrics (with filter), the main one first."""
    paper: tuple[str, ...]
    """lm-eval's metrics whose mean is the paper's score."""
    chance: float | None = None
    """Score at chance, for normalization; None: not normalized."""
    strict: tuple[str, ...] = ()
    """Metrics whose mean is normalized, if not ``paper``."""

    @property
    def keys(self) -> set[str]:
        """Keys of the metrics and their standard errors in lm-eval's results."""
        return {key for metric in self.metrics for key in (metric, metric.replace(",", "_stderr,"))}


def _entry(name: str, source: tuple[str, str], shots: int | None, *metrics: str, **more: Any) -> Entry:
    task, data = source
    settings = {"folder": FOLDERS.get(task, task), "paper": metrics, **more}
    return Entry(name=name, task=task, data=data, shots=shots, metrics=metrics, **settings)


FOLDERS = {
    "arc_challenge": "arc",
    "mmlu": "mmlu/default",
    "truthfulqa_mc2": "truthfulqa",
    **{f"leaderboard_{name}": "leaderboard" for name in ("bbh", "gpqa", "mmlu_pro", "musr", "ifeval", "math_hard")},
}
"""Folders whose name differs from the task's."""


GROUPS: Mapping[str, tuple[Entry, ...]] = MappingProxyType(
    {
        "leaderboard-v1": (
            _entry("gsm8k", ("gsm8k", "openai/gsm8k"), 5, "exact_match,strict-match", "exact_match,flexible-extract"),
            _entry("truthful_qa", ("truthfulqa_mc2", "truthfulqa/truthful_qa"), 0, "acc,none"),
            _entry("winogrande", ("winogrande", "allenai/winogrande"), 5, "acc,none"),
            _entry("arc", ("arc_challenge", "allenai/ai2_arc"), 25, "acc_norm,none"),
            _entry("hellaswag", ("hellaswag", "Rowan/hellaswag"), 10, "acc_norm,none"),
            _entry("mmlu", ("mmlu", "cais/mmlu"), 5, "acc,none"),
        ),
        "leaderboard-v2": (
            _entry("bbh", ("leaderboard_bbh", "SaylorTwift/bbh"), None, "acc_norm,none", chance=0.0),
            _entry("gpqa", ("leaderboard_gpqa", "Idavidrein/gpqa"), None, "acc_norm,none", chance=1 / 4),
            _entry("mmlu_pro", ("leaderboard_mmlu_pro", "TIGER-Lab/MMLU-Pro"), None, "acc,none", chance=1 / 10),
            _entry("musr", ("leaderboard_musr", "TAUR-Lab/MuSR"), None, "acc_norm,none", chance=0.0),
            _entry(
                "ifeval",
                ("leaderboard_ifeval", "wis-k/instruction-following-eval"),
                None,
                *IFEVAL,
                chance=0.0,
                strict=(IFEVAL[0], IFEVAL[2]),
            ),
            _entry(
                "math_hard",
                ("leaderboard_math_hard", "DigitalLearningGmbH/MATH-lighteval"),
                None,
                "exact_match,none",
                chance=0.0,
            ),
        ),
    }
)
