"""Memory, disk space and time of a run by arithmetic, to within a factor of about two: to plan with, not to report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.evaluation.leaderboards import GROUPS
from una_bench.instruments.model_shape import Shape, from_config
from una_bench.interfaces import registry, sharding
from una_bench.interfaces.method import Feedback, Resident
from una_bench.interfaces.sharding import GRADIENTS, OPTIMIZER, WEIGHTS
from una_bench.models import adapters, catalog, hub

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import DataSize
    from una_bench.reproduction.targets import Lengths
    from una_bench.suite.plan import Cell, Plan

GIB = 2**30
FLOAT32_BYTES = 4
BFLOAT16_BYTES = 2
ASSUMED_LENGTH = 512
"""Tokens of a prompt, and of a response, where data that is not read yet decides."""
START_SECONDS = 10.0
"""Start of a process with its imports, and loading of a small model."""
PROCESS_BYTES = GIB
"""Imports of a process, or the context of a device."""

TASKS = {
    "gsm8k": (1319, 1000, 256),
    "truthful_qa": (817, 850, 0),
    "winogrande": (1267, 260, 0),
    "arc": (1172, 2900, 0),
    "hellaswag": (10042, 1150, 0),
    "mmlu": (14042, 900, 0),
    "bbh": (5761, 1000, 0),
    "gpqa": (1192, 300, 0),
    "mmlu_pro": (12032, 1500, 0),
    "musr": (756, 1300, 0),
    "ifeval": (541, 60, 1280),
    "math_hard": (1324, 1300, 1024),
}
"""Documents of each leaderboard task, approximate tokens read per document, and maximum tokens generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Assumed speed of a device: operations and bytes of weights per second, and the minimum time of a token."""

    about: str
    flops: float
    bandwidth: float
    token_seconds: float


CARD = Rate(about="40 % of an A100's 312 TFLOP/s", flops=1.25e14, bandwidth=1.2e12, token_seconds=0.03)
CORE = Rate(about="one processor core with bfloat16", flops=8e10, bandwidth=4e9, token_seconds=0.02)


def _known(sizes: str, **more: Any) -> Shape:
    names = ("hidden", "layers", "intermediate", "heads", "kv_heads", "head_dim", "vocabulary")
    return Shape(**dict[str, Any](zip(names, map(int, sizes.split()), strict=True)), **more)


KNOWN = {
    "mistralai/Mistral-7B-v0.1": _known("4096 32 14336 32 8 128 32000", tied=False),
    "mistralai/Mistral-7B-Instruct-v0.1": _known("4096 32 14336 32 8 128 32000", tied=False),
    "Qwen/Qwen2-1.5B": _known("1536 28 8960 12 2 128 151936"),
    "Ray2333/GRM-Gemma-2B-rewardmodel-ft": _known("2048 18 16384 8 1 256 256000"),
    "Ray2333/GRM-Llama3.2-3B-rewardmodel-ft": _known("3072 28 8192 24 8 128 128256"),
    "smollm2": _known("576 30 1536 9 3 64 49152"),
    "minilm": _known("384 6 1536 12 12 32 30522"),
}
"""Models of the suites in this package, for machines that do not have them yet."""


def shape_of(name: str) -> Shape | None:
    """Return the shape of a model that is on this machine or known; None for any other."""
    folder = catalog.added_folder(name) if catalog.is_added(name) else Path(name)
    try:
        if adapters.is_adapter(folder):
            return shape_of(adapters.base_name(folder)[0])
        file = folder / "config.json"
        if not (name and file.is_file()):
            cached = hub.cached_config(name) if name not in KNOWN and name.count("/") == 1 else None
            if cached is None:
                return KNOWN.get(name)
            file = cached
        return from_config(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Requirements of the cells of a plan, from the numbers of weights of its models."""

    plan: Plan
    shape: Shape | None
    """Shape of the policy; None if only its number of weights is known, which is enough for `state_bytes`."""
    policy: int
    adapters: int
    """Weights of adapters, trained in place of the policy's; 0 if all are trained."""
    reward: int
    """A reward model of unknown size is taken to be as large as the policy."""
    data: DataSize | None = None
    """Amount of the data, where it is known."""

    def state_bytes(self, cell: Cell) -> int:
        """Return the bytes of weights, gradients, Adam's moments and the models beside the policy, all in float32.

        They are those of one process, which may have a share of them.
        """
        resident, whole = registry.method(cell.method).resident, 4 * self.policy
        adapted = self.policy + 4 * self.adapters
        weights = self._trained(cell)
        if Resident.REFERENCE in resident and not self.adapters:  # else it is the policy without its adapters
            weights += self.policy * (self._share(WEIGHTS) if registry.method(cell.method).trainer else 1)
        if Resident.VALUE in resident:
            weights += adapted if self.adapters and cell.settings.get("value_adapters") else whole
        if Resident.REWARD in resident:
            weights += self.reward
        return int(FLOAT32_BYTES * weights)

    def _share(self, part: str) -> float:
        """Return the share of ``part`` that each process of a cell has."""
        return 1 / self.plan.recipe.processes if part in sharding.divided(self.plan.recipe.sharding) else 1.0

    def _trained(self, cell: Cell) -> float:
        """Return the numbers of the policy, its gradients and its optimizer in one process."""
        trained, copies = self.adapters or self.policy, bool(sharding.zero_stage(self.plan.recipe.sharding))
        weights = (self.policy + self.adapters) * self._share(WEIGHTS)
        states = 2 + copies  # DeepSpeed updates a copy of the weights
        return weights + trained * (self._share(GRADIENTS) + states * self._share(OPTIMIZER))

    def whole_bytes(self, cell: Cell) -> int:
        """Return the bytes of weights that a process has for a while beside its share: to load, and to generate."""
        return FLOAT32_BYTES * self.policy if self._share(WEIGHTS) < 1 else 0

    def peak_bytes(self, cell: Cell) -> float:
        """Return the maximum memory of one process of a training: its state, with activations or with generation."""
        assert self.shape is not None
        problem, settings, method = self.plan.recipe.problem, self.plan.settings(cell), registry.method(cell.method)
        prompt, response = self._longest()
        longest = int(problem.get("max_length") or prompt + response)
        pair = 2 if method.feedback is Feedback.PAIRWISE else 1
        share = self._batch(cell) / self.plan.recipe.processes
        rows = pair * (settings.get("per_device_train_batch_size") or share / pair)  # given as pairs
        hidden, layers, vocabulary = self.shape.hidden, self.shape.layers, self.shape.vocabulary
        one_layer = 16 * hidden + 4 * self.shape.intermediate
        numbers = one_layer + layers * hidden if settings.get("activation_checkpointing") else one_layer * layers
        activations = BFLOAT16_BYTES * numbers + 3 * FLOAT32_BYTES * vocabulary  # logits, their softmax and gradient
        generation = FLOAT32_BYTES * _at_once(settings) / self.plan.recipe.processes * longest * self.shape.cached
        generation += self.whole_bytes(cell) if method.feedback is Feedback.PROMPTS else 0
        if Resident.VALUE in method.resident:  # TRL's PPO keeps the logits of a rollout, twice
            tokens = settings["responses_per_rollout"] * response
            generation += 2 * FLOAT32_BYTES * tokens * vocabulary
        loading = self.whole_bytes(cell)
        return float(max(loading, self.state_bytes(cell) + max(rows * longest * activations, generation)))

    def _longest(self) -> tuple[int, int]:
        """Return the maximum tokens of prompt and response: of the settings, of the data, or assumed."""
        problem, data = self.plan.recipe.problem, self.data
        prompt = problem.get("max_prompt_length") or (data.max_prompt_length if data else ASSUMED_LENGTH)
        return int(prompt), int(
            problem.get("max_response_length") or (data.max_response_length if data else ASSUMED_LENGTH)
        )

    def _batch(self, cell: Cell) -> float:
        """Return the responses per optimizer step."""
        settings = self.plan.settings(cell)
        if parts := settings.get("num_mini_batches"):
            return float(settings["responses_per_rollout"] / parts)
        return float(self.plan.batch(cell))

    @property
    def memory_bytes(self) -> float:
        """Memory of the largest trainings that can run at the same time, with all their processes."""
        peaks = sorted((self.peak_bytes(cell) for cell in self.plan.cells if cell.trains), reverse=True)
        return self.plan.recipe.processes * sum(peak + PROCESS_BYTES for peak in peaks[: self.plan.recipe.at_once])

    @property
    def disk_bytes(self) -> float:
        """Downloaded models and datasets, checkpoints, and optimizer states to resume from."""
        limited = any(settings.get("limit") is not None for settings in self.plan.recipe.benchmarks.values())
        return BFLOAT16_BYTES * (self.policy + self.reward) + self.saved_bytes + (1 if limited else 4) * GIB

    @property
    def saved_bytes(self) -> float:
        """Checkpoints of all draws, and optimizer states to resume from."""
        recipe, checkpoints = self.plan.recipe, sum(cell.trains for cell in self.plan.cells)
        return FLOAT32_BYTES * (self.adapters or self.policy) * (checkpoints * recipe.draws + 3 * recipe.at_once)

    def train_seconds(self, cell: Cell, lengths: Lengths | DataSize, rate: Rate) -> float:
        """Predict the time of one training; a budget of tokens or minutes, or of data not seen yet, counts as none."""
        settings, budget, policy = self.plan.settings(cell), self.plan.recipe.budget, self.policy
        responses = budget.responses or (budget.steps or 0) * self._batch(cell)
        passes = 3 if settings.get("activation_checkpointing") else 2  # the gradients of weights come on top
        training, scoring = 2 * (passes * policy + (self.adapters or policy)), 2 * policy
        if Resident.VALUE in registry.method(cell.method).resident:
            training += 6 * policy
            scoring += 2 * policy
        scored, decoding = responses / int(settings.get("num_iterations") or settings.get("num_ppo_epochs") or 1), 0.0
        if at_once := _at_once(settings):
            scoring += 2 * self.reward
            decoding = math.ceil(scored / at_once) * lengths.response_tokens * self._token_seconds(rate)
        tokens = lengths.prompt_tokens + lengths.response_tokens
        return tokens * (responses * training + scored * scoring) / rate.flops + decoding

    def run_seconds(self, rate: Rate) -> float | None:
        """Predict the time of the run with all draws on `data`, None if that or the number of steps is unknown.

        Tasks beyond the leaderboards count as none.
        """
        budget, data = self.plan.recipe.budget, self.data
        if data is None or self.shape is None or not (budget.responses or budget.steps):
            return None
        cells = [cell for cell in self.plan.cells if cell.trains]
        training = sum(self.train_seconds(cell, data, rate) for cell in cells)
        evaluation = len(self.plan.cells) * (self.evaluation_seconds(rate) + self._sampling_seconds(data, rate))
        processes = START_SECONDS * (
            len(cells) / self.plan.recipe.at_once + 4
        )  # preparation and evaluation import more
        of_draw = processes + self.reward_seconds(data, rate) + (training + evaluation) / self.plan.recipe.at_once
        return self.plan.recipe.draws * of_draw

    def _sampling_seconds(self, data: DataSize, rate: Rate) -> float:
        """Predict the time of one checkpoint's responses to held-out prompts, all of them at once."""
        prompts = sum(int(settings.get("prompts", 0)) for settings in self.plan.recipe.benchmarks.values())
        computing = prompts * (data.prompt_tokens + data.max_response_length) * 2 * self.policy / rate.flops
        return (computing + data.max_response_length * self._token_seconds(rate)) if prompts else 0.0

    def reward_seconds(self, data: DataSize, rate: Rate) -> float:
        """Predict the time of training the reward model; 0 for one that exists."""
        given = self.plan.recipe.problem.get("reward_model")
        if not isinstance(given, Mapping) or given.get("name"):
            return 0.0
        pairs = given["steps"] * given["batch"] if given.get("steps") else data.responses / 2
        return 2 * pairs * (data.prompt_tokens + data.response_tokens) * 6 * self.reward / rate.flops

    def _token_seconds(self, rate: Rate) -> float:
        return max(rate.token_seconds, FLOAT32_BYTES * self.policy / rate.bandwidth)

    def evaluation_seconds(self, rate: Rate) -> float:
        """Predict the time that one checkpoint takes on the leaderboards; other tasks count as none."""
        settings: Mapping[str, Any] = next((s for s in self.plan.recipe.benchmarks.values() if "tasks" in s), {})
        names, batch, limit = settings.get("tasks", ()), settings.get("batch_size", 64), settings.get("limit")
        names, seconds = [names] if isinstance(names, str) else names, 0.0
        for task in (task for name in names for task in GROUPS.get(name, ())):
            documents, read, written = TASKS[task.name]
            documents = documents if limit is None else min(documents, math.ceil(limit))
            seconds += documents * (read + written) * 2 * self.policy / rate.flops
            seconds += math.ceil(documents / batch) * written * self._token_seconds(rate)
        return seconds


def _at_once(settings: Mapping[str, Any]) -> int:
    """Return the number of responses generated at the same time; 0 if none are."""
    rollout = int(settings.get("responses_per_rollout") or 0)
    return min(rollout, int(settings.get("local_rollout_forward_batch_size") or rollout))


def of(plan: Plan, data: DataSize | None = None) -> Requirements | None:
    """Return the requirements of a plan on ``data``, None if the size of its policy is unknown."""
    problem, lora = plan.recipe.problem, plan.recipe.lora
    shape = shape_of(str(problem.get("policy", "")))
    policy = shape.parameters if shape else registry.problem(problem).parameter_count()
    if policy is None or (lora and not shape):
        return None
    given = problem.get("reward_model", {})
    reward = shape_of(str(given.get("name") or given.get("init"))) if isinstance(given, Mapping) else None
    return Requirements(
        plan=plan if data is None else plan.with_responses(data.responses),
        data=data,
        shape=shape,
        policy=policy,
        adapters=shape.adapters(lora.r, lora.target_modules) if shape and lora else 0,
        reward=reward.parameters if reward else 0 if given is None else policy,
    )
