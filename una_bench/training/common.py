"""Arguments and instrumented training for all methods on `transformers.Trainer`.

Importing this module is cheap: torch and transformers are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import dropout, record_facts, record_reference, weights_sha256
from una_bench.instruments.flops import watch_trainer
from una_bench.machine import processes
from una_bench.models import weight_files
from una_bench.training import division, resume, sharding
from una_bench.training.schedule import follow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.budget import Budget
    from una_bench.interfaces.method import Job, Lora, Method

__all__ = ["common_arguments", "fit", "instrument", "load_policy", "lora_config", "record_facts", "weights_sha256"]

Tally = Callable[[Mapping[str, Any]], Mapping[str, int]]
"""Batch of the trainer's `training_step` -> counts for `Probe.count`."""
LOG_POINTS, LOG_STEPS = 100, 10
"""Minimum points of a training curve, given that many steps, and maximum steps between points: training can be stopped
and resumed only there."""
_SUMMARY = ("epoch", "total_flos", "train_", "num_tokens", "step_time")
"""Logs that are not curves: the trainer's final summary, and TRL's counter of tokens, which a resumed training loses,
and its clock."""


def common_arguments(method: Method, job: Job) -> dict[str, Any]:
    """Return the arguments shared by every subclass of `transformers.TrainingArguments`.

    The batch size is not among them, since a row is a pair for some methods and a response for others.
    """
    steps = job.optimizer_steps
    return {
        "output_dir": str(resume.folder_of(job)),
        "max_steps": steps,
        "learning_rate": method.learning_rate,
        "warmup_steps": method.warmup(steps),
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": method.min_lr_rate},
        "optim": "adamw_torch",
        "adam_beta1": method.adam_beta1,
        "adam_beta2": method.adam_beta2,
        "weight_decay": method.weight_decay,
        "max_grad_norm": method.max_grad_norm,
        "seed": job.seed,
        "data_seed": job.seed,
        "train_sampling_strategy": "group_by_length" if method.group_by_length else "random",
        "use_cpu": job.device == "cpu",
        "bf16": job.precision == "bfloat16",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": job.device != "cpu",
        "remove_unused_columns": False,
        "report_to": list(job.report_to) or "none",
        "run_name": job.out.name,
        "eval_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": max(1, min(LOG_STEPS, steps // LOG_POINTS)),
        "logging_nan_inf_filter": False,  # show a diverged loss
        "log_level": "error",
        **quiet_arguments(activation_checkpointing=method.activation_checkpointing),
    } | sharding.arguments(job)


def quiet_arguments(*, activation_checkpointing: bool = False) -> dict[str, Any]:
    """Return arguments that keep a trainer from writing and printing, and from recomputing, which TRL has it do."""
    from transformers import TrainingArguments

    # transformers 5.22 renamed the switch and warns about the old name.
    renamed = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    switch = "activation_checkpointing" if renamed else "gradient_checkpointing"
    return {switch: activation_checkpointing, "save_strategy": "no", "disable_tqdm": True}


def own_settings(method: Method) -> dict[str, Any]:
    """Return a method's settings beyond the shared ones, under TRL's names for TRL's configuration."""
    from una_bench.interfaces.method import Method

    return {name: value for name, value in method.settings().items() if name not in Method.model_fields}


def silence(trainer: Any) -> None:
    """Keep a trainer from printing its logs to standard output, which is for results."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def require_one_card(device: str) -> None:
    """Refuse to train where several cards are visible: transformers would spread each batch over all of them.

    Raises:
        UserError: There are several.
    """
    import torch

    count = torch.cuda.device_count() if device != "cpu" else 0
    if count > 1:
        raise UserError(
            f"This training sees {count} cards, and a cell uses one; on more, each batch would silently be {count} "
            "times as large. Set CUDA_VISIBLE_DEVICES to one card (its number, UUID or MIG id)."
        )


def load_policy(job: Job, probe: Probe) -> tuple[Any, Any]:
    """Load the initial policy (float32) and its tokenizer, in the phase ``load``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    require_one_card(job.device)
    folder = job.prepared / "policy"
    with probe.phase("load"):
        sharding.load_whole()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **weight_files.loading(folder))
        return model.to(job.device), AutoTokenizer.from_pretrained(folder, **weight_files.loading(folder))


def lora_config(job: Job, task: str = "CAUSAL_LM") -> Any:
    """Return the peft configuration of the job's adapters for a ``task``; None for full fine-tuning."""
    return peft_config(job.lora, task)


def peft_config(lora: Lora | None, task: str = "CAUSAL_LM") -> Any:
    """Return the peft configuration of adapters for a ``task``; None for full fine-tuning."""
    if lora is None:
        return None
    from peft import LoraConfig

    targets = lora.target_modules
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type=task,
    )


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _callback(trainer: Any, probe: Probe, budget: Budget, reader: sharding.Reader) -> Any:
    """Return the callback that ends steps and training, runs the watchers and records the logged curves."""
    from transformers import TrainerCallback

    class Instruments(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            engine = getattr(trainer, "deepspeed", None)  # steps itself, within the backward pass
            stepping = trainer.optimizer if engine is None else engine
            stepping.step = in_phase(probe, "optimizer", stepping.step)

        def on_step_end(self, args: Any, state: Any, control: Any, **__: Any) -> None:
            probe.count(optimizer_steps=1)
            probe.end_step()
            if probe.due:
                with reader.policy() as policy, _evaluating(policy):
                    probe.check(policy)
            control.should_training_stop = control.should_training_stop or budget.spent(probe)

        def on_log(self, *_: Any, logs: Mapping[str, Any], **__: Any) -> None:
            numbers = {k: v for k, v in logs.items() if isinstance(v, int | float) and not k.startswith(_SUMMARY)}
            probe.observe(numbers)

    return Instruments()


def in_phase(probe: Probe, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` with each call in the phase ``name``; its signature stays visible."""

    @wraps(call)  # with its attributes: the learning-rate scheduler looks for one of its own on ``step``
    def inside(*args: Any, **kwargs: Any) -> Any:
        with probe.phase(name):
            return call(*args, **kwargs)

    return inside


def instrument(trainer: Any, probe: Probe, tally: Tally, budget: Budget, *, generates: bool = False) -> None:
    """Measure ``trainer`` with ``probe``: a step lasts from fetching its batch to the end of its optimizer step.

    Training also stops when an unplanned budget is used up. A batch is counted before the pass, while its data is in
    the processor's caches (half the cost), but after it if the trainer generates its data.
    """
    fetch, step = trainer.get_batch_samples, trainer.training_step

    def get_batch_samples(*args: Any, **kwargs: Any) -> Any:
        probe.begin_step()
        return fetch(*args, **kwargs)

    def training_step(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        if not generates:
            division.weigh(trainer, count(inputs))
        with probe.phase("forward"):
            loss = step(model, inputs, *args, **kwargs)
        if generates:
            count(inputs)
        return loss

    def count(inputs: Mapping[str, Any]) -> float:
        """Count the batches of all processes; return this one's part, 1 if it is as large as any other."""
        part = tally(inputs)
        whole = processes.total(part)
        probe.count(**whole)
        return float(part["responses"] * processes.count() / whole["responses"])

    trainer.get_batch_samples, trainer.training_step = get_batch_samples, training_step
    trainer.accelerator.backward = in_phase(probe, "backward", trainer.accelerator.backward)
    reader = sharding.Reader(trainer, reads=bool(probe.evaluate_at))
    trainer.add_callback(_callback(trainer, probe, budget, reader))


def fit(
    trainer: Any, probe: Probe, job: Job, *, tally: Tally, generates: bool = False, weighs: bool = False, **beside: Any
) -> Path:
    """Train under the instruments and save policy and tokenizer to ``job.out / "checkpoint"``; prints nothing.

    ``trainer.ref_model`` counts as the reference, and ``beside`` holds other models in memory by role (``reward``).
    ``tally`` counts a batch: afterwards, if the trainer generates its data within a step. ``weighs``: the loss is a
    mean over responses and nothing else, so that several processes may have unequal parts of a batch.
    """
    silence(trainer)
    division.divide(trainer, weighs=weighs)
    instrument(trainer, probe, tally, job.budget, generates=generates)
    if not job.budget.planned:
        follow(trainer, probe, job.budget, trainer.args.lr_scheduler_kwargs["min_lr_rate"])
    watch_trainer(probe, trainer)
    probe.facts["dropout"] = dropout(trainer.model)
    resume.train(trainer, probe, job)
    reference = getattr(trainer, "ref_model", None)
    probe.resident.update(sharding.held_bytes(trainer, reference=reference, **beside))
    record_reference(probe, None if reference is None else sharding.Whole(trainer, reference))
    folder = job.out / "checkpoint"
    with probe.phase("save"):
        trainer.save_model(str(folder))
        if processes.is_first():
            trainer.processing_class.save_pretrained(str(folder))
        processes.wait()
    return folder
