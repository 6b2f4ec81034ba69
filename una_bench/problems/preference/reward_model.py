"""Reward model of a preference problem: trained on the pairs, or given by the user."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import process_tuning
from una_bench.models import catalog, sizes
from una_bench.models.reward_scorer import Scorer, accuracy, same_tokens, write_style
from una_bench.problems.preference import model_checks, reward_initialisation
from una_bench.problems.preference.policy import link_files, load_tokenizer

if TYPE_CHECKING:
    from una_bench.models.model import Model
    from una_bench.problems.preference.settings import PreferenceSettings, RewardModel
    from una_bench.problems.preference.template import Template

Say = Callable[[str], None]
MOST_TO_CENTRE = 256
"""Number of training responses whose mean reward is set to 0."""
THREADS = 2
"""Threads of training; fixed, because their number changes rounding."""


def resolve(problem: PreferenceSettings, settings: RewardModel, say: Say) -> Model:
    """Return the model to use or to train from; a UserError if its files cannot be used."""
    name = settings.name or settings.init
    revision = settings.revision if name else problem.policy_revision
    model = catalog.resolve(name or problem.policy, revision=revision, trusted=problem.trust_remote_code, say=say)
    if not settings.name:
        model_checks.require_classifier(model)
    return model


def write_reward_model(problem: PreferenceSettings, out: Path, template: Template, say: Say) -> dict[str, Any]:
    """Write ``out / "reward"`` and return its facts for the manifest.

    Raises:
        UserError: The model is missing or unusable, or has another tokenizer without ``own_tokenizer``.
    """
    settings = problem.reward_model
    assert settings is not None
    model = resolve(problem, settings, say)
    name, separate = model.name, bool(settings.name or settings.init)
    if problem.sft and not separate:
        model = replace(model, folder=out / "policy", source=f"{model.source}, after supervised fine-tuning")
    say(f"reward model: {'loading' if settings.name else 'training from'} {name}")
    tokenizer = load_tokenizer(model) if separate else template.tokenizer
    same = not separate or same_tokens(tokenizer, template.tokenizer)
    if not same and not settings.own_tokenizer and settings.reads == "text":
        raise UserError(
            f"The reward model {name} has another tokenizer than the policy {problem.policy}. Choose one with the same "
            "tokenizer, or let it tokenize text itself: --set problem.reward_model.own_tokenizer=true"
        )
    notes: list[str] = []
    if separate:
        reads_text = not same and settings.reads == "text"
        notes = model_checks.check_reward(problem, model, tokenizer, Prepared(out), reads_text=reads_text)
    if settings.name:
        figures = _use(model, settings, out, template)
    else:
        figures = _train(model, settings, out, template, tokenizer if not same else None)
    return {
        "notes": notes,
        "source": model.source,
        "revision": model.revision,
        "tokenizer": "policy's" if same or settings.reads == "policy_tokens" else "its own",
        **figures,
    }


def _use(model: Model, settings: RewardModel, out: Path, template: Template) -> dict[str, Any]:
    """Use a reward model without training."""
    architecture = (model.config.get("architectures") or ["of unknown architecture"])[0]
    outputs = len(model.config.get("id2label") or ("0", "1"))
    if not architecture.endswith("ForSequenceClassification") or outputs != 1:
        raise UserError(
            f"{model.name} is {architecture} with {outputs} outputs. Choose a sequence classifier with one output."
        )
    tokenizer = load_tokenizer(model)
    own_template = settings.own_template
    if own_template and not tokenizer.chat_template:
        raise UserError(f"{model.name} has no chat template. Leave out reward_model.own_template.")
    foreign = not same_tokens(tokenizer, template.tokenizer)
    if own_template is None:
        own_template = foreign and settings.reads == "text" and bool(tokenizer.chat_template)
    reward = out / "reward"
    link_files(model, reward)
    tokenizer.save_pretrained(reward)
    if settings.reads == "policy_tokens":
        _require_room(model, template)
        write_style(reward, end="", own_template=False, policy_tokens=True)
    elif foreign:
        write_style(reward, end=template.end, own_template=own_template)
    prepared = Prepared(out)
    scorer = Scorer(prepared)
    if scorer.policy_tokenizer is None:
        model_checks.require_texts(model, scorer, prepared)
    return {
        "trained": False,
        "own_template": own_template,
        "heldout_accuracy": accuracy(scorer, prepared),
    }


def _require_room(model: Model, template: Template) -> None:
    vocabulary = sizes.embedding_rows(model)
    if len(template.tokenizer) > vocabulary:
        raise UserError(
            f"{model.name} has {vocabulary} tokens and the policy {len(template.tokenizer)}, so it cannot read the "
            "policy's tokens. Leave out reward_model.reads."
        )


def _train(model: Model, settings: RewardModel, out: Path, template: Template, foreign: Any) -> dict[str, Any]:
    """Train a reward model on the pairs; ``foreign`` is its tokenizer if that is not the policy's."""
    from una_bench.training.trl.reward import train_reward_model

    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        init, data = Path(folder) / "init", out
        if foreign is None:
            reward_initialisation.from_same_tokens(model, template, init)
        else:
            data = Path(folder) / "data"
            reward_initialisation.from_other_tokens(model, foreign, template, Prepared(out), init)
            reward_initialisation.retokenize(Prepared(out), foreign, model, data)
        with process_tuning.fixed(THREADS):
            trained = train_reward_model(
                init,
                data,
                out / "reward",
                seed=settings.seed,
                steps=settings.steps or math.ceil(len(Prepared(data).responses()) / 2 / settings.batch),
                batch=settings.batch,
                learning_rate=settings.learning_rate,
            )
    if foreign is not None:
        write_style(out / "reward", end=template.end, own_template=False)
    return {"trained": True, **trained, **_center(out)}


def _center(out: Path) -> dict[str, float]:
    """Return mean and spread of rewards, and set the mean to 0 if the head has a bias.

    Preferences do not determine a constant added to all rewards.
    """
    prepared = Prepared(out)
    scorer = Scorer(prepared)
    table = prepared.responses().head(MOST_TO_CENTRE)
    rewards = scorer(table.prompt.tolist(), table.completion.tolist())
    mean, spread = fmean(rewards), pstdev(rewards)
    head = getattr(scorer.model, "classifier", None) or getattr(scorer.model, "score", None)
    bias = getattr(head, "bias", None)
    if bias is not None:
        bias.data -= mean
        scorer.model.save_pretrained(out / "reward")
    return {"mean": mean if bias is None else 0.0, "sd": spread, "shift": 0.0 if bias is None else -mean}
