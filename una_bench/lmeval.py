"""The bridge to lm-eval: the unmodified harness as a library, on models that are loaded already.

Tasks are found, loaded and read once per process; every checkpoint then costs only its own requests.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError, nearest
from una_bench.record import Better, Measurement

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict

SEED, FEWSHOT_SEED = 0, 1234
"""What lm-eval itself seeds with by default."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of the harness, by lm-eval's names."""

    limit: int | float | None = None
    num_fewshot: int | None = None
    bootstrap_iters: int = 100
    batch_size: int = 64
    apply_chat_template: bool = False


@dataclass(kw_only=True)
class Harness:
    """Tasks that are loaded once and run on one model after the other."""

    options: Options
    loaded: dict[str, TaskDict] = field(default_factory=dict)
    """Per task, group or tag as it was asked for."""
    not_run: dict[str, str] = field(default_factory=dict)
    """What could not be loaded, with the reason."""

    def run(self, model: Any, tokenizer: Any, out: Path) -> list[Measurement]:
        """Run every task on ``model``; lm-eval's own results and samples stay in ``out``, untouched.

        A task that fails is named in ``not_run.json`` with the reason, and has no measurement.
        """
        from lm_eval.models.huggingface import HFLM

        out.mkdir(parents=True, exist_ok=True)
        lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=self.options.batch_size)
        not_run, found = dict(self.not_run), []
        for name, tasks in self.loaded.items():
            try:
                results = self._evaluate(lm, tasks)
            except Exception as error:  # any task may fail in any way; the others must still run
                logging.getLogger(__name__).exception("%s did not run", name)
                not_run[name] = _reason(error)
            else:
                _keep(name, results, out)
                found += measurements(results)
        if not_run:
            (out / "not_run.json").write_text(json.dumps(not_run, indent=2) + "\n", encoding="utf-8")
        return found

    def _evaluate(self, lm: Any, tasks: TaskDict) -> dict[str, Any]:
        """One call of lm-eval, seeded as its command line is: each model meets the same few-shot examples."""
        import numpy as np
        import torch
        from lm_eval.evaluator import evaluate

        random.seed(SEED)
        np.random.seed(FEWSHOT_SEED)
        torch.manual_seed(FEWSHOT_SEED)
        for task in tasks["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        results: dict[str, Any] = evaluate(
            lm=lm,
            task_dict=tasks,
            limit=self.options.limit,
            bootstrap_iters=self.options.bootstrap_iters,
            apply_chat_template=self.options.apply_chat_template,
            fewshot_as_multiturn=self.options.apply_chat_template,
        )
        return results


def load(names: Sequence[str], include: Path | None, options: Options) -> Harness:
    """Find and load tasks by lm-eval's names, from its own collection and from the folder ``include``.

    No names means all tasks of ``include``. lm-eval's own thousands of tasks are only indexed where they are needed.

    Raises:
        UserError: No task, group or tag has such a name.
    """
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=include, include_defaults=False)
    wanted = list(names) or list(manager.all_tasks)
    if any(name not in manager.task_index for name in wanted):
        manager = TaskManager(include_path=include)
    harness = Harness(options=options)
    for name in wanted:
        if name not in manager.task_index:
            raise UserError(
                f"lm-eval has no task '{name}'.{nearest(name, manager.task_index)} `lm_eval ls tasks` lists all."
            )
        try:
            harness.loaded[name] = _load(manager, name, options)
        except Exception as error:  # a missing data set or package must not stop the other tasks
            logging.getLogger(__name__).exception("%s could not be loaded", name)
            harness.not_run[name] = _reason(error)
    return harness


def _load(manager: TaskManager, name: str, options: Options) -> TaskDict:
    """Load one task or group, with the number of examples that lm-eval's command line would give it."""
    tasks: TaskDict = manager.load([name])
    for task in tasks["tasks"].values():
        own = task.get_config("num_fewshot")
        if options.num_fewshot is None:
            task.set_config(key="num_fewshot", value=own or 0)
        elif own != 0:  # a task that says 0 itself must stay without examples
            task.set_config(key="num_fewshot", value=options.num_fewshot)
    return tasks


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _keep(name: str, results: dict[str, Any], out: Path) -> None:
    """Write results and samples as lm-eval gives them."""
    from lm_eval.utils import handle_non_serializable

    rest = {key: value for key, value in results.items() if key != "samples"}
    text = json.dumps(rest, indent=2, default=handle_non_serializable, ensure_ascii=False)
    (out / f"{name}.results.json").write_text(text + "\n", encoding="utf-8")
    for task, samples in results.get("samples", {}).items():
        lines = [json.dumps(s, default=handle_non_serializable, ensure_ascii=False) + "\n" for s in samples]
        (out / f"{task}.samples.jsonl").write_text("".join(lines), encoding="utf-8")


def measurements(results: dict[str, Any]) -> list[Measurement]:
    """Turn lm-eval's results into measurements: ``task.NAME.METRIC``, and the filter where lm-eval names one."""
    import lm_eval

    found = []
    for task, figures in (results["results"] | results.get("groups", {})).items():
        counts = results.get("n-samples", {}).get(task)
        documents = f", {counts['effective']} of {counts['original']} documents" if counts else ""
        shots = results.get("n-shot", {}).get(task)
        how = f"lm-eval {lm_eval.__version__}{documents}" + (f", {shots}-shot" if shots is not None else "")
        for key, value in figures.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = figures.get(f"{metric}_stderr,{filtered}")
            upward = results.get("higher_is_better", {}).get(task, {}).get(metric)
            found.append(
                Measurement(
                    metric=f"task.{task}.{metric}" + ("" if filtered == "none" else f".{filtered}"),
                    unit="1",
                    better={True: Better.HIGHER, False: Better.LOWER}.get(upward, Better.NEITHER),
                    samples=(float(value),),
                    how=how,
                    stderr=float(stderr) if isinstance(stderr, int | float) else None,
                )
            )
    return found
