"""The benchmark of the exact distance to the optimum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.exact import optimum, policy, tree, truth
from una_bench.record.schema import Better

Oracle = registry.benchmark("oracle")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("exact")
    settings = {"kind": "exact", "sft_steps": 10, "responses": 64, "responses_heldout": 64, "reward_model": False}
    registry.problem(settings).prepare(folder, lambda _: None)
    return Prepared(folder)


@pytest.fixture
def measured(prepared: Prepared, tmp_path: Path) -> dict[str, float]:
    checkpoint = Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path)
    return {m.metric: m.value for m in Oracle().evaluate(checkpoint)}


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_initial_policy_has_regret_1(measured: dict[str, float], split: str) -> None:
    assert measured[f"oracle.regret.{split}"] == pytest.approx(1.0, abs=1e-5)


def test_the_initial_policy_has_no_kl_to_itself(measured: dict[str, float]) -> None:
    assert measured["oracle.kl_ref.train"] == pytest.approx(0.0, abs=1e-6)


def test_the_initial_policy_is_as_far_from_the_optimum_as_the_truth_says(
    measured: dict[str, float], prepared: Prepared
) -> None:
    known = truth.load(prepared.path)
    rows = known.rows("train")
    best = optimum.tilted(known.logp_reference, known.reward, known.beta)
    distance = optimum.divergence(known.logp_reference[rows], best[rows]).mean()
    assert measured["oracle.kl_optimum.train"] == pytest.approx(distance, rel=1e-4)


def test_parts_of_the_regret_add_up(prepared: Prepared, tmp_path: Path) -> None:
    other = policy.new_policy(5, spread=0.1)
    other.save_pretrained(tmp_path / "other")
    checkpoint = Checkpoint(path=tmp_path / "other", prepared=prepared, out=tmp_path)
    found = {m.metric: m.value for m in Oracle().evaluate(checkpoint)}
    parts = found["oracle.regret_direction.train"] + found["oracle.regret_strength.train"]
    assert parts == pytest.approx(found["oracle.regret.train"], rel=1e-9)


def test_lower_regret_is_better_and_higher_reward_is_better() -> None:
    directions = (Oracle.units["oracle.regret.train"][1], Oracle.units["oracle.reward.train"][1])
    assert directions == (Better.LOWER, Better.HIGHER)


def test_watching_gives_what_evaluating_gives(measured: dict[str, float], prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    watched = Oracle().watch(model, prepared)
    assert watched["oracle.reward.heldout"] == pytest.approx(measured["oracle.reward.heldout"], abs=1e-9)


def test_watching_leaves_every_module_in_the_mode_it_was_in(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy).train()
    model.lm_head.eval()
    before = [module.training for module in model.modules()]
    Oracle().watch(model, prepared)
    assert [module.training for module in model.modules()] == before


def test_watching_takes_no_random_numbers(prepared: Prepared) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy).train()
    before = torch.get_rng_state()
    Oracle().watch(model, prepared)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks by the old name
def test_a_folder_of_adapters_is_judged_with_its_base(prepared: Prepared, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(prepared.policy)
    options = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    adapted = get_peft_model(base, options).eval()
    adapted.save_pretrained(tmp_path / "adapters")
    with torch.no_grad():
        logp = tree.log_probabilities(adapted, tree.prompt_ids()).numpy()
    expected = truth.load(prepared.path).judge(logp)["regret.train"]
    checkpoint = Checkpoint(path=tmp_path / "adapters", prepared=prepared, out=tmp_path)
    found = {m.metric: m.value for m in Oracle().evaluate(checkpoint)}
    assert found["oracle.regret.train"] == pytest.approx(expected, rel=1e-4)


def test_a_policy_that_is_not_finite_has_no_figures(prepared: Prepared, tmp_path: Path) -> None:
    broken = AutoModelForCausalLM.from_pretrained(prepared.policy)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    broken.save_pretrained(tmp_path / "broken")
    checkpoint = Checkpoint(path=tmp_path / "broken", prepared=prepared, out=tmp_path)
    assert Oracle().evaluate(checkpoint) == []


def test_a_problem_without_truth_is_not_judged(tmp_path: Path) -> None:
    assert not Oracle().applies(Prepared(tmp_path))
