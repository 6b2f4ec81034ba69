"""TRL's trainers that generate their responses, on the prepared prompts and with the suite's reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import record_rows
from una_bench.instruments.flops import watch, watch_trainer
from una_bench.interfaces.prepared import Prepared
from una_bench.training.common import fit, in_phase, load_policy, lora_config, record_facts
from una_bench.training.rewards import required_reward
from una_bench.training.trl.bridge import configuration, trainer_class
from una_bench.training.trl.scoring import completion_text

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method

MOST_ROLLOUTS = 1024
"""Maximum rollouts whose prompts are shuffled as one pass; longer trainings repeat this."""


def train_generating(method: Method, job: Job, probe: Probe, *, pairs: bool = False, **fixed: Any) -> Path:
    """Train with the method's trainer on responses that it generates to the prepared prompts.

    With ``pairs`` each step generates two responses a prompt, and counts prompts; else the method's settings are
    `una_bench.training.rollout_settings.Rollouts`. ``fixed`` are arguments of the trainer's configuration that are no
    settings of the method.
    """
    prepared = Prepared(job.prepared)
    policy, tokenizer = load_policy(job, probe)
    prompts = prepared.prompts()
    record_facts(probe, model=policy, tokenizer=tokenizer, prompt_ids=prompts["prompt_ids"], completion_ids=None)
    with probe.phase("load"):
        reward = required_reward(prepared, job, job.batch_responses)
    by_text = dict(zip(prompts["prompt"], ([int(i) for i in row] for row in prompts["prompt_ids"]), strict=True))
    sampling = {"temperature": job.temperature, "top_k": 0, "top_p": 1.0}  # TRL has these defaults, but for one
    shape = _in_pairs(job) if pairs else _in_rollouts(method, job)
    arguments = configuration(method, job, without=("responses_per_rollout",), **sampling | shape | fixed)
    rollout = job.batch_responses if pairs else arguments.generation_batch_size
    data = _rows(list(by_text), job, unique=rollout // (2 if pairs else arguments.num_generations))
    with probe.phase("load"):
        trainer = trainer_class(method)(
            model=policy,
            reward_funcs=[_Judge(reward, tokenizer, probe)],
            args=arguments,
            train_dataset=data,
            processing_class=reads_prepared(tokenizer, by_text),
            peft_config=lora_config(job),
        )
    per_rollout = max(1, rollout * getattr(arguments, "num_iterations", 1) // job.batch_responses)
    trainer.steps_per_rollout = per_rollout  # TRL does not save its rollout
    if job.budget.planned and job.optimizer_steps < 2 * per_rollout:
        probe.warmup = 0  # the rates would leave out the only rollout, and with it all generation
    seen = _Seen(trainer, probe)
    lengths = (len(ids) + job.max_new_tokens for ids in by_text.values())
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=lengths)
    probe.facts["sampling"] = sampling
    probe.facts["reference"] = _where_reference(trainer, job)
    watch_trainer(probe, trainer)
    judge = getattr(reward, "model", None)
    if judge is not None:
        watch(probe, "reward", judge)
    return fit(trainer, probe, job, tally=seen.tally, generates=True, reward=judge)


def _in_pairs(job: Job) -> dict[str, Any]:
    """Return the arguments of a trainer that generates two responses a prompt in each step."""
    longest = job.max_prompt_length + job.max_new_tokens
    batch = job.batch_responses // 2
    return {
        "per_device_train_batch_size": batch,
        "max_new_tokens": job.max_new_tokens,
        "max_length": longest,
        "train_sampling_strategy": "random",  # prompts have no responses to group by length
    }


def _in_rollouts(method: Method, job: Job) -> dict[str, Any]:
    """Return the arguments of a trainer that generates a rollout for several steps.

    Raises:
        UserError: The batch, the rollout and the groups do not fit.
    """
    own, batch = method.settings(), job.batch_responses
    at_once, rollout = own["per_device_train_batch_size"] or batch, own["responses_per_rollout"]
    if batch % at_once:
        raise UserError(f"per_device_train_batch_size={at_once} does not divide the batch of {batch} responses.")
    if rollout % batch:
        raise UserError(f"responses_per_rollout={rollout} must be a multiple of the {batch} responses of a step.")
    return {
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": batch // at_once,
        "generation_batch_size": rollout,
        "max_completion_length": job.max_new_tokens,
    }


def _where_reference(trainer: Any, job: Job) -> str:
    if trainer.ref_model is not None:
        return "a model, once a rollout"
    return "the policy without its adapters, once a rollout" if job.lora and trainer.args.beta else "none"


def _rows(texts: list[str], job: Job, *, unique: int) -> Dataset:
    """Return the prompts, repeated so that all rollouts (up to `MOST_ROLLOUTS`) are one shuffled pass.

    TRL drops the last incomplete rollout of a pass, and has none at all of fewer prompts than one takes.
    """
    rollouts = min(job.optimizer_steps, MOST_ROLLOUTS)  # at most one a step
    return Dataset.from_dict({"prompt": texts}).select(
        list(range(len(texts))) * math.ceil(rollouts * unique / len(texts))
    )


def reads_prepared(tokenizer: Any, by_text: Mapping[str, Sequence[int]]) -> Any:
    """Return the tokenizer with the prepared tokens for each prompt, where TRL would tokenize (and add) anew.

    It keeps its class's name, under which it is saved.
    """
    kind = type(tokenizer)

    def call(self: Any, text: Any = None, **options: Any) -> Any:
        if not isinstance(text, list) or not all(one in by_text for one in text):
            return kind.__call__(self, text, **options)
        rows = {"input_ids": [list(by_text[one]) for one in text]}
        if not options.get("padding"):
            return rows
        side = options.get("padding_side", self.padding_side)
        return self.pad(rows, padding=True, padding_side=side, return_tensors=options.get("return_tensors"))

    tokenizer.__class__ = type(kind.__name__, (kind,), {"__call__": call})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class _Judge:
    """The suite's reward as TRL calls it, on the texts that other methods' rewards see, in the phase ``reward``."""

    __name__ = "reward"  # TRL's name of its column

    def __init__(self, reward: Callable[..., Any], tokenizer: Any, probe: Probe) -> None:
        self.reward, self.tokenizer, self.probe = reward, tokenizer, probe

    def __call__(self, prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        """Return the reward of each response; padding after its end is not part of it."""
        with self.probe.phase("reward"):
            texts = [completion_text(self.tokenizer, self._ended(ids)) for ids in completion_ids]
            return [float(value) for value in self.reward(prompts, texts)]

    def _ended(self, ids: list[int]) -> list[int]:
        end = self.tokenizer.eos_token_id
        return ids[: ids.index(end) + 1] if end in ids else ids


class _Seen:
    """Phases of a trainer that generates, and the responses that its steps train on."""

    def __init__(self, trainer: Any, probe: Probe) -> None:
        self.trainer, self.probe = trainer, probe
        self.batch: Mapping[str, Any] = {}
        policy = trainer.accelerator.unwrap_model(trainer.model)
        policy.generate = in_phase(probe, "generation", self._generated(policy.generate))
        compute_loss = trainer.compute_loss

        def noted(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
            self.batch = inputs
            return compute_loss(model, inputs, *args, **kwargs)

        trainer.compute_loss = noted
        if trainer.ref_model is not None:
            trainer.ref_model.forward = in_phase(probe, "reference", trainer.ref_model.forward)
        elif hasattr(policy, "disable_adapter"):
            policy.disable_adapter = self._as_reference(policy.disable_adapter)

    def _generated(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        """Note what is generated, for a trainer that has no loss of a batch."""

        def noted(*args: Any, input_ids: Any, attention_mask: Any, **kwargs: Any) -> Any:
            output = generate(*args, input_ids=input_ids, attention_mask=attention_mask, **kwargs)
            completions = output[:, input_ids.shape[1] :]
            after_end = (completions == self.trainer.processing_class.eos_token_id).cumsum(1)
            before = after_end - (completions == self.trainer.processing_class.eos_token_id).long()
            self.batch = {"prompt_mask": attention_mask, "completion_mask": (before == 0).long()}
            return output

        return noted

    def _as_reference(self, context: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def measured() -> Iterator[None]:
            with self.probe.phase("reference"), context():
                yield

        return measured

    def tally(self, _: Mapping[str, Any]) -> dict[str, int]:
        """Count the responses of the last batch."""
        prompt, completion = self.batch["prompt_mask"], self.batch["completion_mask"]
        real, own = int(prompt.sum()), int(completion.sum())
        cells = prompt.shape[0] * (prompt.shape[1] + completion.shape[1])
        return {
            "responses": int(prompt.shape[0]),
            "prompt_tokens": real,
            "response_tokens": own,
            "padding_tokens": cells - real - own,
        }
