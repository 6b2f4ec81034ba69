"""Every public layout in a small file of our own: prepared, its first example decoded, and trained for one step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from small_problem import prepared_with, train
from text_models import write_model, write_rows
from transformers import AutoTokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
COUNT = 6
"""Rows of each file; some prompts of them are held out."""


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def said(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def asked(i: int, *, system: str = "", more: str = "") -> str:
    """Return the prompt of row ``i`` as the chat template writes it."""
    return (said("system", system) if system else "") + said("user", f"question {i}{more}") + "<|im_start|>assistant\n"


def hh(i: int, answer: str) -> str:
    return f"\n\nHuman: question {i}\n\nAssistant: {answer}"


def helpsteer(i: int, answer: str, grade: int) -> dict[str, Any]:
    grades = dict.fromkeys(("helpfulness", "correctness", "coherence"), grade)
    return {"prompt": f"question {i}", "response": answer, **grades, "complexity": 1, "verbosity": 1}


def talk(i: int, answer: str) -> list[dict[str, Any]]:
    return [user(f"question {i}"), assistant(answer)]


def from_value(i: int) -> list[dict[str, Any]]:
    return [{"from": "human", "value": f"question {i}"}]


def gpt(answer: str) -> dict[str, Any]:
    return {"from": "gpt", "value": answer}


SIDES = {"chosen": "good", "rejected": "bad"}
BINARIZED = {"score_chosen": 8.5, "score_rejected": 4.0}
Row = dict[str, Any]
LAYOUTS: dict[str, tuple[str, Any, dict[str, Any], dict[str, str]]] = {
    # name: (method, the rows of prompt i, settings, what belongs to the prompt)
    "HelpSteer2": ("una_score", lambda i: [helpsteer(i, "good", 4), helpsteer(i, "bad", 1)], {}, {}),
    "UltraFeedback": (
        "una_score",
        lambda i: [
            {
                "source": "ours",
                "instruction": f"question {i}",
                "models": ["m", "n"],
                "completions": [
                    {"model": "m", "response": "good", "overall_score": 9.0, "annotations": {}},
                    {"model": "n", "response": "bad", "overall_score": 2.0, "annotations": {}},
                ],
            }
        ],
        {},
        {},
    ),
    "UltraFeedback binarized": (
        "una_pairwise",
        lambda i: [{"prompt": f"question {i}", "chosen": talk(i, "good"), "rejected": talk(i, "bad"), **BINARIZED}],
        {"score_range": (1, 10)},
        {},
    ),
    "argilla": (
        "dpo",
        lambda i: [
            {"system": "Be kind.", "input": f"question {i}", **SIDES, "chosen_score": 5, "rejected_score": 2},
        ],
        {"score_range": (1, 5)},
        {"system": "Be kind."},
    ),
    "TRL's pairs": ("dpo", lambda i: [{"prompt": f"question {i}", **SIDES}], {}, {}),
    "TRL's conversations": (
        "dpo",
        lambda i: [
            {"prompt": [user(f"question {i}")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
        ],
        {},
        {},
    ),
    "TRL's KTO": (
        "kto",
        lambda i: [
            {"prompt": f"question {i}", "completion": "good", "label": True},
            {"prompt": f"question {i}", "completion": "bad", "label": False},
        ],
        {},
        {},
    ),
    "scored responses": (
        "una_score",
        lambda i: [
            {"prompt": f"question {i}", "response": "good", "score": 0.9},
            {"prompt": f"question {i}", "response": "bad", "score": 0.2},
        ],
        {},
        {},
    ),
    "Nectar": (
        "una_binary",
        lambda i: [
            {
                "prompt": f"\n\nHuman: question {i}\n\nAssistant: ",
                "answers": [
                    {"answer": "good", "model": "m", "rank": 1.0},
                    {"answer": "bad", "model": "n", "rank": 2.0},
                ],
                "turns": 1,
            }
        ],
        {},
        {},
    ),
    "SHP": (
        "dpo",
        lambda i: [{"history": f"question {i}", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0}],
        {},
        {},
    ),
    "Anthropic's HH": ("dpo", lambda i: [{"chosen": hh(i, "good"), "rejected": hh(i, "bad")}], {}, {}),
    "LLaMA-Factory's ranking": (
        "una_pairwise",
        lambda i: [{"conversations": from_value(i), "chosen": gpt("good"), "rejected": gpt("bad")}],
        {},
        {},
    ),
    "LLaMA-Factory's ranking of Alpaca": (
        "dpo",
        lambda i: [{"instruction": f"question {i}", "input": "of mine", **SIDES}],
        {},
        {"more": "\nof mine"},
    ),
    "LLaMA-Factory's KTO": (
        "kto",
        lambda i: [
            {"conversations": [*from_value(i), gpt("good")], "kto_tag": True},
            {"conversations": [*from_value(i), gpt("bad")], "kto_tag": False},
        ],
        {},
        {},
    ),
    "axolotl's chat_template.argilla": (
        "dpo",
        lambda i: [{"chosen": talk(i, "good"), "rejected": talk(i, "bad")}],
        {},
        {},
    ),
    "axolotl's chatml.intel": (
        "una_pairwise",
        lambda i: [{"system": "Be kind.", "question": f"question {i}", **SIDES}],
        {},
        {"system": "Be kind."},
    ),
    "OpenRLHF": (
        "dpo",
        lambda i: [{"context_messages": [user(f"question {i}")], **SIDES}],
        {},
        {},
    ),
    "parts of text": (
        "dpo",
        lambda i: [{"prompt": [user([{"type": "text", "text": f"question {i}"}])], **SIDES}],
        {},
        {},
    ),
    "other names": (
        "dpo",
        lambda i: [{"ask": f"question {i}", "best": "good", "worst": "bad"}],
        {"columns": {"prompt": "ask", "chosen": "best", "rejected": "worst"}},
        {},
    ),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("layouts") / "model")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_public_layout_is_prepared_and_trained_on(layout: str, tmp_path: Path, model: Path) -> None:
    method, rows_of, settings, more = LAYOUTS[layout]
    write_rows(tmp_path / "data.jsonl", [row for i in range(COUNT) for row in rows_of(i)])
    prepared = prepared_with(tmp_path, policy=str(model), heldout_share=0.3, **settings)
    table = prepared.responses()
    assert len(table) == 2 * table.pair.nunique() == 8
    tokenizer = AutoTokenizer.from_pretrained(prepared.policy)
    decoded = {
        (tokenizer.decode(row.prompt_ids), tokenizer.decode(row.completion_ids), row.chosen)
        for row in table.itertuples()
    }
    prompts = {asked(i, **more) for i in range(COUNT)} & {prompt for prompt, *_ in decoded}
    assert decoded == {(p, f"{words}<|im_end|>", words == "good") for p in prompts for words in ("good", "bad")}
    assert len(prompts) == 4
    probe = train(method, prepared, tmp_path / "trained")
    assert (probe.totals["responses"], probe.totals["optimizer_steps"]) == (4, 1)


def test_a_csv_is_prepared_and_trained_on(tmp_path: Path, model: Path) -> None:
    with (tmp_path / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "chosen", "rejected"])
        writer.writerows([f"question {i}\n", "good", "007"] for i in range(COUNT))
    prepared = prepared_with(tmp_path, policy=str(model), dataset=str(tmp_path / "data.csv"), heldout_share=0.3)
    first = prepared.responses().iloc[:2]
    assert first.completion.tolist() == ["good<|im_end|>", "007<|im_end|>"]
    assert train("dpo", prepared, tmp_path / "trained").totals["optimizer_steps"] == 1
