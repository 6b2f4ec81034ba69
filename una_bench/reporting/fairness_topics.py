"""The topics of the fairness ledger, and where a record tells of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from una_bench.record.schema import ADAPTED, Record

OWN = "generates its own"
"""What is trained of a value model that is not trained in full."""
Read = Callable[[Record], Any]
"""Returns what one record says on a topic, None where it says nothing."""


def _fact(*names: str) -> Read:
    return lambda r: _several(r.facts, names)


def _job(*names: str) -> Read:
    return lambda r: _several(r.job, names)


def _setting(*names: str) -> Read:
    return lambda r: _several(r.settings, names)


def _several(source: Mapping[str, Any], names: Sequence[str]) -> Any:
    if len(names) == 1:
        return source.get(names[0])
    found = {name: source[name] for name in names if name in source}
    return found or None


def _responses(record: Record) -> Any:
    """Hash of the set of responses; a method that has prompts but no given responses makes its own."""
    return record.facts.get("responses_set_sha256", OWN if generates(record) else None)


def generates(record: Record) -> bool:
    """Whether a method makes the responses that it trains on: prompts or a word on responses, and no set of them."""
    known = record.facts.keys()
    return "responses_set_sha256" not in known and bool({"prompts_set_sha256", "responses_are"} & known)


def _sampling(record: Record) -> Any:
    """How responses are drawn, by what the trainer said, else by the job; given responses are not drawn."""
    return record.facts.get("sampling") or _several(record.job, ("temperature", "top_k", "top_p"))


def _pass(record: Record) -> Any:
    """Responses whose activations are held together, which decides memory and speed but not the step.

    Most methods read what is behind a step at once; some have a setting of their own, or cut a rollout into parts.
    """
    settings, whole = record.settings, record.job.get("batch_responses")
    rollout, parts = settings.get("responses_per_rollout"), settings.get("num_mini_batches")
    return settings.get("per_device_train_batch_size") or (rollout // parts if rollout and parts else whole)


def _schedule(record: Record) -> Any:
    """Settings of the schedule, and what the trainer makes of them where it is not what they say."""
    share = record.settings.get("warmup_ratio") is not None
    warmup = "warmup_ratio" if share else "warmup_steps"
    found = _several(record.settings, ("learning_rate", warmup, "min_lr_rate")) or {}
    said = {"schedule": record.facts["lr_schedule"]} if "lr_schedule" in record.facts else {}
    return {**found, **said} or None


def _clipping(record: Record) -> Any:
    """Norm above which gradients are scaled; a fact (a trainer that does not clip) goes before the setting."""
    return record.facts.get("max_grad_norm", record.settings.get("max_grad_norm"))


def _adapters(record: Record) -> Any:
    """What is trained of the policy, and of a value model where that is not the same."""
    if "lora" not in record.job:
        return None
    lora = record.job["lora"]
    # Older records have a value model without a word on this: it was trained in full.
    whole = bool(lora) and "value_model" in record.facts and record.facts.get("value_model_trained") != ADAPTED
    return {**lora, "value_model": "trained in full"} if whole else lora or "none"


def _tuned(record: Record) -> Any:
    return ", ".join(sorted(record.settings_changed)) or "all default"


TOPICS: tuple[tuple[str, Read], ...] = (
    ("initial weights (hash)", _fact("initial_weights_sha256")),
    ("set of responses (hash)", _responses),
    ("set of prompts (hash)", _fact("prompts_set_sha256")),
    ("distinct responses", _fact("responses_distinct")),
    ("responses trained on", _fact("responses_trained")),
    ("prompt tokens", _fact("prompt_tokens")),
    ("response tokens", _fact("response_tokens")),
    ("padding tokens", _fact("padding_tokens")),
    ("optimizer steps", _fact("optimizer_steps")),
    ("responses behind one optimizer step", _job("batch_responses")),
    ("responses in one forward and backward pass", _pass),
    ("learning rate and schedule", _schedule),
    ("optimizer", _setting("adam_beta1", "adam_beta2", "weight_decay")),
    ("gradient clipping", _clipping),
    ("precision", _job("precision")),
    ("adapters", _adapters),
    ("dropout", _fact("dropout")),
    ("maximum lengths, tokens", _job("max_prompt_length", "max_new_tokens")),
    ("rows dropped or truncated", _fact("rows_dropped", "rows_truncated")),
    ("tokens of one and the same prompt", _fact("prompt_example")),
    ("tokens of one and the same response", _fact("tokenisation_example")),
    ("sampling", _sampling),
    ("reference model runs", _fact("reference")),
    ("reward", _job("reward")),
    ("settings moved from their defaults", _tuned),
)
OF_GENERATING = {"sampling"}
"""Topics that only methods which make their own responses can differ in."""
OF_UNTRAINED = {"initial weights (hash)"}
"""Topics that an untrained policy can differ in."""
