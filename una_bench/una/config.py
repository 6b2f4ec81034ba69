"""Settings of the UNA trainers, on top of `transformers.TrainingArguments`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from transformers import TrainingArguments

from una_bench.errors import UserError, nearest


def _choose(name: str, value: str, *choices: str) -> None:
    if value not in choices:
        suggestion = nearest(str(value), choices)
        raise UserError(f"{name}={value!r} is invalid.{suggestion} Choose from: {', '.join(choices)}.")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name}={value} must be a number above 0.")


@dataclass
class UNAConfig(TrainingArguments):
    """Offline UNA: pairwise, binary and scored feedback, alone or mixed row by row.

    ``per_device_train_batch_size`` counts rows of the dataset; a pairwise row is two responses. Defaults of ``beta``
    and ``learning_rate`` are those of the paper's UNA-score runs.
    """

    learning_rate: float = 3e-5
    logging_steps: float = 10
    beta: float = 0.03
    """Strength of the pull towards the reference policy, per nat; above 0."""
    space: str = "score"
    """``score``: fit sigmoid(r) to a score in [0, 1], as in the paper. ``reward``: fit r to the raw reward by MSE."""
    loss_type: str = "mse"
    """``mse`` (UNA Eq. 11, 13), ``bce`` (Eq. 12; on scores the cross-entropy with a soft label), or ``difference`` (in
    reward space, online: REBEL's loss on differences within a prompt). Unused for pairs."""
    reduction: str = "mean"
    """Over the rows of a device batch: ``mean``, or ``sum`` as in the released code. Either is then averaged over
    accumulation steps and processes, so both agree at one row per device, as the released code runs."""
    score_range: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """Lowest and highest raw score, mapped linearly to [0, 1]; a score outside is an error. Unused in reward space."""
    offset: str = "none"
    """f(x) + c of UNA Eq. 6; docs/una.md lists what each converges to. ``none``: as published."""
    offset_rate: float = 0.05
    """``ema``: weight of a batch's mean (goal - beta l) in the constant, on scored responses."""
    offset_residual_rate: float = 0.2
    """``ema``: step size along a batch's mean (y - sigmoid(r)), on labeled responses."""
    offset_lr_multiplier: float = 10.0
    """``learned``: learning rate of the scalar head, as a multiple of the policy's."""
    reference: str | None = None
    """``frozen`` (a copy in memory), ``adapter_off`` (the policy without its adapters) or ``precomputed``
    (stored on disk; no reference model in memory). None: ``adapter_off`` with adapters, else ``frozen``."""
    reference_cache: str | None = None
    """Folder of precomputed reference log-probabilities; None: the user's cache folder."""
    max_length: int | None = 1024
    """Maximum tokens of prompt and completion; longer completions are truncated at the end."""
    max_prompt_length: int | None = None
    """Maximum tokens of a prompt; a longer one is an error. None: one less than ``max_length``."""
    add_eos: bool = True
    """End plain-text completions with the EOS token; token ids and chat templates are used unchanged."""
    disable_dropout: bool = True
    """With dropout, the log-ratio of an untrained policy would not be 0."""
    logits_chunk_size: int | None = None
    """Response tokens whose logits are in memory at once; None: chosen by vocabulary size. 0: the model's logits of all
    tokens, prompt and padding included, are kept for the backward pass, as other trainers do."""
    share_prompts: bool = True
    """Compute a prompt once for all its responses in a batch, without padding, where the model allows it and enough
    tokens are saved (docs/una.md). The results are the same up to rounding."""
    _losses: ClassVar[tuple[str, ...]] = ("mse", "bce")
    remove_unused_columns: bool = False
    data_seed: int | None = None
    """Seed of the row order (online: prompt order); None: ``seed``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_seed is None:  # else the row order would depend on earlier random draws
            self.data_seed = self.seed
        _positive("beta", self.beta)
        _choose("space", self.space, "score", "reward")
        _choose("loss_type", self.loss_type, *self._losses)
        _choose("reduction", self.reduction, "mean", "sum")
        _choose("offset", self.offset, "none", "ema", "prompt_mean", "learned", "partition")
        if self.reference is not None:
            _choose("reference", self.reference, "frozen", "adapter_off", "precomputed")
        if self.space == "reward" and self.loss_type == "bce":
            raise UserError("loss_type='bce' needs scores in [0, 1]; with space='reward' use loss_type='mse'.")
        if self.loss_type == "difference" and self.space != "reward":
            raise UserError("loss_type='difference' is a regression on raw rewards: use space='reward'.")
        low_high = [float(bound) for bound in self.score_range]
        if len(low_high) != 2 or not all(map(math.isfinite, low_high)) or low_high[0] >= low_high[1]:
            raise UserError(f"score_range={self.score_range} must be the lowest and the highest score, in this order.")
        for name in ("max_length", "max_prompt_length", "logits_chunk_size"):
            value = getattr(self, name)
            if value is not None and (name, value) != ("logits_chunk_size", 0):
                _positive(name, value)
        for name in ("offset_rate", "offset_residual_rate", "offset_lr_multiplier"):
            _positive(name, getattr(self, name))


@dataclass
class OnlineUNAConfig(UNAConfig):
    """Online UNA: the policy generates responses, rewards score them, and the offline losses apply; no value model.

    ``per_device_train_batch_size`` counts responses per process and accumulation step; each rollout of
    ``responses_per_rollout`` is trained on ``num_iterations`` times.
    """

    _losses: ClassVar[tuple[str, ...]] = ("mse", "bce", "difference")
    learning_rate: float = 5e-6
    num_generations: int = 4
    """K, responses per prompt."""
    responses_per_rollout: int = 256
    """Responses per rollout, over all processes."""
    num_iterations: int = 4
    """Training passes over each rollout."""
    sampler: str = "una"
    """``una``, or ``transformers``: its ``generate`` with the same draws; slower, for comparison."""
    generation_batch_size: int | None = None
    """Responses generated at once on one process; None: the process's whole share of a rollout."""
    max_completion_length: int = 256
    """Maximum tokens of a generated response."""
    temperature: float = 1.0
    """Sampling temperature. The loss uses log-probabilities at temperature 1."""
    top_k: int = 0
    """Sample from the k most likely tokens; 0: from all."""
    top_p: float = 1.0
    """Sample from the smallest set of tokens with this total probability; 1: from all."""
    normalization: str | None = None
    """Mapping of raw rewards to targets: ``sigmoid``, ``quantile`` (rank among recent rewards, in (0, 1)) or
    ``identity`` (in score space, ``score_range`` is mapped to [0, 1], and a reward outside is an error). None:
    ``sigmoid`` in score space, ``identity`` in reward space."""
    quantile_window: int = 4096
    """``quantile``: number of recent rewards to rank against."""
    reward_weights: list[float] | None = None
    """Weight of each reward; None: 1 each."""
    anchor: str = "reference"
    """Denominator of the log-ratio: ``reference`` (UNA Eq. 6) or ``rollout`` (the policy that generated the batch, as
    in the released code; the loss then has no pull towards the reference)."""
    missing_eos_penalty: float | None = None
    """Subtracted from the raw reward of a response without an end token."""
    keep_special_tokens: bool = False
    """Keep special tokens (except padding) in the text that rewards see, to tell finished from truncated responses."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _choose("anchor", self.anchor, "reference", "rollout")
        _choose("sampler", self.sampler, "una", "transformers")
        if self.normalization is None:
            self.normalization = "identity" if self.space == "reward" else "sigmoid"
        _choose("normalization", self.normalization, "sigmoid", "quantile", "identity")
        if self.reference == "precomputed":
            raise UserError(
                "reference='precomputed' is impossible online, where responses are new. Use 'frozen' or 'adapter_off'."
            )
        names = ("num_generations", "responses_per_rollout", "num_iterations", "max_completion_length", "temperature")
        for name in (*names, "quantile_window"):
            _positive(name, getattr(self, name))
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1].")
        if self.responses_per_rollout % self.num_generations:
            raise UserError(
                f"responses_per_rollout={self.responses_per_rollout} must be a multiple of"
                f" num_generations={self.num_generations}."
            )
        if self.offset == "prompt_mean" or self.loss_type == "difference":
            self._keep_groups("offset='prompt_mean'" if self.offset == "prompt_mean" else "loss_type='difference'")

    def _keep_groups(self, setting: str) -> None:
        if self.num_generations < 2:
            raise UserError(f"{setting} needs num_generations of at least 2.")
        if self.per_device_train_batch_size % self.num_generations:
            raise UserError(
                f"per_device_train_batch_size={self.per_device_train_batch_size} must be a multiple of num_generations="
                f"{self.num_generations}: {setting} keeps the responses of a prompt in one batch."
            )
