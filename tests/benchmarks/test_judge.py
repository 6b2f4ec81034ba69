"""Judged answers of a policy: the rule's win rate is what the rewards imply, and files that other tools read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from generated_problem import prepared_with
from pydantic import ValidationError
from stub_judge import StubJudge, serving
from text_models import write_model

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.record.schema import Measurement

SAMPLED = {"temperature": 1.0, "most_prompts": None}


def judge(**settings: Any) -> Benchmark:
    return registry.benchmark("judge")(**SAMPLED | settings)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_with(tmp_path_factory.mktemp("problem"), heldout_prompts=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that differs from the untrained one."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = write_model(tmp_path_factory.mktemp("trained") / "checkpoint")
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-123")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def stub() -> Iterator[StubJudge]:
    pytest.importorskip("openai")
    with serving(StubJudge()) as stub:
        yield stub


def checkpoint(prepared: Prepared, path: Path, out: Path, name: str = "dpo-s0-01234567") -> Checkpoint:
    folder = out / "cells" / name
    folder.mkdir(parents=True, exist_ok=True)
    return Checkpoint(path=path, prepared=prepared, out=folder)


def by_name(measured: list[Measurement]) -> dict[str, Measurement]:
    return {m.metric: m for m in measured}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_rules_win_rate_is_exactly_what_the_rewards_imply(
    prepared: Prepared, trained: Path, tmp_path: Path
) -> None:
    one = checkpoint(prepared, trained, tmp_path)
    measured = by_name(judge().evaluate(one))
    untrained = checkpoint(prepared, prepared.policy, tmp_path, "base-s0-89abcdef")
    judge().evaluate(untrained)
    reward = registry.true_reward(prepared)
    assert reward is not None
    prompts = prepared.prompts("heldout").prompt.tolist()
    ours, theirs = (
        reward(prompts, [line["raws"][0] for line in lines(each.out / "judge" / "answers.jsonl")])
        for each in (one, untrained)
    )
    assert ours != theirs
    implied = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(ours, theirs, strict=True)]
    assert measured["judge.win_rate.heldout"].value == fmean(implied)
    assert measured["judge.position_bias.heldout"].value == 0.0
    assert measured["judge.unreadable.heldout"].value == 0.0


def test_the_baseline_has_half_of_the_wins(prepared: Prepared, tmp_path: Path) -> None:
    measured = by_name(judge().evaluate(checkpoint(prepared, prepared.policy, tmp_path)))
    assert measured["judge.win_rate.heldout"].value == 0.5
    assert measured["judge.win_rate_lc.heldout"].value == 0.5


def test_scores_by_prompt_pair_methods(prepared: Prepared, trained: Path, tmp_path: Path) -> None:
    one = checkpoint(prepared, trained, tmp_path)
    measured = by_name(judge().evaluate(one))
    rows = lines(one.out / "judge" / "judge.heldout.samples.jsonl")
    assert fmean(row["win_rate"] for row in rows) == measured["judge.win_rate.heldout"].value


def test_answers_and_verdicts_are_made_once(prepared: Prepared, trained: Path, tmp_path: Path, stub: StubJudge) -> None:
    one = checkpoint(prepared, trained, tmp_path)
    settings = {"judge": stub.url, "model": "stub", "kinds": "pairwise"}
    first = judge(**settings).evaluate(one)
    assert one.facts["judge_usage"]["requests"] == len(stub.requests) == 8
    assert judge(**settings).evaluate(one) == first
    assert (one.facts["judge_usage"]["requests"], one.facts["judge_usage"]["kept"]) == (0, 8)


def test_two_judges_and_repetitions_give_agreement(
    prepared: Prepared, trained: Path, tmp_path: Path, stub: StubJudge
) -> None:
    settings = {"judge": stub.url, "model": "stub", "second_judge": "rule", "repeats": 2}
    measured = by_name(judge(**settings).evaluate(checkpoint(prepared, trained, tmp_path)))
    assert measured["judge.repeat_kappa.heldout"].value == 1.0
    assert -1 <= measured["judge.kappa.heldout"].value <= 1
    assert "judge.second_win_rate.heldout" in measured


def test_a_local_model_judges_without_unreadable_verdicts(prepared: Prepared, trained: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", max_position_embeddings=4096)
    local = judge(judge="local", model=str(tmp_path / "model"), kinds="both", known_pairs=4)
    measured = by_name(local.evaluate(checkpoint(prepared, prepared.policy, tmp_path)))
    assert measured["judge.grades_unreadable.heldout"].value == 0.0
    assert 1 <= measured["judge.grade.heldout"].value <= 10
    assert 0 <= measured["judge.known_agreement.heldout_pairs"].value <= 1
    assert str(tmp_path) not in measured["judge.grade.heldout"].how


def test_a_judge_whose_context_is_too_small_gives_unreadable_verdicts(
    prepared: Prepared, trained: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model", max_position_embeddings=64)
    local = judge(judge="local", model=str(tmp_path / "model"))
    measured = by_name(local.evaluate(checkpoint(prepared, trained, tmp_path)))
    assert measured["judge.unreadable.heldout"].value == 1.0
    assert measured["judge.win_rate.heldout"].how.startswith("not measured: none of 8 verdicts can be read")


def prompts_file(folder: Path) -> Path:
    file = folder / "prompts.jsonl"
    rows = [
        {"id": "a", "turns": ["first?", "and second?"], "category": "math", "reference": ["one", "two"]},
        {"id": "b", "prompt": "alone?", "reference": "three"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_prompts_of_a_file_have_turns_and_references(
    prepared: Prepared, trained: Path, tmp_path: Path, stub: StubJudge
) -> None:
    one = checkpoint(prepared, trained, tmp_path)
    settings = {"judge": stub.url, "model": "stub", "prompts": str(prompts_file(tmp_path)), "baseline": "reference"}
    measured = by_name(judge(**settings).evaluate(one))
    assert len(measured["judge.win_rate.file"].samples) == 1
    sent = "".join(request["messages"][-1]["content"] for request in stub.requests)
    assert "one\n\n[User]\nand second?\n\n[Answer]\ntwo" in sent
    assert [len(row["texts"]) for row in lines(one.out / "judge" / "answers.jsonl")] == [2, 1]


def test_another_method_of_the_run_is_a_baseline(prepared: Prepared, trained: Path, tmp_path: Path) -> None:
    from una_bench.record import storage

    other = checkpoint(prepared, trained, tmp_path, "kto-s0-00000000")
    one = checkpoint(prepared, prepared.policy, tmp_path)
    without = by_name(judge(baseline="kto").evaluate(one))["judge.win_rate.heldout"]
    assert (without.samples, without.how[:50]) == ((), "not run: there is no checkpoint of kto with seed 0")
    (other.out / "checkpoint").symlink_to(trained)
    storage.write_json(other.out / "trained.json", {"checkpoint": "checkpoint"})
    against_other = by_name(judge(baseline="kto").evaluate(one))["judge.win_rate.heldout"].value
    against_base = by_name(judge().evaluate(checkpoint(prepared, trained, tmp_path)))["judge.win_rate.heldout"].value
    assert against_other == 1 - against_base


def test_alpaca_evals_reader_takes_the_answers(prepared: Prepared, trained: Path, tmp_path: Path) -> None:
    alpaca_utils = pytest.importorskip("alpaca_eval.utils", exc_type=ImportError)
    one = checkpoint(prepared, trained, tmp_path)
    judge().evaluate(one)
    table = alpaca_utils.load_or_convert_to_dataframe(one.out / "judge" / "alpaca_eval-dpo-s0.json")
    assert set(table.columns) >= {"instruction", "output", "generator"}
    assert len(table) == 4


def test_exports_have_the_forms_of_alpaca_eval_and_fastchat(
    prepared: Prepared, trained: Path, tmp_path: Path, stub: StubJudge
) -> None:
    one = checkpoint(prepared, trained, tmp_path)
    judge(judge=stub.url, model="stub", prompts=str(prompts_file(tmp_path))).evaluate(one)
    folder = one.out / "judge"
    (alpaca,) = json.loads((folder / "alpaca_eval-dpo-s0.json").read_text())
    assert (alpaca["instruction"], alpaca["generator"]) == ("alone?", "dpo-s0")
    answer = lines(folder / "fastchat-dpo-s0.jsonl")[0]
    assert answer.keys() == {"question_id", "answer_id", "model_id", "choices", "tstamp"}
    assert len(answer["choices"][0]["turns"]) == 2
    question = lines(folder / "fastchat-question.jsonl")[0]
    assert question == {
        "question_id": "a",
        "category": "math",
        "turns": ["first?", "and second?"],
        "reference": ["one", "two"],
    }
    assert (folder / "alpaca_eval-baseline-base.json").is_file()


def test_prompts_that_the_policy_cannot_hold_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"prompt": "word " * 60}) + "\n")
    local = judge(judge="local", model="m", prompts=str(file))
    with pytest.raises(UserError, match=r"The prompt 1 needs \d+ tokens with 1 answer of 8, but the policy reads 256"):
        local.check(prepared, "cpu")


def test_a_prompt_without_reference_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps({"prompt": "a"}) + "\n")
    local = judge(judge="local", model="m", prompts=str(file), baseline="reference")
    with pytest.raises(UserError, match="The prompt 1 has no reference answer"):
        local.check(prepared, "cpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judge": "rul"}, "there is no judge 'rul'. Did you mean 'rule'?"),
        ({"judge": "http://host/v1"}, "needs the name of a model"),
        ({"judge": "http://user:pass@host/v1", "model": "m"}, "give the key in an environment variable"),
        ({"judge": "local"}, "judge=local needs a model"),
        ({"judge": "rule", "kinds": "grade"}, "a rule gives no grades"),
        ({"judge": "rule", "prompts": "mt_bench"}, "judges the suite's own prompts alone"),
        ({"judge": "local", "model": "m", "prompts": "alpaca_evl"}, "Did you mean 'alpaca_eval'?"),
        ({"pairwise_prompt": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        judge(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": "kot"}, "benchmarks.judge.baseline=kot is not in this run. Did you mean 'kto'?"),
        ({"baseline": "una_binary"}, "has several variants in this run"),
        ({"judge": "local", "model": "m", "most_prompts": 64, "most_requests": 300}, "may send 512 requests"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    cells = [("base", ""), ("kto", ""), ("una_binary", "a"), ("una_binary", "b")]
    with pytest.raises(UserError) as error:
        judge(**settings).require(cells, connect=False)
    assert message in str(error.value)


def test_the_screen_before_a_run_says_requests_and_tokens() -> None:
    cells = [("base", ""), ("kto", "")]
    line = judge(judge="http://host/v1", model="m", most_prompts=10, max_new_tokens=100).overview(cells, None)["judge"]
    assert line.startswith("m at host; at most 40 requests with about ")
    assert line.endswith(" and at most 20,480 tokens of replies")
