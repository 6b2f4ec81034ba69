"""One budget of any kind: every method stops at it, and the learning rate follows what is used of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import set_seed
from transformers.optimization import get_cosine_with_min_lr_schedule_with_warmup

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import weights_sha256
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.budget import ENDLESS_STEPS, Budget
from una_bench.interfaces.method import Job
from una_bench.machine import stop_request
from una_bench.suite import plan, recipe
from una_bench.training.schedule import multiplier

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

TRAINED = ["ppo", "dpo", "kto", "una_pairwise", "una_binary", "una_score", "una_online"]
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"responses_per_rollout": 8, "num_ppo_epochs": 2, "num_mini_batches": 1},
    "una_online": {"responses_per_rollout": 16, "num_iterations": 2},
}


def train(name: str, job: Job, probe: Probe | None = None, **settings: Any) -> Probe:
    probe = probe or Probe()
    set_seed(job.seed)
    registry.method(name)(**{"warmup_steps": 2, **SETTINGS.get(name, {}), **settings}).train(job, probe)
    return probe


def with_budget(job: Job, **budget: float) -> Job:
    return replace(job, budget_responses=None, **{f"budget_{kind}": amount for kind, amount in budget.items()})


def probe_with(**totals: int) -> Probe:
    probe = Probe()
    probe.totals.update(totals)
    return probe


# what a budget is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [{}, {"responses": 64, "steps": 2}])
def test_a_recipe_gives_exactly_one_budget(budget: dict[str, int]) -> None:
    raw = {"name": "x", "problem": {"kind": "exact"}, "budget": budget, "batch_responses": 8, "benchmarks": {}}
    with pytest.raises(UserError, match="give exactly one of responses, steps, tokens, flops, seconds, epochs"):
        recipe.validate(raw, "x.yaml")


def test_two_budgets_on_the_command_line_are_refused() -> None:
    with pytest.raises(UserError, match="exactly one"):
        recipe.load("exact", ["budget.tokens=100", "budget.steps=2"])


def test_a_budget_on_the_command_line_takes_the_place_of_the_suite_s() -> None:
    assert recipe.load("exact", ["budget.tokens=100"]).budget.given() == {"tokens": 100}


def test_a_recipe_is_written_out_with_the_one_budget_it_has() -> None:
    assert recipe.load("exact", ["budget.seconds=3"]).model_dump(mode="json")["budget"] == {"seconds": 3.0}


def test_a_budget_of_epochs_is_the_same_number_of_responses_for_every_method() -> None:
    made = plan.make(recipe.load("exact", ["budget.epochs=1.5"])).with_responses(200)
    jobs = [plan.job(made, c, prepared=Path(), out=Path(), device="cpu", lengths=(4, 4)) for c in made.cells]
    assert {job.budget for job in jobs} == {Budget(kind="responses", amount=300)}


def test_a_budget_of_epochs_is_part_of_every_key() -> None:
    one, two = (plan.make(recipe.load("exact", [f"budget.epochs={n}"])) for n in (1, 2))
    assert not {c.key for c in one.cells} & {c.key for c in two.cells}
    assert [c.key for c in one.cells] == [c.key for c in one.with_responses(200).cells]


FITTED: list[tuple[str, dict[str, Any], dict[str, float], int, dict[str, Any]]] = [
    ("ppo", {}, {"responses": 1024}, 64, {}),
    ("ppo", {}, {"responses": 1023}, 64, {"responses_per_rollout": 192, "num_mini_batches": 3}),
    ("ppo", {}, {"responses": 16}, 64, {"responses_per_rollout": 4, "num_mini_batches": 1}),
    ("ppo", {}, {"steps": 16}, 64, {}),
    ("ppo", {}, {"steps": 2}, 64, {"responses_per_rollout": 64, "num_mini_batches": 1, "num_ppo_epochs": 2}),
    ("ppo", {}, {"tokens": 10}, 64, {}),
    (
        "ppo",
        {"responses_per_rollout": 8, "num_mini_batches": 1, "per_device_train_batch_size": 4},
        {"responses": 24},
        8,
        {"responses_per_rollout": 4},
    ),
    (
        "ppo",
        {"responses_per_rollout": 8, "num_mini_batches": 1, "per_device_train_batch_size": 4},
        {"responses": 3},
        8,
        {"responses_per_rollout": 1, "num_ppo_epochs": 3, "per_device_train_batch_size": 1},
    ),
    ("una_online", {}, {"responses": 1000}, 64, {}),
    ("una_online", {}, {"responses": 16}, 8, {"responses_per_rollout": 8}),
    ("una_online", {}, {"steps": 3}, 64, {"responses_per_rollout": 64}),
    ("una_online", {}, {"seconds": 1}, 64, {}),
    ("dpo", {}, {"responses": 1}, 64, {}),
]


@pytest.mark.parametrize(("name", "settings", "budget", "batch", "changed"), FITTED)
def test_a_rollout_that_exceeds_the_budget_is_shortened(
    name: str, settings: dict[str, Any], budget: dict[str, float], batch: int, changed: dict[str, Any]
) -> None:
    method = registry.method(name)(**settings)
    [(kind, amount)] = budget.items()
    fitted = method.within(Budget(kind=kind, amount=amount), batch)
    assert fitted.settings() == {**method.settings(), **changed}
    assert fitted.within(Budget(kind=kind, amount=amount), batch) == fitted


def test_a_shortened_rollout_is_said_once() -> None:
    made = plan.make(recipe.load("ci", ["budget.responses=16"]), ["ppo", "dpo"], [0, 1])
    [note] = made.notes()
    assert note == (
        "PPO: the budget is less than one rollout with all its passes, so it trains with "
        "responses_per_rollout=8 (not 16)."
    )


def test_a_shared_setting_that_no_method_of_the_run_has_is_said() -> None:
    shared = ["training.precompute_ref_log_probs=true"]
    [note] = plan.make(recipe.load("ci", shared), ["simpo", "orpo"], [0]).notes()
    assert note == "training.precompute_ref_log_probs changes nothing: none of these methods has it."
    assert plan.make(recipe.load("ci", shared), ["simpo", "dpo"], [0]).notes() == []


def test_ppo_trains_as_much_as_a_budget_below_its_default_rollout(tiny_job: Job) -> None:
    job = replace(tiny_job, budget_responses=16)
    method = registry.method("ppo")(warmup_steps=0).within(job.budget, job.batch_responses)
    probe = Probe()
    set_seed(0)
    method.train(job, probe)
    assert probe.totals["responses"] == 16


def test_the_job_of_a_cell_has_the_recipe_s_budget() -> None:
    made = plan.make(recipe.load("exact", ["budget.flops=1e9"]), ["dpo"], [0])
    job = plan.job(made, made.cells[0], prepared=Path(), out=Path(), device="cpu", lengths=(4, 4))
    assert plan.job_facts(job)["budget_flops"] == 1e9
    assert [name for name in plan.job_facts(job) if name.startswith("budget")] == ["budget_flops"]


def test_a_job_with_two_budgets_is_refused(tiny_job: Job) -> None:
    with pytest.raises(ValueError, match="exactly one budget"):
        replace(tiny_job, budget_steps=3)


@pytest.mark.parametrize(("kind", "steps"), [("responses", 13), ("steps", 100), ("tokens", ENDLESS_STEPS)])
def test_only_responses_and_steps_are_planned(kind: str, steps: int) -> None:
    assert Budget(kind=kind, amount=100).steps(batch_responses=8) == steps


def test_the_last_point_of_evaluation_is_the_whole_budget() -> None:
    assert Budget(kind="seconds", amount=2.5).points(4)[-1] == 2.5


def test_tokens_are_those_of_prompts_and_responses_without_padding() -> None:
    probe = probe_with(prompt_tokens=30, response_tokens=20, padding_tokens=1000)
    assert Budget(kind="tokens", amount=100).fraction(probe) == 0.5


def test_seconds_are_those_of_steps_with_evaluations_left_out() -> None:
    now = [0.0]

    def watch(_: Any) -> dict[str, float]:
        now[0] += 100
        return {"metric": 1.0}

    probe = Probe(clock=lambda: now[0], evaluate_at=[1], watchers=[watch])
    for _ in range(2):
        probe.begin_step()
        now[0] += 3
        probe.count(responses=1)
        probe.check(None)
        probe.end_step()
    assert probe.used("seconds") == 6


def test_a_reference_pass_before_the_first_step_is_training_time() -> None:
    now = [0.0]
    probe = Probe(clock=lambda: now[0])
    with probe.phase("reference"):
        now[0] += 5
    probe.begin_step()
    now[0] += 3
    probe.end_step()
    assert probe.used("seconds") == 8


# the schedule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [0, 3])
def test_the_schedule_is_transformers_own_where_every_step_uses_the_same_share(warmup: int) -> None:
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, 20, min_lr_rate=0.05).lr_lambdas[0]
    probe, budget = Probe(), Budget(kind="tokens", amount=20 * 7)
    ours = multiplier(probe, budget, warmup_steps=warmup, min_lr_rate=0.05)
    for step in range(20):
        probe.totals["response_tokens"] = 7 * step
        assert ours(step) == pytest.approx(theirs(step), rel=1e-12)


def test_the_rate_ends_at_its_floor_beyond_the_budget() -> None:
    probe = probe_with(response_tokens=0)
    factor = multiplier(probe, Budget(kind="tokens", amount=10), warmup_steps=0, min_lr_rate=0.05)
    factor(0)
    probe.totals["response_tokens"] = 12
    assert factor(1) == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["una_score", pytest.param("ppo", marks=pytest.mark.slow)])
def test_the_rate_falls_while_tokens_are_used(name: str, tiny_job: Job) -> None:
    probe = train(name, with_budget(tiny_job, tokens=1600), learning_rate=1e-3, warmup_steps=0)
    rates = probe.curves["learning_rate" if name == "una_score" else "lr"][1]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 4 * rates[-1]


# every method stops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
def test_training_stops_at_the_tokens(name: str, tiny_job: Job) -> None:
    probe = train(name, with_budget(tiny_job, tokens=200))
    before = probe.used("tokens") - probe.samples["prompt_tokens"][-1] - probe.samples["response_tokens"][-1]
    assert before < 200 <= probe.used("tokens")


@pytest.mark.parametrize("name", TRAINED)
def test_training_stops_at_the_steps(name: str, tiny_job: Job) -> None:
    assert train(name, with_budget(tiny_job, steps=4)).totals["optimizer_steps"] == 4


@pytest.mark.parametrize("name", ["ppo", "dpo", "una_online"])
def test_training_stops_at_the_operations(name: str, tiny_job: Job) -> None:
    probe = train(name, with_budget(tiny_job, flops=5e7))
    assert probe.used("flops") - probe.samples["flops"][-1] < 5e7 <= probe.used("flops")


@pytest.mark.parametrize("name", ["ppo", "kto", "una_score"])
def test_training_stops_at_the_seconds(name: str, tiny_job: Job) -> None:
    probe = train(name, with_budget(tiny_job, seconds=0.4))
    # A reference pass before the first step counts too; where it alone takes longer, one step is trained.
    before_the_last_step = sum(probe.samples["seconds"][:-1])
    assert before_the_last_step < 0.4 <= probe.used("seconds")


def test_as_many_tokens_as_a_planned_training_saw_give_its_weights(tiny_job: Job, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    def weights(folder: Path) -> str:
        return weights_sha256(AutoModelForCausalLM.from_pretrained(folder / "checkpoint"))

    planned = replace(tiny_job, out=tmp_path / "planned")
    tokens = train("una_score", planned, warmup_steps=10**6).used("tokens")  # in warm-up the schedule is the same
    train("una_score", with_budget(tiny_job, tokens=tokens), warmup_steps=10**6)
    assert weights(tiny_job.out) == weights(planned.out)


@pytest.mark.parametrize("name", ["dpo", "una_online"])
def test_a_stopped_training_on_tokens_goes_on_as_if_undisturbed(
    name: str, tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = with_budget(tiny_job, tokens=500)
    whole = train(name, replace(job, out=tmp_path / "whole"))

    def ask(probe: Probe) -> None:
        if probe.totals["optimizer_steps"] >= 4:
            monkeypatch.setattr(stop_request, "_requested", True)

    with pytest.raises(stop_request.Interrupted):
        train(name, job, Probe(on_step=ask))
    monkeypatch.setattr(stop_request, "_requested", False)
    resumed = train(name, job)
    assert (resumed.curves, resumed.totals) == (whole.curves, whole.totals)


# curves against each budget ------------------------------------------------------------------------------------------


def test_every_point_of_a_curve_has_its_place_on_every_axis() -> None:
    probe = Probe()
    for tokens in (10, 20):
        probe.begin_step()
        probe.count(responses=2, response_tokens=tokens, optimizer_steps=1)
        probe.end_step()
        probe.observe({"quality": 1.0})
    curves = {c.metric: c for c in probe.trace.record()}
    assert curves["progress.tokens"].x == curves["quality"].x == (2.0, 4.0)
    assert curves["progress.tokens"].y == (10.0, 30.0)
    assert curves["progress.steps"].y == (1.0, 2.0)


def test_several_curves_share_one_place_on_the_axes() -> None:
    probe = Probe()
    probe.count(responses=2)
    probe.observe({"loss": 1.0})
    probe.observe({"quality": 1.0})
    assert probe.trace.axes["responses"] == [2.0]


def test_evaluations_come_at_fractions_of_any_budget(tiny_job: Job) -> None:
    budget = with_budget(tiny_job, tokens=300)
    seen: list[float] = []
    probe = Probe(axis="tokens", evaluate_at=budget.budget.points(3))
    probe.watchers = [lambda _: seen.append(probe.used("tokens")) or {}]  # type: ignore[func-returns-value]
    train("una_binary", budget, probe)
    assert len(seen) == 3
    assert all(100 * (i + 1) <= tokens for i, tokens in enumerate(seen))
