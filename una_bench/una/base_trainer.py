"""Logged metrics, evaluation and offset checkpoints of both UNA trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback

from una_bench.una.metrics import Ledger, summarize
from una_bench.una.offsets import Offset

OFFSET_FILE = "una_offset.pt"


class _OffsetStep(TrainerCallback):
    """Steps the offset after each optimizer step of the policy."""

    def __init__(self, trainer: UNABaseTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Set the sampler's epoch; after a resume, a dataloader that skips batches may not do so."""
        sampler = self.trainer.sampler
        if sampler is not None:
            sampler.set_epoch(int(state.epoch or 0))

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Step with the learning rate of the policy's last step."""
        trainer = self.trainer
        scaler = trainer.accelerator.scaler
        scale = float(scaler.get_scale()) if scaler is not None else 1.0
        trainer.offset.step(trainer._get_learning_rate(), trainer.mean_over_processes, scale)


class UNABaseTrainer(Trainer):
    """`transformers.Trainer` with UNA's ledgers and offset."""

    online = False
    offset: Offset
    _policy_in: Any = None
    _filled: Any = None
    """The policy with all its weights, where training divides them among processes."""
    sampler: Any = None
    """Custom order of rows; None: the base class's."""

    def _set_offset(self, offset: Offset) -> None:
        self.model_accepts_loss_kwargs = False  # the loss is a mean over rows: accumulation steps divide it
        self.offset = offset
        self.ledgers = {"train": Ledger(), "eval": Ledger()}
        self.add_callback(_OffsetStep(self))

    @property
    def policy(self) -> Any:
        """The policy without its distributed wrapper; cached, because unwrapping walks over all modules."""
        if self._policy_in is not self.model:
            self._policy_in, self._policy = self.model, self.accelerator.unwrap_model(self.model)
        return self._policy

    @property
    def reader(self) -> Any:
        """The policy for passes without gradients: with all its weights while it generates."""
        return self.policy if self._filled is None else self._filled

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over processes."""
        if self.accelerator.num_processes == 1:
            return tensor
        mean: Tensor = self.accelerator.reduce(tensor.detach(), reduction="mean")
        return mean

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the metrics of the training rows since the last log."""
        if "loss" in logs:
            logs = logs | summarize(self.ledgers["train"].drain(self.accelerator), online=self.online)
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, with the same metrics as in training."""
        prefix = kwargs.get("metric_key_prefix", "eval")
        output = super().evaluation_loop(*args, **kwargs)
        metrics = summarize(self.ledgers["eval"].drain(self.accelerator), online=self.online)
        output.metrics.update({f"{prefix}_{name}": value for name, value in metrics.items()})
        return output

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor, None, None]:
        """Return the loss of an evaluation batch, and add its metrics to the ledger."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            loss = self.compute_loss(model, inputs)
        return loss.detach(), None, None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            torch.save(self.extra_state(), folder / OFFSET_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        file = Path(resume_from_checkpoint) / OFFSET_FILE
        if file.is_file():
            self.load_extra_state(torch.load(file, map_location=self.args.device, weights_only=True))

    def extra_state(self) -> dict[str, Any]:
        """Return the state that `transformers.Trainer` does not checkpoint."""
        return {"offset": self.offset.state_dict()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore `extra_state`."""
        if state["offset"]:
            self.offset.load_state_dict(state["offset"])
