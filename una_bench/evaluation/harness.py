"""The bridge to lm-eval: the unmodified harness as a library, on models that are loaded already.

Tasks are loaded, and their requests built and tokenized, once per process (`una_bench.evaluation.tasks`); every
checkpoint then costs only its own forward passes, and none where this model has been through the task before.
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
"""What lm-eval itself seeds with by default."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of the harness, by lm-eval's names where it has them."""

    limit: int | float | None = None
    limit_per: str = "subtask"
    """``subtask``: lm-eval's own limit; ``task``: so many documents of a whole group, spread over its sub-tasks."""
    num_fewshot: int | None = None
    bootstrap_iters: int = 100
    batch_size: int = 64
    apply_chat_template: bool = False
    precision: str = "float32"
    """Of the model; log-probabilities are always worked out in float32."""
    share_prefixes: bool = True
    """Compute what requests begin with alike, and what an answer repeats, only once; off: lm-eval's own model."""

    @property
    def note(self) -> str:
        """What a reader of a score must know of these settings."""
        template = "chat template" if self.apply_chat_template else "no chat template"
        return template + (f", {self.precision}" if self.precision != "float32" else "")


@dataclass(kw_only=True)
class Loaded:
    """One task or group, ready to run."""

    tasks: TaskDict
    samples: dict[str, list[int]] | None = None
    """Numbers of the documents to see of each task; None: all, or as many as the limit allows."""
    entry: Entry | None = None
    """What it is on a leaderboard, if it was asked for as part of one."""
    seen: str = ""
    """Which documents, in words, where they are spread over a group."""


@dataclass(kw_only=True)
class Harness:
    """Tasks that are loaded once and run on one model after the other."""

    options: Options
    loaded: dict[str, Loaded] = field(default_factory=dict)
    """Per task, group or tag as lm-eval calls it."""
    not_run: dict[str, str] = field(default_factory=dict)
    """What could not be loaded, with the reason."""
    first_metric: dict[str, str] = field(default_factory=dict)
    """Per task, group or tag: the metric that stands for it where it is not run."""
    leaderboards: list[str] = field(default_factory=list)
    """Leaderboards that were asked for as a whole."""
    encoded: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Tokenized requests, the same for every model of a suite."""

    def run(self, model: Any, tokenizer: Any, out: Path, *, content: str = "") -> list[Measurement]:
        """Run every task on ``model``; lm-eval's own results and samples stay in ``out``, untouched.

        A task that fails is named in ``not_run.json`` with the reason, and has a measurement without a sample.

        Args:
            model: In evaluation mode.
            tokenizer: Its tokenizer, the same for every model of a suite.
            out: Folder for what lm-eval gives.
            content: What tells the model from all others, so that results are kept by content; empty: not kept.
        """
        out.mkdir(parents=True, exist_ok=True)
        lm = self._wrapped(model, tokenizer)
        not_run, found, results = dict(self.not_run), [], {}
        for name, loaded in self.loaded.items():
            try:
                results[name] = self._results(lm, loaded, content, str(model.device))
            except Exception as error:  # any task may fail in any way; the others must still run
                logging.getLogger(__name__).exception("%s did not run", name)
                not_run[name] = reason(error)
            else:
                _keep(name, results[name], out)
                found += measurements(results[name], loaded.entry, loaded.seen, self.options.note)
        if not_run:
            (out / "not_run.json").write_text(json.dumps(not_run, indent=2) + "\n", encoding="utf-8")
        found += [
            leaderboard_scores.absent(f"task.{name}.{self.first_metric[name]}", why) for name, why in not_run.items()
        ]
        for group in self.leaderboards:
            seen = {name: loaded.seen for name, loaded in self.loaded.items() if loaded.seen}
            found += leaderboard_scores.measurements(group, results, not_run, seen)
        return found

    def _wrapped(self, model: Any, tokenizer: Any) -> Any:
        from lm_eval.models.huggingface import HFLM

        from una_bench.evaluation.shared_prefix_lm import SharedPrefixLM

        settings = {"tokenizer": tokenizer, "backend": "causal", "batch_size": self.options.batch_size}
        settings["softmax_dtype"] = "float32"
        if self.options.share_prefixes:
            return SharedPrefixLM(pretrained=model, encoded=self.encoded, **settings)
        return HFLM(pretrained=model, **settings)

    def _results(self, lm: Any, loaded: Loaded, content: str, device: str) -> dict[str, Any]:
        """Results of one task, from the cache where this model has run it before."""
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
        """One call of lm-eval, seeded as its command line is: each model meets the same few-shot examples."""
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
    """Return the first line of what went wrong."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _keep(name: str, results: dict[str, Any], out: Path) -> None:
    """Write results and samples as lm-eval gives them."""
    rest = {key: value for key, value in results.items() if key != "samples"}
    (out / f"{name}.results.json").write_text(json.dumps(rest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for task, samples in (results.get("samples") or {}).items():
        lines = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples]
        (out / f"{task}.samples.jsonl").write_text("".join(lines), encoding="utf-8")
