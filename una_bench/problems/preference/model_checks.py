"""Comparison of models with the tokens and lengths of a problem, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.errors import UserError
from una_bench.models import sizes
from una_bench.problems.preference import template_checks

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import Prepared
    from una_bench.models.model import Model
    from una_bench.models.reward_scorer import Scorer
    from una_bench.problems.preference.settings import PreferenceSettings
    from una_bench.problems.preference.template import Template

REWARD = "The reward model "
SPECIAL = ("bos", "eos")
"""Tokens that any text may get; where padding has no embedding, another token pads."""


def require_context(problem: PreferenceSettings, model: Model, *, role: str = "", instead: str = "") -> None:
    """Refuse a model that cannot read a prompt and a response of the largest lengths.

    The limits count, not the data: generated responses go up to them.
    """
    limit = sizes.context(sizes.configuration(model))
    added = max(map(len, problem.doubled_ends.values()), default=0)
    prompt, response = "max_prompt_length", "max_response_length"
    for before in ("", "heldout_"):
        lengths = [getattr(problem, before + name) or getattr(problem, name) or 0 for name in (prompt, response)]
        needed = sum(lengths) + added
        if limit is not None and needed > limit:
            raise UserError(
                f"{role}{model.name} reads {limit} tokens, but problem.{before}{prompt} ({lengths[0]}) and "
                f"problem.{before}{response} ({lengths[1]}) together are {needed}"
                f"{f' with {added} doubled ends' if added else ''}. Lower them by {needed - limit} in all{instead}."
            )


def require_vocabulary(model: Model, tokenizer: Any, *, role: str = "") -> str:
    """Refuse a tokenizer whose vocabulary is larger than a model's embeddings.

    Added tokens may lie beyond the embeddings as long as no text has them; some published models are so.

    Returns:
        A note on such tokens; empty if there are none.
    """
    rows, ids = sizes.embedding_rows(model), tokenizer.get_vocab()
    added = tokenizer.get_added_vocab()
    plain = max((number for token, number in ids.items() if token not in added), default=0)
    if plain >= rows:
        raise UserError(_too_few(model, rows, plain, tokenizer.convert_ids_to_tokens(plain), role))
    for name in SPECIAL:
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None and number >= rows:
            raise UserError(_too_few(model, rows, number, getattr(tokenizer, f"{name}_token"), role))
    beyond = sorted((number, token) for token, number in ids.items() if number >= rows)
    if not beyond:
        return ""
    return (
        f"{role}{model.name}: {len(beyond)} added tokens of the tokenizer have no embedding, as {beyond[0][1]} "
        f"(id {beyond[0][0]} of {rows}); texts with one are refused."
    )


def require_embeddings(model: Model, tokenizer: Any, texts: Iterable[Sequence[int]], *, role: str = "") -> None:
    """Refuse token ids of the data that have no embedding in a model."""
    rows = sizes.embedding_rows(model)
    largest = max((int(np.max(ids)) for ids in texts if len(ids)), default=0)
    if largest >= rows:
        raise UserError(_too_few(model, rows, largest, tokenizer.convert_ids_to_tokens(largest), role))


def require_length(model: Model, context: int | None, longest: int) -> None:
    """Refuse texts of the data that are longer than a reward model with another tokenizer reads."""
    if context is not None and longest > context:
        raise UserError(
            f"{REWARD}{model.name} reads {context} tokens, but a prompt with its response has {longest}. Lower "
            "problem.max_prompt_length or problem.max_response_length, or choose another problem.reward_model.name or "
            "problem.reward_model.init."
        )


def require_texts(model: Model, scorer: Scorer, prepared: Prepared) -> None:
    """Refuse texts of the data that a reward model cannot read, being too long or of tokens without embeddings."""
    longest = largest = 0
    for table in prepared.all_responses():
        for pair in zip(table.prompt, table.completion, strict=True):
            ids = scorer.token_ids(*pair)
            longest, largest = max(longest, len(ids)), max([largest, *ids])
    require_length(model, scorer.most, longest)
    require_embeddings(model, scorer.tokenizer, [[largest]], role=REWARD)


def _no_value_model(model: Model, tokenizer: Any) -> str:
    """Tell what keeps TRL's PPO from training a policy, while other methods can."""
    if not _has_classifier(model):
        return f"{model.name}: transformers has no sequence classifier of its kind; PPO has no value model."
    others = {tokenizer.pad_token_id, tokenizer.unk_token_id} - {None, tokenizer.eos_token_id}
    if others or sizes.embedding_rows(model) > len(tokenizer):
        return ""
    return f"{model.name}: no token can pad apart from the end token, so that PPO cannot train it."


def require_classifier(model: Model) -> None:
    """Refuse to train a reward model from a kind of model that cannot be one."""
    if not _has_classifier(model):
        raise UserError(
            f"transformers has no sequence classifier of the kind of {model.name} ({model.config.get('model_type')}), "
            "so that no reward model can be trained from it. Name another model as problem.reward_model.init or "
            "problem.reward_model.name, or set problem.reward_model=null."
        )


def _has_classifier(model: Model) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KINDS

    code = model.config.get("auto_map") or {}
    return model.config.get("model_type") in KINDS or "AutoModelForSequenceClassification" in code


def _too_few(model: Model, rows: int, number: int, token: str, role: str) -> str:
    return (
        f"{role}{model.name} has {rows} embeddings, but the token {token} has id {number}. Give it the tokenizer that "
        "belongs to it, or embeddings for all tokens: model.resize_token_embeddings(len(tokenizer)) in transformers."
    )


def check_reward(
    problem: PreferenceSettings, model: Model, tokenizer: Any, prepared: Prepared, *, reads_text: bool
) -> list[str]:
    """Compare a reward model, given or to be trained from another model than the policy, with tokens and lengths.

    ``reads_text``: it gets texts in tokens of its own, not the policy's ids.

    Returns:
        Notes for the user.

    Raises:
        UserError: It has no embedding for a token, or cannot read the largest lengths.
    """
    notes = [*model.notes, require_vocabulary(model, tokenizer, role=REWARD)]
    limit = sizes.context(sizes.configuration(model))
    if not reads_text:
        key = "name" if problem.reward_model and problem.reward_model.name else "init"
        require_context(problem, model, role=REWARD, instead=f", or choose another problem.reward_model.{key}")
        require_embeddings(model, tokenizer, _texts(prepared), role=REWARD)
    elif limit is not None and limit < (problem.max_prompt_length or 0) + (problem.max_response_length or 0):
        notes.append(f"{REWARD}{model.name} reads {limit} tokens of its own: it does not see the end of a longer text.")
    return [note for note in notes if note]


def _texts(prepared: Prepared) -> Iterator[Sequence[int]]:
    """Yield the token ids of each prompt and response."""
    yield from (
        ids for table in prepared.all_responses() for name in ("prompt_ids", "completion_ids") for ids in table[name]
    )


def check_policy(model: Model, template: Template, prepared: Prepared) -> tuple[list[str], Mapping[str, Any]]:
    """Compare the written data with the policy.

    Returns:
        Notes for the user, and the compared sizes for the manifest.

    Raises:
        UserError: A token of the data has no embedding.
    """
    tokenizer = template.tokenizer
    require_embeddings(model, tokenizer, _texts(prepared))
    facts = {
        "embeddings": sizes.embedding_rows(model),
        "largest_token_id": max(tokenizer.get_vocab().values()),
        "context": sizes.context(sizes.configuration(model)),
        "first_token": tokenizer.bos_token,
        "end_token": tokenizer.eos_token,
    }
    notes = [*model.notes, require_vocabulary(model, tokenizer), *template_checks.notes(model, template)]
    notes += [_no_value_model(model, tokenizer)]
    return [note for note in notes if note], facts
