"""How much text the leaderboards' tasks put through a model: sizes of the full tasks, to plan with, not to report.

What a run needs of a machine, by arithmetic alone: parameters, optimizer state, activations, operations, disk.

Made to refuse what cannot work and to say hours to within a factor of about two, not to be compared with measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from una_bench.errors import UserError
from una_bench.evaluation.leaderboards import GROUPS
from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback, Resident
from una_bench.suite import model_shapes
from una_bench.suite.estimate import BYTES_PER_FLOAT, state_bytes, value_whole
from una_bench.suite.model_shapes import Shape
from una_bench.suite.plan import Cell, Plan


@dataclass(frozen=True, slots=True)
class Size:
    """One task in full."""

    documents: int
    read: int
    """Tokens of a document with its examples and choices, what choices share counted once; rough."""
    written: int = 0
    """Tokens that it may generate at most."""


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "gsm8k": Size(1319, 1000, 256),
        "truthful_qa": Size(817, 850),
        "winogrande": Size(1267, 260),
        "arc": Size(1172, 2900),
        "hellaswag": Size(10042, 1150),
        "mmlu": Size(14042, 900),
        "bbh": Size(5761, 1000),
        "gpqa": Size(1192, 300),
        "mmlu_pro": Size(12032, 1500),
        "musr": Size(756, 1300),
        "ifeval": Size(541, 60, 1280),
        "math_hard": Size(1324, 1300, 1024),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one evaluation of a model comes to."""

    read_tokens: float = 0.0
    token_steps: float = 0.0
    """Steps of generation, each writing one token of every response in a batch."""


def of(settings: Mapping[str, Any]) -> Work:
    """Return the work of the benchmark that runs leaderboards, with these settings of it; other tasks are not known."""
    tasks = settings.get("tasks", ())
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    batch, limit = int(settings.get("batch_size", 64)), settings.get("limit")
    read = steps = 0.0
    for entry in (entry for name in names for entry in GROUPS.get(name, ())):
        size = SIZES[entry.name]
        documents = size.documents if limit is None else min(size.documents, math.ceil(limit))
        read += documents * (size.read + size.written)
        steps += math.ceil(documents / batch) * size.written
    return Work(read_tokens=read, token_steps=steps)


GIB = 2**30
PROCESS_BYTES = GIB
"""Imports of a process, or the context of a device."""
TASK_DATA_BYTES = 4 * GIB
"""Data sets of both leaderboards in full, with their caches; rough."""
HALF = 2
"""Bytes of a number in bfloat16, in which activations are kept and hubs store models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a device is assumed to be."""

    about: str
    flops: float
    """Operations per second that training and reading reach."""
    bandwidth: float
    """Bytes of weights per second that generation reads."""
    step_seconds: float
    """Least time of one step of generation, whatever the model."""


CARD = Rate(about="40 % of an A100's 312 TFLOP/s", flops=1.25e14, bandwidth=1.2e12, step_seconds=0.03)
CORE = Rate(about="one processor core with bfloat16", flops=8e10, bandwidth=4e9, step_seconds=0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Lengths that no arithmetic knows."""

    prompt_tokens: float
    response_tokens: float

    @property
    def tokens(self) -> float:
        """Of a prompt with its response."""
        return self.prompt_tokens + self.response_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The models of a suite."""

    policy: Shape
    reward: Shape | None
    adapters: int | None
    """Trained weights with adapters; None: all are trained."""

    @property
    def trained(self) -> int:
        """Weights that get gradients."""
        return self.policy.parameters if self.adapters is None else self.adapters


def sizes(plan: Plan) -> Sizes:
    """Look up the models of a plan.

    Raises:
        UserError: Nothing is known of one of them.
    """
    problem, lora = plan.recipe.problem, plan.recipe.lora
    policy = _known(str(problem.get("policy", "")))
    settings = problem.get("reward_model")
    reward = None
    if isinstance(settings, Mapping):
        name = settings.get("name") or settings.get("init")
        reward = _known(str(name)) if name else policy
    return Sizes(policy=policy, reward=reward, adapters=policy.adapters(lora.r, lora.target_modules) if lora else None)


def _known(name: str) -> Shape:
    found = model_shapes.of(name)
    if found is None:
        raise UserError(
            f"The size of {name or 'the policy'} is not known: fetch it first (hf download {name}), or give a folder."
        )
    return found


def cell_bytes(plan: Plan, cell: Cell, size: Sizes) -> float:
    """Return what one training holds at its peak, at most: weights and activations in the order of the arithmetic."""
    resident, settings = registry.method(cell.method).resident, cell.settings
    weights = size.policy.parameters
    reward = size.reward.parameters if size.reward else 0
    whole = value_whole(cell)
    state = float(state_bytes(resident, weights, adapters=size.adapters, reward=reward, value_whole=whole))
    longest = _longest(plan)
    rows = _rows_at_once(plan, cell)
    training = _activations(size.policy, rows * longest, again=bool(settings.get("activation_checkpointing")))
    return state + max(training, _generating(plan, cell, size.policy))


def _longest(plan: Plan) -> int:
    problem = plan.recipe.problem
    return int(problem.get("max_length") or problem["max_prompt_length"] + problem["max_response_length"])


def _rows_at_once(plan: Plan, cell: Cell) -> int:
    """Responses in one forward and backward pass."""
    settings = cell.settings
    given = settings.get("per_device_train_batch_size")
    if given:
        return int(given) * (2 if registry.method(cell.method).feedback is Feedback.PAIRWISE else 1)
    if "num_mini_batches" in settings:
        return int(settings["responses_per_rollout"] / settings["num_mini_batches"])
    return int(settings.get("batch_responses") or plan.recipe.batch_responses)


def _activations(shape: Shape, tokens: int, *, again: bool) -> float:
    """Bytes kept for the backward pass, logits with their gradient included."""
    layer = HALF * tokens * (16 * shape.hidden + 4 * shape.intermediate)
    kept = HALF * tokens * shape.hidden * shape.layers + layer if again else layer * shape.layers
    return kept + 3 * BYTES_PER_FLOAT * tokens * shape.vocabulary


def _generating(plan: Plan, cell: Cell, shape: Shape) -> float:
    """Bytes that generation keeps: keys and values, and the logits of all tokens where TRL generates (twice)."""
    rollout = int(cell.settings.get("responses_per_rollout") or 0)
    if not rollout:
        return 0.0
    at_once = int(cell.settings.get("local_rollout_forward_batch_size") or rollout)
    cache = BYTES_PER_FLOAT * min(at_once, rollout) * _longest(plan) * shape.cache_values
    logits = 2 * BYTES_PER_FLOAT * rollout * int(plan.recipe.problem["max_response_length"]) * shape.vocabulary
    return cache + (logits if Resident.VALUE in registry.method(cell.method).resident else 0)


def train_seconds(plan: Plan, cell: Cell, size: Sizes, assumed: Assumed, rate: Rate) -> float:
    """Predict one training; a budget that is not of responses or steps is taken to be reached at once."""
    batch = int(cell.settings.get("batch_responses") or plan.recipe.batch_responses)
    responses = plan.recipe.budget.responses or (plan.recipe.budget.steps or 0) * batch
    resident, settings = registry.method(cell.method).resident, cell.settings
    weights = size.policy.parameters
    passes = 2 * (2 + bool(settings.get("activation_checkpointing"))) * weights + 2 * size.trained
    rollout = settings.get("responses_per_rollout")
    if not rollout:  # the responses are given: the reference reads each as often as the policy, at most
        return responses * assumed.tokens * (passes + 2 * weights) / rate.flops
    generated = responses / int(settings.get("num_iterations") or settings.get("num_ppo_epochs") or 1)
    judged = 2 * weights + 2 * (size.reward.parameters if size.reward else 0)
    if Resident.VALUE in resident:
        value = 6 * weights if value_whole(cell) or size.adapters is None else 4 * weights + 2 * size.adapters
        passes, judged = passes + value, judged + 2 * weights
    at_once = min(int(settings.get("local_rollout_forward_batch_size") or rollout), int(rollout))
    steps = math.ceil(generated / at_once) * assumed.response_tokens
    return assumed.tokens * (responses * passes + generated * judged) / rate.flops + steps * _step(size.policy, rate)


def _step(shape: Shape, rate: Rate) -> float:
    return max(rate.step_seconds, BYTES_PER_FLOAT * shape.parameters / rate.bandwidth)


def evaluate_seconds(plan: Plan, size: Sizes, rate: Rate) -> float:
    """Predict the evaluation of one checkpoint on the leaderboards."""
    settings: Mapping[str, Any] = next((s for s in plan.recipe.benchmarks.values() if "tasks" in s), {})
    work = of(settings)
    return work.read_tokens * 2 * size.policy.parameters / rate.flops + work.token_steps * _step(size.policy, rate)
