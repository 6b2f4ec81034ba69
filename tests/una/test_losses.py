"""The losses against golden numbers, at saturation, and against TRL's formula."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from una_bench.una import losses

OWN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())
SHARED = Path(__file__).parents[3] / "shared" / "golden" / "golden.json"
I = {k: torch.tensor(v, dtype=torch.float64) for k, v in OWN["inputs"].items()}  # noqa: E741
BETA = float(I["beta"])


def reward(ratio: Tensor) -> Tensor:
    return losses.implicit_reward(ratio, BETA, I["offset"])


SINGLE: dict[str, Callable[[Tensor], Tensor]] = {
    "una_binary_mse": lambda x: losses.una_score(reward(x), I["label"], loss_type="mse"),
    "una_binary_bce": lambda x: losses.una_score(reward(x), I["label"], loss_type="bce"),
    "una_score_mse": lambda x: losses.una_score(reward(x), I["score"], loss_type="mse"),
    "una_score_bce": lambda x: losses.una_score(reward(x), I["score"], loss_type="bce"),
    "una_reward": lambda x: losses.una_reward(reward(x), I["explicit"]),
    "una_pairwise": lambda x: losses.una_pairwise(x, I["rejected"], BETA),
}


def ratios(name: str) -> tuple[Tensor, dict[str, list[float]]]:
    pairs = name == "una_pairwise"
    expected: dict[str, list[float]] = OWN["expected"]["dpo" if pairs else name]
    return I["chosen" if pairs else "logratio"].clone().requires_grad_(), expected


def close(got: Tensor, expected: Any, tolerance: float) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SINGLE)
def test_losses_are_those_worked_out_with_fifty_digits(name: str) -> None:
    x, expected = ratios(name)
    close(SINGLE[name](x).detach(), expected["losses"], 1e-12)


@pytest.mark.parametrize("name", SINGLE)
def test_gradients_are_those_worked_out_with_fifty_digits(name: str) -> None:
    x, expected = ratios(name)
    SINGLE[name](x).sum().backward()
    assert x.grad is not None
    close(x.grad, expected["grad"], 1e-12)


@pytest.mark.parametrize("name", SINGLE)
def test_float32_losses_and_gradients_stay_finite_at_the_saturated_ends(name: str) -> None:
    x, _ = ratios(name)
    single = x.detach().float().requires_grad_()
    SINGLE[name](single).sum().backward()
    assert single.grad is not None and single.grad.isfinite().all()


@pytest.mark.parametrize("name", SINGLE)
def test_half_precision_is_computed_in_float32(name: str) -> None:
    x, _ = ratios(name)
    half = x.detach().bfloat16()
    torch.testing.assert_close(SINGLE[name](half), SINGLE[name](half.float()), rtol=0, atol=0)


def test_differences_are_those_worked_out_with_fifty_digits_over_all_pairs() -> None:
    x = I["logratio"].clone().requires_grad_()
    loss = losses.reward_difference(BETA * x - I["explicit"], torch.zeros(len(x))).mean()
    loss.backward()
    close(loss.detach(), OWN["expected"]["reward_difference"]["mean"], 1e-12)
    assert x.grad is not None
    close(x.grad, OWN["expected"]["reward_difference"]["grad"], 1e-12)


def test_differences_are_taken_within_a_prompt_and_do_not_see_what_its_responses_share() -> None:
    error, group = torch.tensor([3.0, 1.0, 10.0, 10.0]), torch.tensor([7, 7, 2, 2])
    close(losses.reward_difference(error, group), [4.0, 4.0, 0.0, 0.0], 1e-6)
    close(losses.reward_difference(error + 5.0 * group, group), [4.0, 4.0, 0.0, 0.0], 1e-5)


@pytest.mark.parametrize(("beta", "expected"), OWN["expected"]["log_partition_of_quantiles"].items())
def test_the_partition_function_of_quantiles_is_its_integral(beta: str, expected: float) -> None:
    assert losses.log_partition_of_quantiles(float(beta)) == pytest.approx(expected, rel=1e-12)


def test_una_pairwise_is_trls_dpo_to_the_bit() -> None:
    torch.manual_seed(0)
    policy_w, policy_l, ref_w, ref_l = torch.randn(4, 4096) * 40
    delta_score = (policy_w - ref_w) - (policy_l - ref_l)  # as TRL 1.12 has it in DPOTrainer._compute_loss
    assert torch.equal(losses.una_pairwise(policy_w - ref_w, policy_l - ref_l, 0.1), -logsigmoid(0.1 * delta_score))


def test_an_offset_cancels_in_a_pair() -> None:
    w, y = I["chosen"][:3], I["rejected"][:3]
    with_offset = -logsigmoid(losses.implicit_reward(w, BETA, 1.5) - losses.implicit_reward(y, BETA, 1.5))
    close(with_offset, losses.una_pairwise(w, y, BETA), 1e-12)


@pytest.mark.parametrize("loss_type", ["mse", "bce"])
def test_a_step_down_the_loss_moves_the_implicit_score_towards_the_judged_one(loss_type: str) -> None:
    r = torch.tensor([0.0, 0.0], requires_grad=True)
    losses.una_score(r, torch.tensor([0.9, 0.1]), loss_type=loss_type).sum().backward()
    assert r.grad is not None and r.grad[0] < 0 < r.grad[1]


def test_soft_label_cross_entropy_is_least_where_implicit_and_judged_score_agree() -> None:
    r = torch.tensor([math.log(0.7 / 0.3)], requires_grad=True)
    losses.una_score(r, torch.tensor([0.7]), loss_type="bce").sum().backward()
    assert r.grad is not None and abs(float(r.grad)) < 1e-7


def test_cross_entropy_is_exact_where_one_minus_sigmoid_is_zero_in_float32() -> None:
    assert float(losses.una_score(torch.tensor([17.5]), torch.tensor([0.0]), loss_type="bce")) == 17.5


def test_an_unknown_loss_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'mae'"):
        losses.una_score(torch.zeros(1), torch.zeros(1), loss_type="mae")


def shared() -> tuple[dict[str, Any], dict[str, Any]]:
    if not SHARED.is_file():
        pytest.skip("../shared/golden/golden.json is not beside this checkout")
    golden = json.loads(SHARED.read_text())
    tensors = {
        k: torch.tensor(v, dtype=torch.float64) if isinstance(v, list) else v for k, v in golden["inputs"].items()
    }
    return tensors, golden["expected"]


def single_cases() -> list[tuple[str, str, str, bool]]:
    """Name, loss, target, and whether f and c enter."""
    cases = []
    for suffix in ("", "_fc"):
        cases += [(f"una_binary_mse{suffix}", "mse", "labels", bool(suffix))]
        cases += [(f"una_binary_bce{suffix}", "bce", "labels", bool(suffix))]
        cases += [(f"una_reward_mse{suffix}", "reward", "rewards", bool(suffix))]
    return cases


@pytest.mark.slow
@pytest.mark.parametrize(("case", "f", "c"), [("", 0, 0), ("_c", 0, 1), ("_f", 1, 0), ("_fc", 1, 1)])
def test_una_score_meets_the_golden_numbers(case: str, f: int, c: int) -> None:
    i, expected = shared()
    x = (i["policy_logps"] - i["ref_logps"]).requires_grad_()
    offset = (f * i["f_x"] + c * i["c"]).requires_grad_()
    loss = losses.una_score(losses.implicit_reward(x, i["beta"], offset), i["scores"])
    loss.mean().backward()
    want = expected[f"una_score_mse{case}"]
    for got, name in ((loss.detach(), "losses"), (x.grad, "grad"), (offset.grad, "grad_f")):
        close(got, want[name], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "loss_type", "target", "fc"), single_cases())
def test_una_binary_and_reward_meet_the_golden_numbers(case: str, loss_type: str, target: str, fc: bool) -> None:
    i, expected = shared()
    x = (i["policy_logps"] - i["ref_logps"]).requires_grad_()
    offset = (fc * (i["f_x"] + i["c"])).requires_grad_()
    r = losses.implicit_reward(x, i["beta"], offset)
    loss = (
        losses.una_reward(r, i[target])
        if loss_type == "reward"
        else losses.una_score(r, i[target], loss_type=loss_type)
    )
    loss.mean().backward()
    for got, name in ((loss.detach(), "losses"), (x.grad, "grad"), (offset.grad, "grad_f")):
        close(got, expected[case][name], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["dpo_sigmoid", "una_pairwise"])
def test_pairs_meet_the_golden_numbers(case: str) -> None:
    i, expected = shared()
    w = (i["policy_chosen_logps"] - i["ref_chosen_logps"]).requires_grad_()
    y = (i["policy_rejected_logps"] - i["ref_rejected_logps"]).requires_grad_()
    loss = losses.una_pairwise(w, y, i["beta"])
    loss.mean().backward()
    for got, name in ((loss.detach(), "losses"), (w.grad, "grad_chosen"), (y.grad, "grad_rejected")):
        close(got, expected[case][name], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "anchor", "constant"),
    [
        ("una_online_ref", "tok_ref", 0.0),
        ("una_online_ref_c", "tok_ref", 0.25),
        ("una_online_rollout_authors", "tok_old", 0.0),
    ],
)
def test_una_online_meets_the_golden_numbers(case: str, anchor: str, constant: float) -> None:
    i, expected = shared()
    tokens = {k: torch.tensor(v, dtype=torch.float64) for k, v in i["online"].items()}
    authors = case.endswith("authors")
    new = tokens["tok_new"].requires_grad_()
    ratio = ((new - tokens[anchor]) * tokens["mask"]).sum(-1)
    r = losses.implicit_reward(ratio, i["kappa"] if authors else i["beta"], constant)
    loss = losses.una_score(r, tokens["rm_reward"].sigmoid())
    (loss.sum() if authors else loss.mean()).backward()
    for got, name in ((r.detach(), "implicit_reward"), (loss.detach(), "losses"), (new.grad, "grad_tok")):
        close(got, expected[case][name], 1e-9)
