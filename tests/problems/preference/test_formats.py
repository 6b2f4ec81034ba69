"""Layouts of preference data."""

from __future__ import annotations

from typing import Any

import pytest

from una_bench.errors import UserError
from una_bench.problems.preference.formats import detect, judged, turns
from una_bench.problems.preference.judged_response import HELPSTEER_WEIGHTS, Scoring

SCORING = Scoring(weights=HELPSTEER_WEIGHTS)


def helpsteer(**changed: Any) -> dict[str, Any]:
    row = {"prompt": "p", "response": "r", "helpfulness": 4, "correctness": 3, "coherence": 4}
    return row | {"complexity": 1, "verbosity": 2} | changed


def test_helpsteer_attributes_are_weighed_as_in_the_paper() -> None:
    [response], _ = judged([helpsteer()], SCORING, "data")
    assert response.score == pytest.approx((0.65 * 4 + 0.8 * 3 + 0.45 * 4) / 7.6)


@pytest.mark.parametrize(("attribute", "score"), [(0, 0.0), (4, 1.0)])
def test_helpsteer_scores_reach_both_ends(attribute: int, score: float) -> None:
    row = helpsteer(helpfulness=attribute, correctness=attribute, coherence=attribute)
    assert judged([row], SCORING, "data")[0][0].score == score


@pytest.mark.parametrize("value", [None, float("nan"), "good", 5, -1])
def test_a_row_with_an_invalid_attribute_is_left_out_and_counted(value: Any) -> None:
    rows = [helpsteer(), helpsteer(correctness=value)]
    found, facts = judged(rows, SCORING, "data")
    assert (len(found), facts["rows_without_valid_score"]) == (1, 1)


def test_other_weights_count_other_attributes() -> None:
    scoring = Scoring(weights={"verbosity": 1.0, "complexity": 3.0})
    assert judged([helpsteer()], scoring, "data")[0][0].score == pytest.approx((2 + 3 * 1) / 16)


def test_the_turns_of_a_helpsteer_prompt_are_messages() -> None:
    text = "first\n<extra_id_1>Assistant\nreply\n<extra_id_1>User\nsecond"
    assert turns(text) == (("user", "first"), ("assistant", "reply"), ("user", "second"))


def test_every_completion_of_ultrafeedback_is_a_response() -> None:
    completions = [{"response": r, "overall_score": s} for r, s in (("a", 10), ("b", 1), ("c", None), ("d", 5.5))]
    found, _ = judged([{"instruction": "i", "completions": completions}], SCORING, "data")
    assert [(r.response, r.raw, r.score) for r in found] == [("a", 10.0, 1.0), ("b", 1.0, 0.0), ("d", 5.5, 0.5)]


def test_a_scored_pair_is_two_responses_that_belong_together() -> None:
    row = {"prompt": "p", "chosen": "good", "rejected": "bad", "score_chosen": 7.0, "score_rejected": 4.0}
    found, _ = judged([row], SCORING, "data")
    assert [(r.response, r.raw, r.score, r.side, r.together) for r in found] == [
        ("good", 7.0, pytest.approx(6 / 9), True, 0),
        ("bad", 4.0, pytest.approx(3 / 9), False, 0),
    ]


def test_a_pair_without_scores_is_scored_by_its_sides() -> None:
    found, _ = judged([{"prompt": "p", "chosen": "good", "rejected": "bad"}], SCORING, "data")
    assert [r.score for r in found] == [1.0, 0.0]


def test_the_prompt_of_a_pair_of_conversations_is_what_comes_before_the_answer() -> None:
    chosen = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "good"}]
    rejected = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "bad"}]
    found, _ = judged([{"chosen": chosen, "rejected": rejected}], SCORING, "data")
    assert [(r.messages, r.response) for r in found] == [((("user", "p"),), "good"), ((("user", "p"),), "bad")]


def test_pairs_of_text_need_a_prompt() -> None:
    with pytest.raises(UserError, match="a column prompt is needed"):
        judged([{"chosen": "a", "rejected": "b"}], SCORING, "data")


@pytest.mark.parametrize("label", [True, 1, "1"])
def test_a_labeled_completion_keeps_its_label(label: Any) -> None:
    [response], _ = judged([{"prompt": "p", "completion": "c", "label": label}], SCORING, "data")
    assert (response.side, response.score) == (True, 1.0)


def test_a_label_that_is_neither_is_left_out() -> None:
    rows = [{"prompt": "p", "completion": "c", "label": 0.5}]
    assert judged(rows, SCORING, "data") == ([], {"format": "labeled", "rows_without_valid_score": 1})


def test_a_scored_response_keeps_score_and_raw_score() -> None:
    row = {"prompt": "p", "response": "r", "score": 0.7, "score_raw": 7.3}
    [response], _ = judged([row], SCORING, "data")
    assert (response.raw, response.score) == (7.3, 0.7)


def test_a_range_of_scores_can_be_given() -> None:
    rows = [{"prompt": "p", "response": "r", "score": 4}]
    [response], _ = judged(rows, Scoring(weights=HELPSTEER_WEIGHTS, score_range=(1, 5)), "data")
    assert response.score == 0.75


def test_a_score_outside_its_range_is_left_out_and_counted() -> None:
    _, facts = judged([{"prompt": "p", "response": "r", "score": 1.5}], SCORING, "data")
    assert facts["rows_without_valid_score"] == 1


def test_unknown_columns_are_named_with_those_that_are_needed() -> None:
    with pytest.raises(UserError, match=r"data has the columns question, answer\. It needs one of.*chosen, rejected"):
        detect(["question", "answer"], SCORING, "data")


def test_a_row_that_lacks_a_column_is_named() -> None:
    rows = [{"prompt": "p", "response": "r", "score": 1}, {"prompt": "p", "score": 0}]
    with pytest.raises(UserError, match="data: row 1 lacks response"):
        judged(rows, SCORING, "data")


def test_a_prompt_that_is_no_text_is_named() -> None:
    with pytest.raises(UserError, match="prompt is int"):
        judged([{"prompt": 3, "response": "r", "score": 1}], SCORING, "data")
