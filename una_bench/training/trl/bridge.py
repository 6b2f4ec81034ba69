"""TRL's trainers by name: what a method declares, and the training that follows from it.

A method names its trainer (`una_bench.interfaces.method.Method.trainer`). On given responses it chooses its rows
(`SIDES`, `LABELED`, `CHOSEN`, or a `Given` of its own) and calls `train_given`; one that generates calls
`una_bench.training.trl.online.train_generating`.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.prepared import pairs
from una_bench.training import division
from una_bench.training.common import common_arguments, own_settings
from una_bench.training.trl.offline import (
    NO_LOSS,
    Given,
    InAnyOrder,
    PreparedRows,
    ids,
    train_rows,
)
from una_bench.training.trl.sft import response_rows

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method

__all__ = ["CHOSEN", "LABELED", "SIDES", "Given", "configuration", "train_given", "trainer_class"]


def trainer_class(method: Method) -> Any:
    """Return the class of a method's trainer."""
    module, _, name = method.trainer.rpartition(".")
    return getattr(import_module(module), name)


def configuration(method: Method, job: Job, *, without: Collection[str] = (), **fixed: Any) -> Any:
    """Return the configuration of a method's trainer, whose name ends in ``Config``.

    It has the shared arguments, the method's own settings except ``without``, and ``fixed``, which go before them.
    """
    module, _, name = method.trainer.rpartition(".")
    kind = getattr(import_module(module), name.removesuffix("Trainer") + "Config")
    own = {name: value for name, value in own_settings(method).items() if name not in without}
    return kind(**common_arguments(method, job) | own | fixed)


def train_given(
    method: Method,
    job: Job,
    probe: Probe,
    given: Given,
    *,
    twist: type | None = None,
    without: Collection[str] = (),
    **fixed: Any,
) -> Path:
    """Train on prepared responses with the method's trainer, which gets the tokens as prepared, in random order.

    ``twist`` is a class whose methods go before those of the trainer. ``without`` are settings of the method that the
    trainer's configuration does not have, and ``fixed`` arguments of it that are no settings of the method.
    """
    longest = job.max_prompt_length + job.max_new_tokens  # None would be 512 for some trainers
    batch = division.share(job.batch_responses // given.responses_per_row)
    arguments = configuration(
        method, job, without=without, **{"max_length": longest, "per_device_train_batch_size": batch} | fixed
    )

    bases = (*([twist] if twist else []), InAnyOrder, trainer_class(method))
    kind = type(bases[-1].__name__, bases, {"columns": given.columns})
    return train_rows(kind, arguments, given, method, job, probe)


def _with_prompt(prompts: list[list[int]], completions: list[list[int]], prefix: str) -> dict[str, Any]:
    both = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    labels = [[*[NO_LOSS] * len(p), *c] for p, c in zip(prompts, completions, strict=True)]
    mask = [[1] * len(tokens) for tokens in both]
    return {f"{prefix}_input_ids": both, f"{prefix}_attention_mask": mask, f"{prefix}_labels": labels}


def side_rows(table: pd.DataFrame) -> PreparedRows:
    """Return one row per pair, as ORPOTrainer and CPOTrainer tokenize them: each side with its prompt."""
    paired = pairs(table)
    prompts = ids(paired["prompt_ids"])
    sides = (_with_prompt(prompts, ids(paired[f"{side}_ids"]), side) for side in ("chosen", "rejected"))
    rows: PreparedRows = PreparedRows.from_dict({name: column for side in sides for name, column in side.items()})
    return rows


def labeled_rows(table: pd.DataFrame) -> PreparedRows:
    """Return one row per response, as BCOTrainer tokenizes it."""
    columns = _with_prompt(ids(table["prompt_ids"]), ids(table["completion_ids"]), "completion")
    rows: PreparedRows = PreparedRows.from_dict(columns | {"label": [bool(label) for label in table["label"]]})
    return rows


SIDES = Given(
    rows=side_rows,
    columns=tuple((f"{side}_attention_mask", f"{side}_labels") for side in ("chosen", "rejected")),
    responses_per_row=2,
)
"""Both responses of a pair, each with its prompt."""
LABELED = Given(rows=labeled_rows, columns=(("completion_attention_mask", "completion_labels"),))
"""Single responses with their labels."""
CHOSEN = Given(rows=response_rows, columns=(("attention_mask", "labels"),), chosen_only=True)
"""Preferred responses alone."""
