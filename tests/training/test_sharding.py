"""DeepSpeed's ZeRO on two processes trains a cell as one process does, on processors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_launch import Case, launch

ROLLOUTS = {"responses_per_rollout": 16, "num_iterations": 2}
EVALUATED = {"evaluate_at": [24, 48]}
CASES: dict[str, Case] = {
    "una_pairwise": ("una_pairwise", {}, EVALUATED),
    "several passes a step": ("una_binary", {"reduction": "sum", "per_device_train_batch_size": 2}, {}),
    "learned offset": ("una_score", {"offset": "learned", "group_by_length": True}, {}),
    "una_online": ("una_online", {**ROLLOUTS, "offset": "prompt_mean"}, {}),
    "adapters that generate": ("una_online", ROLLOUTS, {"lora": True}),
    "reference in steps": ("dpo", {}, {}),
    "reference before": ("dpo", {"precompute_ref_log_probs": True}, EVALUATED),
    "recomputed activations": ("dpo", {"activation_checkpointing": True}, {}),
    "resumed": ("una_online", ROLLOUTS, {"stop_at": 4}),
    "kto": ("kto", {}, {}),
    "bco": ("bco", {}, {}),
    "uneven end": ("una_score", {}, {"rows": 61}),
}
SHARDINGS: dict[str, Any] = {
    "zero2": "zero2",
    # without the threshold below which ZeRO-3 keeps weights whole, which these small models are
    "zero3": {"zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0}},
}
Results = Mapping[tuple[str, str], Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),  # three launches that train all cases
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed: pip install 'una-bench[deepspeed]'"),
]


@pytest.fixture(scope="module")
def results(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return the result of each case by sharding; ``one`` is one process."""
    read: dict[tuple[str, str], Any] = {}
    for name, sharding in {"one": "none", **SHARDINGS}.items():
        folder, number = tmp_path_factory.mktemp(name), 1 if name == "one" else 2
        (folder / "prepared").symlink_to(tiny_prepared)
        launch(folder, number, CASES, sharding)
        read |= {(case, name): json.loads((folder / f"{case}-{number}" / "result.json").read_text()) for case in CASES}
    return read


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("case", CASES)
def test_losses_agree(case: str, sharding: str, results: Results) -> None:
    losses = results[case, sharding]["losses"], results[case, "one"]["losses"]
    np.testing.assert_allclose(*losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("case", CASES)
def test_the_checkpoint_is_whole_and_equal(case: str, sharding: str, results: Results) -> None:
    one, two = results[case, "one"]["weights"], results[case, sharding]["weights"]
    assert one.keys() == two.keys()
    assert max(np.abs(np.subtract(one[name], two[name])).max() for name in one) < 1e-5


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_all_processes(case: str, sharding: str, results: Results) -> None:
    for count in ("totals", "steps"):
        assert results[case, sharding][count] == results[case, "one"][count]


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("case", [name for name, (*_, changes) in CASES.items() if changes is EVALUATED])
def test_evaluations_during_training_see_the_policy_of_that_step(case: str, sharding: str, results: Results) -> None:
    evaluations = results[case, "one"]["evaluations"]
    assert len(set(evaluations)) == 2
    np.testing.assert_allclose(results[case, sharding]["evaluations"], evaluations, rtol=1e-5)


@pytest.mark.parametrize(("sharding", "numbers"), [("zero2", 1 + (1 + 1 + 2) / 2), ("zero3", (1 + 1 + 1 + 2) / 2)])
def test_each_process_holds_the_share_that_a_plan_predicts(sharding: str, numbers: float, results: Results) -> None:
    held, whole = (results["una_pairwise", name]["resident"] for name in (sharding, "one"))
    assert sum(held.values()) == pytest.approx(numbers * whole["weights"], rel=0.01)


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_the_reference_stays_the_initial_policy(sharding: str, results: Results) -> None:
    facts = results["reference in steps", sharding]["facts"]
    assert facts["reference_weights_sha256"] == facts["initial_weights_sha256"]
