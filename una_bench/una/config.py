"""Settings of the UNA trainers, on top of `transformers.TrainingArguments`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from transformers import TrainingArguments

from una_bench.errors import UserError, nearest

SPACES = ("score", "reward")
LOSS_TYPES = ("mse", "bce")
OFFSETS = ("none", "ema", "prompt_mean", "learned", "partition")
REFERENCES = ("frozen", "adapter_off", "precomputed")
ANCHORS = ("reference", "rollout")
NORMALIZATIONS = ("sigmoid", "quantile", "identity")
REDUCTIONS = ("mean", "sum")


def _choose(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(
            f"{name}={value!r} is not known.{nearest(str(value), choices)} Choose from: {', '.join(choices)}."
        )


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
    """``score``: sigmoid(r) against a score in [0, 1], the paper's. ``reward``: r against the raw reward, squared."""
    loss_type: str = "mse"
    """``mse`` (UNA Eq. 11, 13) or ``bce`` (Eq. 12; on scores the cross-entropy with a soft label). Pairs: neither."""
    reduction: str = "mean"
    """Of the rows of one device batch: ``mean``, or ``sum`` as in the released code. Both are then averaged over
    accumulation steps and processes, so that they agree at one row a device, where the released code runs."""
    score_range: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """Lowest and highest raw score; mapped linearly to [0, 1]; one outside is an error. Reward space has none."""
    offset: str = "none"
    """f(x) + c of UNA Eq. 6; docs/una.md has a table of what each converges to. ``none`` is the published method."""
    offset_rate: float = 0.05
    """``ema``: share of a batch's mean (goal - beta l) in the constant, on scored responses."""
    offset_residual_rate: float = 0.2
    """``ema``: step of the constant along a batch's mean (y - sigmoid(r)), on labeled responses."""
    offset_lr_multiplier: float = 10.0
    """``learned``: learning rate of the scalar head in units of the policy's."""
    reference: str | None = None
    """``frozen`` (a copy in memory), ``adapter_off`` (the policy without its adapters) or ``precomputed`` (once, then
    on disk; no reference model in memory). None: ``adapter_off`` with adapters, else ``frozen``."""
    reference_cache: str | None = None
    """Folder of precomputed reference log-probabilities; None is the user's cache folder."""
    max_length: int | None = 1024
    """Tokens of prompt and completion; longer completions lose their end."""
    max_prompt_length: int | None = None
    """Tokens of a prompt at most; a longer one is an error. None: one less than ``max_length``."""
    add_eos: bool = True
    """End plain-text completions with the EOS token; token ids and chat templates are taken as they are."""
    disable_dropout: bool = True
    """Without it the log-ratio of an untrained policy would not be 0."""
    logits_chunk_size: int | None = None
    """Response tokens whose logits exist at the same time; None chooses from the size of the vocabulary."""
    remove_unused_columns: bool = False
    data_seed: int | None = None
    """Seed of the order of rows (online: of prompts); None: ``seed``."""

    def __post_init__(self) -> None:
        """Refuse settings that no run can have."""
        super().__post_init__()
        if self.data_seed is None:  # else the order of rows would follow whatever drew random numbers before
            self.data_seed = self.seed
        _positive("beta", self.beta)
        _choose("space", self.space, SPACES)
        _choose("loss_type", self.loss_type, LOSS_TYPES)
        _choose("reduction", self.reduction, REDUCTIONS)
        _choose("offset", self.offset, OFFSETS)
        if self.reference is not None:
            _choose("reference", self.reference, REFERENCES)
        if self.space == "reward" and self.loss_type == "bce":
            raise UserError("loss_type='bce' needs scores in [0, 1]; with space='reward' use loss_type='mse'.")
        low_high = [float(bound) for bound in self.score_range]
        if len(low_high) != 2 or not all(map(math.isfinite, low_high)) or low_high[0] >= low_high[1]:
            raise UserError(f"score_range={self.score_range} must be the lowest and the highest score, in this order.")
        for name in ("max_length", "max_prompt_length", "logits_chunk_size"):
            value = getattr(self, name)
            if value is not None:
                _positive(name, value)
        for name in ("offset_rate", "offset_residual_rate", "offset_lr_multiplier"):
            _positive(name, getattr(self, name))


@dataclass
class OnlineUNAConfig(UNAConfig):
    """Online UNA: the policy answers, rewards are asked, the same losses follow; no value model is ever built.

    ``per_device_train_batch_size`` counts responses. An optimizer step takes that many on each process and each
    accumulation step; a rollout of ``responses_per_rollout`` is gone through ``num_iterations`` times.
    """

    learning_rate: float = 5e-6
    num_generations: int = 4
    """K, responses per prompt."""
    responses_per_rollout: int = 256
    """Responses generated at a time, over all processes."""
    num_iterations: int = 4
    """Times that the responses of one rollout are trained on."""
    generation_batch_size: int | None = None
    """Responses generated at the same time on one process; None: all of the process's share of a rollout."""
    max_completion_length: int = 256
    """Tokens of a generated response at most."""
    temperature: float = 1.0
    """Of sampling. The log-probabilities of the loss are those at temperature 1."""
    top_k: int = 0
    """Sample from this many most likely tokens; 0 from all."""
    top_p: float = 1.0
    """Sample from the smallest set of tokens with this much probability; 1 from all."""
    normalization: str | None = None
    """What a raw reward becomes: ``sigmoid`` of it, ``quantile`` (its rank among recent ones, in (0, 1)), ``identity``
    (in score space it must lie in ``score_range``, which is mapped to [0, 1]). None: ``sigmoid`` in score space,
    ``identity`` in reward space."""
    quantile_window: int = 4096
    """``quantile``: number of recent rewards that a new one is ranked among."""
    reward_weights: list[float] | None = None
    """Weight of each reward where there are several; None: 1 each."""
    anchor: str = "reference"
    """What the log-ratio is taken against: ``reference`` (UNA Eq. 6) or ``rollout`` (as in the released code, where
    nothing then pulls towards the reference)."""
    missing_eos_penalty: float | None = None
    """Subtracted from the raw reward of a response that did not end."""
    keep_special_tokens: bool = False
    """Give rewards the text with its special tokens (padding never): so an ended response differs from one cut off."""

    def __post_init__(self) -> None:
        """Refuse settings that no run can have."""
        super().__post_init__()
        _choose("anchor", self.anchor, ANCHORS)
        if self.normalization is None:
            self.normalization = "identity" if self.space == "reward" else "sigmoid"
        _choose("normalization", self.normalization, NORMALIZATIONS)
        if self.reference == "precomputed":
            raise UserError("reference='precomputed' is not possible online: the responses do not exist beforehand.")
        names = ("num_generations", "responses_per_rollout", "num_iterations", "max_completion_length", "temperature")
        for name in (*names, "quantile_window"):
            _positive(name, getattr(self, name))
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1].")
        if self.responses_per_rollout % self.num_generations:
            raise UserError(
                f"responses_per_rollout={self.responses_per_rollout} is no multiple of"
                f" num_generations={self.num_generations}."
            )
        if self.offset == "prompt_mean":
            self._check_prompt_mean()

    def _check_prompt_mean(self) -> None:
        if self.num_generations < 2:
            raise UserError("offset='prompt_mean' needs num_generations of at least 2.")
        if self.per_device_train_batch_size % self.num_generations:
            raise UserError(
                f"offset='prompt_mean' keeps the responses of a prompt together: per_device_train_batch_size="
                f"{self.per_device_train_batch_size} must be a multiple of num_generations={self.num_generations}."
            )
