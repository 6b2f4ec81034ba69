"""The tokens of a prepared folder reach every method as they are, whatever the chat template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_problem import prepared_with, train
from text_models import TEMPLATE, write_model, write_reward_model, write_rows
from transformers import AutoTokenizer
from transformers.generation import GenerationMixin

from una_bench.interfaces import registry, trl_source
from una_bench.interfaces.method import Feedback
from una_bench.interfaces.prepared import Prepared
from una_bench.training import una
from una_bench.training.trl import offline

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
BY_TRAINER = {registry.method(name).trainer or name: name for name in reversed(registry.method_names())}
"""One method of each trainer: the others are the same trainer with another loss."""
METHODS = [n for n in BY_TRAINER.values() if n != "base" and trl_source.has(registry.method(n).trainer)]
ONLINE = [name for name in METHODS if registry.method(name).feedback is Feedback.PROMPTS]
Tokens = tuple[int, ...]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


HISTORY = [{"role": "system", "content": "Be short."}, user(" hi"), assistant("ho"), user("so?\n")]
ROWS = [
    {"chosen": [*HISTORY, assistant("\nGood. ")], "rejected": [*HISTORY, assistant("Bad"), user("?"), assistant("é")]},
    {"chosen": [user("2+2?"), assistant("4")], "rejected": [user("2+2?"), assistant("five")]},
]
"""A pair after a system message and an earlier turn, one of whose responses has two turns; and a plain pair."""
THINKS = TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
SYSTEM, ASK = "<|im_start|>system\nBe short.<|im_end|>\n", "<|im_start|>assistant\n"
TURNS = f"<|im_start|>user\n hi<|im_end|>\n{ASK}ho<|im_end|>\n<|im_start|>user\nso?\n<|im_end|>\n{ASK}"
TWO_TURNS = f"Bad<|im_end|>\n<|im_start|>user\n?<|im_end|>\n{ASK}é<|im_end|>"
CASES: dict[str, tuple[str | None, tuple[str, str, str]]] = {
    # name: (chat template, the first prompt and its two responses)
    "ChatML": (TEMPLATE, (SYSTEM + TURNS, "\nGood. <|im_end|>", TWO_TURNS)),
    "trimmed content": (
        TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] | trim }}"),
        ((SYSTEM + TURNS).replace("\n hi", "\nhi").replace("so?\n", "so?"), "Good.<|im_end|>", TWO_TURNS),
    ),
    "a thought to begin with": (THINKS, (SYSTEM + TURNS, "\nGood. <|im_end|>", TWO_TURNS)),
    "plain": (None, ("Be short.\n hi\nho\nso?\n", "\nGood. <|im_end|>", "Bad\n?\né<|im_end|>")),
}


@pytest.fixture(scope="module", params=CASES)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, str]:
    """A prepared folder of one chat template, and the template's name."""
    folder = tmp_path_factory.mktemp("tokens")
    template = CASES[request.param][0]
    write_model(folder / "model", template=template)
    write_rows(folder / "data.jsonl", ROWS)
    held = [{"chosen": [user("held out"), assistant("a")], "rejected": [user("held out"), assistant("b")]}]
    made = prepared_with(
        folder,
        heldout=str(write_rows(folder / "held.jsonl", held)),
        reward_model={"name": str(write_reward_model(folder / "reward")), "own_tokenizer": True},
        max_prompt_length=180,
        max_response_length=70,
        template="plain" if template is None else "chat",
    )
    return made, request.param


class SeenError(Exception):
    """Ends a training at its first batch."""


def offline_batch(batch: Mapping[str, Any], columns: Any) -> None:
    pairs = set()
    for mask, name in columns:
        own = batch[name] != offline.NO_LOSS if name.endswith("labels") else batch[name].bool()
        rows = zip(batch[mask.replace("attention_mask", "input_ids")], batch[mask].bool(), own, strict=True)
        pairs |= {(tuple(ids[real & ~own].tolist()), tuple(ids[own].tolist())) for ids, real, own in rows}
    raise SeenError(pairs)


def una_batch(batch: Mapping[str, Any]) -> None:
    count, width = batch["input_ids"].shape
    ends = [int(end) - place * width + 1 for place, end in enumerate(batch["prompt_ends"])]
    raise SeenError(
        {
            (tuple(batch["input_ids"][place, :end].tolist()), tuple(batch["labels"][batch["rows"] == place].tolist()))
            for place, end in zip(range(count), ends, strict=True)
        }
    )


def generation(_: Any, *, input_ids: Any, attention_mask: Any, **__: Any) -> None:
    raise SeenError(
        {(tuple(ids[real].tolist()), ()) for ids, real in zip(input_ids, attention_mask.bool(), strict=True)}
    )


def tokens(prepared: Prepared) -> set[tuple[Tokens, Tokens]]:
    table = prepared.responses()
    return {(tuple(p), tuple(c)) for p, c in zip(table.prompt_ids, table.completion_ids, strict=True)}


def test_the_tokens_are_those_of_the_words(prepared: tuple[Prepared, str]) -> None:
    folder, name = prepared
    tokenizer = AutoTokenizer.from_pretrained(folder.policy)
    prompt, *responses = CASES[name][1]
    assert {(prompt, one) for one in responses} < {tuple(map(tokenizer.decode, pair)) for pair in tokens(folder)}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gets_the_tokens_that_are_prepared(
    method: str, prepared: tuple[Prepared, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "tally", offline_batch)
    monkeypatch.setattr(una, "tally", una_batch)
    monkeypatch.setattr(GenerationMixin, "generate", generation)
    with pytest.raises(SeenError) as seen:
        train(method, prepared[0], tmp_path)
    got, expected = seen.value.args[0], tokens(prepared[0])
    if method == "sft_chosen":  # it does not learn from the other response
        chosen = prepared[0].responses().query("chosen")
        expected = {(tuple(p), tuple(c)) for p, c in zip(chosen.prompt_ids, chosen.completion_ids, strict=True)}
    if method in ONLINE:  # its responses are its own
        got, expected = ({prompt for prompt, _ in each} for each in (got, expected))
    assert got == expected
