"""Two processes train a cell as one does: the same losses, weights, rows and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_launch import Case, launch

from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback

ROLLOUTS = {"responses_per_rollout": 16, "num_iterations": 2}
CASES: dict[str, Case] = {
    "una_score": ("una_score", {"offset": "learned", "group_by_length": True}, {}),
    "una_binary": ("una_binary", {"offset": "ema"}, {}),
    "several passes a step": ("una_binary", {"reduction": "sum", "per_device_train_batch_size": 2}, {}),
    "una_pairwise": ("una_pairwise", {}, {}),
    "una_online": ("una_online", {**ROLLOUTS, "offset": "prompt_mean"}, {}),
    "rebel": ("rebel", ROLLOUTS, {}),
    "qrpo": ("qrpo", {}, {}),
    "dpo": ("dpo", {"group_by_length": True, "precompute_ref_log_probs": True}, {}),
    "kto": ("kto", {"precompute_ref_log_probs": True}, {}),
    "ipo": ("ipo", {}, {}),
    "apo": ("apo", {}, {}),
    "nca": ("nca", {}, {}),
    "robust_dpo": ("robust_dpo", {}, {}),
    "simpo": ("simpo", {}, {}),
    "bco": ("bco", {"precompute_ref_log_probs": True}, {}),
    "reference in steps": ("kto", {}, {}),
    "sft_chosen": ("sft_chosen", {}, {}),
    "adapters": ("una_score", {}, {"lora": True}),
    "tokens": ("una_score", {}, {"budget_responses": None, "budget_tokens": 400}),
    # 32 pairs in steps of 10: a pass ends in a step of 2, of which each process has one
    "even end": ("dpo", {}, {"batch_responses": 20}),
    # 61 responses in steps of 8: the last step of a pass has 5, of which the processes have 2 and 3
    "uneven end": ("una_score", {}, {"rows": 61}),
}
Results = Mapping[tuple[str, int], Any]


@pytest.fixture(scope="module")
def results(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return the result of each case by number of processes; cases share a launch, whose imports take longest."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "prepared").symlink_to(tiny_prepared)
    for number in (1, 2):
        launch(folder, number, CASES)
    return {(c, n): json.loads((folder / f"{c}-{n}" / "result.json").read_text()) for c in CASES for n in (1, 2)}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two launches that train all cases
@pytest.mark.parametrize("case", CASES)
def test_losses_agree(case: str, results: Results) -> None:
    np.testing.assert_allclose(results[case, 2]["losses"], results[case, 1]["losses"], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two launches that train all cases
@pytest.mark.parametrize("case", CASES)
def test_weights_agree(case: str, results: Results) -> None:
    one, two = results[case, 1]["weights"], results[case, 2]["weights"]
    gaps = {name: np.abs(np.subtract(one[name], two[name])).max() for name in one}
    assert max(gaps.values()) < 1e-5, gaps


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two launches that train all cases
@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_all_processes(case: str, results: Results) -> None:
    for count in ("totals", "steps"):
        assert results[case, 2][count] == results[case, 1][count]


def test_every_method_that_several_processes_may_train_is_compared() -> None:
    kinds = {name: registry.method(name) for name in registry.method_names()}
    allowed = {n for n, kind in kinds.items() if not kind.one_process and kind.feedback is not Feedback.NONE}
    assert allowed == {method for method, *_ in CASES.values()}
