"""TRL's offline trainers on prepared responses, with the same tokens as for every other method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.instruments.fairness_facts import record_feedback, record_rows
from una_bench.instruments.flops import watch_trainer
from una_bench.instruments.phases import BOOKKEEPING
from una_bench.interfaces.prepared import Prepared
from una_bench.training.common import fit, in_phase, load_policy, lora_config, record_facts

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Feedback, Job


class AsPrepared:
    """Mixin of a TRL trainer that skips its preparation: responses are already tokens, and it would add end tokens."""

    def __init__(self, *args: Any, probe: Probe, **kwargs: Any) -> None:
        self.probe = probe
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def train_rows(
    kind: Callable[..., Any],
    arguments: Any,
    rows: Callable[[pd.DataFrame], Dataset],
    job: Job,
    probe: Probe,
    *,
    feedback: Feedback,
) -> Path:
    """Train a ``kind`` of trainer on the dataset that ``rows`` makes of the responses that have ``feedback``."""
    policy, tokenizer = load_policy(job, probe)
    # Tables and hashes belong to the harness; what the trainer keeps of them counts from here on.
    with probe.phase(BOOKKEEPING):
        table = Prepared(job.prepared).responses(method=job.method, feedback=feedback)
        record_feedback(probe, table)
        prompt_ids, completion_ids = table.prompt_ids, table.completion_ids
        record_facts(probe, model=policy, tokenizer=tokenizer, prompt_ids=prompt_ids, completion_ids=completion_ids)
        data = rows(table)
        lengths = [len(p) + len(c) for p, c in zip(prompt_ids, completion_ids, strict=True)]
        del table, prompt_ids, completion_ids
    with probe.phase("load"):
        trainer = kind(
            probe=probe,
            model=policy,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=lora_config(job),
        )
    watch_trainer(probe, trainer)
    probe.facts["reference"] = _where_reference(trainer)
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=lengths)
    reference = trainer.ref_model
    if reference is not None:
        reference.forward = in_phase(probe, "reference", reference.forward)
    return fit(trainer, probe, job, tally=tally)


@contextmanager
def reference_pass(trainer: Any, probe: Probe) -> Iterator[None]:
    """Measure the reference pass before training, in the precision of the policy's passes.

    TRL runs this pass in float32. With bfloat16, the log-ratios of an untrained policy, which should be 0, would then
    contain the full rounding error and not only that between different batches.
    """
    watch_trainer(probe, trainer)
    with probe.phase("reference"), trainer.accelerator.autocast():
        yield


def _where_reference(trainer: Any) -> str:
    if trainer.precompute_ref_logps:
        return "one pass before training"
    return "the policy without its adapters, in every step" if trainer.ref_model is None else "a model, in every step"


def tally(batch: Mapping[str, Any]) -> dict[str, int]:
    """Count one padded batch; KTO's mismatched rows are a second pass over the same tokens, not more responses."""
    responses, width = batch["input_ids"].shape
    real, response_tokens = int(batch["attention_mask"].sum()), int(batch["completion_mask"].sum())
    return {
        "responses": responses,
        "prompt_tokens": real - response_tokens,
        "response_tokens": response_tokens,
        "padding_tokens": responses * width - real,
    }


def ids(column: pd.Series[Any]) -> list[list[int]]:
    """Return token ids as lists of int, for a `datasets.Dataset`."""
    return [[int(i) for i in row] for row in column]
