"""Agreement of a policy with held-out feedback, reward of its samples, and KL to the reference."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.prepared import sides, with_feedback
from una_bench.interfaces.settings import Count, WholeNumber
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from una_bench.interfaces.prepared import Prepared
    from una_bench.models.reward_scorer import Scorer
    from una_bench.problems.preference.policy_scores import Sample

FIGURES = {
    "accuracy": (
        "1",
        Better.HIGHER,
        "held-out pairs whose preferred response gets the higher implicit reward β·(log π − log π_ref); equal rewards "
        "count half, so that the reference itself has 0.5",
    ),
    "margin": ("nat", Better.HIGHER, "log-ratio of the preferred response minus that of the other"),
    "auc": (
        "1",
        Better.HIGHER,
        "area under the ROC curve of implicit rewards against the labels of held-out responses; the reference has 0.5",
    ),
    "rank_correlation": (
        "1",
        Better.HIGHER,
        "Kendall's tau-b between the implicit reward and the scores of held-out responses",
    ),
    "reward": ("1", Better.HIGHER, "reward model's raw reward of sampled responses"),
    "kl_ref": ("nat", Better.NEITHER, "KL(π‖π_ref) a response: over the whole vocabulary at each sampled token"),
    "length": ("token", Better.NEITHER, "tokens of a sampled response, end token included"),
    "ended": ("1", Better.NEITHER, "sampled responses that ended before the length limit"),
}
"""Metric -> unit, direction, description."""


SPLITS = ("heldout", "validation")


class Preference(Benchmark):
    """Evaluates on held-out data and the reward model; there is no ground-truth reward."""

    label = "Preferences"
    about = "held-out preference accuracy, reward-model score of generations, KL to the reference"
    chooses: ClassVar[Mapping[str, Better]] = {
        f"preference.{name}.validation": Better.HIGHER for name in ("accuracy", "auc", "rank_correlation")
    }
    pairs: Count | None = None
    """Maximum held-out pairs, from the first, and twice as many responses without a partner; None: all."""
    prompts: WholeNumber = 64
    """Held-out prompts to sample a response to; 0: no sampling."""
    max_new_tokens: Count | None = None
    """Maximum tokens of a sampled response; None: as in the suite's training."""
    seed: WholeNumber = 0
    """Seed of sampling, the same for every checkpoint."""
    _reference: Any = None
    _reference_logps: dict[str, list[float]] = PrivateAttr(default_factory=dict)
    _scorer: Scorer | None = None

    def applies(self, prepared: Prepared) -> bool:
        """Return whether there are held-out responses."""
        return (prepared.path / "responses_heldout.parquet").is_file()

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Load reference and reward model, and compute the reference's log-probabilities of the held-out responses."""
        from una_bench.evaluation.checkpoints import load_initial
        from una_bench.models.reward_scorer import Scorer

        self._reference = load_initial(prepared.policy, device)
        splits = [split for split in SPLITS if (prepared.path / f"responses_{split}.parquet").is_file()]
        self._reference_logps = {split: self._logps(self._reference, prepared, split) for split in splits}
        self._scorer = Scorer(prepared, device) if prepared.reward and self.prompts else None

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Evaluate one checkpoint, and write its samples to ``generations.jsonl``."""
        from una_bench.evaluation.checkpoints import load_checkpoint

        if self._reference is None:
            self.prepare(checkpoint.prepared, checkpoint.device)
        model, tokenizer = load_checkpoint(checkpoint)
        measured = self._judge_given(model, checkpoint.prepared)
        return measured + (self._judge_samples(model, tokenizer, checkpoint) if self.prompts else [])

    def _judged(self, prepared: Prepared, split: str) -> Any:
        import pandas as pd

        table = prepared.responses(split)
        if self.pairs is None:
            return table
        paired = table["pair"] >= 0
        return pd.concat([table[part].head(2 * self.pairs) for part in (paired, ~paired)], ignore_index=True)

    def _logps(self, model: Any, prepared: Prepared, split: str) -> list[float]:
        from una_bench.problems.preference.policy_scores import log_probabilities

        table = self._judged(prepared, split)
        return log_probabilities(model, _ids(table.prompt_ids), _ids(table.completion_ids))

    def _judge_given(self, model: Any, prepared: Prepared) -> list[Measurement]:
        """Compare the implicit reward of held-out and validation responses with their pairs, labels and scores."""
        measured: list[Measurement] = []
        for split, reference in self._reference_logps.items():
            logps = reference if model is self._reference else self._logps(model, prepared, split)
            ratios = [ours - theirs for ours, theirs in zip(logps, reference, strict=True)]
            table = self._judged(prepared, split).assign(ratio=ratios)
            of_split = [*_of_pairs(table), *_of_labels(table), *_of_scores(table)]
            measured += of_split if split == "heldout" else [_renamed(one, split) for one in of_split]
        return measured

    def _judge_samples(self, model: Any, tokenizer: Any, checkpoint: Checkpoint) -> list[Measurement]:
        from una_bench.problems.preference.policy_scores import divergences, sample

        prepared = checkpoint.prepared
        table = prepared.prompts("heldout").head(self.prompts)
        most = self.max_new_tokens or int(prepared.manifest["max_new_tokens"])
        samples = sample(model, tokenizer, _ids(table.prompt_ids), max_new_tokens=most, seed=self.seed)
        prompt_ids, completion_ids = [s.prompt_ids for s in samples], [s.completion_ids for s in samples]
        if model is self._reference:
            kl = [0.0] * len(samples)
        else:
            kl = divergences(model, self._reference, prompt_ids, completion_ids)
        texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in completion_ids]
        rewards = self._scorer(table.prompt.tolist(), texts) if self._scorer else None
        _keep(checkpoint.out / "generations.jsonl", table.prompt.tolist(), texts, samples, rewards)
        how = f"{len(samples)} samples at temperature 1, at most {most} tokens, one to each held-out prompt"
        values = {
            "reward": rewards or [],
            "kl_ref": kl,
            "length": [float(len(ids)) for ids in completion_ids],
            "ended": [float(s.ended) for s in samples],
        }
        return [_measured(name, each, how) for name, each in values.items() if each]


def _renamed(one: Measurement, split: str) -> Measurement:
    """Return a measurement of held-out data under the name of another split."""
    metric = one.metric.removesuffix("heldout") + split
    return one.model_copy(update={"metric": metric, "how": one.how.replace("held-out", split)})


def _of_pairs(table: pd.DataFrame) -> list[Measurement]:
    chosen, rejected = sides(table)
    margins = (chosen.ratio - rejected.ratio).tolist()
    right = [0.5 + 0.5 * ((margin > 0) - (margin < 0)) for margin in margins]
    how = f"{len(margins)} held-out pairs"
    return [_measured("accuracy", right, how), _measured("margin", margins, how)] if margins else []


def _of_labels(table: pd.DataFrame) -> list[Measurement]:
    """Return the area under the curve, unless the labels say no more than the pairs do."""
    from sklearn.metrics import roc_auc_score

    labeled = with_feedback(table, "binary")
    told_by_pairs = (labeled.pair >= 0).all() and (labeled.label == labeled.chosen).all()
    if told_by_pairs or labeled.empty:
        return []
    if labeled.label.nunique() < 2:
        return [_measured("auc", [], "not measured: the held-out labels are all alike")]
    labels, ratios = labeled.label.to_numpy(dtype=bool), labeled.ratio.to_numpy()
    how = f"{len(labels)} held-out responses, {int(labels.sum())} of them desirable"
    return [_over_responses("auc", labeled, lambda rows: roc_auc_score(labels[rows], ratios[rows]), how)]


def _of_scores(table: pd.DataFrame) -> list[Measurement]:
    """Return the rank correlation, unless the scores are but 1 and 0, of pairs or labels."""
    from scipy.stats import kendalltau

    scored = with_feedback(table, "score")
    if scored.score.nunique() < 3:
        return []
    scores, ratios = scored.score.to_numpy(), scored.ratio.to_numpy()
    if not ratios.any():  # the reference orders nothing
        return [_measured("rank_correlation", [0.0], f"{len(scores)} held-out responses")]
    how = f"{len(scores)} held-out responses"
    return [_over_responses("rank_correlation", scored, lambda rows: kendalltau(scores[rows], ratios[rows])[0], how)]


RESAMPLES = 200
"""Resamples of prompts behind a standard error: enough for a tenth of its size."""


def _over_responses(
    name: str, table: pd.DataFrame, statistic: Callable[[NDArray[Any]], float], how: str
) -> Measurement:
    """Return a statistic over responses, with a standard error by resampling prompts, whose responses are alike."""
    import numpy as np

    places = list(table.groupby("prompt").indices.values())
    draws = np.random.default_rng(0).integers(len(places), size=(RESAMPLES, len(places)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample of one kind has no statistic, and does not count
        values = [float(statistic(np.concatenate([places[i] for i in draw]))) for draw in draws]
    finite = [value for value in values if math.isfinite(value)]
    unit, better, about = FIGURES[name]
    return Measurement(
        metric=f"preference.{name}.heldout",
        unit=unit,
        better=better,
        samples=(float(statistic(np.arange(len(table)))),),
        how=f"{about}; {how}; standard error from {RESAMPLES} resamples of the prompts",
        stderr=stdev(finite) if len(finite) > RESAMPLES // 2 else None,
    )


def _ids(column: Any) -> list[list[int]]:
    return [[int(i) for i in ids] for ids in column]


def _measured(name: str, values: Sequence[float], how: str) -> Measurement:
    unit, better, about = FIGURES[name]
    return Measurement(
        metric=f"preference.{name}.heldout",
        unit=unit,
        better=better,
        samples=(fmean(values),) if values else (),
        how=f"{about}; {how}" if values else how,
        stderr=stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None,
    )


def _keep(
    path: Path, prompts: Sequence[str], texts: Sequence[str], samples: Sequence[Sample], rewards: Sequence[float] | None
) -> None:
    """Write the samples, one JSON object per line."""
    lines = [
        {"prompt": prompt, "completion": text, "ended": one.ended, "reward": reward}
        for prompt, text, one, reward in zip(prompts, texts, samples, rewards or [None] * len(samples), strict=True)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
