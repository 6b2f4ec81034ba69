"""The offsets' arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from una_bench.una import losses
from una_bench.una.offsets import Ema, Learned, PromptMean, Rows, ema_constant, goal, group_mean, integrated_constant

SHARED = Path(__file__).parents[3] / "shared" / "golden" / "golden.json"


def rows(reward: Any, target: Any, **other: Any) -> Rows:
    reward = torch.as_tensor(reward, dtype=torch.float64)
    target = torch.as_tensor(target, dtype=torch.float64)
    defaults: dict[str, Any] = {
        "binary": torch.zeros(len(target), dtype=torch.bool),
        "states": torch.ones(len(target), 3),
        "group": torch.zeros(len(target), dtype=torch.long),
    }
    return Rows(reward=reward, target=target, **defaults | other)


def same(tensor: Tensor) -> Tensor:
    return tensor


def test_the_goal_in_score_space_is_the_logit() -> None:
    assert float(goal(torch.tensor(0.75), "score").sigmoid()) == pytest.approx(0.75)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_goal_of_a_score_at_the_end_of_its_range_is_finite(score: float) -> None:
    assert goal(torch.tensor(score), "score").isfinite()


def test_group_means_are_those_of_each_group() -> None:
    means = group_mean(torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([7, 5, 7, 5]))
    assert means.tolist() == [2.0, 6.0, 2.0, 6.0]


def test_prompt_mean_centers_the_rewards_of_each_group_on_their_goals() -> None:
    some = rows([0.5, -1.0, 2.0, 0.0], [0.2, 0.9, 0.6, 0.4], group=torch.tensor([0, 0, 1, 1]))
    gap = some.reward + PromptMean("score")(some) - goal(some.target, "score")
    torch.testing.assert_close(group_mean(gap, some.group), torch.zeros(4, dtype=torch.float64))


def test_prompt_mean_carries_no_gradient() -> None:
    reward = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    assert not PromptMean("score")(rows(reward, [0.2, 0.9])).requires_grad


def test_prompt_mean_in_reward_space_makes_the_loss_blind_to_a_constant_reward() -> None:
    plain, shifted = rows([0.5, -1.0], [1.0, 2.0]), rows([0.5, -1.0], [6.0, 7.0])
    values = [losses.una_reward(r.reward + PromptMean("reward")(r), r.target) for r in (plain, shifted)]
    torch.testing.assert_close(values[0], values[1])


def test_ema_ends_at_the_mean_of_what_is_wanted() -> None:
    ema, some = Ema("reward", rate=0.5, residual_rate=0.2), rows([0.0, 1.0], [2.0, 5.0])
    for _ in range(60):
        ema.observe(some, same)
    assert ema.constant == pytest.approx(3.0)


def test_ema_on_labels_ends_where_labels_are_met_on_average() -> None:
    ema = Ema("score", rate=0.05, residual_rate=0.2)
    some = rows([0.0, 1.0, -1.0, 0.5], [1, 0, 0, 0], binary=torch.ones(4, dtype=torch.bool))
    for _ in range(500):
        ema.observe(some, same)
    assert float((some.reward + ema.constant).sigmoid().mean()) == pytest.approx(0.25, abs=1e-6)


def test_the_learned_offset_finds_what_its_states_tell() -> None:
    torch.manual_seed(0)
    head = Learned(3, multiplier=10.0, betas=(0.9, 0.99), device=torch.device("cpu"))
    states = torch.randn(32, 3)
    some = rows(torch.zeros(32), states @ torch.tensor([1.0, -2.0, 0.5]) + 0.25, states=states)
    for _ in range(800):
        losses.una_reward(some.reward + head(some), some.target).mean().backward()
        head.step(1e-3, same)
    torch.testing.assert_close(head(some).double(), some.target, rtol=0, atol=1e-2)


def test_the_learned_offset_starts_at_zero() -> None:
    head = Learned(3, multiplier=10.0, betas=(0.9, 0.99), device=torch.device("cpu"))
    assert head(rows([0.0], [0.0])).tolist() == [0.0]


@pytest.mark.slow
def test_estimators_meet_the_golden_numbers() -> None:
    if not SHARED.is_file():
        pytest.skip("../shared/golden/golden.json is not beside this checkout")
    golden = json.loads(SHARED.read_text())
    i = {k: torch.tensor(v, dtype=torch.float64) for k, v in golden["inputs"].items() if isinstance(v, list)}
    c, beta, expected = golden["inputs"]["c"], golden["inputs"]["beta"], golden["expected"]
    reward = beta * (i["policy_logps"] - i["ref_logps"])
    some = rows(reward, i["scores"], group=i["group"].long())
    got = {
        "c_ema_logit": ema_constant(c, goal(i["scores"], "score") - reward, 0.05),
        "c_integrator_score": integrated_constant(c, i["scores"] - (reward + c).sigmoid(), 0.2),
        "c_integrator_binary": integrated_constant(c, i["labels"] - (reward + c).sigmoid(), 0.2),
        "f_prompt_mean": PromptMean("score")(some).tolist(),
    }
    assert got == {name: pytest.approx(expected[name], abs=1e-9) for name in got}
