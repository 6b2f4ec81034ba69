"""Pairs of responses to one prompt and responses without a partner, by stated rules, the same for every method."""

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
Group = tuple[list[Judged], list[tuple[Judged, Judged]]]
"""Responses to one prompt, and those of them that are paired."""
HOW = {
    "consecutive": "in the order of the data, first with second, third with fourth",
    "all": "each with each",
    "best_worst": "the best with the worst",
}
RULES = (
    "An empty prompt or response is left out.",
    "The same response to the same prompt counts once, with the mean of its scores; the same pair twice counts once. "
    "A pair whose two responses are the same is left out.",
    "Where the data has pairs they are taken as they are; otherwise responses to one prompt are paired by the rule "
    "below.",
    "A pair whose two scores are equal is a tie: left out, or kept where ties are kept. Responses with equal labels "
    "are no pair.",
    "Preferred is the response that the data says, else the one with the higher score, else (a tie) the second.",
    "A response without a partner is used by the methods that learn from its label or score; it is left out where it "
    "has neither, or where problem.unpaired says so.",
)
"""What happens to the data, in this order; the manifest repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A pair of responses to one prompt, in the order of the data, or one response without a partner."""

    responses: tuple[Judged, ...]
    second_preferred: bool = False

    @property
    def paired(self) -> bool:
        """Whether it is a pair."""
        return len(self.responses) == 2

    @property
    def prompt(self) -> str:
        """What makes two prompts the same."""
        return key(self.responses[0].messages)


def make_examples(
    responses: Sequence[Judged], *, keep_ties: bool, pairing: Pairing = "consecutive", unpaired: bool = True
) -> tuple[list[Example], dict[str, int]]:
    """Make pairs and responses without a partner (where ``unpaired`` are used) by `RULES`.

    Returns:
        The examples in the order of the data, and how many responses or pairs each rule concerned.
    """
    counts: Counter[str] = Counter()
    explicit = any(r.together is not None for r in responses)
    groups = _given(responses, counts) if explicit else _of_prompts(responses, counts, pairing)
    examples: list[Example] = []
    for group, couples in groups:
        settled: set[int] = set()
        for first, second in couples:
            if _worth(first) == _worth(second) and not keep_ties:
                if first.label is not None and second.label is not None:
                    continue  # equal labels say nothing against either response
                counts["ties_left_out"] += 1
            else:
                examples.append(_pair(first, second, counts))
            settled |= {id(first), id(second)}
        alone = [one for one in group if id(one) not in settled]
        usable = [one for one in alone if unpaired and (one.label is not None or not math.isnan(one.score))]
        counts["unpaired"] += len(usable)
        counts["without_partner"] += len(alone) - len(usable)
        examples += [Example(responses=(one,)) for one in usable]
    return examples, {name: count for name, count in sorted(counts.items()) if count}


def _pair(first: Judged, second: Judged, counts: Counter[str]) -> Example:
    pair = Example(responses=(first, second), second_preferred=_second_preferred(first, second))
    low, high = (first, second) if pair.second_preferred else (second, first)
    counts["ties_kept"] += _worth(first) == _worth(second)
    counts["preferred_has_lower_score"] += _worth(low) > _worth(high)
    return pair


def _worth(response: Judged) -> float:
    """Return what orders responses: the score, or where there is none the judgment."""
    return response.raw if math.isnan(response.score) else response.score


def _second_preferred(first: Judged, second: Judged) -> bool:
    if first.side is not None and first.side is not second.side:
        return not first.side
    return _worth(second) >= _worth(first)


def _empty(response: Judged) -> bool:
    return empty(response.messages) or empty(response.completion)


def _given(responses: Sequence[Judged], counts: Counter[str]) -> Iterator[Group]:
    """Pairs as the data has them, each once."""
    seen: set[tuple[str, str, str]] = set()
    for first, second in zip(responses[::2], responses[1::2], strict=True):
        identity = (key(first.messages), key(first.completion), key(second.completion))
        if _empty(first) or _empty(second):
            counts["empty"] += 1
        elif identity[1] == identity[2]:
            counts["same_responses"] += 1
        elif identity in seen:
            counts["duplicates"] += 1
        else:
            seen.add(identity)
            yield [first, second], [(first, second)]


def _of_prompts(responses: Sequence[Judged], counts: Counter[str], pairing: Pairing) -> Iterator[Group]:
    """The different responses to each prompt, and which of them are paired."""
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
            yield different, list(combinations(different, 2))
        elif pairing == "best_worst" and len(different) > 1:
            best = max(different, key=_worth)
            worst = min((one for one in different if one is not best), key=_worth)
            first, second = (one for one in different if one is best or one is worst)
            yield different, [(first, second)]
        else:
            yield different, list(zip(different[::2], different[1::2], strict=False))


def _merged(same: Sequence[Judged]) -> Judged:
    """One response for several judgments of it: the mean score, and no label where the judgments disagree."""
    first = same[0]
    label = first.label if all(one.label == first.label for one in same) else None
    return replace(first, raw=fmean(one.raw for one in same), score=fmean(one.score for one in same), label=label)
