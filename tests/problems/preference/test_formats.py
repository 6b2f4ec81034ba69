"""Layouts of preference data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from una_bench.errors import UserError
from una_bench.problems.preference.formats import detect, judged
from una_bench.problems.preference.judged_response import HELPSTEER_WEIGHTS, Scoring
from una_bench.problems.preference.layouts import turns

SCORING = Scoring(weights=HELPSTEER_WEIGHTS)
SYSTEM = {"role": "system", "content": "s"}
USER, OTHER_USER = ({"role": "user", "content": text} for text in "pq")
ASSISTANT, OTHER = ({"role": "assistant", "content": text} for text in "ab")


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


@pytest.mark.parametrize("value", [None, float("nan"), "N/A", " "])
def test_a_row_with_a_missing_attribute_is_left_out_and_counted(value: Any) -> None:
    rows = [helpsteer(), helpsteer(correctness=value)]
    responses, facts = judged(rows, SCORING, "data")
    assert (len(responses), facts["rows_without_judgment"]) == (1, 1)


@pytest.mark.parametrize(("value", "seen"), [(5, "3 to 5"), (-1, "-1 to 3")])
def test_a_score_outside_its_scale_stops_with_the_scores_that_were_seen(value: int, seen: str) -> None:
    with pytest.raises(UserError, match=rf"data: correctness goes from {seen} .*problem.score_range"):
        judged([helpsteer(), helpsteer(correctness=value)], SCORING, "data")


def test_other_weights_count_other_attributes() -> None:
    scoring = Scoring(weights={"verbosity": 1.0, "complexity": 3.0})
    assert judged([helpsteer()], scoring, "data")[0][0].score == pytest.approx((2 + 3 * 1) / 16)


def test_the_turns_of_a_helpsteer_prompt_are_messages() -> None:
    text = "first\n<extra_id_1>Assistant\nreply\n<extra_id_1>User\nsecond"
    assert turns(text) == (
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "reply"},
        {"role": "user", "content": "second"},
    )


def test_every_completion_of_ultrafeedback_is_a_response() -> None:
    completions = [{"response": r, "overall_score": s} for r, s in (("a", 10), ("b", 1), ("c", None), ("d", 5.5))]
    found, _ = judged([{"instruction": "i", "completions": completions}], SCORING, "data")
    assert [(r.response, r.raw, r.score) for r in found] == [("a", 10.0, 1.0), ("b", 1.0, 0.0), ("d", 5.5, 0.5)]


def test_a_scored_pair_is_two_responses_that_belong_together() -> None:
    row = {"prompt": "p", "chosen": "good", "rejected": "bad", "score_chosen": 7.0, "score_rejected": 4.0}
    found, _ = judged([row], Scoring(weights=HELPSTEER_WEIGHTS, score_range=(1, 10)), "data")
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
    assert [(r.messages[0]["content"], r.response) for r in found] == [("p", "good"), ("p", "bad")]


@pytest.mark.parametrize("label", [True, 1, "1"])
def test_a_labeled_completion_keeps_its_label(label: Any) -> None:
    [response], _ = judged([{"prompt": "p", "completion": "c", "label": label}], SCORING, "data")
    assert (response.label, response.score) == (True, 1.0)


@pytest.mark.parametrize("label", ["good", 0.5, 2])
def test_a_label_that_is_neither_is_named(label: Any) -> None:
    with pytest.raises(UserError, match=rf"data, row 1: column label holds {label!r}; true or false"):
        judged([{"prompt": "p", "completion": "c", "label": label}], SCORING, "data")


def test_a_scored_response_keeps_score_and_raw_score() -> None:
    row = {"prompt": "p", "response": "r", "score": 0.7, "score_raw": 7.3}
    [response], _ = judged([row], SCORING, "data")
    assert (response.raw, response.score) == (7.3, 0.7)


def test_a_range_of_scores_can_be_given() -> None:
    rows = [{"prompt": "p", "response": "r", "score": 4}]
    [response], _ = judged(rows, Scoring(weights=HELPSTEER_WEIGHTS, score_range=(1, 5)), "data")
    assert response.score == 0.75


def test_a_score_on_another_scale_drops_nothing() -> None:
    rows = [{"prompt": "p", "response": "r", "score": score} for score in (9, 7, 1, 0)]
    with pytest.raises(UserError, match=r"score goes from 0 to 9 \(row 1: 9\), but the scale is taken to be 0 to 1"):
        judged(rows, SCORING, "data")


def test_a_score_of_unknown_scale_needs_one() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "chosen-rating": 5.0, "rejected-rating": 2.0}
    with pytest.raises(UserError, match=r"chosen-rating goes from 5 to 5, and its scale is not known"):
        judged([row], SCORING, "data")


def test_unknown_columns_are_named_with_those_that_are_needed() -> None:
    with pytest.raises(UserError, match=r"data has the columns q, a\. It needs one of.*chosen, rejected"):
        detect(["q", "a"], {}, SCORING, "data")


def test_a_row_that_lacks_a_column_has_nothing_in_it() -> None:
    rows = [{"prompt": "p", "response": "r", "score": 1}, {"prompt": "p", "score": 0}]
    assert [r.response for r in judged(rows, SCORING, "data")[0]] == ["r", ""]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (3.5, "column prompt holds 3.5; text or a list of messages"),
        (True, "column prompt holds True"),
        ([{"role": "user", "content": [{"type": "image"}]}], "column prompt, message 1 has a part of type 'image'"),
        ([{"role": "user", "content": None}], "column prompt, message 1 has no content"),
        ([{"role": "wizard", "content": "x"}], "column prompt, message 1 has the role 'wizard'"),
        (["x"], "column prompt, message 1 is 'x'; a message has role and content"),
        ([{"role": "user", "content": {"a": 1}}], "column prompt, message 1 holds"),
        ("half \ud83d", "column prompt holds half of a character"),
        ([{"role": "assistant", "content": "x"}], "the prompt ends with the assistant's message"),
        ([{"role": "system", "content": "x"}], "the prompt ends with the system's message"),
    ],
)
def test_a_prompt_that_is_no_conversation_is_named(prompt: Any, reason: str) -> None:
    with pytest.raises(UserError, match=f"data, row 1: {re.escape(reason)}"):
        judged([{"prompt": prompt, "response": "r", "score": 1}], SCORING, "data")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "a", "rejected": "b"}, "so a column prompt is needed"),
        ({"prompt": "p", "chosen": [ASSISTANT, USER], "rejected": [ASSISTANT]}, "ends with the user's message"),
        ({"chosen": [USER, ASSISTANT, USER], "rejected": [USER, OTHER]}, "column chosen ends with the user's message"),
        ({"chosen": [USER, ASSISTANT], "rejected": [OTHER_USER, ASSISTANT]}, "part in message 1 (user 'p' and user"),
        ({"prompt": "q", "chosen": [USER, ASSISTANT], "rejected": [USER, OTHER]}, "is not among the messages"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "history": ["x"]}, "a question and its answer are needed"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "tools": "{"}, "column tools holds '{'; a list is needed"),
        ({"prompt": [SYSTEM, USER], "chosen": "a", "rejected": "b", "system": "other"}, "different system messages"),
    ],
)
def test_sides_that_do_not_fit_are_named(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=f"data, row 1: .*{re.escape(reason)}"):
        judged([row], SCORING, "data")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"promt": "q"}, "Did you mean 'prompt'"), ({"prompt": "quesiton"}, "Did you mean 'question'")],
)
def test_columns_that_are_not_there_are_named(columns: dict[str, str], reason: str) -> None:
    rows = [{"question": "p", "chosen": "a", "rejected": "b"}]
    with pytest.raises(UserError, match=reason):
        judged(rows, SCORING, "data", columns=columns)
