"""lm-eval, unmodified, as a library, on models that are already loaded.

Tasks are loaded, and their requests built and tokenized, once per process (`una_bench.evaluation.tasks`). A checkpoint
then costs only its forward passes, or nothing if its results are cached.
"""

from __future__ import annotations

import json
import logging
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.evaluation import leaderboard_scores, result_cache
from una_bench.evaluation.scores import measurements
from una_bench.record.schema import Measurement

if TYPE_CHECKING:
    from lm_eval.tasks.manager import TaskDict

    from una_bench.evaluation.leaderboards import Entry

SEED, FEWSHOT_SEED = 0, 1234
"""lm-eval's default seeds."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of the harness, under lm-eval's names where it has them."""

    limit: int | float | None = None
    limit_per: str = "subtask"
    """``subtask``: lm-eval's own limit; ``task``: documents of a whole group, spread over its sub-tasks."""
    num_fewshot: int | None = None
    bootstrap_iters: int = 100
    batch_size: int = 64
    apply_chat_template: bool = False
    precision: str = "float32"
    """Of the model; log-probabilities are always computed in float32."""
    share_prefixes: bool = True
    """Compute shared prefixes once and draft repeated text; off: lm-eval's own model."""

    @property
    def note(self) -> str:
        """Settings to show beside a score."""
        template = "chat template" if self.apply_chat_template else "no chat template"
        return template + (f", {self.precision}" if self.precision != "float32" else "")


@dataclass(kw_only=True)
class Loaded:
    """One task or group, ready to run."""

    tasks: TaskDict
    samples: dict[str, list[int]] | None = None
    """Document numbers of each task; None: all, or up to the limit."""
    entry: Entry | None = None
    """Its leaderboard entry, if it was requested as part of a leaderboard."""
    seen: str = ""
    """Description of the documents, if they are spread over a group."""


@dataclass(kw_only=True)
class Harness:
    """Tasks that are loaded once and run on several models."""

    options: Options
    loaded: dict[str, Loaded] = field(default_factory=dict)
    """By lm-eval's name of the task, group or tag."""
    not_run: dict[str, str] = field(default_factory=dict)
    """Tasks that could not be loaded, with the reason."""
    first_metric: dict[str, str] = field(default_factory=dict)
    """By task, group or tag: the metric to report if it is not run."""
    leaderboards: list[str] = field(default_factory=list)
    """Leaderboards that were requested as a whole."""
    encoded: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Tokenized requests, shared by all models of a suite."""

    def run(self, model: Any, tokenizer: Any, out: Path, *, content: str = "") -> list[Measurement]:
        """Run every task on ``model`` (in evaluation mode), and write lm-eval's results and samples to ``out``.

        A task that fails is listed in ``not_run.json`` with the reason, and has a measurement without a sample. The
        tokenizer is that of every model of the suite; ``content`` keys the result cache, empty: no caching.
        """
        out.mkdir(parents=True, exist_ok=True)
        lm = self._wrapped(model, tokenizer)
        not_run, measured, results = dict(self.not_run), [], {}
        for name, loaded in self.loaded.items():
            try:
                results[name] = self._results(lm, loaded, content, str(model.device))
            except Exception as error:  # a task may fail in any way; the others must still run
                logging.getLogger(__name__).exception("%s did not run", name)
                not_run[name] = reason(error)
            else:
                _keep(name, results[name], out)
                measured += measurements(results[name], loaded.entry, loaded.seen, self.options.note)
        if not_run:
            (out / "not_run.json").write_text(json.dumps(not_run, indent=2) + "\n", encoding="utf-8")
        measured += [
            leaderboard_scores.absent(f"task.{name}.{self.first_metric[name]}", why) for name, why in not_run.items()
        ]
        for group in self.leaderboards:
            seen = {name: loaded.seen for name, loaded in self.loaded.items() if loaded.seen}
            measured += leaderboard_scores.measurements(group, results, not_run, seen)
        return measured

    def _wrapped(self, model: Any, tokenizer: Any) -> Any:
        from lm_eval.models.huggingface import HFLM

        from una_bench.evaluation.shared_prefix_lm import SharedPrefixLM

        settings = {"tokenizer": tokenizer, "backend": "causal", "softmax_dtype": "float32"}
        settings |= {"pretrained": model, "batch_size": self.options.batch_size}
        return SharedPrefixLM(encoded=self.encoded, **settings) if self.options.share_prefixes else HFLM(**settings)

    def _results(self, lm: Any, loaded: Loaded, content: str, device: str) -> dict[str, Any]:
        """Return the results of one task, from the cache if this model has run it before."""
        if not content:
            return self._evaluate(lm, loaded)
        settings = asdict(self.options) | {"samples": loaded.samples}
        key = result_cache.key(content, loaded.tasks["tasks"], settings, device)
        results = result_cache.read(key)
        if results is None:
            results = self._evaluate(lm, loaded)
            result_cache.write(key, results)
        return results

    def _evaluate(self, lm: Any, loaded: Loaded) -> dict[str, Any]:
        """Call lm-eval, seeded like its command line, so that every model gets the same few-shot examples."""
        import numpy as np
        import torch
        from lm_eval.evaluator import evaluate
        from lm_eval.utils import handle_non_serializable

        random.seed(SEED)
        np.random.seed(FEWSHOT_SEED)
        torch.manual_seed(FEWSHOT_SEED)
        for task in loaded.tasks["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        results = evaluate(
            lm=lm,
            task_dict=loaded.tasks,
            limit=None if loaded.samples else self.options.limit,
            samples=loaded.samples,
            bootstrap_iters=self.options.bootstrap_iters,
            apply_chat_template=self.options.apply_chat_template,
            fewshot_as_multiturn=self.options.apply_chat_template,
        )
        plain: dict[str, Any] = json.loads(json.dumps(results, default=handle_non_serializable, ensure_ascii=False))
        return plain


def reason(error: Exception) -> str:
    """Return the type and first line of an error."""
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line or 'no message'}"


def _keep(name: str, results: dict[str, Any], out: Path) -> None:
    rest = {key: value for key, value in results.items() if key != "samples"}
    (out / f"{name}.results.json").write_text(json.dumps(rest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for task, samples in (results.get("samples") or {}).items():
        lines = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples]
        (out / f"{task}.samples.jsonl").write_text("".join(lines), encoding="utf-8")
