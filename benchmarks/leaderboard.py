"""lm-eval on every checkpoint: the suite's own tasks, or any that lm-eval knows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.machine.hardware import resolve_precision

if TYPE_CHECKING:
    from una_bench.evaluation.harness import Harness
    from una_bench.interfaces.prepared import Prepared
    from una_bench.record.schema import Measurement


class Leaderboard(Benchmark):
    """Task scores by the unmodified harness; its results and samples stay beside the checkpoint, in ``lmeval/``."""

    label = "Task scores (lm-eval)"
    about = "lm-eval's scores of the checkpoint, on the suite's tasks or on any that lm-eval knows"
    tasks: tuple[str, ...] = ()
    """Names of tasks, groups or tags, or ``leaderboard-v1``, ``leaderboard-v2``; none: the suite's own tasks."""
    limit: float | None = None
    """Documents at most, or a fraction of them when below 1."""
    limit_per: str = "subtask"
    """``subtask``: as lm-eval has it, each task of a group has as many; ``task``: spread over the tasks of a group."""
    num_fewshot: int | None = None
    """Examples in the prompt, where a task leaves that open."""
    bootstrap_iters = 100
    """Draws for standard errors that have no formula; those of means have one. 0 leaves out all of them."""
    batch_size = 64
    """Requests at once."""
    apply_chat_template = False
    precision = "float32"
    """``bfloat16`` is faster where the processor has it; it moves log-likelihoods by some tenths of a nat, and a few
    answers with them (docs/data.md). ``auto``: bfloat16 where its products are fast, as for training."""
    share_prefixes = True
    """Compute what requests begin with alike, and what an answer repeats, only once: scores agree with lm-eval's own
    model, which False takes, up to rounding."""
    keep_results = True
    """Take results from the cache where this model has been through the same task before."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._harness: Harness | None = None
        for name, choices in (("precision", ("float32", "bfloat16", "auto")), ("limit_per", ("subtask", "task"))):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"benchmarks.leaderboard.{name} is '{getattr(self, name)}': write {' or '.join(choices)}."
                )

    def applies(self, prepared: Prepared) -> bool:
        """There must be tasks: named ones, or the suite's."""
        return bool(self.tasks) or prepared.tasks is not None

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Import lm-eval and load the tasks, once for all checkpoints."""
        from una_bench.evaluation.harness import Options
        from una_bench.evaluation.tasks import load

        options = Options(
            limit=self.limit,
            limit_per=self.limit_per,
            num_fewshot=self.num_fewshot,
            bootstrap_iters=self.bootstrap_iters,
            batch_size=self.batch_size,
            apply_chat_template=self.apply_chat_template,
            precision=resolve_precision(self.precision, device),
            share_prefixes=self.share_prefixes,
        )
        names = [self.tasks] if isinstance(self.tasks, str) else list(self.tasks)
        self._harness = load(names, prepared.tasks, options)

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Run all tasks on a checkpoint."""
        from una_bench.evaluation.checkpoints import load_checkpoint
        from una_bench.evaluation.result_cache import model_key

        if self._harness is None:
            self.prepare(checkpoint.prepared, checkpoint.device)
        assert self._harness is not None
        model, tokenizer = load_checkpoint(checkpoint)
        if resolve_precision(self.precision, checkpoint.device) == "bfloat16":
            model = copy.deepcopy(model).bfloat16()
        content = model_key(checkpoint) if self.keep_results else ""
        return self._harness.run(model, tokenizer, checkpoint.out / "lmeval", content=content)
