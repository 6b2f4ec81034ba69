"""The fairness ledger: every verdict, and the words beside it."""

from __future__ import annotations

import json
from typing import Any

import goldens
import pytest
import synthetic
from synthetic import facts, record

from una_bench.record.schema import ADAPTED, Record
from una_bench.reporting import fairness
from una_bench.reporting.tables import render


def line(records: list[Record], topic: str) -> fairness.LedgerLine:
    return next(one for one in fairness.ledger(records) if one.topic.startswith(topic))


def two(first: dict[str, Any], second: dict[str, Any]) -> list[Record]:
    return [record("dpo", 0, facts=first), record("kto", 0, facts=second)]


def test_the_ledger_is_as_it_was() -> None:
    made = fairness.table(fairness.ledger(synthetic.records()))
    goldens.same("ledger.md", render.markdown(made))


def test_the_ledger_for_machines_is_as_it_was() -> None:
    goldens.same("ledger.json", json.dumps(fairness.to_json(fairness.ledger(synthetic.records())), indent=1) + "\n")


def test_equal_facts_are_ok() -> None:
    assert line(synthetic.records(), "initial weights").verdict == "OK"


def test_different_counts_differ_by_so_many_percent() -> None:
    found = line(two({"response_tokens": 1000}, {"response_tokens": 1100}), "response tokens")
    assert (str(found.verdict), found.detail) == ("DIFFERS", "by up to 10.0 %: DPO 1000, KTO 1100")


def test_different_words_differ_with_who_has_which() -> None:
    found = line(synthetic.records(), "learning rate")
    assert "PPO: learning rate 0.0003" in found.detail


def test_online_methods_differ_because_they_generate_their_own_responses() -> None:
    found = line(synthetic.records(), "set of responses")
    assert (str(found.verdict), "PPO, UNA-online: generates its own" in found.detail) == ("DIFFERS", True)


def test_a_fact_that_nobody_tells_is_not_known() -> None:
    assert str(line(synthetic.records(), "dropout").verdict) == "N/A"


def test_a_fact_that_one_method_alone_tells_is_not_known() -> None:
    assert str(line(two({"dropout": 0.1}, {}), "dropout").verdict) == "N/A"


def test_a_method_that_says_nothing_is_named() -> None:
    found = [*two({"dropout": 0.1}, {"dropout": 0.1}), record("ppo", 0)]
    assert line(found, "dropout").detail == "0.1; not recorded for PPO"


def test_seeds_may_differ_as_long_as_methods_agree_seed_by_seed() -> None:
    found = [
        record(m, s, facts={**facts(m, trains=True), "initial_weights_sha256": f"{s}" * 64})
        for m in ("dpo", "kto")
        for s in (0, 1)
    ]
    assert line(found, "initial weights").verdict == "OK"


def test_methods_that_swap_weights_between_seeds_are_caught() -> None:
    found = [
        record(m, s, facts={"initial_weights_sha256": f"{(s + (m == 'kto')) % 2}" * 64})
        for m in ("dpo", "kto")
        for s in (0, 1)
    ]
    assert str(line(found, "initial weights").verdict) == "DIFFERS"


def test_the_untrained_policy_answers_for_its_weights_alone() -> None:
    assert "Base (untrained)" not in line(synthetic.records(), "responses trained").values


def test_a_trainer_that_does_not_clip_is_found_out() -> None:
    found = [
        record("dpo", 0, settings={"max_grad_norm": 1.0}),
        record("ppo", 0, settings={"max_grad_norm": 1.0}, facts={"max_grad_norm": "not applied"}),
    ]
    assert str(line(found, "gradient clipping").verdict) == "DIFFERS"


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({"per_device_train_batch_size": 2, "responses_per_rollout": 64, "num_mini_batches": 1}, "2"),
        ({"per_device_train_batch_size": None, "responses_per_rollout": 64, "num_mini_batches": 4}, "16"),
    ],
)
def test_reading_fewer_responses_at_once_is_told(settings: dict[str, Any], read: str) -> None:
    found = line([record("dpo", 0, settings={}), record("ppo", 0, settings=settings)], "responses per forward")
    assert (str(found.verdict), found.values) == ("DIFFERS", {"DPO": "64", "PPO": read})


def test_a_rollout_cut_into_parts_of_a_step_is_read_like_a_step() -> None:
    cut = {"responses_per_rollout": 256, "num_mini_batches": 4}
    found = line([record("dpo", 0, settings={}), record("ppo", 0, settings=cut)], "responses per forward")
    assert found.verdict == "OK"


@pytest.mark.parametrize("lora", [None, {"r": 16}])
def test_the_same_adapters_are_ok(lora: dict[str, int] | None) -> None:
    found = [record(m, 0, job={**synthetic.JOB, "lora": lora}) for m in ("dpo", "kto")]
    assert line(found, "adapters").verdict == "OK"


@pytest.mark.parametrize(("trained", "verdict"), [(None, "DIFFERS"), ("in full", "DIFFERS"), (ADAPTED, "OK")])
def test_a_value_model_that_is_trained_in_full_beside_adapters_differs(trained: str | None, verdict: str) -> None:
    facts = {"value_model": "the policy's body under a new head"} | (
        {"value_model_trained": trained} if trained else {}
    )
    job = {**synthetic.JOB, "lora": {"r": 16}}
    found = line([record("dpo", 0, job=job), record("ppo", 0, job=job, facts=facts)], "adapters")
    assert found.verdict == verdict
    assert ("value model trained in full" in found.detail) == (verdict == "DIFFERS")


def test_tokens_of_one_response_are_compared() -> None:
    first, second = {"completion_ids": [1, 2]}, {"completion_ids": [0, 1, 2]}
    found = line(
        two({"tokenisation_example": first}, {"tokenisation_example": second}), "tokens of an example response"
    )
    assert (str(found.verdict), "[0 1 2]" in found.detail) == ("DIFFERS", True)


CODE = {"method": {"dpo.py": "a"}, "training": {"una": "a"}, "evaluation": {"oracle.py": "a"}}


@pytest.mark.parametrize(
    ("newer", "verdict", "detail"),
    [
        (CODE, "OK", "same for all cells"),
        ({**CODE, "method": {"kto.py": "b"}}, "OK", "same for all cells"),
        ({**CODE, "training": {"una": "b"}}, "DIFFERS", "dpo-s0: other code (una)"),
        ({**CODE, "other": ["kto.py"]}, "DIFFERS", "kto-s0: other code (kto.py)"),
        ({}, "OK", "same for all cells; not recorded for KTO"),
    ],
)
def test_cells_of_other_code_are_named(newer: dict[str, Any], verdict: str, detail: str) -> None:
    records = two({"code": CODE}, {"code": newer})
    records[1] = records[1].model_copy(update={"started": "2099-01-01T00:00:00+00:00"})
    found = line(records, "code")
    assert (str(found.verdict), found.detail) == (verdict, detail)


def test_seeds_of_one_method_with_different_code_are_named() -> None:
    edited = {**CODE, "method": {"dpo.py": "b"}}
    later = record("dpo", 1, facts={"code": edited}).model_copy(update={"started": "2099-01-01T00:00:00+00:00"})
    found = line([record("dpo", 0, facts={"code": CODE}), later], "code")
    assert (str(found.verdict), found.detail) == ("DIFFERS", "dpo-s0: other code (dpo.py)")
