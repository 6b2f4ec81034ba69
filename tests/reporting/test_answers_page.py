"""The page with judged answers: everything in one file, escaped, and drawn by a browser without errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from synthetic import facts, record

from una_bench.reporting import answers_page

ATTACK = "</script><script>document.title='attacked'</script><!-- <img src=x onerror=\"document.title='attacked'\">"


def data(prompts: int = 2, text: str = ATTACK) -> dict[str, Any]:
    def answer(method: int, score: float | None) -> dict[str, Any]:
        replies = [["as A", "first", text], ["as B", "second" if score == 1 else "first", "why"]]
        return {"m": method, "t": text, "r": replies, "same": False} | ({} if score is None else {"w": score})

    return {
        "methods": ["DPO · seed 0", text],
        "baseline": "base",
        "prompts": [
            {
                "id": str(i),
                "set": "heldout",
                "prompt": f"prompt {i} {text}",
                "category": "",
                "baseline": text,
                "answers": [answer(0, 1.0), answer(1, 0.5), answer(1, None)],
            }
            for i in range(prompts)
        ],
    }


def test_the_data_in_the_page_is_the_data() -> None:
    page = answers_page.page(data(), "suite")
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert held is not None
    assert json.loads(held[1]) == data()


def test_no_text_of_a_model_is_part_of_the_html() -> None:
    page = answers_page.page(data(), "<b>suite</b>")
    assert "<img" not in page and "attacked'</script>" not in page and "<b>suite" not in page
    assert page.count("<script") == 2


def test_the_script_never_writes_html() -> None:
    script = (Path(answers_page.__file__).parent / "templates" / "answers.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def test_the_untrained_row_is_left_out_where_it_is_the_baseline(tmp_path: Path) -> None:
    judged = [
        record(method, 0, facts=facts(method, trains=method != "base") | {"judge": {"baseline": "base"}})
        for method in ("base", "dpo")
    ]
    for one in judged:
        folder = tmp_path / "cells" / f"{one.cell}-{one.key[:8]}"
        folder.mkdir(parents=True)
        line = {"doc_id": 0, "arguments": "p", "resps": one.method, "baseline": "base", "same": one.method == "base"}
        (folder / "judge.heldout.samples.jsonl").write_text(json.dumps(line))
    collected = answers_page.collect(tmp_path, judged)
    assert collected["methods"] == ["DPO · seed 0"]
    assert [(p["baseline"], [a["t"] for a in p["answers"]]) for p in collected["prompts"]] == [("base", ["dpo"])]


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_draws_one_of_thousands_of_prompts(tmp_path: Path) -> None:
    file = tmp_path / "answers.html"
    file.write_text(answers_page.page(data(3000), "suite"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"{file.as_uri()}#heldout:2999"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    shown = dom[dom.index('<section id="shown"') : dom.index("</section>", dom.index('<section id="shown"'))]
    assert "3000 of 3000" in dom
    assert "<title>suite – judged answers</title>" in dom
    assert shown.count("<article") == 4
    assert "prompt 2999 &lt;/script&gt;" in shown
    assert ">won<" in shown and ">the order decided<" in shown and ">unreadable<" in shown
