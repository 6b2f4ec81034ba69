"""Grouped attention: the same results as transformers' own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from text_models import write_model
from transformers import AutoModelForCausalLM

from una_bench.models.decoding import grouped_attention
from una_bench.models.decoding.grouped_attention import NAME, grouped
from una_bench.models.decoding.growing_cache import growing_cache


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a model with four query heads and two key heads."""
    folder = write_model(
        tmp_path_factory.mktemp("model"), num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3
    )
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def logits(model: Any, new: int) -> torch.Tensor:
    """Return the logits of some tokens after cached prompts of several lengths."""
    torch.manual_seed(0)
    ids, after = torch.randint(3, 260, (3, 20)), torch.randint(3, 260, (3, new))
    real = torch.ones(3, 20, dtype=torch.long)
    real[0, :7], real[2, :1] = 0, 0
    cache = growing_cache()
    with torch.no_grad():
        model(input_ids=ids, attention_mask=real, past_key_values=cache)
        real = torch.cat([real, torch.ones_like(after)], dim=1)
        out: torch.Tensor = model(input_ids=after, attention_mask=real, past_key_values=cache).logits
    return out


@pytest.mark.parametrize("new", [1, 2, 9])
def test_logits_are_those_of_sdpa(new: int, model: Any) -> None:
    plain = logits(model, new)
    with grouped(model):
        torch.testing.assert_close(logits(model, new), plain, rtol=1e-5, atol=1e-5)


def test_keys_are_not_copied_for_each_head_of_queries(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, *rest: Any, **settings: Any) -> torch.Tensor:
        seen.append(tuple(key.shape))
        return attend(query, key, *rest, **settings)

    monkeypatch.setattr(grouped_attention, "scaled_dot_product_attention", watched)
    with grouped(model):
        logits(model, 5)
    assert (3, 2, 25, 4) in seen  # two heads of keys and not four


def test_the_model_is_as_before_afterwards(model: Any) -> None:
    with pytest.raises(KeyError), grouped(model):
        assert model.config._attn_implementation == NAME
        raise KeyError
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("kind", "device"), [("eager", "cpu"), ("sdpa", "cuda")])
def test_another_attention_and_another_device_are_left_alone(kind: str, device: str) -> None:
    config = SimpleNamespace(_attn_implementation=kind)
    with grouped(SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config), device=device)):
        assert config._attn_implementation == kind
