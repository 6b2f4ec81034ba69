"""What several processes a cell can train exactly as one does, and what each of them will hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from una_bench.errors import UserError
from una_bench.interfaces.budget import PLANNED
from una_bench.interfaces.method import Feedback
from una_bench.machine import hardware

if TYPE_CHECKING:
    from una_bench.interfaces.method import Method
    from una_bench.suite.recipe import Recipe


def require(recipe: Recipe, name: str, method: Method) -> None:
    """Raise `UserError` where ``processes`` would train a method otherwise than one process does."""
    number = recipe.processes
    if number == 1 or method.feedback is Feedback.NONE:
        return
    kind = next(iter(recipe.budget.given()))
    if kind not in PLANNED | {"epochs", "tokens"}:
        raise UserError(
            f"processes={number}: each process would see its own budget.{kind}. Use processes=1, or a budget of "
            "responses, epochs, steps or tokens."
        )
    if recipe.lora and recipe.lora.lora_dropout:
        raise UserError(
            f"processes={number}: lora.lora_dropout={recipe.lora.lora_dropout:g} would drop other inputs than with one "
            "process. Use processes=1 or lora.lora_dropout=0."
        )
    whole = [f"{method.one_process}. Use processes=1, or leave {name} out."] if method.one_process else []
    for reason in (*whole, *_misfits(method, method.batch_responses or recipe.batch_responses, number)):
        raise UserError(f"{method.display} with processes={number}: {reason}")


def _misfits(method: Method, batch: int, number: int) -> Iterator[str]:
    """Yield what of a method's settings does not fit into several processes, and what to do."""
    settings, pairs = method.settings(), method.feedback is Feedback.PAIRWISE
    rows = batch // 2 if pairs else batch
    what = f"{rows} pairs" if pairs else f"{rows} responses"
    if rows % number:
        yield f"it does not divide the {what} of a step (batch_responses={batch}). Choose a divisor."
    share, at_once = rows // number, settings.get("per_device_train_batch_size")
    if at_once and share % at_once:
        yield f"per_device_train_batch_size={at_once} does not divide the {share} rows of each. Choose a divisor."
    if method.feedback is Feedback.BINARY and method.trainer and share < 2:
        yield "TRL's trainer needs two responses in each process. Use fewer processes, or a larger batch_responses."
    if settings.get("loss_type") in method.whole_batch_losses:
        yield f"loss_type={settings['loss_type']} needs a whole batch in one process. Use processes=1, or another loss."
    if settings.get("reduction") == "sum" and not at_once:
        yield "reduction=sum adds up one forward pass: set per_device_train_batch_size, too."
    if settings.get("offset") == "ema" and at_once:
        yield "offset=ema moves after each forward pass of all processes: leave out per_device_train_batch_size."
    if settings.get("group_by_length") and at_once:
        yield "rows are grouped by length for all processes together: leave out per_device_train_batch_size."
    mean_of_prompt = settings.get("offset") == "prompt_mean"
    if mean_of_prompt and method.feedback is not Feedback.PROMPTS:
        yield "offset=prompt_mean needs all responses to a prompt in one process. Use processes=1, or another offset."
    group = settings.get("num_generations", 1)
    if (mean_of_prompt or method.compares_responses) and (at_once or share) % group:
        yield (
            f"it compares the {group} responses to a prompt, and {at_once or share} responses in a process are no "
            "multiple of that. Use fewer processes, or a larger batch_responses."
        )


def require_machine(recipe: Recipe, device: str) -> None:
    """Raise `UserError` where this machine has fewer cores or cards than one cell needs."""
    number, threads = recipe.processes, recipe.threads
    if number == 1:
        return
    cores = len(hardware.usable_cores())
    if cores and number * threads > cores:
        raise UserError(
            f"processes={number} with threads={threads} needs {number * threads} cores, and this machine gives {cores}."
            " Lower processes or threads."
        )
    cards = len(hardware.cards()) if device == "cuda" else number
    if number > cards:
        raise UserError(f"processes={number} needs {number} cards, and this machine gives {cards}. Lower processes.")


def require_job(recipe: Recipe) -> None:
    """Raise `UserError` where a Slurm job asks for fewer cores or cards than one cell needs."""
    slurm, number = recipe.slurm, recipe.processes
    if slurm is None or number == 1:
        return
    if slurm.cpus_per_task and slurm.cpus_per_task < number * recipe.threads:
        raise UserError(
            f"processes={number} with threads={recipe.threads} needs {number * recipe.threads} cores, and "
            f"slurm.cpus_per_task={slurm.cpus_per_task} gives fewer. Raise it, or leave it out."
        )
    asked = re.search(r"(\d+)$", str(slurm.gpus_per_node or slurm.gres or ""))
    if slurm.device == "cuda" and (cards := int(asked[1]) if asked else 1) < number:
        raise UserError(f"processes={number} needs {number} cards a job, and the job asks for {cards}. Ask for more.")
