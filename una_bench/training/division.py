"""Division of a training's batches among several processes: each step has the rows that one process would have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from una_bench.errors import UserError
from una_bench.machine import processes


def share(rows: int, what: str = "rows") -> int:
    """Return how many of the ``rows`` behind a step each process has.

    Raises:
        UserError: They cannot be divided; a plan has refused most such runs before.
    """
    if rows % processes.count():
        raise UserError(f"{processes.count()} processes cannot divide the {rows} {what} of a step. Choose a divisor.")
    return rows // processes.count()


class RankBatches:
    """The part of each global batch that one process trains on.

    Accelerate fills up the last batch of a pass with rows from its beginning, which one process does not have.
    """

    def __init__(self, batches: Any) -> None:
        self.batches, self.batch_size, self.drop_last = batches, batches.batch_size, batches.drop_last

    @property
    def sampler(self) -> Any:
        """The order of rows, whose epoch accelerate sets."""
        return self.batches.sampler

    @sampler.setter
    def sampler(self, value: Any) -> None:
        self.batches.sampler = value

    def __iter__(self) -> Iterator[list[int]]:
        whole: list[int] = []
        size = self.batch_size * processes.count()
        for batch in self.batches:
            whole += batch
            if len(whole) == size:
                yield self._own(whole)
                whole = []
        if whole:
            yield self._own(whole)

    def _own(self, rows: list[int]) -> list[int]:
        number, rank = processes.count(), processes.rank()
        return rows[len(rows) * rank // number : len(rows) * (rank + 1) // number]

    def __len__(self) -> int:
        return -(-len(self.batches) // processes.count())


def divide(trainer: Any, *, weighs: bool) -> None:
    """Let a trainer read its part of each global batch; ``weighs``: it may have parts of unequal size.

    Raises:
        UserError: The last batch of a pass over the data cannot be divided.
    """
    if processes.count() == 1:
        return
    _require_divisible(trainer, weighs=weighs)
    get = trainer.get_train_dataloader

    def get_train_dataloader() -> Any:
        loader = get()
        shard = loader.batch_sampler
        shard.batch_sampler = RankBatches(shard.batch_sampler)
        # As transformers does for batches that are divided already: accelerate's own division becomes none.
        shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
        return loader

    trainer.get_train_dataloader = get_train_dataloader


def _require_divisible(trainer: Any, *, weighs: bool) -> None:
    args, number = trainer.args, processes.count()
    step = args.per_device_train_batch_size * args.gradient_accumulation_steps * number
    rows = len(trainer.train_dataset)
    left = rows % step
    weighs = weighs and args.gradient_accumulation_steps == 1
    if left and (left < number or (left % number and not weighs) or args.gradient_accumulation_steps > 1):
        raise UserError(
            f"A pass over the {rows} rows of the data ends in a step of {left} rows, which {number} processes cannot "
            "divide as one would train on it. Use processes=1, or another batch_responses."
        )


def weigh(trainer: Any, weight: float) -> None:
    """Multiply the loss of the next batch by the weight of this process's rows, if they are more or fewer."""
    if weight != 1 and "weight_of_rows" not in vars(trainer):
        compute_loss = trainer.compute_loss

        def weighted(*args: Any, **kwargs: Any) -> Any:
            return compute_loss(*args, **kwargs) * trainer.weight_of_rows

        trainer.compute_loss = weighted
    if "weight_of_rows" in vars(trainer) or weight != 1:
        trainer.weight_of_rows = weight
