"""Lengths that the data decides: the 95th percentile of its tokens, the same each time, within the policy's context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from text_models import write_model, write_rows

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.prepared import Prepared

AROUND = len("<") + len("user\n") + len("<") + len("\n") + len("<") + len("assistant\n")
"""Tokens that the tests' template puts around a prompt: special ones, and one a byte."""


def rows(count: int = 100) -> list[dict[str, Any]]:
    """Prompts of 3 bytes; the longer answers are 2, 3, … bytes."""
    return [{"prompt": f"{i:03}", "chosen": "a" * (i + 1), "rejected": "b"} for i in range(1, count + 1)]


def prepared(folder: Path, data: list[dict[str, Any]], **settings: Any) -> Prepared:
    policy = folder / "model" if (folder / "model").is_dir() else write_model(folder / "model")
    source = write_rows(folder / "data.jsonl", data)
    heldout = write_rows(folder / "held.jsonl", settings.pop("held", [{**data[0], "prompt": "new"}]))
    problem = {"kind": "preference", "policy": str(policy), "dataset": str(source), "heldout": str(heldout)}
    out = folder / f"out{len(list(folder.glob('out*')))}"
    registry.problem({**problem, "reward_model": None, **settings}).prepare(out, lambda _: None)
    return Prepared(out)


def test_limits_are_what_95_percent_of_the_data_stays_within(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, rows()).manifest
    assert (manifest["max_prompt_length"], manifest["max_new_tokens"]) == (3 + AROUND, 96 + 1)
    assert manifest["counts"]["pairs_train"] == 95
    assert manifest["data"]["train"]["left_out"] == {"response_too_long": 5}


def test_the_chosen_limits_are_said_first(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, rows()).manifest
    assert manifest["notes"] == [
        f"Lengths: problem.max_prompt_length={3 + AROUND} and problem.max_response_length=97 tokens, from the data "
        "(95th percentile).",
        "data.jsonl: 95 pairs; left out: 5 with too long a response (problem.max_response_length).",
        "No scores but 1 and 0, of pairs or labels: UNA-score learns what UNA-binary learns.",
        "Held out: 1 pairs, so that an accuracy near 0.5 has a 95 % interval of ± 0.98.",
    ]


def test_the_settings_stay_as_given(tmp_path: Path) -> None:
    settings = prepared(tmp_path, rows()).manifest["settings"]
    assert (settings["max_prompt_length"], settings["max_response_length"]) == (None, None)


def test_preparing_again_chooses_the_same(tmp_path: Path) -> None:
    data = rows(40)
    assert prepared(tmp_path, data).manifest == prepared(tmp_path, data).manifest


def test_a_limit_that_is_set_is_kept(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, rows(), max_response_length=50).manifest
    assert (manifest["max_prompt_length"], manifest["max_new_tokens"]) == (3 + AROUND, 50)
    assert (
        manifest["notes"][0]
        == f"Lengths: problem.max_prompt_length={3 + AROUND} tokens, from the data (95th percentile)."
    )


@pytest.mark.parametrize(
    ("prompt", "response", "limits"),
    [(3, 400, (3 + AROUND, 256 - 3 - AROUND)), (400, 9, (246, 10)), (400, 400, (128, 128))],
)
def test_limits_stay_within_the_context(prompt: int, response: int, limits: tuple[int, int], tmp_path: Path) -> None:
    long = [{"prompt": "p" * prompt + str(i), "chosen": "a" * response, "rejected": "b"} for i in range(10, 30)]
    short = [{"prompt": str(i), "chosen": "a", "rejected": "b"} for i in range(10)]
    manifest = prepared(tmp_path, [*long, *short], held=[{**short[0], "prompt": "new"}]).manifest
    adjusted = (limits[0] + 2 * (limits[0] == 3 + AROUND), limits[1] - 2 * (limits[0] == 3 + AROUND))
    assert (manifest["max_prompt_length"], manifest["max_new_tokens"]) == adjusted
    assert "95th percentile, shortened to what the policy reads" in manifest["notes"][0]


def test_a_limit_that_fills_the_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        prepared(tmp_path, rows(), max_prompt_length=256)
    assert str(refused.value) == (
        "The policy reads 256 tokens, and problem.max_prompt_length=256 leaves no room. Lower it."
    )


def test_held_out_data_has_its_own_percentile(tmp_path: Path) -> None:
    held = [{"prompt": f"held {i}", "chosen": "a" * 120, "rejected": "b"} for i in range(4)]
    assert prepared(tmp_path, rows(), held=held).manifest["counts"]["pairs_heldout"] == 4


def test_the_manifest_gives_mean_lengths(tmp_path: Path) -> None:
    size = prepared(tmp_path, [{"prompt": str(i), "chosen": "abc", "rejected": "b"} for i in range(9)]).size
    assert size is not None
    assert (size.responses, size.prompt_tokens, size.response_tokens) == (18, 1 + AROUND, 3.0)
