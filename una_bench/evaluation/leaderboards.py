"""The two Open LLM Leaderboards: their tasks, few-shot examples and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
CHOICES = {f"leaderboard_bbh_{name}": count for name, count in BBH_CHOICES.items()}
CHOICES |= {f"leaderboard_musr_{name}": count for name, count in MUSR_CHOICES.items()}
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
    shots: int | None
    """Few-shot examples; None: the task's default, which is the leaderboard's."""
    metrics: tuple[str, ...]
    """lm-eval's metrics (with filter), the main one first; their mean is the paper's score."""
    chance: float | None = None
    """Score at chance, for normalization; None: not normalized."""
    strict: tuple[str, ...] = ()
    """Metrics whose mean is normalized, if not ``metrics``."""


FOLDERS = {
    "arc_challenge": "arc",
    "mmlu": "mmlu/default",
    "truthfulqa_mc2": "truthfulqa",
    **{f"leaderboard_{name}": "leaderboard" for name in ("bbh", "gpqa", "mmlu_pro", "musr", "ifeval", "math_hard")},
}
"""lm-eval's folders of tasks, where the name differs from the task's."""


def _v1(name: str, task: str, data: str, shots: int, *metrics: str) -> Entry:
    return Entry(name=name, task=task, data=data, shots=shots, metrics=metrics)


def _v2(name: str, data: str, *metrics: str, chance: float, strict: tuple[str, ...] = ()) -> Entry:
    task = f"leaderboard_{name}"
    return Entry(name=name, task=task, data=data, shots=None, metrics=metrics, chance=chance, strict=strict)


GROUPS: Mapping[str, tuple[Entry, ...]] = MappingProxyType(
    {
        "leaderboard-v1": (
            _v1("gsm8k", "gsm8k", "openai/gsm8k", 5, "exact_match,strict-match", "exact_match,flexible-extract"),
            _v1("truthful_qa", "truthfulqa_mc2", "truthfulqa/truthful_qa", 0, "acc,none"),
            _v1("winogrande", "winogrande", "allenai/winogrande", 5, "acc,none"),
            _v1("arc", "arc_challenge", "allenai/ai2_arc", 25, "acc_norm,none"),
            _v1("hellaswag", "hellaswag", "Rowan/hellaswag", 10, "acc_norm,none"),
            _v1("mmlu", "mmlu", "cais/mmlu", 5, "acc,none"),
        ),
        "leaderboard-v2": (
            _v2("bbh", "SaylorTwift/bbh", "acc_norm,none", chance=0.0),
            _v2("gpqa", "Idavidrein/gpqa", "acc_norm,none", chance=1 / 4),
            _v2("mmlu_pro", "TIGER-Lab/MMLU-Pro", "acc,none", chance=1 / 10),
            _v2("musr", "TAUR-Lab/MuSR", "acc_norm,none", chance=0.0),
            _v2("ifeval", "wis-k/instruction-following-eval", *IFEVAL, chance=0.0, strict=(IFEVAL[0], IFEVAL[2])),
            _v2("math_hard", "DigitalLearningGmbH/MATH-lighteval", "exact_match,none", chance=0.0),
        ),
    }
)
