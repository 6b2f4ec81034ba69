"""Files as users have them: refused with one message to the letter, or read with the words and scores that they hold.

golden/bad_input.json holds every message; `REGENERATE_GOLDEN=1 pytest -n0` writes them anew.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from text_models import TEMPLATE, byte_tokenizer

from una_bench.problems.preference import notes, prepare, template_checks
from una_bench.problems.preference.problem import Preference

Rows = list[dict[str, Any]]
Content = str | bytes | Rows
LENGTHS = {"max_prompt_length": 300, "max_response_length": 200}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def human(value: str) -> dict[str, Any]:
    return {"from": "human", "value": value}


def gpt(value: str) -> dict[str, Any]:
    return {"from": "gpt", "value": value}


PAIR = {"prompt": "What is 2+2?", "chosen": "4", "rejected": "5"}
CALL = {"tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}]}
OTHER_CALL = {"tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 3}}}]}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(*rows: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(rows)), file)
    return file.getvalue()


def turned(prompt: Any, *, chosen: Any = "a", rejected: Any = "b", **more: Any) -> Rows:
    """Return one pair."""
    return [{"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}]


def talks(chosen: list[Any], rejected: list[Any], **more: Any) -> Rows:
    """Return one pair of conversations that hold the prompt."""
    return [{"chosen": chosen, "rejected": rejected, **more}]


def labeled(*labels: Any) -> Rows:
    return [{"prompt": f"p{i}", "completion": "ho", "label": label} for i, label in enumerate(labels)]


def scored(*scores: Any) -> Rows:
    return [{"prompt": "hi", "response": f"r{i}", "score": score} for i, score in enumerate(scores)]


def read(name: str, content: Content, settings: dict[str, Any], chat: str = TEMPLATE) -> tuple[list[Any], list[str]]:
    """Write the file, and return each example (prompt, then each response with its score and label) and the notes."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else lines(*content), encoding="utf-8")
    problem = Preference(
        kind="preference",
        policy="m",
        **{"dataset": name, "heldout": "heldout.jsonl", "reward_model": None} | LENGTHS | settings,
    )
    tokenizer = byte_tokenizer(chat)
    template = template_checks.make(tokenizer, chat=problem.template == "chat", name="m")
    parts, facts = prepare.read_examples(problem, template)
    examples = [
        (
            tokenizer.decode(one.prompt_ids),
            *(
                (tokenizer.decode(ids), judged.score, judged.label)
                for ids, judged in zip(one.completion_ids, one.example.responses, strict=True)
            ),
        )
        for one in parts["train"]
    ]
    return examples, notes.of_reading(facts["train"])


@pytest.fixture
def heldout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with held-out data."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "heldout.jsonl"
    file.write_text(lines(*({"prompt": f"held out {i}", "chosen": "a", "rejected": "b"} for i in range(2))))
    return file


JSONL, JSON, CSV = "a.jsonl", "a.json", "a.csv"
FILES: dict[str, tuple[str, Content]] = {
    "an empty JSON file": (JSON, ""),
    "a header alone": (CSV, "prompt,chosen,rejected\n"),
    "a comma after an object": (JSONL, lines(PAIR).replace("}\n", "},\n")),
    "gzip under another name": (JSONL, gzip.compress(lines(PAIR).encode(), mtime=0)),
    "gzip": ("a.jsonl.gz", gzip.compress(lines(PAIR).encode(), mtime=0)),
    "an Excel workbook called CSV": (CSV, b"PK\x03\x04\x14\0\x06\0\x08\0\0\0\x21\0\xff\xfe"),
    "text": ("a.txt", "hello"),
    "tabs": ("a.tsv", "prompt\tchosen\trejected\nhi\ta\tb\n"),
    "Excel's semicolons": (CSV, "prompt;chosen;rejected\nhi;good, really;bad\n"),
    "tabs in a CSV": (CSV, "prompt\tchosen\trejected\nhi\ta\tb\n"),
    "latin-1 in a CSV": (CSV, "prompt,chosen,rejected\nhi,a,b\nGrüße,gut,schlecht\n".encode("latin-1")),
    "latin-1 in JSON lines": (JSONL, '{"prompt": "Grüße", "chosen": "a", "rejected": "b"}\n'.encode("latin-1")),
    "UTF-16": (CSV, "prompt,chosen,rejected\nhi,a,b\n".encode("utf-16")),
    "a quote that does not end": (CSV, 'prompt,chosen,rejected\nhi,"good,bad\n'),
    "text after a quote": (CSV, 'prompt,chosen,rejected\nhi,"good" one,bad\n'),
    "a row with fewer columns": (CSV, "prompt,chosen,rejected\nhi,good\n"),
    "a column twice": (CSV, "prompt,chosen,rejected,chosen\nhi,good,bad,other\n"),
    "a key twice": (JSONL, '{"prompt": "hi", "chosen": "a", "chosen": "c", "rejected": "b"}\n'),
    "rows inside an object": (JSON, json.dumps({"version": 1, "data": [PAIR]})),
    "columns of lists": (JSON, json.dumps({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})),
    "pandas' columns": (JSON, json.dumps({"prompt": {"0": "a"}, "chosen": {"0": "b"}, "rejected": {"0": "c"}})),
    "JSON that was cut": (JSON, '[{"prompt": "hi", "chosen": "a", "rejec'),
    "a line that was cut": (JSONL, lines(PAIR) + '{"prompt": "hi", "cho'),
    "Python's dicts": (JSONL, str(PAIR) + "\n"),
    "a web page": (JSONL, "<!DOCTYPE html>\n<html></html>\n"),
    "a pointer of Git LFS": ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
    "a folder without the split": ("data/test.jsonl", [PAIR]),
    "a column split without the split": (JSONL, [{**PAIR, "split": "dev"}]),
}
COLUMNS: dict[str, tuple[str, Content]] = {
    "columns in other case": (CSV, "Prompt,Chosen,Rejected\nhi,a,b\n"),
    "columns with spaces": (CSV, "prompt, chosen, rejected\nhi,a,b\n"),
    "no header": (CSV, "What is up?,good,bad\nhi,a,b\n"),
    "chat data without judgments": (JSONL, [{"messages": [user("hi"), assistant("ho")]}]),
    "an index of the chosen response": (JSONL, [{"prompt": "hi", "response_0": "a", "response_1": "b", "chosen": 0}]),
    "WebGPT": (JSONL, [{"question": {"full_text": "q"}, "answer_0": "a", "answer_1": "b", "score_0": 1}]),
    "HelpSteer without coherence": (
        JSONL,
        [{"prompt": "hi", "response": "a", "helpfulness": 4, "correctness": 4}],
    ),
}
CONVERSATIONS: dict[str, tuple[str, Content]] = {
    "a role that is misspelt": (JSONL, talks([user("hi"), {"role": "assitant", "content": "a"}], [user("hi")])),
    "a speaker of ShareGPT that is not known": (JSONL, turned([human("hi")], chosen={"from": "bing", "value": "a"})),
    "the user speaks last": (JSONL, talks([user("hi"), assistant("a"), user("Thanks!")], [user("hi"), assistant("b")])),
    "the system speaks last": (JSONL, turned([user("hi"), system("be short")])),
    "answers without a prompt": (JSONL, talks([assistant("a")], [assistant("b")])),
    "HH after a system prompt": (
        JSONL,
        talks("System: be short\n\nHuman: hi\n\nAssistant: a", "System: be short\n\nHuman: hi\n\nAssistant: b"),
    ),
    "HH that ends with Human": (
        JSONL,
        talks("\n\nHuman: hi\n\nAssistant: a\n\nHuman: ok", "\n\nHuman: hi\n\nAssistant: b\n\nHuman: no"),
    ),
    "HH without answers": (JSONL, talks("\n\nHuman: hi\n\nAssistant: a", "\n\nHuman: hi\n\nAssistant:")),
    "sides with other questions": (JSONL, talks([user("hi"), assistant("a")], [user("ho"), assistant("b")])),
    "the same conversation twice": (JSONL, talks([user("hi"), assistant("a")], [user("hi"), assistant("a")])),
    "a prompt that no side has": (
        JSONL,
        talks([user("hi"), assistant("a")], [user("hi"), assistant("b")], prompt="hello"),
    ),
    "a conversation and an answer": (JSONL, turned("hi", chosen=[user("hi"), assistant("a")])),
    "two system messages": (JSONL, turned([system("be long"), user("hi")], system="be short")),
    "an empty list": (JSONL, turned([])),
    "white space": (JSONL, turned(" \n")),
    "strings for messages": (JSONL, turned(["hi", "ho"])),
    "lists in lists": (JSONL, turned([[user("hi")]])),
    "a message without a role": (JSONL, turned([{"content": "hi"}])),
    "a message whose text has another name": (JSONL, turned([{"role": "user", "text": "hi"}])),
    "a message that is null": (JSONL, turned([user(None)])),
    "a message of no parts": (JSONL, turned([user([])])),
    "an image among the parts": (
        JSONL,
        turned([user([{"type": "image", "image": "x.png"}, {"type": "text", "text": "hi"}])]),
    ),
    "OpenAI's image": (JSONL, turned([user([{"type": "image_url", "image_url": {"url": "u"}}])])),
    "a column of images": (JSONL, turned("<image>What is this?", images=["x.png"])),
    "a struct": ("a.parquet", parquet({**PAIR, "prompt": {"text": "hi", "lang": "en"}})),
    "bytes": ("a.parquet", parquet({**PAIR, "chosen": b"4"})),
    "fractions for text": ("a.parquet", parquet({**PAIR, "chosen": 4.0})),
    "true for text": (JSONL, turned("Is it?", chosen=True, rejected=False)),
    "half a character": (JSONL, turned("hi \ud83d")),
    "tool calls that the template leaves out": (
        JSONL,
        turned([user("hi")], chosen=[assistant(None, **CALL), {"role": "tool", "content": "4"}, assistant("4")]),
    ),
    "OpenAI's function_call": (JSONL, turned([user("hi")], chosen=[assistant(None, function_call={"name": "add"})])),
    "tools that the template leaves out": (JSONL, turned("hi", tools=[{"name": "add"}])),
    "tools that are no list": (JSONL, turned("hi", tools="add")),
    "reasoning that the template leaves out": (
        JSONL,
        turned([user("hi")], chosen=[assistant("a", reasoning_content="Let me see.")], rejected=[assistant("b")]),
    ),
    "a prompt in the chat template already": (
        JSONL,
        turned("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
    ),
    "a response with its end token": (JSONL, turned("hi", chosen="a<|im_end|>")),
    "NumPy's list in a CSV": (CSV, "prompt,chosen,rejected\n\"[{'role': 'user', 'content': 'hi'}\n {}]\",a,b\n"),
    "a list that Excel has cut": (CSV, 'prompt,chosen,rejected\n"[{""role"": ""user"", ""content"": ""hi",a,b\n'),
    "a history that is text": (JSONL, turned("hi", history="earlier")),
    "a history of questions": (JSONL, turned("hi", history=[["one"]])),
    "an input beside a conversation": (JSONL, turned([user("hi"), assistant("ho"), user("?")], input="more")),
    "equal sides": (JSONL, turned("hi", chosen="same", rejected="same ")),
    "KTO that ends with the user": (JSONL, [{"messages": [user("hi"), assistant("ho"), user("ok")], "label": True}]),
    "KTO with a prompt alone": (JSONL, [{"prompt": "hi", "messages": [user("hi"), assistant("ho")], "label": True}]),
}
JUDGMENTS: dict[str, tuple[str, Content]] = {
    "a label of 2": (JSONL, labeled(1, 2)),
    "a label of -1": (JSONL, labeled(1, -1)),
    "a label of yes": (JSONL, labeled("yes")),
    "Excel's German label": (CSV, "prompt,completion,label\nhi,ho,WAHR\n"),
    "a label in a list": (JSONL, labeled([True])),
    "no label at all": (JSONL, labeled(None, None)),
    "a score of 8/10": (JSONL, scored(0.5, "8/10")),
    "a score of 85%": (JSONL, scored("85%")),
    "a score with a decimal comma": (CSV, 'prompt,response,score\nhi,ho,"0,8"\n'),
    "a score in words": (JSONL, scored("high", "low")),
    "stars": (JSONL, scored("★★★★")),
    "a score in a dict": (JSONL, scored({"overall": 5})),
    "an infinite score": (JSONL, '{"prompt": "hi", "response": "a", "score": Infinity}\n'),
    "scores that are all NaN": (JSONL, '{"prompt": "hi", "response": "a", "score": NaN}\n'),
    "scores in percent": (JSONL, scored(85, 20)),
    "1 to 5 stars": (JSONL, scored(5, 1)),
    "negative scores": (JSONL, scored(0.5, -0.5)),
    "UltraFeedback binarized without its scale": (
        JSONL,
        talks([user("hi"), assistant("a")], [user("hi"), assistant("b")], score_chosen=8.0, score_rejected=6.5),
    ),
    "HelpSteer on a scale to 5": (
        JSONL,
        [{"prompt": "hi", "response": "a", "helpfulness": 4, "correctness": 5, "coherence": 4}],
    ),
    "SHP with a label of 3": (JSONL, [{"history": "hi", "human_ref_A": "a", "human_ref_B": "b", "labels": 3}]),
    "Nectar without ranks": (JSONL, [{"prompt": "hi", "answers": [{"answer": "a"}, {"answer": "b"}]}]),
    "ranks in words": (JSONL, [{"prompt": "hi", "answers": [{"answer": "a", "rank": "first"}]}]),
    "all of one rank": (JSONL, [{"prompt": "hi", "answers": [{"answer": w, "rank": 1} for w in "ab"]}]),
    "answers without judgments": (JSONL, [{"prompt": "hi", "answers": ["a", "b"]}]),
    "answers and fewer ranks": (JSONL, [{"prompt": "hi", "responses": ["a", "b"], "ranks": [1]}]),
    "answers that are text": (JSONL, [{"prompt": "hi", "answers": "one", "scores": [1]}]),
    "answers whose text has another name": (JSONL, [{"prompt": "hi", "answers": [{"reply": "a", "rank": 1}]}]),
    "UltraFeedback without overall scores": (
        JSONL,
        [{"instruction": "hi", "completions": [{"response": "a", "fine-grained_score": 4}]}],
    ),
    "UltraFeedback whose completions are text": (JSONL, [{"instruction": "hi", "completions": ["a", "b"]}]),
}


@pytest.mark.usefixtures("heldout")
@pytest.mark.parametrize("case", FILES | COLUMNS | CONVERSATIONS | JUDGMENTS)
def test_a_file_that_cannot_be_trained_on(case: str, attempt: Any, tmp_path: Path) -> None:
    name, content = (FILES | COLUMNS | CONVERSATIONS | JUDGMENTS)[case]
    source = str(Path(name).parent) if "/" in name else name
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()  # `attempt` allows no new file
    assert source in attempt(instead=lambda: read(name, content, {"dataset": source}))


SETTINGS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "a score outside the given scale": (
        turned("hi", score_chosen=6, score_rejected=0),
        {"score_range": (1, 10)},
    ),
    "a pair without one of its scores": (
        turned("hi", score_chosen=6, score_rejected=None),
        {"score_range": (1, 10)},
    ),
    "a column that is not there": ([{"q": "hi", "good": "a", "bad": "b"}], {"columns": {"prompt": "qq"}}),
    "a name that holds nothing": ([{"q": "hi", "good": "a", "bad": "b"}], {"columns": {"promt": "q"}}),
    "a column for both sides": (
        [{"q": "hi", "good": "a", "bad": "b"}],
        {"columns": {"prompt": "q", "chosen": "good", "rejected": "good"}},
    ),
    "tool calls in plain text": (
        turned([user("hi")], chosen=[assistant(None, **CALL)], rejected=[assistant("b")]),
        {"template": "plain"},
    ),
    "tools in plain text": (turned("hi", tools=[{"name": "add"}]), {"template": "plain"}),
    "prompts that are too long": (turned("x" * 99), {"max_prompt_length": 50}),
    "prompts that are all held out": (turned("held out 0 "), {}),
}


@pytest.mark.usefixtures("heldout")
@pytest.mark.parametrize("case", SETTINGS)
def test_data_and_settings_that_do_not_fit(case: str, attempt: Any, tmp_path: Path) -> None:
    rows, settings = SETTINGS[case]
    (tmp_path / JSONL).touch()
    assert attempt(instead=lambda: read(JSONL, rows, settings))


@pytest.mark.usefixtures("heldout")
def test_a_folder_whose_files_have_nothing_in_common(attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text('{"my_data": {"file_name": "a.jsonl"}}')
    (tmp_path / "data" / JSONL).touch()
    said = attempt(instead=lambda: read(f"data/{JSONL}", [PAIR, PAIR], {"dataset": "data"}))
    assert "dataset_info.json has other columns (my_data)" in said


ASK = "<|im_start|>assistant\n"


def asked(words: str, before: str = "") -> str:
    return f"{before}<|im_start|>user\n{words}<|im_end|>\n{ASK}"


def answered(words: str, score: float, label: bool | None = None) -> tuple[str, Any, bool | None]:
    return f"{words}<|im_end|>", pytest.approx(score, nan_ok=True), label


GOOD, BAD = answered("a", 1), answered("b", 0)
NAN = float("nan")
READ: dict[str, tuple[str, Content, dict[str, Any], list[Any], list[str]]] = {
    "a CSV from Excel": (
        CSV,
        "\ufeffprompt,chosen,rejected\r\nhi,a,b\r\n",
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "pandas' index column": (CSV, ",prompt,chosen,rejected\n0,hi,a,b\n", {}, [(asked("hi"), GOOD, BAD)], []),
    "Excel's labels": (
        CSV,
        "prompt,completion,label\nhi,a,TRUE\nho,b,FALSE\n",
        {},
        [(asked("hi"), answered("a", 1, True)), (asked("ho"), answered("b", 0, False))],
        ["a.csv: 2 responses without a partner."],
    ),
    "a label that is not a number is missing": (
        JSONL,
        '{"prompt": "hi", "completion": "a", "label": NaN}\n{"prompt": "ho", "completion": "b", "label": 0.0}\n',
        {},
        [(asked("ho"), answered("b", 0, False))],
        ["Warning: a.jsonl: 1 responses without a partner; left out: 1 rows without a judgment."],
    ),
    "a text that is not a number is missing": (
        JSONL,
        lines(PAIR) + '{"prompt": NaN, "chosen": "a", "rejected": "b"}\n',
        {},
        [(asked("What is 2+2?"), answered("4", 1), answered("5", 0))],
        ["Warning: a.jsonl: 1 pairs; left out: 1 with an empty prompt or response."],
    ),
    "a missing score": (
        CSV,
        "prompt,response,score\nhi,a, 0.8 \nhi,b,n/a\n",
        {},
        [(asked("hi"), answered("a", 0.8))],
        ["Warning: a.csv: 1 responses without a partner; left out: 1 rows without a judgment."],
    ),
    "true and false as scores": (
        JSONL,
        scored(True, False),
        {},
        [(asked("hi"), answered("r0", 1), answered("r1", 0))],
        [],
    ),
    "a score of one side alone": (
        JSONL,
        turned("hi", score_chosen=6),
        {"score_range": (1, 10)},
        [(asked("hi"), GOOD, BAD)],
        ["a.jsonl: not used: column score_chosen."],
    ),
    "a preferred response with the lower score": (
        JSONL,
        turned("hi", score_chosen=1, score_rejected=4),
        {"score_range": (1, 5)},
        [(asked("hi"), answered("a", 0), answered("b", 0.75))],
        ["a.jsonl: in 1 pairs the preferred response has the lower score."],
    ),
    "lists that a CSV holds as text": (
        CSV,
        "prompt,responses,scores\nhi,\"['a', 'b']\",\"[5, 1]\"\n",
        {"score_range": (1, 5)},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "ranks beside scores": (
        JSONL,
        [{"prompt": "hi", "responses": ["a", "b"], "scores": [5, 1], "ranks": [1, 2]}],
        {"score_range": (1, 5)},
        [(asked("hi"), GOOD, BAD)],
        ["a.jsonl: not used: column ranks."],
    ),
    "objects beside a column of scores": (
        JSONL,
        [{"prompt": "hi", "answers": [{"text": "a"}, {"text": "b"}], "scores": [5, 1]}],
        {"score_range": (1, 5)},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "images that are missing": (
        JSONL,
        [*turned("hi", image=NAN, images=[])],
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "a rank that is missing": (
        JSONL,
        [{"prompt": "hi", "answers": [{"answer": w, "rank": r} for w, r in (("a", 1), ("b", 2), ("c", None))]}],
        {},
        [(asked("hi"), answered("a", NAN), answered("b", NAN))],
        ["Warning: a.jsonl: 1 pairs; left out: 1 answers without a rank or score."],
    ),
    "messages in a CSV": (
        CSV,
        'chosen,rejected\n"[{""role"": ""user"", ""content"": ""hi""}, {""role"": ""assistant"", ""content"": ""a""}]",'
        "\"[{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'b'}]\"\n",
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "an answer that is a list of other objects": (
        JSONL,
        turned("Write JSON.", chosen='[{"from": "Berlin", "to": "Paris"}]'),
        {},
        [(asked("Write JSON."), answered('[{"from": "Berlin", "to": "Paris"}]', 1), BAD)],
        [],
    ),
    "keys that parquet fills with null": (
        "a.parquet",
        parquet(*talks([user("hi"), assistant("a", name=None, tool_calls=None)], [user("hi"), assistant("b")])),
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "names of roles in capitals": (
        JSONL,
        talks([{"role": "User", "content": "hi"}, {"role": "Assistant", "content": "a"}], [user("hi"), assistant("b")]),
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "a list beside text": (JSONL, turned("hi", chosen=[assistant("a")]), {}, [(asked("hi"), GOOD, BAD)], []),
    "HH whose answers begin with their speaker": (
        JSONL,
        turned("\n\nHuman: hi", chosen="\n\nAssistant: a", rejected="\n\nAssistant: b"),
        {},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "HH with an empty answer": (
        JSONL,
        [
            *talks("\n\nHuman: hi\n\nAssistant: a", "\n\nHuman: hi\n\nAssistant: b"),
            *talks("\n\nHuman: ho\n\nAssistant: a", "\n\nHuman: ho\n\nAssistant:"),
        ],
        {},
        [(asked("hi"), GOOD, BAD)],
        ["Warning: a.jsonl: 1 pairs; left out: 1 with an empty prompt or response."],
    ),
    "argilla's names": (
        JSONL,
        [{"system": "", "input": "hi", "chosen": "a", "rejected": "b", "chosen_score": 5, "rejected_score": 1}],
        {"score_range": (1, 5)},
        [(asked("hi"), GOOD, BAD)],
        [],
    ),
    "an instruction that is empty": (
        JSONL,
        [{"instruction": "", "input": "hi", "output": "a", "kto_tag": True}],
        {},
        [(asked("hi"), answered("a", 1, True))],
        ["a.jsonl: 1 responses without a partner."],
    ),
    "a history of messages": (
        JSONL,
        turned("so?", history=[user("hi"), assistant("ho")]),
        {},
        [(asked("so?", f"<|im_start|>user\nhi<|im_end|>\n{ASK}ho<|im_end|>\n"), GOOD, BAD)],
        [],
    ),
    "responses that are not read": (
        JSONL,
        turned("hi", chosen=0, rejected=1, response_0="a", response_1="b"),
        {},
        [(asked("hi"), answered("0", 1), answered("1", 0))],
        ["a.jsonl: not used: column response_0, response_1."],
    ),
    "a prompt under two names": (
        JSONL,
        turned("hi", Prompt="HI", question="Hi?"),
        {},
        [(asked("hi"), GOOD, BAD)],
        ["a.jsonl: not used: column Prompt, question."],
    ),
}


@pytest.mark.usefixtures("heldout")
@pytest.mark.parametrize("case", READ)
def test_a_file_is_read_as_it_says(case: str) -> None:
    name, content, settings, examples, said = READ[case]
    assert read(name, content, settings) == (examples, said)


CALLS = TEMPLATE.replace(
    "{{ m['content'] }}", "{{ m['content'] }}{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}"
)


@pytest.mark.usefixtures("heldout")
def test_tool_calls_tell_responses_apart() -> None:
    rows = turned([user("2+2?")], chosen=[assistant(None, **CALL)], rejected=[assistant(None, **OTHER_CALL)])
    [(_, chosen, rejected)], _ = read(JSONL, rows, {}, CALLS)
    assert '"b": 2' in chosen[0] and '"b": 3' in rejected[0]


REASONS = TEMPLATE.replace("{{ m['content'] }}", "{{ m.reasoning_content or '' }}{{ m['content'] }}")


@pytest.mark.usefixtures("heldout")
def test_reasoning_is_part_of_the_response() -> None:
    rows = turned([user("hi")], chosen=[assistant("a", reasoning_content="Let me see. ")], rejected=[assistant("b")])
    [(_, chosen, rejected)], _ = read(JSONL, rows, {}, REASONS)
    assert (chosen[0], rejected[0]) == ("Let me see. a<|im_end|>", "b<|im_end|>")
