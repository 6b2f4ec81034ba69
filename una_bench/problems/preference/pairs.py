"""Pairing of judged responses by fixed rules, so that all methods learn from the same responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from una_bench.problems.preference.judged_response import Judged, key

RULES = (
    "An empty prompt or response is left out.",
    "The same response to the same prompt counts once, with the mean of its scores; the same pair twice counts once.",
    "Where the data has pairs they are taken as they are. Otherwise the responses to a prompt are paired in the order "
    "of the data, first with second, third with fourth; one without a partner is left out.",
    "A pair whose two scores (or labels) are equal is a tie: left out, or kept where ties are kept.",
    "Preferred is the response that the data says, else the one with the higher score, else (a tie) the second.",
)
"""Rules in order of application; copied to the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to one prompt, in the order of the data."""

    first: Judged
    second: Judged
    second_preferred: bool

    @property
    def prompt(self) -> str:
        """Identity of the prompt."""
        return key(self.first.messages)


def pair_up(responses: Sequence[Judged], *, keep_ties: bool) -> tuple[list[Pair], dict[str, int]]:
    """Form pairs by `RULES`.

    Returns:
        The pairs in the order of the data, and the number of responses or pairs to which each rule applied.
    """
    counts: Counter[str] = Counter()
    explicit = any(r.together is not None for r in responses)
    couples = _given(responses, counts) if explicit else _consecutive(responses, counts)
    pairs = []
    for first, second in couples:
        tie = first.score == second.score
        counts["ties_kept" if keep_ties else "ties_left_out"] += tie
        if keep_ties or not tie:
            pair = Pair(first=first, second=second, second_preferred=_second_preferred(first, second))
            low, high = (first, second) if pair.second_preferred else (second, first)
            counts["preferred_has_lower_score"] += low.score > high.score
            pairs.append(pair)
    return pairs, {name: count for name, count in sorted(counts.items()) if count}


def _second_preferred(first: Judged, second: Judged) -> bool:
    if first.side is not None and first.side is not second.side:
        return not first.side
    return second.score >= first.score


def _empty(response: Judged) -> bool:
    return not response.messages or not response.response.strip()


def _given(responses: Sequence[Judged], counts: Counter[str]) -> Iterator[tuple[Judged, Judged]]:
    """Yield the pairs of the data, each once."""
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


def _consecutive(responses: Sequence[Judged], counts: Counter[str]) -> Iterator[tuple[Judged, Judged]]:
    """Yield consecutive distinct responses to the same prompt as pairs."""
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
        counts["without_partner"] += len(different) % 2
        yield from zip(different[::2], different[1::2], strict=False)


def _merged(same: Sequence[Judged]) -> Judged:
    """Merge judgments of one response: the mean score, and no label if they disagree."""
    first = same[0]
    side = first.side if all(s.side == first.side for s in same) else None
    return replace(first, raw=fmean(s.raw for s in same), score=fmean(s.score for s in same), side=side)
