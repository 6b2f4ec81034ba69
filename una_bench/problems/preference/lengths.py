"""Limits of length in tokens: those of the settings, else what 95 % of the data stays within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.errors import UserError
from una_bench.problems.preference.tables import Limits
from una_bench.problems.preference.template import RefusedByTemplateError, Template

if TYPE_CHECKING:
    from una_bench.problems.preference.pairs import Example
    from una_bench.problems.preference.settings import PreferenceSettings

PERCENTILE = 95
MOST_EXAMPLES = 2000
"""Examples whose tokens are counted, chosen by the seed: more of a large data set would hardly move the limits."""


def limits(
    problem: PreferenceSettings, examples: Sequence[Example], template: Template, context: int | None
) -> tuple[Limits, dict[str, Any]]:
    """Return the limits of training, and what the manifest says of those that the data decides.

    ``context`` is the number of tokens that the policy reads; limits from the data stay within it.

    Raises:
        UserError: A limit of the settings leaves nothing of the context.
    """
    prompt, response, facts = problem.max_prompt_length, problem.max_response_length, {}
    if prompt is None or response is None:
        of_data = _of_data(problem, examples, template)
        prompt, response = _within(prompt, response, of_data, context)
        facts = {"percentile": PERCENTILE, "of_data": of_data}
    return Limits(prompt=prompt, response=response, whole=problem.max_length), facts


def heldout_limits(
    problem: PreferenceSettings, examples: Sequence[Example], template: Template, context: int | None, training: Limits
) -> Limits:
    """Return the limits of held-out data: its own where the data decides, at least those of training."""
    given = problem.heldout_max_prompt_length, problem.heldout_max_response_length
    prompt, response = given[0] or training.prompt, given[1] or training.response
    if examples and (problem.max_prompt_length is None or problem.max_response_length is None):
        own = _within(*given, _of_data(problem, examples, template), context)
        prompt = prompt if problem.max_prompt_length or given[0] else max(prompt, own[0])
        response = response if problem.max_response_length or given[1] else max(response, own[1])
    return Limits(prompt=prompt, response=response, whole=context if context and prompt + response > context else None)


def _of_data(problem: PreferenceSettings, examples: Sequence[Example], template: Template) -> list[int]:
    """Return the tokens of prompt and of longer response that `PERCENTILE` of the examples stay within."""
    most = np.random.default_rng([problem.seed, 3]).permutation(len(examples))[:MOST_EXAMPLES]
    sizes = [size for place in sorted(most) if (size := _size(examples[place], template))]
    return [_percentile([size[side] for size in sizes]) for side in (0, 1)] if sizes else [1, 2]


def _size(example: Example, template: Template) -> tuple[int, int] | None:
    """Return the tokens of an example's prompt and of its longer response; None where it cannot be written."""
    first = example.responses[0]
    try:
        prompt, texts = template.write(first.messages, [r.completion for r in example.responses], first.tools)
    except (RefusedByTemplateError, UserError):  # left out, or refused by row, where the tables are written
        return None
    ids = template.ids(prompt)
    return len(ids), max(len(template.completion_ids(prompt, ids, text)) for text in texts)


def _percentile(sizes: Sequence[int]) -> int:
    """Return the smallest size that `PERCENTILE` of the data stays within."""
    return int(np.percentile(sizes, PERCENTILE, method="inverted_cdf"))


def _within(prompt: int | None, response: int | None, of_data: Sequence[int], context: int | None) -> tuple[int, int]:
    """Return both limits, shortened to the context: the shorter one keeps up to half of it."""
    wanted = (prompt or of_data[0], response or of_data[1])
    if context is None or sum(wanted) <= context:
        return wanted
    if prompt is None and response is None:
        short = min(*wanted, context // 2)
        return (short, context - short) if wanted[0] <= wanted[1] else (context - short, short)
    name, given = ("max_prompt_length", prompt) if prompt else ("max_response_length", response)
    assert given is not None
    if context - given < 2:
        raise UserError(f"The policy reads {context} tokens, and problem.{name}={given} leaves no room. Lower it.")
    return (prompt, context - prompt) if prompt else (context - given, given)


def note(chosen: Limits, facts: dict[str, Any], problem: PreferenceSettings) -> str:
    """Return what a user has to know of limits that the data decided."""
    parts = []
    if problem.max_prompt_length is None:
        parts.append(f"problem.max_prompt_length={chosen.prompt}")
    if problem.max_response_length is None:
        parts.append(f"problem.max_response_length={chosen.response}")
    shortened = sum(facts["of_data"]) > chosen.prompt + chosen.response and len(parts) == 2
    why = ", shortened to what the policy reads" if shortened else ""
    return f"Lengths: {' and '.join(parts)} tokens, from the data ({facts['percentile']}th percentile{why})."
