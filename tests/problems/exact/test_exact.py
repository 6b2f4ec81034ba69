"""The exact problem: enumeration, optimum, feedback and the prepared folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from una_bench.interfaces import registry
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.exact import feedback, language, optimum, policy, tree, truth, world
from una_bench.problems.exact.problem import Exact

SMALL = {"kind": "exact", "sft_steps": 60, "responses": 512, "responses_heldout": 128, "reward_model": False}


def _prepare(folder: Path, **settings: object) -> Prepared:
    registry.problem(SMALL | settings).prepare(folder, lambda _: None)
    return Prepared(folder)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return _prepare(tmp_path_factory.mktemp("exact"))


@pytest.fixture(scope="module")
def known(prepared: Prepared) -> truth.Truth:
    return truth.load(prepared.path)


@pytest.fixture
def model(prepared: Prepared) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(prepared.policy).eval()


def _random_tables(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((3, 50)) * 2
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), rng.standard_normal((3, 50))


# language ------------------------------------------------------------------------------------------------------------


def test_there_are_2801_different_responses() -> None:
    assert len(set(language.responses())) == 2801


@pytest.mark.parametrize("response", ["", "d", "dca", "dcab"])
def test_prompt_and_completion_tokenize_to_the_concatenation(response: str, prepared: Prepared) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    completion = language.marked(response)
    assert tokenizer("CF" + completion).input_ids == language.token_ids("CF") + language.token_ids(completion)


def test_decoding_adds_no_spaces(prepared: Prepared) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    assert tokenizer.decode(language.token_ids("CFdca.")) == "CFdca."


def test_chat_template_renders_only_contents(prepared: Prepared) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "CF"}], tokenize=False) == "CF"


@pytest.mark.parametrize(("completion", "response"), [("dca.", "dca"), ("dca", "dca"), ("dca.__", "dca"), (".", "")])
def test_a_completion_is_known_with_and_without_its_end(completion: str, response: str) -> None:
    assert language.responses()[language.response_number(completion)] == response


def test_a_text_of_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="no response"):
        language.response_number("hello")


# enumeration ---------------------------------------------------------------------------------------------------------


def test_probabilities_of_all_responses_sum_to_1_for_every_prompt(known: truth.Truth) -> None:
    np.testing.assert_allclose(np.exp(known.logp_reference).sum(1), 1.0, atol=1e-5)


def test_enumeration_agrees_with_whole_sequences(model: torch.nn.Module, known: truth.Truth) -> None:
    prompt, numbers = 13, [0, 5, 60, 399, 400, 1234, 2800]
    for number in numbers:
        ids = language.token_ids(language.prompts()[prompt] + language.marked(language.responses()[number]))
        with torch.no_grad():
            logp_TV = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        direct = sum(float(logp_TV[place - 1, ids[place]]) for place in range(language.PROMPT_TOKENS, len(ids)))
        assert direct == pytest.approx(known.logp_reference[prompt, number], abs=1e-5)


def test_other_tokens_have_probability_exactly_0(model: torch.nn.Module) -> None:
    impossible = [i for i in range(len(language.VOCABULARY)) if i not in language.RESPONSE_IDS]
    with torch.no_grad():
        probability_NV = model(input_ids=tree.prompt_ids()).logits.softmax(-1).view(-1, len(language.VOCABULARY))
    assert float(probability_NV[:, impossible].max()) == 0.0


def test_other_tokens_get_no_gradient(model: torch.nn.Module) -> None:
    tree.log_probabilities(model, tree.prompt_ids()[:2])[:, :50].sum().backward()
    impossible = [i for i in range(len(language.VOCABULARY)) if i not in language.RESPONSE_IDS]
    assert float(model.lm_head.bias.grad[impossible].abs().max()) == 0.0


def test_generation_with_left_padding_agrees_with_enumeration(
    prepared: Prepared, model: torch.nn.Module, known: truth.Truth
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    batch = tokenizer([language.PAD * 3 + "CF"] * 4000, return_tensors="pt")
    batch["attention_mask"] = (batch["input_ids"] != language.PAD_ID).long()
    torch.manual_seed(0)
    out = model.generate(**batch, do_sample=True, max_new_tokens=language.MAX_TOKENS, top_k=0)
    texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=False)
    count = np.bincount([language.response_number(text) for text in texts], minlength=2801)
    expected = np.exp(known.logp_reference[language.prompt_number("CF")]) * 4000
    common = expected > 20
    z = (count[common] - expected[common]) / np.sqrt(expected[common])
    assert np.abs(z).max() < 4.5


def test_rewards_of_the_tree_agree_with_whole_sequences(prepared: Prepared) -> None:
    from transformers import PhiConfig, PhiForSequenceClassification

    torch.manual_seed(0)
    config = PhiConfig.from_pretrained(prepared.policy, num_labels=1, initializer_range=0.2)
    scorer = PhiForSequenceClassification(config).eval()
    with torch.no_grad():
        table = tree.rewards(scorer, tree.prompt_ids()[:2])
    for number in (0, 3, 77, 399, 400, 2800):
        ids = language.token_ids("AB" + language.marked(language.responses()[number]))
        with torch.no_grad():
            direct = float(scorer(input_ids=torch.tensor([ids])).logits[0, 0])
        assert direct == pytest.approx(float(table[1, number]), abs=1e-4)


@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks by the old name
def test_adapters_can_be_enumerated(model: torch.nn.Module, known: truth.Truth) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        logp = tree.log_probabilities(adapted.eval(), tree.prompt_ids()[:3]).numpy()
    np.testing.assert_allclose(logp, known.logp_reference[:3], atol=1e-5)


# optimum -------------------------------------------------------------------------------------------------------------


def test_optimal_objective_is_beta_times_mean_log_normalizer() -> None:
    logp, reward = _random_tables()
    by = optimum.standard(logp, reward, 0.3, optimum.frontier(logp, reward, 50))
    j_star = 0.3 * optimum.log_normalizer(logp, reward, 0.3).mean()
    assert optimum.judge(by.logp_optimum, by)["objective"] == pytest.approx(j_star, abs=1e-12)


def test_regret_of_the_optimum_is_0(known: truth.Truth) -> None:
    logp = optimum.tilted(known.logp_reference, known.reward, known.beta)
    assert known.judge(logp)["regret.train"] == pytest.approx(0.0, abs=1e-12)


def test_regret_of_the_reference_is_1(known: truth.Truth) -> None:
    assert known.judge(known.logp_reference)["regret.heldout"] == pytest.approx(1.0, abs=1e-12)


def test_regret_is_the_share_of_kl_to_the_optimum() -> None:
    logp, reward = _random_tables()
    other, _ = _random_tables(seed=1)
    by = optimum.standard(logp, reward, 0.5, optimum.frontier(logp, reward, 50))
    share = optimum.divergence(other, by.logp_optimum).mean() / optimum.divergence(logp, by.logp_optimum).mean()
    assert optimum.judge(other, by)["regret"] == pytest.approx(share, rel=1e-10)


def test_a_policy_on_the_frontier_has_only_regret_of_strength(known: truth.Truth) -> None:
    figures = known.judge(optimum.tilted(known.logp_reference, known.reward, 2 * known.beta))
    assert figures["regret_direction.train"] == pytest.approx(0.0, abs=1e-4)
    assert figures["regret_strength.train"] > 0.1


def test_effective_temperature_of_a_policy_on_the_frontier_is_its_own(known: truth.Truth) -> None:
    figures = known.judge(optimum.tilted(known.logp_reference, known.reward, 0.7))
    assert figures["temperature.train"] == pytest.approx(0.7, rel=1e-3)


def test_no_policy_is_beyond_the_frontier() -> None:
    logp, reward = _random_tables()
    other, _ = _random_tables(seed=2)
    by = optimum.standard(logp, reward, 0.5, optimum.frontier(logp, reward))
    assert optimum.judge(other, by)["frontier_gap"] > 0


def test_exact_gradient_ascent_reduces_regret(model: torch.nn.Module, known: truth.Truth) -> None:
    rows = known.rows("train")[:4]
    reward, logp_reference = torch.tensor(known.reward[rows]), torch.tensor(known.logp_reference[rows])
    by = optimum.standard(
        known.logp_reference[rows],
        known.reward[rows],
        known.beta,
        optimum.frontier(logp_reference.numpy(), reward.numpy(), 20),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        logp = tree.log_probabilities(model, tree.prompt_ids()[rows])
        objective = (logp.exp() * (reward - known.beta * (logp - logp_reference))).sum(1).mean()
        optimizer.zero_grad()
        (-objective).backward()
        optimizer.step()
    with torch.no_grad():
        after = tree.log_probabilities(model, tree.prompt_ids()[rows]).numpy()
    assert optimum.judge(after, by)["regret"] < 0.8


def test_a_constant_added_to_a_prompts_rewards_changes_no_difference_in_objective() -> None:
    logp, reward = _random_tables()
    other, _ = _random_tables(seed=3)
    regrets = []
    for shift in (0.0, 1.0, -1.0):
        shifted = reward + shift + np.array([[0.5], [-0.3], [0.9]]) * abs(shift)
        by = optimum.standard(logp, shifted, 0.5, optimum.frontier(logp, shifted, 20))
        regrets.append(optimum.judge(other, by)["regret"])
    assert regrets == pytest.approx([regrets[0]] * 3, rel=1e-10)


# world and feedback --------------------------------------------------------------------------------------------------


def test_reward_has_mean_0_and_sd_1_under_the_reference_before_its_offset(known: truth.Truth) -> None:
    reward = world.standardized(world.raw_reward(0, 0.5), known.logp_reference, known.splits)
    p = np.exp(known.logp_reference)
    assert np.abs((p * reward).sum(1)).max() < 1e-5
    assert (p * reward**2).sum(1)[known.splits["train"]].mean() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("variant", "mean", "sd"), [("E0", 0.0, 0.0), ("E1", 1.0, 0.5), ("E2", -1.0, 0.5)])
def test_offsets_of_a_variant_have_its_mean_and_sd(variant: str, mean: float, sd: float) -> None:
    problem = Exact(kind="exact", variant=variant)
    splits = world.split_prompts(0, 16)
    offsets = world.offsets(0, problem.shift, problem.shift_sd, splits)[splits["train"]]
    assert (offsets.mean(), offsets.std()) == (pytest.approx(mean, abs=1e-12), pytest.approx(sd, abs=1e-12))


def _feedback(known: truth.Truth, pairs: int = 20000, **noise: float) -> object:
    return feedback.draw_feedback(
        known.logp_reference,
        known.reward,
        prompts=known.rows("train"),
        pairs=pairs,
        noise=feedback.Noise(**({"label": 0.0, "score": 0.0} | noise)),
        rng=np.random.default_rng(0),
    )


def test_better_responses_are_chosen_as_often_as_bradley_terry_says(known: truth.Truth) -> None:
    table = _feedback(known)
    first, second = table.reward.to_numpy()[0::2], table.reward.to_numpy()[1::2]
    p = 1 / (1 + np.exp(second - first))
    z = (table.chosen.to_numpy()[0::2] - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4


def test_labels_are_as_often_good_as_the_score_says(known: truth.Truth) -> None:
    table = _feedback(known)
    z = (table.label - table.score).sum() / np.sqrt((table.score * (1 - table.score)).sum())
    assert abs(z) < 4


def test_label_noise_of_a_half_leaves_labels_without_information(known: truth.Truth) -> None:
    table = _feedback(known, label=0.5)
    assert abs(np.corrcoef(table.label, table.score)[0, 1]) < 0.02


def test_score_noise_has_the_standard_deviation_asked_for(known: truth.Truth) -> None:
    table = _feedback(known, score=2.0)
    true = [
        known.reward[language.prompt_number(p), language.response_number(c)]
        for p, c in zip(table.prompt, table.completion, strict=True)
    ]
    assert (table.reward - true).std() == pytest.approx(2.0, rel=0.02)


def test_two_rows_in_turn_are_one_pair_of_one_prompt_with_one_chosen(prepared: Prepared) -> None:
    table = prepared.responses()
    first, second = table.iloc[0::2], table.iloc[1::2]
    assert (first.prompt.to_numpy() == second.prompt.to_numpy()).all()
    assert (first.chosen.to_numpy() ^ second.chosen.to_numpy()).all()
    assert (first.pair.to_numpy() == second.pair.to_numpy()).all()


def test_sampling_follows_the_enumerated_probabilities() -> None:
    logp, _ = _random_tables()
    numbers = policy.sampler(logp, np.random.default_rng(0))(np.full(50000, 2))
    frequency = np.bincount(numbers, minlength=50) / 50000
    np.testing.assert_allclose(frequency, np.exp(logp[2]), atol=0.01)


# the prepared folder -------------------------------------------------------------------------------------------------


def test_heldout_prompts_are_not_trained_on(prepared: Prepared) -> None:
    assert not set(prepared.responses().prompt) & set(prepared.prompts("heldout").prompt)


def test_the_same_settings_give_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    assert _prepare(tmp_path / "again").manifest == prepared.manifest


def test_another_seed_gives_another_problem(prepared: Prepared, tmp_path: Path) -> None:
    other = _prepare(tmp_path / "other", seed=1, sft_steps=1)
    assert other.manifest["hashes"]["responses.parquet"] != prepared.manifest["hashes"]["responses.parquet"]


def test_manifest_holds_no_number_that_json_lacks(prepared: Prepared) -> None:
    json.dumps(prepared.manifest, allow_nan=False)


def test_true_reward_of_a_response_is_what_its_feedback_was_drawn_from(prepared: Prepared) -> None:
    table = prepared.responses().head(20)
    function = registry.true_reward(prepared)
    assert function is not None
    assert function(list(table.prompt), list(table.completion)) == pytest.approx(list(table.reward))


def test_an_offset_that_contradicts_its_variant_is_refused() -> None:
    with pytest.raises(ValidationError, match="omit the variant"):
        Exact(kind="exact", variant="E0", shift=2.0)


def test_an_offset_of_ones_own_needs_no_variant() -> None:
    assert Exact(kind="exact", shift=2.0).variant == "own"


def test_settings_written_out_are_read_back_the_same() -> None:
    problem = Exact(kind="exact", variant="E2")
    assert registry.problem(problem.model_dump(mode="json")) == problem


def test_learned_reward_is_centered_and_knows_better_than_chance(tmp_path: Path) -> None:
    figures = _prepare(tmp_path, reward_model=True, reward_model_steps=40, responses=4096).manifest["reward_model"]
    from transformers import AutoModelForSequenceClassification

    known = truth.load(tmp_path)
    rows = known.rows("train")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    learned = tree.rewards(model, tree.prompt_ids()).detach().numpy()
    mean = optimum.expected(known.logp_reference[rows], learned[rows]).mean()
    assert abs(mean) < 1e-3
    assert figures["heldout_accuracy"] > 0.5


def test_the_predicted_number_of_parameters_is_the_real_one() -> None:
    assert Exact().parameter_count() == sum(p.numel() for p in policy.new_policy(0).parameters())
