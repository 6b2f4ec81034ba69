"""The rules that make pairs."""

from __future__ import annotations

from una_bench.problems.preference.judged_response import Judged
from una_bench.problems.preference.pairs import Example, make_examples


def response(text: str, score: float, prompt: str = "p", **more: object) -> Judged:
    messages, completion = ({"role": "user", "content": prompt},), ({"role": "assistant", "content": text},)
    return Judged(messages=messages, completion=completion, raw=score, score=score, **more)  # type: ignore[arg-type]


def texts(examples: list[Example]) -> list[tuple[str, ...]]:
    return [tuple(one.response for one in example.responses) for example in examples]


def test_responses_to_a_prompt_are_paired_in_order() -> None:
    given = [response("a", 0), response("x", 0, "q"), response("b", 1), response("c", 0), response("d", 1)]
    pairs, counts = make_examples([*given, response("y", 1, "q")], keep_ties=False)
    assert (texts(pairs), counts) == ([("a", "b"), ("c", "d"), ("x", "y")], {})


def test_a_response_without_a_partner_stands_alone() -> None:
    given = [response("a", 0), response("b", 1), response("c", 1)]
    examples, counts = make_examples(given, keep_ties=False)
    assert (texts(examples), counts) == ([("a", "b"), ("c",)], {"unpaired": 1})


def test_a_response_without_a_partner_can_be_left_out() -> None:
    given = [response("a", 0), response("b", 1), response("c", 1)]
    examples, counts = make_examples(given, keep_ties=False, unpaired=False)
    assert (texts(examples), counts) == ([("a", "b")], {"without_partner": 1})


def test_the_higher_score_is_preferred() -> None:
    pairs, _ = make_examples(
        [response("a", 0.9), response("b", 0.1), response("c", 0), response("d", 1)], keep_ties=False
    )
    assert [p.second_preferred for p in pairs] == [False, True]


def test_ties_are_left_out_and_counted() -> None:
    assert make_examples([response("a", 0.5), response("b", 0.5)], keep_ties=False) == ([], {"ties_left_out": 1})


def test_a_tie_that_is_kept_prefers_the_second() -> None:
    [pair], counts = make_examples([response("a", 0.5), response("b", 0.5)], keep_ties=True)
    assert (pair.second_preferred, counts) == (True, {"ties_kept": 1})


def test_the_same_response_counts_once_with_the_mean_score() -> None:
    [pair], counts = make_examples([response("a", 0.2), response("a", 0.4), response("b", 0.9)], keep_ties=False)
    assert (round(pair.responses[0].score, 9), counts) == (0.3, {"duplicates": 1})


def test_empty_prompts_and_responses_are_left_out() -> None:
    empty = Judged(messages=(), completion=({"role": "assistant", "content": "z"},), raw=1, score=1)
    assert make_examples([response(" \n", 1), empty], keep_ties=False) == ([], {"empty": 2})


def test_given_pairs_stay_together_and_keep_their_side() -> None:
    given = [response("a", 0.1, side=True, together=0), response("b", 0.9, side=False, together=0)]
    [pair], counts = make_examples(given, keep_ties=False)
    assert (pair.second_preferred, counts) == (False, {"preferred_has_lower_score": 1})


def test_a_pair_given_twice_counts_once() -> None:
    given = [response(t, s, side=bool(s), together=i) for i in range(2) for t, s in (("a", 1), ("b", 0))]
    pairs, counts = make_examples(given, keep_ties=False)
    assert (texts(pairs), counts) == ([("a", "b")], {"duplicates": 1})


def test_labels_of_one_prompt_make_a_pair() -> None:
    [pair], _ = make_examples([response("a", 0, side=False), response("b", 1, side=True)], keep_ties=False)
    assert pair.second_preferred


def test_equal_labels_are_no_pair() -> None:
    given = [response("a", 1, label=True), response("b", 1, label=True)]
    examples, counts = make_examples(given, keep_ties=False)
    assert (texts(examples), counts) == ([("a",), ("b",)], {"unpaired": 2})


def test_equal_labels_stand_once_where_all_are_paired() -> None:
    given = [response("a", 1, label=True), response("b", 1, label=True), response("c", 0, label=False)]
    examples, _ = make_examples([*given, response("d", 1, "q", label=True)], keep_ties=False, pairing="all")
    assert texts(examples) == [("a", "c"), ("b", "c"), ("d",)]


def test_every_two_responses_are_a_pair_where_all_are_paired() -> None:
    pairs, _ = make_examples(
        [response(t, s) for t, s in (("a", 0), ("b", 1), ("c", 2))], keep_ties=False, pairing="all"
    )
    assert texts(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_the_best_is_paired_with_the_worst() -> None:
    given = [response(t, s) for t, s in (("a", 1), ("b", 0), ("c", 2))]
    examples, counts = make_examples(given, keep_ties=False, pairing="best_worst")
    assert (texts(examples), counts) == ([("b", "c"), ("a",)], {"unpaired": 1})
