"""What is trained on is what the data says, to the token: every layout, and every kind of row that is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from text_models import END, START, TEMPLATE, byte_tokenizer

from una_bench.problems.preference import prepare, template_checks
from una_bench.problems.preference.problem import Preference


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def said(role: str, text: str) -> str:
    return f"{START}{role}\n{text}{END}\n"


ASK = f"{START}assistant\n"
RED, NICE = "Your kettle is red.", "Nice."
HISTORY = [user("I own a red kettle."), assistant(NICE), user("What colour is it?")]
WRITTEN_HISTORY = said("user", "I own a red kettle.") + said("assistant", NICE) + said("user", "What colour is it?")
HELDOUT = [{"prompt": f"held out {i}", "chosen": "a", "rejected": "b"} for i in range(2)]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / name
    if name.endswith(".csv"):
        with file.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def read(
    folder: Path, rows: list[dict[str, Any]], *, chat: str = TEMPLATE, name: str = "data.jsonl", **settings: Any
) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Prompt and responses of each training example, decoded from the token ids that methods get; and the facts."""
    called = settings.get("columns", {})
    heldout = write(folder, "heldout.jsonl", [{called.get(k, k): v for k, v in row.items()} for row in HELDOUT])
    source = settings.pop("dataset", None) or write(folder, name, rows)
    problem = Preference(
        kind="preference", policy="m", dataset=str(source), heldout=str(heldout), reward_model=None, **settings
    )
    tokenizer = byte_tokenizer(chat)
    made = template_checks.make(tokenizer, chat=problem.template == "chat", name="m")
    parts, facts = prepare.read_examples(problem, made)
    decode = [tuple(tokenizer.decode(ids) for ids in (one.prompt_ids, *one.completion_ids)) for one in parts["train"]]
    return decode, facts


PAIR = {"chosen": "Good.", "rejected": "Bad."}
LONG = {
    "a history in both conversations is the prompt": (
        {"prompt": "What colour is it?", "chosen": [*HISTORY, assistant(RED)], "rejected": [*HISTORY, assistant("?")]},
        (WRITTEN_HISTORY + ASK, RED + END, "?" + END),
    ),
    "conversations without a column prompt": (
        {"chosen": [*HISTORY, assistant(RED)], "rejected": [*HISTORY, assistant("?")]},
        (WRITTEN_HISTORY + ASK, RED + END, "?" + END),
    ),
    "answers beside a prompt of several turns": (
        {"prompt": HISTORY, "chosen": [assistant(RED)], "rejected": [assistant("?")]},
        (WRITTEN_HISTORY + ASK, RED + END, "?" + END),
    ),
    "several messages of a completion": (
        {
            "chosen": [user("hi"), assistant("yes"), user("sure?"), assistant("sure")],
            "rejected": [user("hi"), assistant("no"), user("really?"), assistant("really")],
        },
        (
            said("user", "hi") + ASK,
            f"yes{END}\n{said('user', 'sure?')}{ASK}sure{END}",
            f"no{END}\n{said('user', 'really?')}{ASK}really{END}",
        ),
    ),
    "parts of text are joined": (
        {"prompt": [user([{"type": "text", "text": "Where"}, {"type": "text", "text": " is it?"}])], **PAIR},
        (said("user", "Where is it?") + ASK, "Good." + END, "Bad." + END),
    ),
    "a column system is the system message": (
        {"system": "Be short.", "prompt": "hi", **PAIR},
        (said("system", "Be short.") + said("user", "hi") + ASK, "Good." + END, "Bad." + END),
    ),
    "instruction and input": (
        {"instruction": "Translate.", "input": "Haus", **PAIR},
        (said("user", "Translate.\nHaus") + ASK, "Good." + END, "Bad." + END),
    ),
    "a history of earlier turns": (
        {"instruction": "And now?", "history": [["hi", "ho"]], **PAIR},
        (said("user", "hi") + said("assistant", "ho") + said("user", "And now?") + ASK, "Good." + END, "Bad." + END),
    ),
    "Anthropic's HH": (
        {"chosen": "\n\nHuman: hi\n\nAssistant: ho\n\nHuman: so?\n\nAssistant: Good.",
         "rejected": "\n\nHuman: hi\n\nAssistant: ho\n\nHuman: so?\n\nAssistant: Bad."},
        (said("user", "hi") + said("assistant", "ho") + said("user", "so?") + ASK, "Good." + END, "Bad." + END),
    ),
    "ShareGPT's from and value": (
        {"conversations": [{"from": "human", "value": "hi"}], "chosen": {"from": "gpt", "value": "Good."},
         "rejected": {"from": "gpt", "value": "Bad."}},
        (said("user", "hi") + ASK, "Good." + END, "Bad." + END),
    ),
    "a list of messages that a file holds as text": (
        {"prompt": "[{'role': 'user', 'content': 'hi'}]", **PAIR},
        (said("user", "hi") + ASK, "Good." + END, "Bad." + END),
    ),
    "OpenRLHF's context_messages": (
        {"context_messages": [user("hi")], **PAIR}, (said("user", "hi") + ASK, "Good." + END, "Bad." + END)),
    "axolotl's chosen_response": (
        {"question": "hi", "chosen_response": "Good.", "rejected_response": "Bad."},
        (said("user", "hi") + ASK, "Good." + END, "Bad." + END),
    ),
    "SHP": (
        {"history": "hi", "human_ref_A": "Bad.", "human_ref_B": "Good.", "labels": 0, "score_A": 4, "score_B": 9},
        (said("user", "hi") + ASK, "Bad." + END, "Good." + END),
    ),
    "digits are an answer": (
        {"prompt": "How many?", "chosen": "007", "rejected": 8},
        (said("user", "How many?") + ASK, "007" + END, "8" + END),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LONG)
def test_the_words_of_a_row_are_those_that_are_trained_on(case: str, tmp_path: Path) -> None:
    row, expected = LONG[case]
    assert read(tmp_path, [row])[0] == [expected]


@pytest.mark.parametrize("case", ["conversations without a column prompt", "several messages of a completion"])
def test_it_agrees_with_trl(case: str, tmp_path: Path) -> None:
    from trl.data_utils import apply_chat_template, maybe_extract_prompt

    row, _ = LONG[case]
    theirs = apply_chat_template(maybe_extract_prompt(row), byte_tokenizer())
    ((prompt, chosen, rejected),), _ = read(tmp_path, [row])
    assert (prompt, chosen, rejected) == (
        theirs["prompt"],
        theirs["chosen"].removesuffix("\n"),  # after its end token nothing is trained on
        theirs["rejected"].removesuffix("\n"),
    )


def test_nectar_ranks_make_pairs_without_scores(tmp_path: Path) -> None:
    answers = [{"answer": text, "rank": rank} for text, rank in (("b", 2), ("a", 1), ("c", 3))]
    row = {"prompt": "\n\nHuman: hi\n\nAssistant: ", "answers": answers}
    examples, facts = read(tmp_path, [row], pairing="best_worst")
    assert examples == [(said("user", "hi") + ASK, "a" + END, "c" + END)]
    assert facts["train"]["layout"] == "several"


def test_a_column_of_another_name_is_given(tmp_path: Path) -> None:
    row = {"q": "hi", "good": "Good.", "poor": "Bad."}
    columns = {"prompt": "q", "chosen": "good", "rejected": "poor"}
    assert read(tmp_path, [row], columns=columns)[0] == [(said("user", "hi") + ASK, "Good." + END, "Bad." + END)]


TRIMS = TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] | trim }}")
SPACED = TEMPLATE.replace("<|im_end|>\n{% endfor", " <|im_end|>\n{% endfor")
THINKS = TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
KEEPS_THINKING = THINKS.replace(
    "{{ m['content'] }}", "{% if m['role'] == 'assistant' %}<think>\n{% endif %}{{ m['content'] }}"
)


@pytest.mark.parametrize(
    ("chat", "answer", "prompt_end", "expected"),
    [
        (TRIMS, "\n\nA lighthouse.\n\n", ASK, "A lighthouse."),
        (SPACED, "A lighthouse.", ASK, "A lighthouse. "),
        (THINKS, "A lighthouse.", ASK, "A lighthouse."),
        (KEEPS_THINKING, "A lighthouse.", ASK + "<think>\n", "A lighthouse."),
    ],
)
def test_a_response_is_what_the_template_writes(
    chat: str, answer: str, prompt_end: str, expected: str, tmp_path: Path
) -> None:
    ((prompt, chosen, _),), _ = read(tmp_path, [{"prompt": "hi", "chosen": answer, "rejected": "b"}], chat=chat)
    assert prompt.endswith(prompt_end)
    assert chosen == expected + END


def test_a_template_that_asks_for_the_date_gives_the_same_tokens_on_any_day(tmp_path: Path) -> None:
    dated = "{{ strftime_now('%d %b %Y') }}\n" + TEMPLATE
    ((prompt, *_),), _ = read(tmp_path, [{"prompt": "hi", **PAIR}], chat=dated)
    assert prompt.startswith("26 Jul 2024\n")


def test_a_csv_keeps_digits_and_line_ends(tmp_path: Path) -> None:
    row = {"prompt": "a\nb", "chosen": "007", "rejected": "8"}
    examples, _ = read(tmp_path, [row], name="data.csv")
    assert examples == [(said("user", "a\nb") + ASK, "007" + END, "8" + END)]


def test_json_lines_in_a_json_file_are_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, [{"prompt": p, **PAIR} for p in "ab"], name="data.json")[0]) == 2


def test_a_folder_gives_the_split_that_its_files_are_named_by(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train", "test"):
        write(folder, f"{name}.jsonl", [{"prompt": name, **PAIR}])
    examples, _ = read(tmp_path, [], dataset=str(folder))
    assert [one[0] for one in examples] == [said("user", "train") + ASK]


def test_a_column_split_chooses_rows(tmp_path: Path) -> None:
    rows = [{"prompt": name, "split": name, **PAIR} for name in ("train", "test")]
    examples, facts = read(tmp_path, rows)
    assert (len(examples), facts["train"]["rows_of_other_splits"]) == (1, 1)


def test_a_held_out_prompt_is_not_trained_on_whatever_white_space_it_has(tmp_path: Path) -> None:
    rows = [{"prompt": " held out 0 ", **PAIR}, {"prompt": "other", **PAIR}]
    examples, facts = read(tmp_path, rows)
    assert (len(examples), facts["train"]["prompt_is_held_out"]) == (1, 1)


@pytest.mark.parametrize("missing", [None, ""])
@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_a_missing_prompt_is_left_out_and_said(missing: Any, name: str, tmp_path: Path) -> None:
    rows = [{"prompt": missing, **PAIR}, *({"prompt": f"p{i}", **PAIR} for i in range(3))]
    _, facts = read(tmp_path, rows, name=name)
    assert prepare.notes.of_reading(facts["train"]) == [
        f"Warning: {name}: 3 pairs; left out: 1 with an empty prompt or response."
    ]


def test_columns_that_look_as_if_they_mattered_are_named(tmp_path: Path) -> None:
    _, facts = read(tmp_path, [{"prompt": "hi", **PAIR, "quality_rating": 3, "context": "c", "id": 7}])
    assert facts["train"]["columns_not_used"] == ["quality_rating", "context"]


def test_home_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "mine.jsonl", [{"prompt": "hi", **PAIR}])
    assert len(read(tmp_path, [], dataset="~/mine.jsonl")[0]) == 1


def test_a_score_of_pairs_needs_its_scale(tmp_path: Path) -> None:
    rows = [{"prompt": p, **PAIR, "chosen-rating": 5.0, "rejected-rating": 3.0} for p in "ab"]
    _, facts = read(tmp_path, rows, score_range=(1, 5))
    assert facts["train"]["columns"]["score_chosen"] == "chosen-rating"
    assert len(read(tmp_path, rows, scores="ignore")[0]) == 2
