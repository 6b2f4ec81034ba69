"""Whole weights of a policy whose weights are divided: a copy that is filled for a while."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from una_bench.una.whole_copy import WholeCopy, whole_state


def test_a_filled_copy_computes_what_the_policy_computes_now(tiny_prepared: Path) -> None:
    policy = AutoModelForCausalLM.from_pretrained(tiny_prepared / "policy").eval()
    made = WholeCopy(policy)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        next(policy.parameters()).mul_(1.5)  # a step after the copy was made
        with made.filled(policy) as whole:
            assert torch.equal(whole(input_ids=ids).logits, policy(input_ids=ids).logits)


def test_a_copy_holds_no_weights_before_and_after(tiny_prepared: Path) -> None:
    policy = AutoModelForCausalLM.from_pretrained(tiny_prepared / "policy")
    made = WholeCopy(policy)
    with made.filled(policy) as whole:
        assert not any(p.is_meta for p in whole.parameters())
    assert all(p.is_meta for p in made.model.parameters())


def test_tied_weights_stay_tied() -> None:
    inner = torch.nn.Linear(3, 3, bias=False)
    model = torch.nn.Sequential(inner, torch.nn.Linear(3, 3, bias=False))
    model[1].weight = inner.weight
    with WholeCopy(model).filled(model) as whole:
        assert whole[0].weight is whole[1].weight


def test_a_replaced_forward_pass_is_not_copied() -> None:
    model = torch.nn.Linear(1, 1)
    model.forward = lambda *_: None  # type: ignore[method-assign]
    with WholeCopy(model).filled(model) as whole:
        assert whole(torch.ones(1)) is not None


def test_what_deepspeed_hung_on_a_module_is_not_copied() -> None:
    model, called = torch.nn.Linear(1, 1), []
    hooks = [lambda *_: called.append("engine"), lambda *_: called.append("own")]
    hooks[0].__module__ = "deepspeed.runtime.zero.parameter_offload"
    for hook in hooks:
        model.register_forward_pre_hook(hook)
    with WholeCopy(model).filled(model) as whole:
        whole(torch.ones(1))
    assert called == ["own"]


def test_the_state_of_a_whole_model_is_its_state() -> None:
    model = torch.nn.Linear(2, 2)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole_state(model).items())
