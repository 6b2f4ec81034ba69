"""Sampling: responses follow the policy's distribution, for any batch size and generation config."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from tiny_world import tiny_policy
from torch.utils._python_dispatch import TorchDispatchMode

from una_bench.una import generation
from una_bench.una.generation import DROP_THRESHOLD, Sampling, cast_once, generate, uniform_numbers

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
SAMPLING = Sampling(max_new_tokens=4, eos=(0,), pad=17)


def test_a_response_stops_at_its_first_end_token() -> None:
    responses = generate(tiny_policy(), [[9, 10]] * 200, SAMPLING, uniform_numbers(200, 4, (0, 0)), 200)
    assert all(0 not in response[:-1] for response in responses)


def test_a_response_that_does_not_end_has_the_full_length() -> None:
    responses = generate(tiny_policy(), [[9, 10]] * 200, SAMPLING, uniform_numbers(200, 4, (0, 0)), 200)
    assert {len(response) for response in responses if response[-1] != 0} == {4}


def test_tokens_are_drawn_with_the_policys_probabilities() -> None:
    model, count = tiny_policy(), 20_000
    responses = generate(model, [[9, 10]] * count, SAMPLING, uniform_numbers(count, 4, (1, 0)), count)
    share = np.bincount([response[0] for response in responses], minlength=18) / count
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[9, 10]])).logits[0, -1].softmax(-1).numpy()
    np.testing.assert_allclose(share, expected, atol=4 * np.sqrt(0.25 / count))


def test_responses_do_not_depend_on_how_many_are_generated_at_a_time() -> None:
    model, numbers = tiny_policy(), uniform_numbers(30, 4, (2, 0))
    prompts = [[9 + i % 5] * (1 + i % 3) for i in range(30)]
    assert generate(model, prompts, SAMPLING, numbers, 30) == generate(model, prompts, SAMPLING, numbers, 7)


def test_the_samples_are_those_of_transformers_own_generation() -> None:
    model, numbers = tiny_policy(), uniform_numbers(60, 4, (5, 0))
    prompts = [[9 + i % 5] * (1 + i % 3) for i in range(60)]
    ours = generate(model, prompts, SAMPLING, numbers, 60)
    assert generate(model, prompts, SAMPLING, numbers, 60, "transformers") == ours


def test_a_model_with_windowed_attention_samples_with_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, numbers = tiny_policy(), uniform_numbers(4, 4, (5, 0))
    ours = generate(model, [[9, 10]] * 4, SAMPLING, numbers, 4)
    monkeypatch.setattr(generation, "attends_to_all", lambda _: False)
    monkeypatch.setattr(generation, "_stepwise", None)
    assert generate(model, [[9, 10]] * 4, SAMPLING, numbers, 4) == ours


def reading(model: Any) -> list[torch.Tensor]:
    """Return a list that gets the logits of the last position of every pass, (B, V)."""
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, __, out: seen.append(out.logits[:, -1]))
    return seen


def test_a_prompt_of_several_rows_is_read_once() -> None:
    model = tiny_policy()
    seen = reading(model)
    generate(model, [[9, 10], [11], [9, 10], [9, 10], [11]], SAMPLING, uniform_numbers(5, 4, (0, 0)), 5)
    assert len(seen[0]) == 2 and len(seen[1]) == 5


def test_rows_that_share_a_prompt_see_the_logits_they_see_alone() -> None:
    model, numbers = tiny_policy(), uniform_numbers(8, 4, (4, 0))
    never = Sampling(max_new_tokens=4, eos=(99,), pad=17)
    prompts = [[9, 10], [11], [12, 13, 14], [11]] * 2
    seen = reading(model)
    together = generate(model, prompts, never, numbers, 8)
    logits = torch.stack(seen[1:], dim=1)
    for row, prompt in enumerate(prompts):
        seen.clear()
        assert generate(model, [prompt], never, numbers[row : row + 1], 1) == [together[row]]
        alone = torch.stack(seen[1:], dim=1)[0].log_softmax(-1)
        torch.testing.assert_close(logits[row].log_softmax(-1), alone, rtol=1e-5, atol=1e-5)


class Casts(TorchDispatchMode):
    """Counts casts of some weights."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        super().__init__()
        self.weights, self.count = {weight.data_ptr() for weight in weights}, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._to_copy.default and args[0].data_ptr() in self.weights
        return func(*args, **(kwargs or {}))


def test_frozen_weights_are_cast_once_for_all_tokens_of_a_rollout() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny_policy(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    frozen = [p for p in model.parameters() if not p.requires_grad]
    found = []
    for kept in (nullcontext, cast_once):
        with torch.autocast("cpu", torch.bfloat16), kept(model), Casts(frozen) as casts:
            drawn = generate(model, [[9, 10]] * 20, SAMPLING, uniform_numbers(20, 4, (2, 0)), 20)
        found.append((casts.count, drawn))
    (many, expected), (once, drawn) = found
    assert drawn == expected
    assert 0 < once <= len(frozen) and many == 4 * once
    assert not any(p.requires_grad for p in frozen)


def test_responses_that_are_over_are_not_read_again() -> None:
    model, read = tiny_policy(), []
    model.register_forward_pre_hook(lambda _, __, given: read.append(len(given["input_ids"])), with_kwargs=True)
    ends = tuple(range(10))  # about half of all tokens
    sampling = Sampling(max_new_tokens=4, eos=ends, pad=17)
    responses = generate(model, [[9, 10]] * 200, sampling, uniform_numbers(200, 4, (0, 0)), 200)
    assert read.pop(0) == 1  # all have the same prompt
    going = [sum(len(r) > step for r in responses) for step in range(1, 4)]
    assert 200 > read[0] > read[2]
    assert all(left <= rows <= left / DROP_THRESHOLD for rows, left in zip(read, going, strict=True))


@pytest.mark.parametrize("sampler", ["una", "transformers"])
def test_penalties_in_the_models_own_settings_do_not_bend_the_samples(sampler: str) -> None:
    model, numbers = tiny_policy(), uniform_numbers(50, 4, (2, 0))
    plain = generate(model, [[9, 10]] * 50, SAMPLING, numbers, 50, sampler)
    model.generation_config.repetition_penalty = 5.0
    assert generate(model, [[9, 10]] * 50, SAMPLING, numbers, 50, sampler) == plain


def test_top_k_of_one_takes_the_likeliest_token() -> None:
    model = tiny_policy()
    greedy = Sampling(max_new_tokens=1, eos=(0,), pad=17, top_k=1)
    response = generate(model, [[9, 10]] * 20, greedy, uniform_numbers(20, 1, (3, 0)), 20)
    with torch.no_grad():
        best = int(model(input_ids=torch.tensor([[9, 10]])).logits[0, -1].argmax())
    assert response == [[best]] * 20


def test_top_p_keeps_the_smallest_set_with_that_probability() -> None:
    model = tiny_policy()
    nucleus = Sampling(max_new_tokens=1, eos=(0,), pad=17, top_p=0.5)
    seen = {r[0] for r in generate(model, [[9, 10]] * 2000, nucleus, uniform_numbers(2000, 1, (3, 0)), 2000)}
    with torch.no_grad():
        shares, order = model(input_ids=torch.tensor([[9, 10]])).logits[0, -1].softmax(-1).sort(descending=True)
    kept = int((shares.cumsum(0) < 0.5).sum()) + 1
    assert seen == set(order[:kept].tolist())
