"""Prompt lookup: the text of greedy decoding in fewer passes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from text_models import byte_tokenizer, write_model
from transformers import AutoModelForCausalLM, GenerationConfig

from una_bench.evaluation.shared_prefix_lm import SharedPrefixLM, is_plain_greedy
from una_bench.models.decoding import prompt_lookup

BEGINNING = list(range(10, 60))


def make(folder: Path, spread: float) -> Any:
    return AutoModelForCausalLM.from_pretrained(write_model(folder, initializer_range=spread)).eval()


@pytest.fixture(scope="module", params=[0.1, 0.3])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a model whose texts sometimes repeat, and one whose texts hardly do."""
    return make(tmp_path_factory.mktemp("model"), request.param)


def ends(most: int, *, tokens: tuple[int, ...] = (), stopped: Any = lambda written: False) -> prompt_lookup.Ends:
    return prompt_lookup.Ends(tokens=frozenset(tokens), stopped=stopped, most=most)


def plain(model: Any, prompt: list[int], most: int) -> list[int]:
    """Decode greedily token by token, without a cache."""
    ids = list(prompt)
    for _ in range(most):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


PROMPTS = {
    "one": [[5, 6, 7, 8]],
    "one token": [[5]],
    "several lengths": [[5, 6, 7], [9, 9, 9, 9, 9, 9, 9], [40]],
    "a common beginning": [[*BEGINNING, 7, 8], [*BEGINNING, 9], [*BEGINNING]],
    "nothing but a common beginning": [BEGINNING, BEGINNING],
    "one that repeats": [[1, 2, 3, 4, 5, 6, 7] * 4],
}


@pytest.mark.parametrize("name", PROMPTS)
def test_the_text_is_that_of_one_token_after_the_other(name: str, model: Any) -> None:
    found = prompt_lookup.decode(model, PROMPTS[name], ends(60))
    assert found == [plain(model, prompt, 60) for prompt in PROMPTS[name]]


def test_guesses_save_passes_where_the_text_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(tmp_path, 0.02)
    passes: list[int] = []
    forward = prompt_lookup.read_on
    monkeypatch.setattr(prompt_lookup, "read_on", lambda *a, **k: (passes.append(1), forward(*a, **k))[1])
    [text] = prompt_lookup.decode(model, [[5, 6, 7, 8]], ends(150))
    assert text == plain(model, [5, 6, 7, 8], 150)
    assert len(passes) < 50


def test_a_text_ends_with_its_end_token_and_the_others_go_on(model: Any) -> None:
    prompts = PROMPTS["several lengths"]
    texts = [plain(model, prompt, 40) for prompt in prompts]
    end = next(token for token in texts[0] if token not in texts[1])
    found = prompt_lookup.decode(model, prompts, ends(40, tokens=(end,)))
    assert found[0] == texts[0][: texts[0].index(end) + 1]
    assert found[1] == texts[1]


def test_a_text_stops_at_the_token_that_completes_what_stops_it(model: Any) -> None:
    [text] = [plain(model, [5, 6, 7, 8], 40)]
    found = prompt_lookup.decode(model, [[5, 6, 7, 8]], ends(40, stopped=lambda written: len(written) >= 33))
    assert found == [text[:33]]


def test_what_followed_a_run_before_is_guessed_round_and_round() -> None:
    row = prompt_lookup.Row([1, 2, 3, 7, 8, 1, 2, 3], prompt=8, guess_length=7)
    assert row.guess(20) == [7, 8, 1, 2, 3, 7, 8]


def test_nothing_is_guessed_after_a_run_that_never_stood_before() -> None:
    assert prompt_lookup.Row([1, 2, 3, 4, 5, 6, 7], prompt=7).guess(20) == []


def test_right_guesses_are_kept_up_to_the_first_wrong_one() -> None:
    row = prompt_lookup.Row([1], prompt=1)
    assert row.take([5, 6, 7], [5, 6, 9, 9], ends(9)) == (2, False)
    assert row.written == [5, 6, 9]


LOOPING = [("round and round " * 3, 60), ("other", 60), ("and more", 60)]


@pytest.mark.parametrize("until", [["zz"], ["\n\n", "e"], []])
def test_lm_eval_gets_the_texts_of_its_own_model(until: list[str], model: Any) -> None:
    def written(kind: type) -> list[str]:
        lm = kind(pretrained=model, tokenizer=byte_tokenizer(), backend="causal", batch_size=2)
        asked = [
            Instance(request_type="generate_until", doc={}, arguments=(p, {"until": until, "max_gen_toks": n}), idx=i)
            for i, (p, n) in enumerate(LOOPING)
        ]
        found: list[str] = lm.generate_until(asked, disable_tqdm=True)
        return found

    assert written(SharedPrefixLM) == written(HFLM)


def configured(**settings: Any) -> Any:
    return SimpleNamespace(generation_config=GenerationConfig(eos_token_id=2, **settings))


@pytest.mark.parametrize(
    ("model_settings", "settings", "plainly"),
    [
        ({}, {"do_sample": False, "attention_mask": None}, True),
        ({"temperature": 0.7, "top_p": 0.9}, {"do_sample": False, "temperature": 0.0}, True),
        ({"repetition_penalty": 1.2}, {}, False),
        ({"no_repeat_ngram_size": 3}, {}, False),
        ({}, {"do_sample": True, "temperature": 1.0}, False),
        ({}, {"temperature": 0.7}, False),
        ({}, {"num_beams": 4}, False),
    ],
)
def test_only_plain_greedy_decoding_is_done_here(
    model_settings: dict[str, Any], settings: dict[str, Any], plainly: bool
) -> None:
    assert is_plain_greedy(configured(**model_settings), settings) is plainly
