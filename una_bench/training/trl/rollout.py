"""Instruments attached to PPOTrainer from outside: its phases, and the counts of each update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from una_bench.instruments.fairness_facts import record_reference
from una_bench.instruments.flops import watch
from una_bench.instruments.resident_memory import training_bytes
from una_bench.interfaces.budget import Budget, Spent
from una_bench.machine import stop_request
from una_bench.training.common import in_phase
from una_bench.training.trl.scoring import TextReward

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from una_bench.instruments.probe import Probe

NOT_CURVES = ("eps", "episode", "epoch")
"""Entries of TRL's logs that are not training curves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Size of a generated batch, its real tokens and its widths."""

    responses: int
    prompt_tokens: int
    response_tokens: int
    prompt_width: int
    response_width: int


class Instruments:
    """Wraps PPOTrainer's calls in phases and counts."""

    def __init__(self, trainer: Any, probe: Probe, reward: Any, budget: Budget) -> None:
        self.trainer, self.probe, self.reward, self.budget = trainer, probe, reward, budget
        self.generated: list[Generated] = []
        self.logged: dict[str, float] = {}
        self._count_flops()
        self._fit_phases()
        # On the optimizer itself: accelerate's wrapper is also called without a step.
        self._hook = trainer.optimizer.optimizer.register_step_post_hook(lambda *_: probe.count(optimizer_steps=1))

    def _count_flops(self) -> None:
        watch(self.probe, "policy", self.trainer.policy_model)
        watch(self.probe, "value", self.trainer.value_model)
        if self.trainer.ref_model is not None:
            watch(self.probe, "reference", self.trainer.ref_model)
        scorer = self.reward.texts.model if isinstance(self.reward, TextReward) else self.reward
        if scorer is not None:
            watch(self.probe, "reward", scorer)

    def _fit_phases(self) -> None:
        trainer = self.trainer

        def phase(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            return in_phase(self.probe, name, call)

        policy = trainer.policy_model
        policy.generate = phase("generation", self._counted(policy.generate))
        scorer = getattr(self.reward, self.reward.base_model_prefix)
        scorer.forward = phase("reward", scorer.forward)
        critic = trainer.model.critic_backbone
        critic.forward = self._outside_training(phase("value", critic.forward), critic.forward)
        if trainer.ref_model is None:
            trainer.null_ref_context = self._reference_context(trainer.null_ref_context)
        else:
            trainer.ref_model.forward = phase("reference", trainer.ref_model.forward)
        trainer.model.forward = phase("forward", trainer.model.forward)
        trainer.accelerator.backward = phase("backward", trainer.accelerator.backward)
        trainer.optimizer.step = phase("optimizer", trainer.optimizer.step)

    def _outside_training(self, measured: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
        """Measure the value model only outside the training pass, which is one phase for policy and value."""

        @wraps(plain)
        def either(*args: Any, **kwargs: Any) -> Any:
            return (plain if torch.is_grad_enabled() else measured)(*args, **kwargs)

        return either

    def _reference_context(self, context: Callable[[], Any]) -> Callable[[], Any]:
        """Measure the context in which the policy runs without adapters, as the reference."""

        @contextmanager
        def measured() -> Iterator[None]:
            with self.probe.phase("reference"), context():
                yield

        return measured

    def _counted(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(generate)
        def counted(*args: Any, input_ids: Tensor, attention_mask: Tensor, **kwargs: Any) -> Any:
            if isinstance(self.reward, TextReward):
                self.reward.texts.context_length = input_ids.shape[1]
            output = generate(*args, input_ids=input_ids, attention_mask=attention_mask, **kwargs)
            response_BT = output.sequences[:, input_ids.shape[1] :]
            kept_BT = (response_BT != self.trainer.processing_class.pad_token_id).cumprod(1)
            self.generated.append(
                Generated(
                    responses=input_ids.shape[0],
                    prompt_tokens=int(attention_mask.sum()),
                    response_tokens=int(kept_BT.sum()),
                    prompt_width=input_ids.shape[1],
                    response_width=response_BT.shape[1],
                )
            )
            return output

        return counted

    def count_update(self) -> None:
        """Count one update, once per PPO epoch."""
        batch, self.generated = self.generated, []
        epochs = self.trainer.args.num_ppo_epochs
        responses = sum(g.responses for g in batch)
        prompt, response = sum(g.prompt_tokens for g in batch), sum(g.response_tokens for g in batch)
        width = max(g.prompt_width for g in batch) + max(g.response_width for g in batch)
        self.probe.count(
            responses=responses * epochs,
            prompt_tokens=prompt * epochs,
            response_tokens=response * epochs,
            padding_tokens=(responses * width - prompt - response) * epochs,
        )

    def end_update(self, *, last: bool) -> None:
        """Close one update, and open the next unless the budget is spent."""
        self.probe.end_step()
        self._observe()
        if not last and not self.budget.spent(self.probe):
            self.probe.begin_step()

    def _observe(self) -> None:
        logs = {name: value for name, value in self.logged.items() if name not in NOT_CURVES}
        if logs:
            logs["loss"] = logs["loss/policy_avg"] + self.trainer.args.vf_coef * logs["loss/value_avg"]
        self.probe.observe(logs)
        policy = self.trainer.policy_model
        policy.eval()
        with torch.no_grad():
            self.probe.check(policy)
        policy.train()

    def callback(self) -> TrainerCallback:
        """Return the callback for PPOTrainer's events."""
        from transformers import TrainerCallback

        instruments = self

        class Updates(TrainerCallback):
            def on_train_begin(self, *_: Any, **__: Any) -> None:
                instruments.probe.begin_step()

            def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
                instruments.logged = logs
                instruments.count_update()  # once per update, just before TRL advances the schedule

            def on_step_end(self, args: Any, state: Any, control: Any, **__: Any) -> Any:
                last = state.global_step >= state.max_steps
                instruments.end_update(last=last)
                if instruments.budget.spent(instruments.probe):
                    raise Spent  # TRL's loop has no other way out
                if not last:
                    stop_request.check()  # TRL's PPO cannot resume: it starts again
                return control

        return Updates()

    def close(self) -> None:
        """Remove the hook and record the resident bytes."""
        self._hook.remove()
        trainer = self.trainer
        self.probe.resident.update(
            training_bytes(
                trainer.policy_model,
                trainer.optimizer,
                trained=trainer.model,
                reference=trainer.ref_model,
                value=trainer.value_model,
                reward=self.reward,
            )
        )
        record_reference(self.probe, trainer.ref_model)
