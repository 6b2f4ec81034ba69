"""A preference problem in words and its size, from the settings and local files alone: for the screen before a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from una_bench.interfaces.prepared import DataSize
from una_bench.problems.preference import prepare, sources
from una_bench.problems.preference.lengths import PERCENTILE

if TYPE_CHECKING:
    from una_bench.problems.preference.settings import PreferenceSettings

MOST_BYTES = 2**26
"""Largest files that are read before a run, in a second or two."""
CHARACTERS = 4.0
"""Characters of a token of English with a usual vocabulary."""
TEMPLATE_TOKENS = 20
"""Tokens that a usual chat template puts around a prompt."""


def size(problem: PreferenceSettings) -> DataSize | None:
    """Return the size of the data, estimated by its characters; None for a data set of the hub, or large files.

    Raises:
        UserError: The data cannot be read.
    """
    files = sources.local_files(problem.dataset.source, problem.dataset.split)
    if not files or sum(file.stat().st_size for file in files) > MOST_BYTES:
        return None
    examples, _ = prepare.examples_of(problem, problem.dataset)
    around = TEMPLATE_TOKENS if problem.template == "chat" else 0
    prompts = [around + sum(len(m["content"]) for m in one.responses[0].messages) / CHARACTERS for one in examples]
    answers = [1 + len(response.response) / CHARACTERS for one in examples for response in one.responses]
    if not examples:
        return None
    count = len(examples) if problem.heldout else max(1, round(len(examples) * (1 - problem.heldout_share)))
    return DataSize(
        responses=round(len(answers) / len(examples) * min(count, problem.pairs or count)),
        prompt_tokens=fmean(prompts),
        response_tokens=fmean(answers),
        max_prompt_length=problem.max_prompt_length or _percentile(prompts),
        max_response_length=problem.max_response_length or _percentile(answers),
        estimated=True,
    )


def _percentile(sizes: Sequence[float]) -> int:
    return max(2, round(float(np.percentile(sizes, PERCENTILE))))


def overview(problem: PreferenceSettings, data: DataSize | None) -> dict[str, str]:
    """Return the lines about model, data, lengths and reward."""
    about = "about " if data and data.estimated else ""
    count = f"{about}{data.responses} responses to train on" if data else "counted in preparation"
    share = f"{100 * problem.heldout_share:g} % of the prompts"
    heldout = f"held out: {problem.heldout.name if problem.heldout else share}"
    return {
        "model": Path(problem.policy).name if Path(problem.policy).exists() else problem.policy,
        "data": f"{problem.dataset.name}: {count}; {heldout}",
        "lengths": _lengths(problem, data),
        "reward": _reward(problem),
    }


def _lengths(problem: PreferenceSettings, data: DataSize | None) -> str:
    if problem.max_prompt_length and problem.max_response_length:
        return f"prompts up to {problem.max_prompt_length} tokens, responses up to {problem.max_response_length}"
    rule = f"the {PERCENTILE}th percentile of the data"
    if data is None:
        return f"{rule}, counted in preparation"
    about = "about " if data.estimated else ""
    prompt, response = data.max_prompt_length, data.max_response_length
    return f"prompts up to {about}{prompt} tokens, responses up to {about}{response} ({rule})"


def _reward(problem: PreferenceSettings) -> str:
    reward = problem.reward_model
    if reward is None:
        return "none: methods that generate their responses cannot run"
    return f"{reward.name}, as it is" if reward.name else f"trained on the pairs, from {reward.init or 'the policy'}"
