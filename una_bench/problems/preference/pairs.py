"""Pairs of responses to one prompt, by stated rules, so that every method learns from the same responses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Literal

from una_bench.problems.preference.conversations import empty, key
from una_bench.problems.preference.judged_response import Judged

Pairing = Literal["consecutive", "all", "best_worst"]
HOW = {
    "consecutive": "in the order of the data, first with second, third with fourth",
    "all": "each with each",
    "best_worst": "the best with the worst",
}
RULES = (
    "An empty prompt or response is left out.",
    "The same response to the same prompt counts once, with the mean of its scores; the same pair twice counts once.",
    "Where the data has pairs they are taken as they are; otherwise responses to one prompt are paired by the rule "
    "below, and one without a partner is left out.",
    "A pair whose two scores (or labels) are equal is a tie: left out, or kept where ties are kept.",
    "Preferred is the response that the data says, else the one with the higher score, else (a tie) the second.",
)
"""What happens to the data, in this order; the manifest repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to one prompt, in the order of the data."""

    first: Judged
    second: Judged
    second_preferred: bool

    @property
    def responses(self) -> tuple[Judged, Judged]:
        """Both, in the order of the data."""
        return self.first, self.second

    @property
    def prompt(self) -> str:
        """What makes two prompts the same."""
        return key(self.first.messages)


def pair_up(
    responses: Sequence[Judged], *, keep_ties: bool, pairing: Pairing = "consecutive"
) -> tuple[list[Pair], dict[str, int]]:
    """Make pairs by `RULES`.

    Returns:
        The pairs in the order of the data, and how many responses or pairs each rule concerned.
    """
    counts: Counter[str] = Counter()
    explicit = any(r.together is not None for r in responses)
    couples = _given(responses, counts) if explicit else _of_prompts(responses, counts, pairing)
    pairs = []
    for first, second in couples:
        tie = _worth(first) == _worth(second)
        counts["ties_kept" if keep_ties else "ties_left_out"] += tie
        if keep_ties or not tie:
            pair = Pair(first=first, second=second, second_preferred=_second_preferred(first, second))
            low, high = (first, second) if pair.second_preferred else (second, first)
            counts["preferred_has_lower_score"] += _worth(low) > _worth(high)
            pairs.append(pair)
    return pairs, {name: count for name, count in sorted(counts.items()) if count}


def _worth(response: Judged) -> float:
    """Return what orders responses: the score, or where there is none the judgment."""
    return response.raw if math.isnan(response.score) else response.score


def _second_preferred(first: Judged, second: Judged) -> bool:
    if first.side is not None and first.side is not second.side:
        return not first.side
    return _worth(second) >= _worth(first)


def _empty(response: Judged) -> bool:
    return empty(response.messages) or empty(response.completion)


def _given(responses: Sequence[Judged], counts: Counter[str]) -> Iterator[tuple[Judged, Judged]]:
    """Pairs as the data has them, each once."""
    seen: set[tuple[str, str, str]] = set()
    for first, second in zip(responses[::2], responses[1::2], strict=True):
        identity = (key(first.messages), first.response, second.response)
        if _empty(first) or _empty(second):
            counts["empty"] += 1
        elif first.response == second.response or identity in seen:
            counts["duplicates"] += 1
        else:
            seen.add(identity)
            yield first, second


def _of_prompts(responses: Sequence[Judged], counts: Counter[str], pairing: Pairing) -> Iterator[tuple[Judged, Judged]]:
    """Responses to the same prompt, two at a time where they are paired."""
    by_prompt: dict[str, dict[str, list[Judged]]] = {}
    for response in responses:
        if _empty(response):
            counts["empty"] += 1
            continue
        same = by_prompt.setdefault(key(response.messages), {}).setdefault(response.response, [])
        counts["duplicates"] += bool(same)
        same.append(response)
    for answers in by_prompt.values():
        different = [_merged(same) for same in answers.values()]
        if pairing == "all":
            counts["without_partner"] += len(different) == 1
            yield from combinations(different, 2)
            continue
        if pairing == "best_worst" and len(different) > 2:
            ends = (max(different, key=_worth), min(different, key=_worth))
            counts["neither_best_nor_worst"] += len(different) - 2
            different = [one for one in different if one in ends][:2]
        counts["without_partner"] += len(different) % 2
        yield from zip(different[::2], different[1::2], strict=False)


def _merged(same: Sequence[Judged]) -> Judged:
    """One response for several judgments of it: the mean score, and no label where the judgments disagree."""
    first = same[0]
    label = first.label if all(one.label == first.label for one in same) else None
    return replace(first, raw=fmean(one.raw for one in same), score=fmean(one.score for one in same), label=label)
