"""Words as the policy sees them."""

from __future__ import annotations

from typing import Any

import pytest
from text_models import END, START, TEMPLATE, UNKNOWN, byte_tokenizer

from una_bench.errors import UserError
from una_bench.problems.preference.template import Template
from una_bench.problems.preference.template_checks import make

ASK = ({"role": "user", "content": "hi"},)


def answer(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "assistant", "content": text},)


def written(template: Template, text: str = "yes") -> tuple[str, str]:
    prompt, (response,) = template.write(ASK, [answer(text)])
    return prompt, response


def test_a_prompt_ends_where_the_policy_begins_to_write() -> None:
    template = make(byte_tokenizer(), chat=True, name="m")
    assert written(template)[0] == f"{START}user\nhi{END}\n{START}assistant\n"


def test_a_response_ends_with_the_end_of_turn_and_nothing_after_it() -> None:
    assert written(make(byte_tokenizer(), chat=True, name="m"))[1] == f"yes{END}"


def test_the_end_of_turn_is_one_token() -> None:
    template = make(byte_tokenizer(), chat=True, name="m")
    assert template.ids(written(template)[1])[-1:] == [2]


def test_the_policy_stops_where_the_template_ends_a_turn() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = UNKNOWN
    template = make(tokenizer, chat=True, name="m")
    assert (template.end, tokenizer.eos_token) == (END, END)


def test_a_template_that_ends_no_turn_leaves_the_tokenizers_end() -> None:
    plain = "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}"
    assert written(make(byte_tokenizer(plain), chat=True, name="m"))[1] == f"yes{END}"


def test_what_a_template_puts_before_a_response_is_part_of_it() -> None:
    spaced = TEMPLATE.replace("{{ m['content'] }}", " {{ m['content'] }}")
    assert written(make(byte_tokenizer(spaced), chat=True, name="m"))[1] == f" yes{END}"


def test_without_a_chat_template_one_must_be_given() -> None:
    with pytest.raises(UserError, match=r"m has no chat template.*problem.template=plain"):
        make(byte_tokenizer(None), chat=True, name="m")


def test_a_template_that_cannot_be_used_is_one_message() -> None:
    with pytest.raises(UserError, match="The chat template of m cannot be used"):
        make(byte_tokenizer("{{ raise_exception('never') }}"), chat=True, name="m")


def test_plain_words_stay_as_they_are() -> None:
    template = make(byte_tokenizer(None), chat=False, name="m")
    assert written(template) == ("hi", f"yes{END}")


def test_a_plain_prompt_begins_as_the_tokenizer_begins_text() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer(None)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, 1)])
    assert written(make(tokenizer, chat=False, name="m"))[0] == f"{START}hi"


def test_a_response_is_tokenized_as_it_follows_its_prompt() -> None:
    template = make(byte_tokenizer(), chat=True, name="m")
    prompt, completion = written(template, "é")
    ids = template.ids(prompt)
    assert ids + template.completion_ids(prompt, ids, completion) == template.ids(prompt + completion)


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        (
            TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
            "leaves out words",
        ),
        (
            TEMPLATE.replace("<|im_start|>{{ m['role'] }}", "{{ messages | length }}"),
            "writes the prompt in other words",
        ),
    ],
)
def test_a_template_that_changes_the_conversation_is_refused(chat: str, reason: str) -> None:
    template = make(byte_tokenizer(chat), chat=True, name="m")
    with pytest.raises(UserError, match=reason):
        template.write(({"role": "system", "content": "be short"}, *ASK), [answer("yes")])


def test_tool_calls_that_a_template_leaves_out_are_refused() -> None:
    template = make(byte_tokenizer(), chat=True, name="m")
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    with pytest.raises(UserError, match="leaves out the tool calls"):
        template.write(ASK, [(call, *answer("yes"))])


def merging_tokenizer() -> Any:
    """Bytes, where two line ends, a line end with "y" and "ye" are one token: a response may merge with its prompt."""
    from tokenizers import models

    tokenizer = byte_tokenizer()
    vocabulary = tokenizer.get_vocab()
    merges = [("Ċ", "Ċ"), ("Ċ", "y"), ("y", "e")]
    merged = {first + second: len(vocabulary) + place for place, (first, second) in enumerate(merges)}
    tokenizer.backend_tokenizer.model = models.BPE(vocabulary | merged, merges, unk_token=UNKNOWN)
    return tokenizer


def test_a_response_is_tokenized_as_in_the_whole_text() -> None:
    template = make(merging_tokenizer(), chat=True, name="m")
    merged = 0
    for asked in ("hi", f"a {START}user\n b", "\n\n"):
        for said in ("yes", "\nyes", " yes", "\n\n", START):
            prompt, (text,) = template.write(({"role": "user", "content": asked},), [answer(said)])
            prompt_ids, whole = template.ids(prompt), template.ids(prompt + text)
            alike = whole[: len(prompt_ids)] == prompt_ids
            merged += not alike
            expected = whole[len(prompt_ids) :] if alike else template.ids(text)
            assert template.completion_ids(prompt, prompt_ids, text) == expected
    assert 0 < merged < 15
