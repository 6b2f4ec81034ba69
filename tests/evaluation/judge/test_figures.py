"""Figures of verdicts against numbers worked out by hand, and reading of verdicts and prompts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from una_bench.evaluation.judge import figures, judge_prompt
from una_bench.evaluation.judge.comparison import Compared
from una_bench.evaluation.judge.judge_prompt import Kind


def compared(*orders: tuple[float | None, float | None]) -> Compared:
    return Compared(points=orders, verdicts=((None, None),) * len(orders), lengths=(1, 1))


def test_the_score_of_a_prompt_is_the_mean_over_orders_and_repetitions() -> None:
    assert compared((1.0, 0.5), (0.0, 1.0)).score == 0.625


def test_one_unreadable_order_leaves_a_prompt_without_score() -> None:
    assert compared((1.0, None)).score is None


def test_the_standard_error_is_over_prompts() -> None:
    value, error = figures.mean_error([1.0, 0.0, 1.0, 0.5])
    assert value == 0.625
    assert error == pytest.approx(math.sqrt(0.6875 / 3 / 4))


def test_at_equal_lengths_the_controlled_win_rate_is_the_raw_one() -> None:
    value, _ = figures.length_controlled([1.0, 1.0, 1.0, 0.0], [(10, 10)] * 4)
    assert value == pytest.approx(0.75, abs=0.005)


def test_wins_by_length_alone_do_not_count() -> None:
    lengths = [(20, 10), (20, 10), (20, 10), (10, 20)] * 8
    scores = [1.0, 1.0, 1.0, 0.0] * 7 + [0.0, 1.0, 1.0, 1.0]
    raw = sum(scores) / len(scores)
    value, error = figures.length_controlled(scores, lengths)
    assert raw == 0.75
    assert value < 0.65
    assert error is not None and error > 0


def test_all_wins_give_a_finite_rate() -> None:
    value, _ = figures.length_controlled([1.0] * 8, [(i, 3) for i in range(8)])
    assert 0.9 < value < 1.0


def test_kappa_is_chance_corrected() -> None:
    value, count = figures.kappa([1.0, 1.0, 0.0, 0.0, None], [1.0, 0.0, 0.0, 0.0, 1.0])
    assert (value, count) == (0.5, 4)  # agreement 3/4, by chance 1/2


def test_kappa_of_constant_verdicts_is_undefined() -> None:
    assert figures.kappa([1.0, 1.0], [1.0, 1.0]) == (None, 2)


def test_position_bias_counts_verdicts_that_the_order_changes() -> None:
    shares, first, second = figures.position_bias([compared((1.0, 0.0)), compared((0.0, 1.0)), compared((1.0, 1.0))])
    assert (shares, first, second) == ([1.0, 1.0, 0.0], 1, 1)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A is better. [[A]]", "first"),
        ("The answer says [[B]], but [[A]]", "first"),
        ("[[ B ]].", "second"),
        ("[[C]]", "tie"),
        ("A is better", None),
        ("", None),
        ("[[7]]", None),
    ],
)
def test_the_last_mark_is_the_verdict(reply: str, verdict: str | None) -> None:
    assert judge_prompt.read(reply, Kind.PAIRWISE) == verdict


@pytest.mark.parametrize(("reply", "grade"), [("[[7]]", 7.0), ("[[7.5]]", 7.5), ("[[11]]", None), ("[[A]]", None)])
def test_a_grade_is_from_1_to_10(reply: str, grade: float | None) -> None:
    assert judge_prompt.read(reply, Kind.GRADE) == grade


def test_a_place_in_an_answer_is_no_place() -> None:
    prompt = judge_prompt.load("", Kind.PAIRWISE)
    values = {"prompt": "p", "answer_a": "see {answer_b}", "answer_b": "SECRET"}
    assert prompt.messages(values)[-1]["content"].count("SECRET") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": 1, "user": "{prompt} {answer_a} [[A]] [[B]]"}, "lacks the place {answer_b} in user"),
        ({"version": 1, "user": "{prompt} {answer_a} {answer_b}"}, "does not ask for a verdict that can be read"),
        ({"user": "{prompt}"}, "must have the keys version and user"),
        ("text", "must have the keys version and user"),
    ],
)
def test_a_prompt_without_its_places_is_refused(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "prompt.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message):
        judge_prompt.load(str(file), Kind.PAIRWISE)
