"""The README's two commands and its table are what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from una_bench.suite import recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULT = ROOT / "results" / "exact"


def block(name: str) -> str:
    return re.search(rf"<!-- {name} command -->\n```bash\n(.*?)\n```", README, re.DOTALL)[1]  # type: ignore[index]


def test_the_table_is_the_committed_result() -> None:
    table = README.split("<!-- table -->")[1].split("<!-- /table -->")[0].strip()
    assert table
    assert table in (RESULT / "table.md").read_text(encoding="utf-8")


def test_the_table_of_the_story_model_is_from_the_committed_result() -> None:
    rows = README.split("<!-- stories table -->")[1].split("<!-- /stories table -->")[0].strip().splitlines()
    kept = (ROOT / "results" / "sentiment-stories" / "table.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 15
    assert all(any(line.startswith(row) for line in kept) for row in rows)


def test_the_run_command_installs_and_runs_the_default_suite() -> None:
    assert block("run").startswith("python -m pip install -c constraints.txt . && una-bench run")


def test_the_test_command_is_what_ci_runs() -> None:
    assert block("test") == "python -m pip install -c constraints.txt -e '.[test]' && python -m pytest"
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_no_paragraph_is_longer_than_four_lines() -> None:
    prose = re.sub(r"```.*?```|<!-- (stories )?table -->.*?<!-- /\1?table -->", "\n", README, flags=re.DOTALL)
    assert max(len(part.strip().splitlines()) for part in re.split(r"\n\n|\n(?=\* )", prose)) <= 4


def test_the_method_shown_is_one() -> None:
    from una_bench import Feedback, Method

    names: dict[str, Any] = {}
    exec(compile(re.search(r"<!-- method -->\n```python\n(.*?)```", README, re.DOTALL)[1], "README.md", "exec"), names)  # type: ignore[index]
    method = names["MyMethod"](beta=0.3)
    assert isinstance(method, Method)
    assert (method.feedback, method.settings()["beta"]) == (Feedback.PAIRWISE, 0.3)


def test_the_committed_result_has_every_method_on_three_seeds() -> None:
    from una_bench.record import reader

    records = reader.records(RESULT)
    for name in set(recipe.load("exact").methods) - {"base"}:
        assert {r.seed for r in records if r.method == name} == {0, 1, 2}
