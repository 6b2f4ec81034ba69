"""A language model and preference data, from files to a prepared folder, and what is measured on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_problem import REWARD, other_policy, prepared_with, train, write_problem
from text_models import END, byte_tokenizer, scored_rows, write_encoder, write_model, write_reward_model, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.models.reward_scorer import Scorer
from una_bench.problems.preference import policy_scores
from una_bench.record.schema import Measurement
from una_bench.una.rewards import RewardModel

# TRL and peft ask by a name that transformers renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_with(tmp_path_factory.mktemp("preference"), reward_model=REWARD)


def test_each_pair_has_one_preferred_response(prepared: Prepared) -> None:
    assert (prepared.responses().groupby("pair").chosen.sum() == 1).all()


def test_two_rows_in_turn_are_a_pair_of_one_prompt(prepared: Prepared) -> None:
    table = prepared.responses()
    assert (table.prompt[0::2].to_numpy() == table.prompt[1::2].to_numpy()).all()


def test_the_better_score_is_preferred_and_desirable(prepared: Prepared) -> None:
    table = prepared.responses()
    assert (table.label == table.chosen).all() and (table.score[table.chosen] == 0.8).all()


def test_rewards_are_raw_scores(prepared: Prepared) -> None:
    assert set(prepared.responses().reward) == {2.8, 8.2}


def test_tokens_are_those_of_the_texts(prepared: Prepared) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    row = prepared.responses().iloc[0]
    text = row.prompt + row.completion
    assert [*row.prompt_ids, *row.completion_ids] == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_every_response_ends_with_the_end_token(prepared: Prepared) -> None:
    assert {ids[-1] for ids in prepared.responses().completion_ids} == {2}


def test_no_prompt_is_trained_on_and_held_out(prepared: Prepared) -> None:
    assert not set(prepared.prompts("train").prompt) & set(prepared.prompts("heldout").prompt)


def test_a_share_of_the_prompts_is_held_out(prepared: Prepared) -> None:
    assert (len(prepared.prompts("train")), len(prepared.prompts("heldout"))) == (9, 3)


def test_the_manifest_records_rules_counts_and_hashes(prepared: Prepared) -> None:
    manifest = prepared.manifest
    assert manifest["counts"]["pairs_train"] == 9
    assert {"sha256", "rows_sha256", "content_sha256", "layout"} <= manifest["data"]["train"].keys()
    assert any("tie" in rule for rule in manifest["data"]["rules"])
    assert {"policy", "reward", "responses.parquet"} <= manifest["hashes"].keys()


def test_the_same_settings_prepare_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    settings = prepared.manifest["settings"]
    registry.problem(settings).prepare(tmp_path / "again", lambda _: None)
    assert Prepared(tmp_path / "again").manifest == prepared.manifest


def test_a_pair_with_anything_too_long_is_left_out_whole(tmp_path: Path) -> None:
    found = prepared_with(tmp_path, max_response_length=10)
    assert found.responses().completion_ids.map(len).max() == 10
    assert len(found.responses()) % 2 == 0
    assert found.manifest["data"]["train"]["left_out"]["response_too_long"] > 0


def test_held_out_pairs_may_be_longer(tmp_path: Path) -> None:
    found = prepared_with(tmp_path, max_response_length=7, heldout_max_response_length=20, heldout_share=0.5)
    longest = {split: found.responses(split).completion_ids.map(len).max() for split in ("train", "heldout")}
    assert longest["train"] <= 7 < longest["heldout"]


def test_the_number_of_pairs_is_limited_by_the_seed(tmp_path: Path) -> None:
    heldout = write_rows(tmp_path / "held.jsonl", [{**row, "prompt": "another"} for row in scored_rows(1)])
    chosen = []
    for number, seed in enumerate((0, 0, 1)):
        problem = registry.problem(write_problem(tmp_path, pairs=4, heldout=str(heldout), seed=seed))
        problem.prepare(tmp_path / f"out{number}", lambda _: None)
        chosen.append(tuple(Prepared(tmp_path / f"out{number}").responses().prompt[::2]))
    assert chosen[0] == chosen[1] != chosen[2] and {len(c) for c in chosen} == {4}


def test_a_held_out_prompt_is_not_trained_on(tmp_path: Path) -> None:
    heldout = write_rows(tmp_path / "held.jsonl", scored_rows(2))
    found = prepared_with(tmp_path, heldout=str(heldout))
    assert found.manifest["data"]["train"]["prompt_is_held_out"] == 2


def test_a_threshold_makes_labels_of_scores(tmp_path: Path) -> None:
    assert prepared_with(tmp_path, label_threshold=0.1).responses().label.all()


def test_generation_settings_hold_nothing_but_special_tokens(prepared: Prepared) -> None:
    settings = json.loads((prepared.policy / "generation_config.json").read_text())
    assert {k for k in settings if not k.startswith("transformers")} == {"bos_token_id", "eos_token_id", "pad_token_id"}


def test_a_reward_model_pads_with_another_token_than_the_end(prepared: Prepared) -> None:
    assert prepared.reward is not None
    config = json.loads((prepared.reward / "config.json").read_text())
    assert config["pad_token_id"] != AutoTokenizer.from_pretrained(prepared.policy).eos_token_id


def test_the_reward_models_accuracy_is_recorded(prepared: Prepared) -> None:
    assert 0 <= prepared.manifest["reward_model"]["heldout_accuracy"] <= 1


def test_a_reward_model_sees_texts_as_it_was_trained_on_tokens(prepared: Prepared) -> None:
    table = prepared.responses()
    assert prepared.reward is not None
    tokenizer = AutoTokenizer.from_pretrained(prepared.reward)
    row = table.iloc[1]
    assert tokenizer(row.prompt + row.completion)["input_ids"] == [*row.prompt_ids, *row.completion_ids]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("foreign")
    encoder = write_encoder(folder / "encoder")
    return prepared_with(folder, reward_model={**REWARD, "init": str(encoder), "own_tokenizer": True})


def test_an_encoder_with_its_own_tokenizer_can_become_the_reward_model(foreign: Prepared) -> None:
    assert foreign.manifest["reward_model"]["tokenizer"] == "its own"


def test_the_end_of_a_response_is_one_token_to_a_foreign_reward_model(foreign: Prepared) -> None:
    assert foreign.reward is not None
    tokenizer = AutoTokenizer.from_pretrained(foreign.reward)
    assert tokenizer(f"a{END}")["input_ids"][-2] == tokenizer.convert_tokens_to_ids(END) == tokenizer.eos_token_id


def test_rewards_lie_around_zero_where_the_head_has_a_bias(foreign: Prepared) -> None:
    table = foreign.responses()
    assert np.mean(Scorer(foreign)(table.prompt.tolist(), table.completion.tolist())) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["prepared", "foreign"])
def test_every_user_of_the_reward_model_sees_the_same_reward(name: str, request: pytest.FixtureRequest) -> None:
    folder: Prepared = request.getfixturevalue(name)
    table = folder.responses("heldout")
    texts = table.prompt.tolist(), table.completion.tolist()
    assert Scorer(folder)(*texts) == pytest.approx(RewardModel(folder.reward)(*texts), abs=1e-5)


def test_a_named_reward_model_is_used_as_it_is(tmp_path: Path) -> None:
    reward = write_reward_model(tmp_path / "reward")
    found = prepared_with(tmp_path, reward_model={"name": str(reward)})
    assert found.manifest["reward_model"]["trained"] is False
    assert (found.path / "reward" / "model.safetensors").read_bytes() == (reward / "model.safetensors").read_bytes()


def test_a_named_reward_model_can_read_its_own_template(tmp_path: Path) -> None:
    other = byte_tokenizer("{% for m in messages %}[{{ m['content'] }}]{% endfor %}", extra=("<x>",))
    reward = write_reward_model(tmp_path / "reward", tokenizer=other)
    named = {"name": str(reward), "own_tokenizer": True, "own_template": True}
    found = prepared_with(tmp_path, reward_model=named)
    scorer = Scorer(found)
    row = found.responses().iloc[0]
    text = scorer.tokenizer.decode(scorer.token_ids(row.prompt, row.completion))
    assert text == f"[question {row.prompt.partition('question ')[2][0]}][{row.completion.removesuffix(END)}]"


@pytest.mark.parametrize("name", [n for n in registry.method_names() if n != "base"])
def test_every_method_trains_on_it(name: str, prepared: Prepared, tmp_path: Path) -> None:
    assert train(name, prepared, tmp_path).totals["optimizer_steps"] >= 1
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint").config.vocab_size == 264


@pytest.mark.parametrize("name", ["ppo", "una_online"])
def test_online_methods_train_with_a_reward_model_that_reads_text(name: str, foreign: Prepared, tmp_path: Path) -> None:
    assert train(name, foreign, tmp_path).totals["optimizer_steps"] >= 1


def test_a_text_longer_than_the_reward_model_reads_loses_its_end(foreign: Prepared) -> None:
    scorer = Scorer(foreign)
    assert scorer(["a" * 300], ["b"]) == pytest.approx(scorer(["a" * 300], ["c"]))


# Bad input: one message each.


def refused(folder: Path, message: str, **changed: Any) -> None:
    with pytest.raises(UserError, match=message) as caught:
        prepared_with(folder, **changed)
    assert "\n" not in str(caught.value)


def test_a_policy_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "There is no model 'lost'", policy="lost")


def test_a_hub_policy_that_is_not_here_names_what_fetches_it(tmp_path: Path) -> None:
    refused(tmp_path, "nobody/nothing is not on this machine.*hf download nobody/nothing", policy="nobody/nothing")


def test_a_policy_that_is_no_causal_model_is_refused(tmp_path: Path) -> None:
    policy = write_encoder(tmp_path / "encoder")
    refused(tmp_path, "is BertModel, not a causal language model", policy=str(policy))


def test_a_policy_without_a_chat_template_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    policy = write_model(tmp_path / "plain", template=None)
    refused(tmp_path, "has no chat template", policy=str(policy))


def test_a_policy_that_reads_too_little_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "reads 256 tokens, but .* together are 320. Lower them by 64 in all", max_prompt_length=300)


def test_a_reward_model_with_another_tokenizer_is_refused_unless_allowed(tmp_path: Path) -> None:
    reward = write_reward_model(tmp_path / "reward", tokenizer=byte_tokenizer(extra=("<x>",)))
    refused(tmp_path, "another tokenizer than the policy.*own_tokenizer=true", reward_model={"name": str(reward)})


def test_a_reward_model_with_two_outputs_is_refused(tmp_path: Path) -> None:
    reward = write_reward_model(tmp_path / "reward", outputs=2)
    refused(tmp_path, "with 2 outputs", reward_model={"name": str(reward)})


def test_a_reward_model_that_reads_too_little_is_refused(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{'a' * 120}{i}", "response": r, "score": s} for i in range(4) for r, s in (("x", 0), ("yy", 1))
    ]
    write_rows(tmp_path / "data.jsonl", rows)
    reward = {**REWARD, "init": str(write_encoder(tmp_path / "encoder")), "own_tokenizer": True}
    refused(tmp_path, "reads 128 tokens", reward_model=reward, max_prompt_length=200)


def test_data_without_the_needed_columns_is_refused(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "other.jsonl", [{"question": "q", "answer": "a"}])
    refused(tmp_path, "has the columns question, answer", dataset=str(data))


def test_data_that_is_empty_after_filtering_says_where_it_went(tmp_path: Path) -> None:
    refused(tmp_path, "Nothing of .* is left to train on: 24 rows.*9 with too long a prompt", max_prompt_length=3)


def test_a_policy_that_has_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "have changed since the recipe was written", policy_fingerprint="0" * 16)


def test_a_setting_that_no_problem_has_is_refused() -> None:
    with pytest.raises(ValueError, match="give_me"):
        registry.problem({"kind": "preference", "policy": "a", "dataset": "b", "give_me": 1})


# What the benchmark says.


@pytest.fixture(scope="module")
def measured(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Measurement]]:
    folder = tmp_path_factory.mktemp("cells")
    benchmark = registry.benchmark("preference")(prompts=3, max_new_tokens=8)
    benchmark.prepare(prepared, "cpu")
    paths = {"base": prepared.policy, "moved": other_policy(prepared, folder / "moved")}
    return {
        name: {m.metric: m for m in benchmark.evaluate(Checkpoint(path=path, prepared=prepared, out=folder))}
        for name, path in paths.items()
    }


def test_the_reference_is_right_half_of_the_time(measured: dict[str, dict[str, Measurement]]) -> None:
    assert measured["base"]["preference.accuracy.heldout"].value == 0.5


def test_the_reference_has_not_moved(measured: dict[str, dict[str, Measurement]]) -> None:
    assert measured["base"]["preference.kl_ref.heldout"].value == 0


def test_accuracy_counts_pairs_whose_log_ratio_prefers_the_chosen(
    measured: dict[str, dict[str, Measurement]], prepared: Prepared, tmp_path: Path
) -> None:
    table = prepared.responses("heldout")
    ratios = []
    for path in (other_policy(prepared, tmp_path / "moved"), prepared.policy):
        model = AutoModelForCausalLM.from_pretrained(path)
        logps = []
        for row in table.itertuples():
            ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
            logits = model(ids).logits[0, len(row.prompt_ids) - 1 : -1].log_softmax(-1)
            logps.append(logits[range(len(row.completion_ids)), list(row.completion_ids)].sum().item())
        ratios.append(np.array(logps))
    difference = (ratios[0] - ratios[1]).reshape(-1, 2)
    margins = np.where(table.chosen[::2], difference[:, 0] - difference[:, 1], difference[:, 1] - difference[:, 0])
    assert measured["moved"]["preference.accuracy.heldout"].value == pytest.approx((margins > 0).mean())
    assert measured["moved"]["preference.margin.heldout"].value == pytest.approx(margins.mean(), abs=1e-4)


def test_a_policy_that_moved_has_a_divergence_above_zero(measured: dict[str, dict[str, Measurement]]) -> None:
    assert measured["moved"]["preference.kl_ref.heldout"].value > 0


def test_the_divergence_is_that_of_each_next_token(prepared: Prepared, tmp_path: Path) -> None:
    policy = AutoModelForCausalLM.from_pretrained(other_policy(prepared, tmp_path / "moved"))
    reference = AutoModelForCausalLM.from_pretrained(prepared.policy)
    prompt, completion = [5, 6, 7], [8, 9]
    [found] = policy_scores.divergences(policy, reference, [prompt], [completion])
    ids = torch.tensor([[*prompt, *completion]])
    ours, theirs = (m(ids).logits[0, 2:4].log_softmax(-1) for m in (policy, reference))
    assert found == pytest.approx((ours.exp() * (ours - theirs)).sum().item(), rel=1e-4)


def test_judging_leaves_gradients_on(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    policy_scores.divergences(model, model, [[5, 6]], [[7]])
    assert torch.is_grad_enabled()


def test_log_probabilities_do_not_depend_on_what_stands_beside(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    pairs = [([5, 6, 7], [8]), ([5], [6, 7, 8, 9, 10]), ([9] * 20, [3, 2])]
    together = policy_scores.log_probabilities(model, *zip(*pairs, strict=True))
    alone = [policy_scores.log_probabilities(model, [p], [c])[0] for p, c in pairs]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_prompt_that_two_responses_share_changes_nothing(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    prompts = [[i % 50 + 3 for i in range(40)], [(3 * i) % 50 + 3 for i in range(45)]]
    pairs = [(prompt, completion) for prompt in prompts for completion in ([8, 9, 2], [9, 7, 7, 3, 2])]
    expected = []
    for prompt, completion in pairs:
        logits_TV = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        expected.append(logits_TV.log_softmax(-1)[range(len(completion)), completion].sum().item())
    assert policy_scores.log_probabilities(model, *zip(*pairs, strict=True)) == pytest.approx(expected, abs=1e-4)


def test_every_checkpoint_is_sampled_with_the_same_random_numbers(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    first, second = (policy_scores.sample(model, tokenizer, [[5, 6]], max_new_tokens=6, seed=1) for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["pairs", "binary"])
def test_real_data_in_every_layout_gives_the_same_pairs(layout: str) -> None:
    from una_bench.problems.preference import prepare
    from una_bench.problems.preference.policy import make_template

    shared = Path(__file__).parents[4] / "shared"
    if not shared.is_dir():
        pytest.skip("needs ../shared")
    from una_bench.models import catalog

    hashes = []
    for name in ("scored", layout):
        settings = {
            "policy": str(shared / "models/stories260k"),
            "dataset": str(shared / f"prefs/{name}_train.parquet"),
        }
        settings |= {"heldout": str(shared / f"prefs/{name}_eval.parquet")}
        problem = registry.problem(
            {"kind": "preference", "max_prompt_length": 200, "max_response_length": 300} | settings
        )
        template = make_template(problem, catalog.resolve(problem.policy))
        _, facts = prepare.read_examples(problem, template)
        hashes.append(facts["train"]["content_sha256"])
    assert hashes[0] == hashes[1]


OWN_CODE = """\
from transformers import LlamaForCausalLM


class OwnForCausalLM(LlamaForCausalLM):
    pass
"""


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that only its own code can load."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = write_model(tmp_path / "own")
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["OwnForCausalLM"], "auto_map": {"AutoModelForCausalLM": "own.OwnForCausalLM"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(OWN_CODE)
    return folder


def test_a_policys_own_code_is_refused_unless_it_is_named(own_code: Path, tmp_path: Path) -> None:
    refused(tmp_path, "its own code, which does not run by default", policy=str(own_code))


@pytest.mark.parametrize("name", ["una_score", "dpo", "ppo"])
def test_a_policy_whose_own_code_may_run_is_trained_and_judged(name: str, own_code: Path, tmp_path: Path) -> None:
    reward = {"name": str(write_reward_model(tmp_path / "reward"))}
    trusted = {"policy": str(own_code), "trust_remote_code": str(own_code)}
    found = prepared_with(tmp_path, reward_model=reward, **trusted)
    train(name, found, tmp_path / "cell")
    benchmark = registry.benchmark("preference")(prompts=2, max_new_tokens=4)
    checkpoint = Checkpoint(path=tmp_path / "cell" / "checkpoint", prepared=found, out=tmp_path)
    assert {m.metric for m in benchmark.evaluate(checkpoint)} >= {"preference.accuracy.heldout"}
