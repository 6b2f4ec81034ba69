"""Interface of a method: settings, class attributes that describe it, and one call that trains."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from una_bench.errors import UserError
from una_bench.interfaces.budget import ENDLESS_STEPS, Budget
from una_bench.interfaces.search_space import DECADE, Range, Times
from una_bench.interfaces.settings import Count, NotNegative, Positive, Settings, Share, WholeNumber
from una_bench.interfaces.sharding import NONE, Sharding
from una_bench.record.schema import BUDGET_UNITS

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Feedback(StrEnum):
    """Feedback that a method learns from."""

    NONE = "none"
    PAIRWISE = "pairwise"
    BINARY = "binary"
    SCORE = "score"
    PROMPTS = "prompts"


class Resident(StrEnum):
    """A model that a method keeps in memory beside the policy."""

    REFERENCE = "reference"
    REWARD = "reward"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank adapters on the policy (peft's names)."""

    r: int = 16
    """Rank."""
    lora_alpha: int = 32
    """Numerator of the scale: the product of the adapters is multiplied by ``lora_alpha / r``."""
    lora_dropout: float = 0.0
    """Share of the adapters' inputs set to zero in training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Names of the layers with adapters, or ``all-linear``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Inputs of one training: the same for every method of a suite, so that only the method differs."""

    prepared: Path
    """Folder made by the suite's problem; `una_bench.interfaces.prepared.Prepared` reads it."""
    out: Path
    """Folder of this cell, writable; the checkpoint goes to ``out / "checkpoint"``."""
    method: str = ""
    """Name of the method, for data that is prepared for one method only."""
    seed: int
    budget_responses: int | None = None
    """Responses to train on, repetitions included. Exactly one budget is set."""
    budget_steps: int | None = None
    """Optimizer steps."""
    budget_tokens: int | None = None
    """Tokens to train on, prompt and response, with repetitions, without padding."""
    budget_flops: float | None = None
    """Floating-point operations of all passes of all models."""
    budget_seconds: float | None = None
    """Seconds of training, without evaluations."""
    batch_responses: int
    """Responses behind one optimizer step (a pair is two)."""
    max_prompt_length: int
    """Tokens; longer prompts were dropped in preparation, for all methods."""
    max_new_tokens: int
    """Maximum tokens of a response, given or generated."""
    temperature: float = 1.0
    """Sampling temperature of generation, without top-k and top-p."""
    reward: Literal["learned", "true"] = "learned"
    """Reward of generated responses: ``learned`` (the suite's reward model) or ``true`` (if the problem has one)."""
    lora: Lora | None = None
    precision: str = "float32"
    """``float32`` or ``bfloat16`` for the matrix products; weights and optimizer stay float32."""
    device: str = "cpu"
    threads: int = 1
    """Processor threads of each process."""
    processes: int = 1
    """Processes that train together; each has its share of ``batch_responses``."""
    sharding: Sharding = NONE
    """What the processes divide beyond the batches: weights, gradients, optimizer states."""
    checkpoint_minutes: float = 10.0
    """Interval between saved states, from which an interrupted training resumes."""
    report_to: tuple[str, ...] = ()
    """Experiment trackers: ``tensorboard``, ``wandb``, ``trackio``."""

    def __post_init__(self) -> None:
        """Require exactly one budget."""
        if len(self._budgets) != 1:
            raise ValueError(f"A job has exactly one budget, not {sorted(self._budgets) or 'none'}.")

    @property
    def _budgets(self) -> dict[str, float]:
        amounts = {kind: getattr(self, f"budget_{kind}") for kind in BUDGET_UNITS}
        return {kind: amount for kind, amount in amounts.items() if amount is not None}

    @property
    def budget(self) -> Budget:
        """Budget of the training."""
        ((kind, amount),) = self._budgets.items()
        return Budget(kind=kind, amount=amount)

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps of the budget, rounded up; `ENDLESS_STEPS` if it is not planned."""
        return self.budget.steps(self.batch_responses)


class Method(Settings):
    """One alignment algorithm with its settings; the names of settings are TRL's.

    The fields here are shared by every method that trains, so that a recipe can give them once for all.
    """

    label: ClassVar[str]
    """Name in tables."""
    feedback: ClassVar[Feedback]
    resident: ClassVar[frozenset[Resident]] = frozenset()
    paper: ClassVar[str]
    """Citation with section or equation."""
    preload: ClassVar[tuple[str, ...]] = ()
    """Modules that training imports, the trainer's above all: imported first, they are no memory of the training."""
    trainer: ClassVar[str] = ""
    """TRL's trainer behind it, as ``trl.experimental.orpo.ORPOTrainer``; empty: none."""
    last_trl: ClassVar[str] = ""
    """Last TRL release that has ``trainer``, as ``1.12``; empty: newer ones have it too."""
    one_process: ClassVar[str] = "its training on several processes was not compared with one"
    """Why it would train otherwise on several processes; empty: it trains the same."""
    whole_batch_losses: ClassVar[frozenset[str]] = frozenset()
    """Values of ``loss_type`` that need a whole batch in one process: sorted, centered or averaged over its tokens."""
    compares_responses: ClassVar[bool] = False
    """Whether its loss compares generated responses to a prompt, which must then be in the same process."""
    regresses: ClassVar[bool] = False
    """Whether it regresses the implicit reward on labels, scores or rewards, as UNA does."""
    search: ClassVar[Mapping[str, Range | Times]] = {"learning_rate": DECADE, "beta": DECADE, "kl_coef": DECADE}
    """Ranges that tuning searches by default; settings that the method lacks, or that a suite sets to 0, are left
    out."""

    learning_rate: Positive = 1e-3
    """Peak learning rate, per optimizer step."""
    warmup_steps: WholeNumber = 50
    """Optimizer steps of linear warm-up."""
    warmup_ratio: Share | None = None
    """Linear warm-up as a share of all optimizer steps, rounded up, in place of ``warmup_steps``."""
    min_lr_rate: Share = 0.05
    """Floor of the cosine schedule as a fraction of the peak."""
    adam_beta1: Share = 0.9
    """Decay of Adam's mean of gradients, per step."""
    adam_beta2: Share = 0.99
    """Decay of Adam's mean of squared gradients, per step."""
    weight_decay: NotNegative = 0.0
    """AdamW's decay of weights, in units of the learning rate."""
    max_grad_norm: NotNegative = 1.0
    """Gradient norm above which gradients are scaled down; 0 switches clipping off."""
    batch_responses: Count | None = None
    """Responses behind one optimizer step of this method; None: the suite's, the same for all."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time, same numbers. Measured with DPO on
    SmolLM2-135M: 0.6 of the peak, 0.75 of the token/s."""
    group_by_length: bool = False
    """Batch rows of similar length, with batches in random order: less padding. Measured with DPO on SmolLM2-135M: 1.14
    times the token/s. Ignored by methods that generate their responses and with ``offset=prompt_mean``."""

    @model_validator(mode="before")
    @classmethod
    def _has_what_is_precomputed(cls, settings: Any) -> Any:
        asked = isinstance(settings, dict) and "precompute_ref_log_probs" in settings
        if asked and "precompute_ref_log_probs" not in cls.model_fields:
            why = (
                "no reference model"
                if Resident.REFERENCE not in cls.resident and cls.trainer
                else "new responses to score in every rollout"
                if cls.feedback is Feedback.PROMPTS
                else "its reference log-probabilities computed once already"
            )
            raise ValueError(f"precompute_ref_log_probs must be left out, since {cls.label} has {why}")
        return settings

    @property
    def display(self) -> str:
        """The label with what tells this variant from others of the same method."""
        return self.label

    def within(self, budget: Budget, batch_responses: int) -> Self:
        """Return the method with settings that fit the budget, if the least that it can train on would exceed it."""
        return self

    @abstractmethod
    def train(self, job: Job, probe: Probe) -> Path:
        """Train from ``job.prepared / "policy"`` under ``probe`` and return the folder of the checkpoint.

        The checkpoint is a transformers model folder (an adapter folder with LoRA) with its tokenizer.
        """

    def warmup(self, optimizer_steps: int) -> int:
        """Return the warm-up steps of a training of ``optimizer_steps``.

        Raises:
            UserError: ``warmup_ratio`` is set, but the number of steps is unknown.
        """
        if self.warmup_ratio is None:
            return self.warmup_steps
        if optimizer_steps >= ENDLESS_STEPS:
            raise UserError(
                "warmup_ratio needs a known number of steps: set a budget of responses or steps, or use warmup_steps."
            )
        return math.ceil(self.warmup_ratio * optimizer_steps)
