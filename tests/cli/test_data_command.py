"""Command `data`: what it says of a file before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from text_models import write_model, write_rows
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.errors import UserError

ROWS = [
    {"q": "What is it?", "good": "A lighthouse.", "bad": "Dunno.", "quality": 3},
    {"q": "Where is it?", "good": "By the sea.", "bad": "There.", "quality": 4},
    {"q": "Why?", "good": "", "bad": "There.", "quality": 4},
]
COLUMNS = ("--set", "problem.columns={prompt: q, chosen: good, rejected: bad}")


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app.app, ["data", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_says_layout_columns_losses_and_feedback(tmp_path: Path) -> None:
    source = str(write_rows(tmp_path / "mine.jsonl", ROWS))
    assert shown(source, *COLUMNS, "--examples", "1") == (
        f"{source}: 3 rows, read as pairs: pairs, scored or not\n"
        "  chosen          column good\n"
        "  rejected        column bad\n"
        "  prompt          column q\n"
        "Warning: mine.jsonl: 2 pairs; left out: 1 with an empty prompt or response.\n"
        "mine.jsonl: not used: column quality.\n"
        "No scores but 1 and 0, of pairs or labels: UNA-score learns what UNA-binary learns.\n"
        "Feedback:\n"
        "  pairwise        2 pairs\n"
        "  binary          4 labels, 2 of them desirable\n"
        "  score           4 scores\n"
        "\n"
        "Example 1, from row 1; trained on is what stands between ⟦ and ⟧\n"
        "user: What is it?\n"
        "preferred: ⟦A lighthouse.⟧\n"
        "other: ⟦Dunno.⟧\n"
    )


def test_with_a_model_it_shows_its_tokens_and_template(tmp_path: Path) -> None:
    source, model = write_rows(tmp_path / "mine.jsonl", ROWS), write_model(tmp_path / "model")
    text = shown(str(source), *COLUMNS, "--model", str(model), "--examples", "1")
    assert "Tokens of a prompt: 30 to 31, median 30, 95th percentile 31 (2 texts)" in text
    assert "<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n" in text
    assert "preferred: ⟦A lighthouse.<|im_end|>⟧" in text


def test_feedback_that_is_missing_is_named_with_what_gives_it(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "response": "yes", "score": i / 4} for i in range(4)]
    text = shown(str(write_rows(tmp_path / "mine.jsonl", rows)), "--examples", "0")
    assert "  pairwise        the data has no pairs\n" in text
    assert "  binary          the data has no labels; problem.label_threshold makes them of scores\n" in text


def test_a_setting_that_is_none_of_the_data_is_refused(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "mine.jsonl", ROWS)
    for change, message in {
        "budget.steps=1": "--set budget.steps: only settings of the data (problem.…) matter here. Leave it out.",
        "problem.parings=all": "--set: there is no key 'problem.parings'. Did you mean 'pairing'?",
    }.items():
        with pytest.raises(UserError) as error:
            CliRunner().invoke(app.app, ["data", str(source), "--set", change], catch_exceptions=False)
        assert message in str(error.value)
