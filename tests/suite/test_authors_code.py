"""What the code released with UNA does differently, as settings: each does what it says, and nothing by default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from text_models import START, byte_tokenizer, scored_rows, write_model, write_reward_model, write_rows
from tiny_world import PAIRS
from transformers import set_seed

from una_bench import UNAConfig
from una_bench.errors import UserError
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job, Lora
from una_bench.interfaces.prepared import Prepared
from una_bench.models.reward_scorer import Scorer
from una_bench.problems.preference import formats, tables
from una_bench.problems.preference.judged_response import HELPSTEER_WEIGHTS, Scoring
from una_bench.problems.preference.pairs import make_examples
from una_bench.suite import plan, recipe
from una_bench.una.logprobs import Scored
from una_bench.una.metrics import Ledger
from una_bench.una.objective import batch_loss
from una_bench.una.offsets import Offset

# peft 0.21 and TRL 1.12 ask transformers 5.23 by a name that 6 will not have
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing_(en|dis)able. is deprecated:FutureWarning"),
]


# Scores, ties, turns, lengths.


def helpsteer(*marks: int, prompt: str = "p") -> dict[str, Any]:
    return {"prompt": prompt, "response": "r" + "".join(map(str, marks))} | dict(
        zip(HELPSTEER_WEIGHTS, marks, strict=True)
    )


def judged(*rows: dict[str, Any], **more: Any) -> list[Any]:
    return formats.judged(rows, Scoring(weights=HELPSTEER_WEIGHTS, **more), "test")[0]


@pytest.mark.parametrize("marks", [(4, 3, 2), (1, 0, 4), (0, 0, 0), (4, 4, 4)])
def test_scores_are_the_weighted_marks_over_7_6(marks: tuple[int, int, int]) -> None:
    (found,) = judged(helpsteer(*marks))
    assert found.score == pytest.approx((0.65 * marks[0] + 0.8 * marks[1] + 0.45 * marks[2]) / 7.6)


def test_a_tie_goes_to_the_second_response() -> None:
    first, second = helpsteer(4, 3, 2), helpsteer(4, 3, 2) | {"response": "other"}
    ((pair,), _) = make_examples(judged(first, second), keep_ties=True)
    assert pair.second_preferred


MANY_TURNS = "one\n<extra_id_1>Assistant\ntwo\n<extra_id_1>User\nthree"


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        ("split", ["one", "two", "three"]),
        ("one", [MANY_TURNS]),
    ],
)
def test_a_prompt_of_several_turns_is_split_or_left_as_it_is(turns: str, messages: Any) -> None:
    (found,) = judged(helpsteer(1, 1, 1, prompt=MANY_TURNS), turns=turns)
    assert [message["content"] for message in found.messages] == messages


def prepared_with(folder: Path, **changed: Any) -> Prepared:
    policy = folder / "model" if (folder / "model").is_dir() else write_model(folder / "model")
    data = write_rows(folder / "data.jsonl", scored_rows())
    settings = {"kind": "preference", "policy": str(policy), "dataset": str(data), "heldout_share": 0.25}
    settings |= {"max_prompt_length": 100, "max_response_length": 20, "reward_model": None, **changed}
    registry.problem(settings).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_with(tmp_path_factory.mktemp("words"))


def test_a_prompt_with_a_response_longer_than_both_may_be_is_left_out(words: Prepared, tmp_path: Path) -> None:
    table = words.responses()
    whole = table.prompt_ids.map(len) + table.completion_ids.map(len)
    found = prepared_with(tmp_path, max_length=int(whole.max()) - 1)
    assert 0 < len(found.responses()) < len(table)
    assert found.manifest["data"]["train"]["left_out"]["together_too_long"] > 0


# Special tokens that stand twice.


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    ends = {"dpo": ["bos"], "una_binary": ["bos"], "una_score": ["bos", "eos"]}
    return prepared_with(tmp_path_factory.mktemp("doubled"), doubled_ends=ends)


def test_what_prompts_begin_with_and_responses_end_with_is_doubled(words: Prepared, doubled: Prepared) -> None:
    tokenizer = byte_tokenizer()
    start, end = tokenizer.convert_tokens_to_ids(START), tokenizer.eos_token_id
    table, plain = doubled.responses(method="una_score"), words.responses()
    assert [list(ids) for ids in table.prompt_ids] == [[start, *ids] for ids in plain.prompt_ids]
    assert [list(ids) for ids in table.completion_ids] == [[*ids, end] for ids in plain.completion_ids]


def test_nothing_is_doubled_for_other_methods(words: Prepared, doubled: Prepared) -> None:
    hashes = words.manifest["hashes"], doubled.manifest["hashes"]
    assert hashes[0]["responses.parquet"] == hashes[1]["responses.parquet"]
    assert doubled.responses(method="kto").equals(words.responses())


def test_held_out_responses_are_not_doubled(words: Prepared, doubled: Prepared) -> None:
    assert doubled.responses("heldout", method="una_score").equals(words.responses("heldout"))


def test_a_tokenizer_without_a_first_token_is_refused(words: Prepared) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = None
    with pytest.raises(UserError, match="doubled_ends: the policy's tokenizer has no first token"):
        tables.double_ends(words.responses(), tokenizer, ["bos"])


def test_a_method_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no method 'una_scroe'\. Did you mean 'una_score'\?"):
        prepared_with(tmp_path, doubled_ends={"una_scroe": ["bos"]})


def train(name: str, prepared: Path, out: Path, *, lora: Lora | None = None, **settings: Any) -> Probe:
    out.mkdir(exist_ok=True)
    job = Job(
        prepared=prepared,
        out=out,
        seed=0,
        budget_responses=16,
        batch_responses=8,
        max_prompt_length=100,
        max_new_tokens=4,
        lora=lora,
        method=name,
    )
    probe = Probe("cpu")
    registry.method(name)(learning_rate=1e-2, **{"warmup_steps": 0, **settings}).train(job, probe)
    return probe


@pytest.mark.parametrize("name", ["dpo", "una_score", "una_binary"])
def test_each_method_trains_on_one_token_more_of_every_prompt(
    name: str, words: Prepared, doubled: Prepared, tmp_path: Path
) -> None:
    counts = [
        train(name, prepared.path, tmp_path / str(number)).totals["prompt_tokens"]
        for number, prepared in enumerate((words, doubled))
    ]
    assert counts[1] - counts[0] == 16


def test_the_ledger_sees_the_tokens_that_were_trained_on(words: Prepared, doubled: Prepared, tmp_path: Path) -> None:
    facts = [
        train("una_score", prepared.path, tmp_path / str(number)).facts["responses_set_sha256"]
        for number, prepared in enumerate((words, doubled))
    ]
    assert facts[0] != facts[1]


# Reduction, batch, warm-up.


def loss(reduction: str) -> float:
    batch = {
        "pairs": 0,
        "reference": torch.tensor([-3.0, -1.0, -2.0]),
        "target": torch.tensor([0.2, 0.9, 0.5]),
        "binary": torch.zeros(3, dtype=torch.bool),
        "group": torch.arange(3),
        "lengths": torch.tensor([1, 1, 1]),
    }
    scored = Scored(logps=torch.tensor([-2.0, -2.0, -2.0]), prompt_states=torch.zeros(3, 2))
    args = SimpleNamespace(beta=0.5, space="score", loss_type="mse", reduction=reduction)
    return float(batch_loss(batch, scored, args=args, offset=Offset(), ledger=Ledger())[0])


def test_a_sum_is_the_mean_times_the_rows() -> None:
    assert loss("sum") == pytest.approx(3 * loss("mean"))


def test_an_unknown_reduction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reduction='summ' is invalid\. Did you mean 'sum'\?"):
        UNAConfig(output_dir=str(tmp_path), use_cpu=True, reduction="summ")


def weights(folder: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    (file,) = (folder / "checkpoint").glob("*.safetensors")
    return np.concatenate([t.ravel() for _, t in sorted(load_file(file).items())])


def test_at_one_row_a_device_sum_and_mean_are_the_same_training(tiny_prepared: Path, tmp_path: Path) -> None:
    made = []
    for reduction in ("mean", "sum"):
        out = tmp_path / reduction
        train("una_score", tiny_prepared, out, reduction=reduction, per_device_train_batch_size=1)
        made.append(weights(out))
    assert np.array_equal(*made)


def test_a_method_s_own_batch_takes_the_place_of_the_suite_s() -> None:
    made = plan.make(recipe.load("una-table1", ["preset=authors_code"]))
    jobs = {c.method: plan.job(made, c, prepared=Path(), out=Path(), device="cpu", lengths=(1, 1)) for c in made.cells}
    assert {name: job.batch_responses for name, job in jobs.items()} == {
        "base": 8,
        "dpo": 16,
        "kto": 8,
        "una_binary": 8,
        "una_score": 8,
    }
    assert (jobs["dpo"].optimizer_steps, jobs["una_score"].optimizer_steps) == (2541, 5081)


@pytest.mark.parametrize(("steps", "expected"), [(5081, 509), (10, 1), (1, 1)])
def test_a_share_of_warm_up_is_rounded_up(steps: int, expected: int) -> None:
    assert registry.method("una_score")(warmup_ratio=0.1).warmup(steps) == expected


def test_warm_up_is_in_steps_by_default() -> None:
    assert registry.method("una_score")(warmup_steps=7).warmup(1000) == 7


def test_a_share_of_warm_up_needs_a_known_number_of_steps() -> None:
    with pytest.raises(UserError, match="set a budget of responses or steps"):
        registry.method("una_score")(warmup_ratio=0.1).warmup(10**9)


# Memory that changes no number.


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["full", "adapters"])
@pytest.mark.parametrize("name", ["dpo", "kto", "una_score"])
def test_activation_checkpointing_changes_no_weight(
    name: str, lora: Lora | None, words: Prepared, tmp_path: Path
) -> None:
    made = []
    for again in (False, True):
        set_seed(0)
        train(name, words.path, tmp_path / str(again), lora=lora, activation_checkpointing=again)
        made.append(weights(tmp_path / str(again)))
    np.testing.assert_allclose(*made, atol=1e-6)


def test_ppo_says_that_it_keeps_activations(tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PPO keeps its activations"):
        train("ppo", tiny_prepared, tmp_path, activation_checkpointing=True)


ROLLOUT = {"responses_per_rollout": 8, "num_mini_batches": 1, "num_ppo_epochs": 2}


def test_ppo_takes_one_step_a_pass_over_a_rollout_in_several_passes(tiny_prepared: Path, tmp_path: Path) -> None:
    probe = train("ppo", tiny_prepared, tmp_path, **ROLLOUT, per_device_train_batch_size=2)
    assert (probe.totals["optimizer_steps"], probe.totals["responses"]) == (2, 16)


@pytest.mark.parametrize("changes", [{"num_mini_batches": 2}, {"responses_per_rollout": 9}])
def test_ppo_refuses_passes_that_do_not_fit(changes: dict[str, int], tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="per_device_train_batch_size=2 must divide"):
        train("ppo", tiny_prepared, tmp_path, **{**ROLLOUT, **changes}, per_device_train_batch_size=2)


# Online.


def test_the_method_passes_the_penalty_of_a_response_that_does_not_end(tiny_prepared: Path, tmp_path: Path) -> None:
    job = Job(
        prepared=tiny_prepared,
        out=tmp_path,
        seed=0,
        budget_responses=8,
        batch_responses=8,
        max_prompt_length=2,
        max_new_tokens=1,
    )
    sizes = {"responses_per_rollout": 8, "num_iterations": 1, "warmup_steps": 0}
    rewards = []
    for penalty in (None, 5.0):
        probe = Probe("cpu")
        out = tmp_path / str(penalty)
        out.mkdir()
        registry.method("una_online")(**sizes, missing_eos_penalty=penalty).train(replace(job, out=out), probe)
        rewards.append(next(c.y[0] for c in probe.trace.record() if c.metric == "reward"))
    assert rewards[0] - rewards[1] > 1  # most responses of one token do not end


def test_every_pair_gives_two_rows_to_a_method_of_single_responses(tiny_prepared: Path) -> None:
    assert len(Prepared(tiny_prepared).responses()) == 2 * PAIRS


# The reward model that gets the policy's tokens.


def test_a_reward_model_can_be_given_the_policy_s_tokens(tmp_path: Path) -> None:
    other = byte_tokenizer(extra=("<x>",))  # every id but the first three is another
    named = {"name": str(write_reward_model(tmp_path / "reward", tokenizer=other)), "reads": "policy_tokens"}
    found = prepared_with(tmp_path, reward_model=named)
    row = found.responses().iloc[0]
    assert Scorer(found).token_ids(row.prompt, row.completion) == [*row.prompt_ids, *row.completion_ids]


def test_a_reward_model_with_fewer_tokens_than_the_policy_cannot(tmp_path: Path) -> None:
    write_model(tmp_path / "model", vocab_size=268)
    tokenizer = byte_tokenizer(extra=tuple(f"<{i}>" for i in range(9)))
    tokenizer.save_pretrained(tmp_path / "model")
    named = {"name": str(write_reward_model(tmp_path / "reward")), "reads": "policy_tokens"}
    with pytest.raises(UserError, match="has 264 tokens and the policy 268"):
        prepared_with(tmp_path, reward_model=named)


def test_a_trained_reward_model_reads_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="policy_tokens needs a reward model"):
        prepared_with(tmp_path, reward_model={"reads": "policy_tokens"})
