"""A language model with a known reward, from prompts to a prepared folder, and the distance to its optimum."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated_problem import prepared_with, write_problem
from small_problem import other_policy, train
from text_models import write_kind, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from una_bench.errors import UserError
from una_bench.interfaces import registry, source_code
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.generated import bounds, prompts, sampling
from una_bench.problems.preference import policy_scores
from una_bench.record.schema import Measurement
from una_bench.una.generation import Sampling

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_with(tmp_path_factory.mktemp("generated"))


def test_prompts_are_split_and_no_prompt_is_both(prepared: Prepared) -> None:
    train, heldout = (set(prepared.prompts(split).prompt) for split in ("train", "heldout"))
    assert (len(train), len(heldout), train & heldout) == (5, 3, set())


def test_each_prompt_gets_about_the_same_number_of_pairs(prepared: Prepared) -> None:
    counts = Counter(prepared.responses().prompt)
    assert sum(counts.values()) == 32 and max(counts.values()) - min(counts.values()) <= 2


def test_a_pair_is_two_responses_to_one_prompt_of_which_one_is_preferred(prepared: Prepared) -> None:
    table = prepared.responses()
    assert (table.prompt[0::2].to_numpy() == table.prompt[1::2].to_numpy()).all()
    assert (table.groupby("pair").chosen.sum() == 1).all()


def test_the_true_reward_is_what_feedback_was_drawn_from(prepared: Prepared) -> None:
    table, reward = prepared.responses(), registry.true_reward(prepared)
    assert reward is not None
    assert reward(table.prompt.tolist(), table.completion.tolist()) == pytest.approx(table.reward.tolist())
    assert table.score.to_numpy() == pytest.approx(1 / (1 + np.exp(-table.reward)))


def test_the_reward_sees_no_end_token_and_nothing_after_it(prepared: Prepared) -> None:
    reward = registry.true_reward(prepared)
    assert reward is not None
    prompt = prepared.prompts().prompt[0]
    assert reward([prompt] * 2, ["!!!!<|im_end|>!!!!", "<|endoftext|>!!!!"]) == [0.5, 0.5]


def test_tokens_are_those_of_the_texts(prepared: Prepared) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    row = prepared.responses().iloc[0]
    assert tokenizer.decode(row.completion_ids) == row.completion
    assert tokenizer(row.prompt, add_special_tokens=False)["input_ids"] == list(row.prompt_ids)


def test_the_optimum_is_sampled_apart_from_the_feedback(prepared: Prepared) -> None:
    optima = bounds.load(prepared.path)
    assert {split: by.rewards.shape for split, by in optima.items()} == {"train": (5, 64), "heldout": (3, 64)}


def test_every_prompt_has_exact_samples_of_the_optimum(prepared: Prepared) -> None:
    assert all(len(exact) for by in bounds.load(prepared.path).values() for exact in by.exact)


def test_the_manifest_says_what_the_reward_was_and_where_the_optimum_is(prepared: Prepared) -> None:
    manifest = prepared.manifest
    assert manifest["reward"]["bounds"] == [0.0, 1.0] and manifest["reward"]["name"].endswith("reward.py:low_bytes")
    low, high = manifest["optimum"]["train"]["objective_interval"]
    assert low <= manifest["optimum"]["train"]["objective"] <= high
    assert any("nats from the policy; it would be 1 nat at problem.beta=" in note for note in manifest["notes"])


def test_equal_settings_prepare_equal_files(prepared: Prepared, tmp_path: Path) -> None:
    registry.problem(prepared.manifest["settings"]).prepare(tmp_path / "again", lambda _: None)
    again = Prepared(tmp_path / "again").manifest["hashes"]
    assert again == prepared.manifest["hashes"]


def test_a_changed_reward_file_is_another_problem(tmp_path: Path) -> None:
    settings = write_problem(tmp_path)
    before = registry.problem(settings)
    (tmp_path / "reward.py").write_text((tmp_path / "reward.py").read_text() + "\n# changed\n")
    assert registry.problem(settings) != before
    with pytest.raises(UserError, match=r"reward.py:low_bytes has changed since the suite was prepared"):
        before.prepare(tmp_path / "out", lambda _: None)


def test_a_prepared_problem_keeps_the_reward_that_it_was_judged_by(tmp_path: Path) -> None:
    prepared = prepared_with(tmp_path)
    (tmp_path / "reward.py").unlink()
    table, reward = prepared.responses(), registry.true_reward(prepared)
    assert reward is not None
    assert reward(table.prompt.tolist(), table.completion.tolist()) == pytest.approx(table.reward.tolist())


def test_the_code_of_the_packages_it_uses_counts_for_its_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = registry.problem_type("generated")
    before = source_code.of_preparation(kind)
    monkeypatch.setattr(kind, "also", ("problems/exact",))
    assert source_code.of_preparation(kind) != before


def test_scale_multiplies_rewards_and_bounds_but_leaves_the_optimum(tmp_path: Path, prepared: Prepared) -> None:
    settings = prepared.manifest["settings"] | {"reward_scale": 2.0, "beta": 0.4}
    registry.problem(settings).prepare(tmp_path / "out", lambda _: None)
    ours, theirs = (Prepared(p).manifest["optimum"]["train"] for p in (tmp_path / "out", prepared.path))
    assert ours["kl_ref"] == pytest.approx(theirs["kl_ref"])
    assert ours["objective"] == pytest.approx(2 * theirs["objective"])


BAD_ROWS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "column": ([{"promt": "a"}], r"row 1: there is no column 'prompt'. Did you mean 'promt'\? It has: promt."),
    "empty": ([{"prompt": "a"}, {"prompt": "  "}], "row 2: the prompt is empty. Fill it in, or remove the row."),
    "number": ([{"prompt": {"a": 1}}], "row 1: "),
    "few": ([{"prompt": f"p{i}"} for i in range(4)], "has 4 different prompts: 1 to train on and 3 held out. At least"),
    "long": ([{"prompt": "a" * 300}] * 2 + [{"prompt": f"p{i}"} for i in range(9)], "has 300 tokens, and with problem"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_prompts_are_refused_by_row(case: str, tmp_path: Path) -> None:
    rows, message = BAD_ROWS[case]
    write_rows(tmp_path / "prompts.jsonl", rows)
    with pytest.raises(UserError, match=message):
        prepared_with(tmp_path)


def test_a_prompt_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokens, more than problem.max_prompt_length=5. Raise it, or shorten"):
        prepared_with(tmp_path, max_prompt_length=5)


def test_a_range_that_no_sample_comes_near_is_refused(tmp_path: Path) -> None:
    function = f"{tmp_path / 'reward.py'}:far"
    with pytest.raises(UserError, match=r"may be up to 1000, but of 320 samples none was above .* State a `highest`"):
        prepared_with(tmp_path, reward_function=function)


def test_a_model_without_an_end_token_is_refused(tmp_path: Path) -> None:
    write_problem(tmp_path)
    file = tmp_path / "model" / "tokenizer_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in config.items() if k != "eos_token"}))
    with pytest.raises(UserError, match="has no end token, so that no response could end"):
        prepared_with(tmp_path)


def test_the_openings_that_ship_are_96_different_neutral_ones() -> None:
    _, openings, _ = prompts._read("openings")
    texts = [messages[0]["content"] for messages in openings]
    scores = registry.problem({"kind": "generated", "policy": "x"})
    assert len(texts) == 96 and scores.reward_function == "sentiment"  # type: ignore[attr-defined]
    from una_bench.problems.generated.reward_functions import sentiment

    assert sentiment(texts, [""] * 96) == [0.0] * 96


def _draw(model: Any, tokenizer: Any, reference: Any = None, seed: int = 0) -> list[sampling.Drawn]:
    requests = [([5, 6, 7], 3), ([9, 10], 2), ([5, 6, 7, 8, 9], 4)]
    cut = Sampling(max_new_tokens=6, eos=(2,), pad=2)
    return sampling.draw(model, requests, cut, seed=(seed, 0), reference=reference)


@pytest.fixture(scope="module")
def models(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    other = other_policy(prepared, tmp_path_factory.mktemp("other"))
    both = [AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (other, prepared.policy)]
    return *both, AutoTokenizer.from_pretrained(prepared.policy)


def test_a_shared_prompt_and_a_prompt_read_for_each_sample_give_the_same_tokens(
    models: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, reference, tokenizer = models
    together = _draw(policy, tokenizer, reference)
    monkeypatch.setattr(sampling, "can_share", lambda model: False)
    apart = _draw(policy, tokenizer, reference)
    assert [one.ids for one in together] == [one.ids for one in apart]
    assert [one.prompt for one in together] == [0] * 3 + [1] * 2 + [2] * 4
    for name in ("log_ratio", "kl"):
        assert [getattr(o, name) for o in together] == pytest.approx([getattr(o, name) for o in apart], abs=1e-4)


def test_samples_do_not_depend_on_the_rows_of_a_batch(
    models: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, reference, tokenizer = models
    before = _draw(policy, tokenizer, reference)
    monkeypatch.setattr(sampling, "ROWS_AT_ONCE", 2)
    assert [one.ids for one in _draw(policy, tokenizer, reference)] == [one.ids for one in before]


def test_other_seeds_draw_other_samples(models: tuple[Any, Any, Any]) -> None:
    policy, _, tokenizer = models
    assert [o.ids for o in _draw(policy, tokenizer)] != [o.ids for o in _draw(policy, tokenizer, seed=1)]


def test_a_response_stops_at_its_end_token(models: tuple[Any, Any, Any]) -> None:
    policy, _, _ = models
    cut = Sampling(max_new_tokens=30, eos=tuple(range(60)), pad=2)
    drawn = sampling.draw(policy, [([100, 101], 40)], cut, seed=(0, 0))
    assert all(sum(token < 60 for token in one.ids) <= 1 for one in drawn)
    assert all(one.ids[-1] in cut.eos or len(one.ids) == 30 for one in drawn)
    assert min(len(one.ids) for one in drawn) < 30


def test_a_model_with_a_window_is_sampled_too(tmp_path: Path) -> None:
    write_kind(tmp_path / "model", "Mistral", sliding_window=4)
    assert prepared_with(tmp_path).manifest["counts"]["responses_train"] == 32


def _measure(prepared: Prepared, path: Path, out: Path, **settings: Any) -> dict[str, Measurement]:
    out.mkdir(exist_ok=True)
    benchmark = registry.benchmark("optimum")(**settings)
    return {m.metric: m for m in benchmark.evaluate(Checkpoint(path=path, prepared=prepared, out=out))}


def test_the_untrained_policy_has_a_regret_of_one(prepared: Prepared, tmp_path: Path) -> None:
    measured = _measure(prepared, prepared.policy, tmp_path)
    assert [measured[f"oracle.regret.{s}"].value for s in ("train", "heldout")] == pytest.approx([1.0, 1.0])
    assert measured["oracle.kl_ref.train"].value == 0.0


def test_another_policy_is_measured_as_its_samples_say(prepared: Prepared, tmp_path: Path) -> None:
    other = other_policy(prepared, tmp_path / "other")
    measured = _measure(prepared, other, tmp_path / "out", samples=32)
    by, beta = bounds.load(prepared.path)["train"], 0.2
    objective = measured["oracle.reward.train"].value - beta * measured["oracle.kl_ref.train"].value
    assert measured["oracle.objective.train"].value == pytest.approx(objective)
    regret = (by.objective.mean() - objective) / by.room
    assert measured["oracle.regret.train"].value == pytest.approx(regret)
    assert measured["oracle.kl_ref.train"].value > 0 and measured["oracle.regret.train"].stderr


def test_the_kl_is_that_of_the_vocabulary_at_each_visited_prefix(prepared: Prepared, tmp_path: Path) -> None:
    other = AutoModelForCausalLM.from_pretrained(other_policy(prepared, tmp_path / "other")).eval()
    reference = AutoModelForCausalLM.from_pretrained(prepared.policy).eval()
    ids = [list(map(int, row)) for row in prepared.prompts().prompt_ids]
    cut = Sampling(max_new_tokens=8, eos=(2,), pad=2)
    drawn = sampling.draw(other, [(one, 4) for one in ids], cut, seed=(0, 0), reference=reference)
    texts = [ids[one.prompt] for one in drawn]
    with torch.no_grad():
        expected = policy_scores.divergences(other, reference, texts, [one.ids for one in drawn])
    assert [one.kl for one in drawn] == pytest.approx(expected, rel=1e-3)


def test_both_bounds_and_the_effective_samples_stand_in_the_record(prepared: Prepared, tmp_path: Path) -> None:
    measured = _measure(prepared, prepared.policy, tmp_path)
    lower, upper = (measured[f"optimum.{side}.train"].value for side in ("lower", "upper"))
    assert lower < upper and measured["optimum.effective_samples.train"].value >= 5


def test_the_best_of_n_stands_beside_the_untrained_policy_alone(prepared: Prepared, tmp_path: Path) -> None:
    by = bounds.load(prepared.path)["train"]
    base = _measure(prepared, prepared.policy, tmp_path)
    reward = bounds.best_of(by.rewards, 4).mean()
    regret = (by.objective.mean() - (reward - by.beta * bounds.best_of_kl(4))) / by.room
    found = [base[f"oracle.best_of_4.{name}.train"].value for name in ("reward", "regret")]
    assert found == pytest.approx([reward, regret])
    other = _measure(prepared, other_policy(prepared, tmp_path / "other"), tmp_path / "out")
    assert not any("best_of" in name for name in other)


def test_what_is_estimated_says_so(prepared: Prepared, tmp_path: Path) -> None:
    how = _measure(prepared, prepared.policy, tmp_path)["oracle.regret.train"].how
    assert "estimated, from the 64 samples a prompt" in how and "exact, all" not in how


def test_values_by_prompt_have_the_mean_that_is_reported(prepared: Prepared, tmp_path: Path) -> None:
    measured = _measure(prepared, other_policy(prepared, tmp_path / "other"), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "oracle.train.samples.jsonl").read_text().splitlines()]
    assert np.mean([line["regret"] for line in lines]) == pytest.approx(measured["oracle.regret.train"].value)
    assert len(lines) == 5 and all(line["arguments"].startswith("number") for line in lines)


def test_an_optimum_that_is_not_resolved_gives_a_reason_and_no_regret(tmp_path: Path) -> None:
    prepared = prepared_with(tmp_path, beta=0.03, optimum_rounds=0)
    measured = _measure(prepared, prepared.policy, tmp_path / "cell")["oracle.regret.train"]
    assert measured.samples == () and measured.how.startswith("not resolved: ")
    assert any(note.startswith("Regret on training prompts is not resolved") for note in prepared.manifest["notes"])


def test_more_is_drawn_for_prompts_without_an_exact_sample(tmp_path: Path) -> None:
    tried = [
        bounds.load(prepared_with(tmp_path / name, beta=0.06, optimum_rounds=rounds).path)["train"].tried.max()
        for name, rounds in (("none", 0), ("some", 4))
        if (tmp_path / name).mkdir() is None
    ]
    assert tried[0] == 32 < tried[1]


@pytest.mark.parametrize("name", ["una_online", "ppo"])
def test_online_methods_train_on_the_true_reward(name: str, prepared: Prepared, tmp_path: Path) -> None:
    probe = train(name, prepared, tmp_path, reward="true")
    assert probe.totals["responses"] == 4


def test_a_reward_model_is_learned_from_the_pairs(tmp_path: Path) -> None:
    prepared = prepared_with(tmp_path, reward_model={"steps": 2, "batch": 2})
    assert prepared.reward is not None and prepared.manifest["reward_model"]["trained"]


def test_the_models_that_are_missing_are_named(tmp_path: Path) -> None:
    problem = registry.problem({"kind": "generated", "policy": str(tmp_path / "nowhere" / "model")})
    assert [need.what for need in problem.needs()] == [f"policy: {tmp_path / 'nowhere' / 'model'}"]
