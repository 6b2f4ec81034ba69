"""lm-eval on every checkpoint: the suite's own tasks, or any that lm-eval knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from una_bench.benchmark import Benchmark, Checkpoint

if TYPE_CHECKING:
    from una_bench.data import Prepared
    from una_bench.lmeval import Harness
    from una_bench.record import Measurement


class Leaderboard(Benchmark):
    """Task scores by the unmodified harness; its results and samples stay beside the checkpoint, in ``lmeval/``."""

    label = "Task scores (lm-eval)"
    about = "lm-eval's scores of the checkpoint, on the suite's tasks or on any that lm-eval knows"
    tasks: tuple[str, ...] = ()
    """Names of tasks, groups or tags; none means the tasks that come with the suite."""
    limit: float | None = None
    """Documents per task at most, or a fraction of them when below 1; each task of a group has as many."""
    num_fewshot: int | None = None
    """Examples in the prompt, where a task leaves that open."""
    bootstrap_iters = 100
    """Draws for standard errors that have no formula; those of means have one. 0 leaves out all of them."""
    batch_size = 64
    """Requests at once."""
    apply_chat_template = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._harness: Harness | None = None

    def applies(self, prepared: Prepared) -> bool:
        """There must be tasks: named ones, or the suite's."""
        return bool(self.tasks) or prepared.tasks is not None

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Import lm-eval and load the tasks, once for all checkpoints."""
        from una_bench.lmeval import Options, load

        options = Options(
            limit=self.limit,
            num_fewshot=self.num_fewshot,
            bootstrap_iters=self.bootstrap_iters,
            batch_size=self.batch_size,
            apply_chat_template=self.apply_chat_template,
        )
        names = [self.tasks] if isinstance(self.tasks, str) else list(self.tasks)
        self._harness = load(names, prepared.tasks, options)

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Run all tasks on a checkpoint."""
        from una_bench.checkpoints import load_checkpoint

        if self._harness is None:
            self.prepare(checkpoint.prepared, checkpoint.device)
        assert self._harness is not None
        model, tokenizer = load_checkpoint(checkpoint)
        return self._harness.run(model, tokenizer, checkpoint.out / "lmeval")
