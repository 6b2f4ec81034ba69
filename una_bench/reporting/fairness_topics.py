"""Topics of the fairness ledger and how each is read from a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from una_bench.record.schema import ADAPTED, Record

OWN = "generates its own"
"""Shown as the set of responses of a method that generates them."""
Read = Callable[[Record], Any]
"""Returns a record's value for a topic, or None if it is not recorded."""


def _of(source: str, *names: str) -> Read:
    """Return a reader of one or several entries of ``facts``, ``job`` or ``settings``."""
    return lambda r: _several(getattr(r, source), names)


def _several(source: Mapping[str, Any], names: Sequence[str]) -> Any:
    if len(names) == 1:
        return source.get(names[0])
    return {name: source[name] for name in names if name in source} or None


def generates(record: Record) -> bool:
    """Return whether the method generated the responses that it trained on."""
    facts = record.facts.keys()
    return "responses_set_sha256" not in facts and bool({"prompts_set_sha256", "responses_are"} & facts)


def _pass(record: Record) -> Any:
    """Return the number of responses per forward and backward pass, which affects memory and speed only.

    It is the whole batch unless the method has a setting for it or splits a rollout into mini-batches.
    """
    settings, whole = record.settings, record.job.get("batch_responses")
    rollout, parts = settings.get("responses_per_rollout"), settings.get("num_mini_batches")
    return settings.get("per_device_train_batch_size") or (rollout // parts if rollout and parts else whole)


def _schedule(record: Record) -> Any:
    """Return the settings of the schedule, and the schedule that the trainer reports if it departs from them."""
    warmup = "warmup_steps" if record.settings.get("warmup_ratio") is None else "warmup_ratio"
    settings = _several(record.settings, ("learning_rate", warmup, "min_lr_rate")) or {}
    reported = {"schedule": record.facts["lr_schedule"]} if "lr_schedule" in record.facts else {}
    return {**settings, **reported} or None


def _adapters(record: Record) -> Any:
    """Return the adapter settings of the policy, and that the value model is trained in full if it is."""
    if "lora" not in record.job:
        return None
    lora = record.job["lora"]
    # Older records lack `value_model_trained`: there the value model was trained in full.
    whole = bool(lora) and "value_model" in record.facts and record.facts.get("value_model_trained") != ADAPTED
    return {**lora, "value_model": "trained in full"} if whole else lora or "none"


def _judge(record: Record) -> Any:
    """Return who judged the answers, with which prompt, against which baseline."""
    facts = record.facts.get("judge")
    return facts and {key: facts[key] for key in ("judges", "prompts_of_judge", "baseline", "prompts") if key in facts}


def _of_judge(name: str) -> Read:
    """Return a reader of one figure of the judge's errors, to three places."""
    prefix = f"judge.{name}."
    return lambda r: next(
        (round(m.value, 3) for m in r.measurements if m.metric.startswith(prefix) and m.samples), None
    )


def _changed(record: Record) -> str:
    """Return the settings that a recipe changed, and those that the budget made smaller."""
    fitted = record.facts.get("fitted", {})
    smaller = [f"{name} {given} → {record.settings.get(name)} to fit the budget" for name, given in fitted.items()]
    return ", ".join([*sorted(record.settings_changed), *smaller]) or "all default"


TOPICS: tuple[tuple[str, Read], ...] = (
    ("initial weights (hash)", _of("facts", "initial_weights_sha256")),
    ("set of responses (hash)", lambda r: r.facts.get("responses_set_sha256", OWN if generates(r) else None)),
    ("set of prompts (hash)", _of("facts", "prompts_set_sha256")),
    ("distinct responses", _of("facts", "responses_distinct")),
    ("responses given", _of("facts", "feedback")),
    ("responses trained on", _of("facts", "responses_trained")),
    ("prompt tokens", _of("facts", "prompt_tokens")),
    ("response tokens", _of("facts", "response_tokens")),
    ("padding tokens", _of("facts", "padding_tokens")),
    ("optimizer steps", _of("facts", "optimizer_steps")),
    ("responses per optimizer step", _of("job", "batch_responses")),
    ("responses per forward and backward pass", _pass),
    ("learning rate and schedule", _schedule),
    ("optimizer", _of("settings", "adam_beta1", "adam_beta2", "weight_decay")),
    ("gradient clipping", lambda r: r.facts.get("max_grad_norm", r.settings.get("max_grad_norm"))),
    ("precision", _of("job", "precision")),
    ("adapters", _adapters),
    ("dropout", _of("facts", "dropout")),
    ("maximum lengths, tokens", _of("job", "max_prompt_length", "max_new_tokens")),
    ("rows dropped or truncated", _of("facts", "rows_dropped", "rows_truncated")),
    ("tokens of an example prompt", _of("facts", "prompt_example")),
    ("tokens of an example response", _of("facts", "tokenisation_example")),
    ("sampling", lambda r: r.facts.get("sampling") or _several(r.job, ("temperature", "top_k", "top_p"))),
    ("reference model", _of("facts", "reference")),
    ("reward", _of("job", "reward")),
    ("settings changed from their defaults", _changed),
)
JUDGED: tuple[tuple[str, Read], ...] = (
    ("judge and its prompt", _judge),
    ("judge's position bias", _of_judge("position_bias")),
    ("verdicts that cannot be read", _of_judge("unreadable")),
    ("agreement of two judges (κ)", _of_judge("kappa")),
    ("agreement of the judge with itself (κ)", _of_judge("repeat_kappa")),
)
"""Topics of runs with judged answers."""
TUNING = "tuning"
"""Topic of the trials behind the settings, which only runs with tuned methods have."""


def tuning(record: Record) -> Any:
    """Return how many trials chose the settings, none where they are the suite's."""
    return record.facts.get("tuning", "not tuned")


OF_GENERATING = {"sampling"}
"""Topics that apply only to methods that generate responses."""
OF_UNTRAINED = {"initial weights (hash)"}
"""Topics that also apply to an untrained policy."""
