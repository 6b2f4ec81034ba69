"""Models that do not fit the tokens and lengths of the data, and what is said of templates and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from text_models import (
    END,
    START,
    TEMPLATE,
    UNKNOWN,
    byte_tokenizer,
    scored_rows,
    write_encoder,
    write_kind,
    write_model,
    write_reward_model,
    write_rows,
)
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.prepared import Prepared
from una_bench.models.model import Model
from una_bench.models.reward_scorer import text_ids
from una_bench.problems.preference import template_checks
from una_bench.problems.preference.missing_inputs import of_problem

# TRL and peft ask by a name that transformers renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

GPT2 = {"n_positions": 256, "n_embd": 16, "n_layer": 2, "n_head": 2}
MORE = ("<a>", "<b>")
"""Tokens that make a tokenizer of bytes larger by two."""


def prepared_with(folder: Path, policy: Path, **changed: Any) -> Prepared:
    data = write_rows(folder / "data.jsonl", changed.pop("rows", scored_rows()))
    settings = {"kind": "preference", "policy": str(policy), "dataset": str(data), "heldout_share": 0.25}
    lengths = {"max_prompt_length": 100, "max_response_length": 20, "reward_model": None}
    registry.problem(settings | lengths | changed).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")


def refusal(folder: Path, policy: Path, **changed: Any) -> str:
    """Return the message that preparing ends with, without the folders of the test."""
    with pytest.raises(UserError) as caught:
        prepared_with(folder, policy, **changed)
    return str(caught.value).replace(f"{folder}/", "")


def smaller(model: Path) -> Path:
    """Give a model a tokenizer with more plain tokens than it has embeddings."""
    byte_tokenizer(extra=tuple(f"<{i}>" for i in range(20))).save_pretrained(model)
    return model


TOO_FEW = (
    "Give it the tokenizer that belongs to it, or embeddings for all tokens: "
    "model.resize_token_embeddings(len(tokenizer)) in transformers."
)


def test_a_vocabulary_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, smaller(write_model(tmp_path / "m")))
    assert message == f"m has 264 embeddings, but the token Ń has id 278. {TOO_FEW}"


def with_added(model: Path, *tokens: str) -> Path:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<{i}>" for i in range(264 - len(tokenizer))] + list(tokens))
    tokenizer.save_pretrained(model)
    return model


def test_an_added_token_of_the_data_without_an_embedding_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "response": row["response"] + "<image>"} for row in scored_rows()]
    message = refusal(tmp_path, with_added(write_model(tmp_path / "m"), "<image>"), rows=rows)
    assert message == f"m has 264 embeddings, but the token <image> has id 264. {TOO_FEW}"


def notes_of(prepared: Prepared) -> list[str]:
    """What is said of the models; how many pairs are held out is the data's."""
    return [note for note in prepared.manifest["notes"] if not note.startswith("Held out: ")]


def test_an_added_token_that_no_text_has_is_announced(tmp_path: Path) -> None:
    prepared = prepared_with(tmp_path, with_added(write_model(tmp_path / "m"), "<image>"))
    assert notes_of(prepared) == [
        f"{tmp_path}/m: 1 added tokens of the tokenizer have no embedding, as <image> (id 264 of 264); texts with one "
        "are refused."
    ]
    assert (prepared.manifest["checks"]["embeddings"], prepared.manifest["checks"]["largest_token_id"]) == (264, 264)


def test_a_padding_token_without_an_embedding_is_replaced_and_announced(tmp_path: Path) -> None:
    model = with_added(write_model(tmp_path / "m"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(model)
    prepared = prepared_with(tmp_path, model)
    note = f"{tmp_path}/m: the padding token [PAD] (id 264) has no embedding (264); {END} pads instead."
    assert note in prepared.manifest["notes"]
    assert AutoTokenizer.from_pretrained(prepared.policy).pad_token == END


def test_an_end_token_without_an_embedding_is_refused(tmp_path: Path) -> None:
    model = with_added(write_model(tmp_path / "m"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    tokenizer.chat_template = TEMPLATE.replace(END, "</s>")
    tokenizer.save_pretrained(model)
    assert refusal(tmp_path, model) == f"m has 264 embeddings, but the token </s> has id 264. {TOO_FEW}"


def test_a_configuration_that_is_not_of_the_weights_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    assert refusal(tmp_path, model) == (
        "m has 264 embeddings, but its config.json says vocab_size 300. Write the number of embeddings there."
    )


def test_a_reward_models_embeddings_are_compared_too(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(extra=tuple(f"<{i}>" for i in range(20)))
    policy = write_kind(tmp_path / "m", "Llama", tokenizer=tokenizer, vocab_size=300)
    reward = write_reward_model(tmp_path / "r", tokenizer=tokenizer)
    message = refusal(tmp_path, policy, reward_model={"name": str(reward)})
    assert message == f"The reward model r has 264 embeddings, but the token Ń has id 278. {TOO_FEW}"


@pytest.mark.parametrize("kind", ["Llama", "GPT2"])
def test_lengths_beyond_the_positions_are_refused(kind: str, tmp_path: Path) -> None:
    policy = write_kind(tmp_path / "m", kind, **(GPT2 if kind == "GPT2" else {}))
    assert refusal(tmp_path, policy, max_prompt_length=250) == (
        "m reads 256 tokens, but problem.max_prompt_length (250) and problem.max_response_length (20) together are "
        "270. Lower them by 14 in all."
    )


def test_lengths_of_held_out_data_beyond_the_positions_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, write_model(tmp_path / "m"), heldout_max_response_length=200)
    assert message == (
        "m reads 256 tokens, but problem.heldout_max_prompt_length (100) and problem.heldout_max_response_length (200) "
        "together are 300. Lower them by 44 in all."
    )


def test_positions_of_the_text_part_count(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    (tmp_path / "m").mkdir()
    text = sizes | {"model_type": "gemma3_text", "max_position_embeddings": 100, "vocab_size": 264}
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    from una_bench.models import sizes as limits

    model = Model(name="m", folder=tmp_path / "m", source="local folder")
    assert limits.context(limits.configuration(model)) == 100


def test_positions_that_are_counted_from_the_padding_token_are_fewer() -> None:
    from transformers import RobertaConfig

    from una_bench.models import sizes as limits

    assert limits.context(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512


def test_a_reward_model_that_reads_less_than_the_policy_is_refused(tmp_path: Path) -> None:
    policy = write_model(tmp_path / "m", max_position_embeddings=512)
    reward = write_reward_model(tmp_path / "r")
    message = refusal(tmp_path, policy, max_prompt_length=250, reward_model={"name": str(reward)})
    assert message == (
        "The reward model r reads 256 tokens, but problem.max_prompt_length (250) and problem.max_response_length (20) "
        "together are 270. Lower them by 14 in all, or choose another problem.reward_model.name."
    )


def test_texts_beyond_a_reward_model_with_its_own_tokenizer_are_refused(tmp_path: Path) -> None:
    reward = write_reward_model(tmp_path / "r", tokenizer=byte_tokenizer(extra=("<x>",)))
    named = {"name": str(reward), "own_tokenizer": True}
    rows = [{**row, "prompt": "a" * 250 + row["prompt"]} for row in scored_rows()]
    lengths = {"max_prompt_length": 400, "rows": rows, "reward_model": named}
    message = refusal(tmp_path, write_model(tmp_path / "m", max_position_embeddings=512), **lengths)
    assert message == (
        "The reward model r reads 256 tokens, but a prompt with its response has 293. Lower problem.max_prompt_length "
        "or problem.max_response_length, or choose another problem.reward_model.name or problem.reward_model.init."
    )


def test_a_reward_model_that_reads_less_than_is_generated_is_announced(tmp_path: Path) -> None:
    init = {"init": str(write_encoder(tmp_path / "e")), "own_tokenizer": True, "steps": 1, "batch": 2}
    prepared = prepared_with(tmp_path, write_model(tmp_path / "m"), max_response_length=60, reward_model=init)
    assert notes_of(prepared) == [
        f"The reward model {tmp_path}/e reads 128 tokens of its own: it does not see the end of a longer text."
    ]


def test_a_policy_that_cannot_become_a_reward_model_is_refused(tmp_path: Path) -> None:
    policy = write_kind(tmp_path / "m", "Olmoe", num_experts=2, num_experts_per_tok=1)
    assert refusal(tmp_path, policy, reward_model={}) == (
        "transformers has no sequence classifier of the kind of m (olmoe), so that no reward model can be trained from "
        "it. Name another model as problem.reward_model.init or problem.reward_model.name, or set "
        "problem.reward_model=null."
    )
    assert notes_of(prepared_with(tmp_path, policy)) == [
        f"{tmp_path}/m: transformers has no sequence classifier of its kind; PPO has no value model."
    ]


def test_the_base_of_an_adapter_is_among_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "adapter_config.json").write_text('{"base_model_name_or_path": "nobody/base"}')
    settings = {"kind": "preference", "policy": str(tmp_path / "m"), "dataset": str(tmp_path), "reward_model": None}
    (missing,) = of_problem(registry.problem(settings))  # type: ignore[arg-type]
    assert (missing.what, missing.command) == ("base model of the policy: nobody/base", "hf download nobody/base")


# What template and tokenizer do.


def notes(tmp_path: Path, tokenizer: Any, *, chat: bool = True, stops: Any = None) -> list[str]:
    if stops is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    model = Model(name="m", folder=tmp_path, source="local folder")
    return template_checks.notes(model, template_checks.make(tokenizer, chat=chat, name="m"))


def begins_with_start(template: str | None = TEMPLATE) -> Any:
    tokenizer = byte_tokenizer(template)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, 1)])
    return tokenizer


BARE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"


def test_a_template_and_tokenizer_without_surprises_need_no_note(tmp_path: Path) -> None:
    assert notes(tmp_path, byte_tokenizer(), stops=[2]) == []


NOTES: list[tuple[str, Any, str]] = [
    (
        "no first token",
        lambda: begins_with_start(BARE),
        f"m: the chat template does not write the tokenizer's first token {START}; prompts get it.",
    ),
    (
        "another end",
        lambda: byte_tokenizer(TEMPLATE.replace(END, UNKNOWN)),
        f"m: responses end with {UNKNOWN}, as in the chat template, not with {END}.",
    ),
    (
        "an end that is no token",
        lambda: byte_tokenizer(TEMPLATE.replace(END, "")),
        f"m: the chat template ends a response with '\\n', which is no token; it is left out, and responses end with "
        f"{END}.",
    ),
    (
        "a date",
        lambda: byte_tokenizer("{{ strftime_now('%Y') }}" + TEMPLATE),
        "m: the chat template writes today's date; it is told 2024-07-26 on any day.",
    ),
    (
        "trimmed",
        lambda: byte_tokenizer(TEMPLATE.replace("m['content']", "m['content'] | trim")),
        "m: the chat template removes white space around a response.",
    ),
    (
        "no system message",
        lambda: byte_tokenizer(TEMPLATE.replace("in messages %}", "in messages if m.role != 'system' %}")),
        "m: the chat template leaves out system messages; data that has one is refused.",
    ),
    (
        "refuses a system message",
        lambda: byte_tokenizer(
            "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
        ),
        "m: the chat template refuses system messages; rows that have one are left out.",
    ),
    (
        "a system message of its own",
        lambda: byte_tokenizer(
            "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}" + TEMPLATE
        ),
        "m: without a system message the chat template writes its own: 'Be kind.'.",
    ),
]


@pytest.mark.parametrize(("tokenizer", "note"), [case[1:] for case in NOTES], ids=[case[0] for case in NOTES])
def test_what_a_template_does_to_words_is_said(tokenizer: Any, note: str, tmp_path: Path) -> None:
    assert notes(tmp_path, tokenizer()) == [note]


def test_generation_settings_that_stop_elsewhere_are_announced(tmp_path: Path) -> None:
    assert notes(tmp_path, byte_tokenizer(), stops=0) == [
        f"m: its generation settings stop at {UNKNOWN}; here generation stops at {END}."
    ]


def test_a_tokenizer_that_changes_white_space_is_announced(tmp_path: Path) -> None:
    from tokenizers import normalizers

    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("  ", " ")
    assert notes(tmp_path, tokenizer) == [
        "Warning: m: the tokenizer changes white space in texts (' \\n una  bench\\n\\n\\t probe' is not kept)."
    ]


@pytest.mark.parametrize("template", [BARE, START + BARE])
def test_a_prompt_begins_with_one_first_token_where_the_model_wants_one(template: str) -> None:
    made = template_checks.make(begins_with_start(template), chat=True, name="m")
    prompt, _ = made.write(({"role": "user", "content": "hi"},), [({"role": "assistant", "content": "yes"},)])
    assert prompt.startswith(f"{START}user: hi")


def test_plain_texts_that_have_their_first_and_end_token_get_no_second() -> None:
    made = template_checks.make(begins_with_start(None), chat=False, name="m")
    ask, answer = {"role": "user", "content": f"{START}hi"}, {"role": "assistant", "content": f"yes{END}"}
    assert made.write((ask,), [(answer,)]) == (f"{START}hi", [f"yes{END}"])


REFUSED: list[tuple[str, Any, str]] = [
    (
        "two first tokens",
        lambda: begins_with_start(START + START + BARE),
        f"The chat template of m writes its first token {START} twice. {template_checks.OTHERWISE}",
    ),
    (
        "a date in another form",
        lambda: byte_tokenizer("{% set form = '%Y' %}{{ strftime_now(form) }}" + TEMPLATE),
        f"The chat template of m writes today's date in a form that is not fixed. {template_checks.OTHERWISE}",
    ),
    (
        "chance",
        lambda: byte_tokenizer("{{ ['a', 'b'] | random }}" + TEMPLATE),
        f"The chat template of m writes the same conversation in other words each time. {template_checks.OTHERWISE}",
    ),
]


@pytest.mark.parametrize(("tokenizer", "message"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_template_that_is_not_fixed_is_refused(tokenizer: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        template_checks.make(tokenizer(), chat=True, name="m")
    assert str(caught.value) == message


def test_an_end_token_of_several_tokens_is_refused() -> None:
    class Splitting:
        eos_token, bos_token_id = "</s>", None

        def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
            return {"input_ids": list(range(len(text)))}

    with pytest.raises(UserError) as caught:
        template_checks.make(Splitting(), chat=False, name="m")
    assert str(caught.value) == (
        "The tokenizer of m writes its end token </s> as 4 tokens, so that generation could not stop at it. Give it an "
        "eos_token that is one token."
    )


def test_a_reward_model_with_its_own_tokenizer_gets_one_first_token() -> None:
    tokenizer = begins_with_start()
    assert text_ids(tokenizer, f"{START}hi") == text_ids(tokenizer, "hi") == tokenizer("hi")["input_ids"]


def test_a_reward_model_gets_room_for_a_padding_token(tmp_path: Path) -> None:
    """As GPT-2: one special token, and an embedding for each token but no more."""
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = tokenizer.unk_token = tokenizer.pad_token = END
    size = len(tokenizer)
    policy = write_kind(tmp_path / "m", "GPT2", tokenizer=tokenizer, **GPT2, vocab_size=size)
    prepared = prepared_with(tmp_path, policy, reward_model={"steps": 1, "batch": 2})
    assert prepared.reward is not None
    reward = AutoModelForSequenceClassification.from_pretrained(prepared.reward)
    assert (reward.config.vocab_size, reward.config.pad_token_id) == (size + 1, size)
    assert notes_of(prepared) == [
        f"{tmp_path}/m: no token can pad apart from the end token, so that PPO cannot train it."
    ]
