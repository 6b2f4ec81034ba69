"""lm-eval on every checkpoint: the suite's own tasks, or any of lm-eval's."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.settings import Count, Positive, WholeNumber
from una_bench.machine.hardware import resolve_precision
from una_bench.record.hashes import content_hash, file_sha256

if TYPE_CHECKING:
    from una_bench.evaluation.harness import Harness
    from una_bench.interfaces.prepared import Prepared
    from una_bench.record.schema import Measurement


class Leaderboard(Benchmark):
    """Task scores by the unmodified lm-eval; its results and samples are kept beside the checkpoint, in ``lmeval/``."""

    label = "Task scores (lm-eval)"
    about = "lm-eval's scores of the checkpoint, on the suite's tasks or on any that lm-eval knows"
    tasks: tuple[str, ...] | str = ()
    """Names of tasks, groups or tags, or ``leaderboard-v1``, ``leaderboard-v2``; none: the suite's own tasks."""
    tasks_path: str = ""
    """Folder of lm-eval task files of your own, whose names ``tasks`` may give; without ``tasks`` all of them run."""
    tasks_sha256: str = ""
    """Hash of the files in ``tasks_path``, filled in; files that do not match it are refused."""
    limit: Positive | None = None
    """Maximum documents, or a fraction of them if below 1."""
    limit_per: Literal["subtask", "task"] = "subtask"
    """``subtask``: per task of a group, as in lm-eval; ``task``: spread over the tasks of a group."""
    num_fewshot: WholeNumber | None = None
    """Few-shot examples, for tasks that do not fix them."""
    bootstrap_iters: WholeNumber = 100
    """Draws for standard errors without a formula (means have one); 0: no standard errors."""
    batch_size: Count = 64
    """Requests per batch."""
    apply_chat_template: bool = False
    """Put questions into the policy's chat template."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """``bfloat16`` is faster on processors that support it, but changes log-likelihoods by some tenths of a nat, and so
    a few answers (docs/data.md). ``auto``: bfloat16 where its products are fast, as for training."""
    share_prefixes: bool = True
    """Compute shared prefixes once and draft repeated text. False: lm-eval's own model; scores agree up to rounding."""
    keep_results: bool = True
    """Use cached results if this model has run the same task before."""
    _harness: Harness | None = None

    @model_validator(mode="before")
    @classmethod
    def _note_files(cls, given: Any) -> Any:
        """Note what ``tasks_path`` holds: the same settings must mean the same tasks."""
        path = given.get("tasks_path") if isinstance(given, dict) else None
        if not path or not isinstance(path, str):
            return given
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise ValueError(f"tasks_path={path} is not a folder: give one with lm-eval task files (.yaml)")
        digest = _hash(folder)
        if given.get("tasks_sha256") not in (None, "", digest):
            raise ValueError(f"the files in tasks_path={path} have changed: restore them, or remove tasks_sha256")
        return {**given, "tasks_sha256": digest}

    def applies(self, prepared: Prepared) -> bool:
        """Return whether there are tasks: named ones, the suite's, or the user's."""
        return bool(self.tasks or self.tasks_path) or prepared.tasks is not None

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Import lm-eval and load the tasks, once for all checkpoints."""
        from una_bench.evaluation.harness import Options
        from una_bench.evaluation.tasks import load

        settings = {field.name: getattr(self, field.name) for field in fields(Options)}
        options = Options(**settings | {"precision": resolve_precision(self.precision, device)})
        names = [self.tasks] if isinstance(self.tasks, str) else list(self.tasks)
        include = [prepared.tasks, Path(self.tasks_path).expanduser() if self.tasks_path else None]
        self._harness = load(names, [folder for folder in include if folder], options)

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


def _hash(folder: Path) -> str:
    """Return a hash of the files in a folder, without hidden ones and what Python compiles there."""
    files = {file.relative_to(folder): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return content_hash(
        [
            [str(name), file_sha256(file)]
            for name, file in files.items()
            if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        ]
    )
