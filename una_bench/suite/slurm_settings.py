"""Settings of Slurm jobs: the block ``slurm`` of a recipe, and the option ``--slurm``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from una_bench.errors import UserError, nearest


class Slurm(BaseModel):
    """What each job asks of Slurm; null: Slurm's default. Other options of sbatch: its variables ``SBATCH_*``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    partition: str | None = None
    """Partition, or several with commas."""
    account: str | None = None
    """Account to charge."""
    qos: str | None = None
    """Quality of service."""
    time: int | None = Field(default=None, gt=0)
    """Time limit of a job in minutes, after which it is requeued and resumes; null: ``timeout_minutes`` and 10 more."""
    gpus_per_node: str | int | None = None
    """Cards of a job, as ``1`` or ``a100:1``."""
    gres: str | None = None
    """Generic resources, as ``gpu:1``."""
    cpus_per_task: int | None = Field(default=None, gt=0)
    """Cores of a job; null: ``threads`` times ``processes``."""
    mem: str | int | None = None
    """Memory of a job, as ``16G``, or in MB."""
    constraint: str | None = None
    """Features that the nodes must have."""
    nodelist: str | None = None
    """Nodes to use."""
    exclude: str | None = None
    """Nodes not to use."""
    reservation: str | None = None
    """Reservation to use."""
    setup: tuple[str, ...] = ()
    """Lines of shell before each job."""
    start_minutes: float | None = Field(default=None, gt=0)
    """Minutes that Slurm may keep a job waiting before it is canceled and recorded as ``timeout``; null: no limit."""

    @field_validator("time", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isdecimal():
            raise ValueError("give whole minutes, as 60 for 1:00:00")
        return value

    @property
    def device(self) -> str:
        """Return the device of the jobs where the recipe says ``auto``."""
        return "cuda" if self.gpus_per_node or "gpu" in (self.gres or "") else "cpu"


def changes(option: str) -> list[tuple[str, str]]:
    """Return ``--slurm key=value,key=value`` as changes to a recipe; a value may contain commas.

    Raises:
        UserError: A part is no ``key=value``, or there is no such key.
    """
    pairs: list[tuple[str, str]] = []
    for part in option.split(",") if option else ():
        key, equals, value = part.partition("=")
        if not equals and pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part}")
        elif not equals or not value:
            raise UserError(f"--slurm {option}: write key=value, for example --slurm partition=gpu,time=60.")
        else:
            pairs.append((key.strip(), value))
    for key, value in pairs:
        if key not in Slurm.model_fields:
            raise UserError(
                f"--slurm {key}={value}: there is no key '{key}'.{nearest(key, Slurm.model_fields)} "
                f"Choose from: {', '.join(Slurm.model_fields)}."
            )
    return [(f"slurm.{key}", value) for key, value in pairs]
