"""What a problem made of models and data needs that is not on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.models import catalog, hub
from una_bench.models.hub import cached_datasets
from una_bench.models.offline import Need
from una_bench.models.packaged import CARRIED
from una_bench.problems.preference.sources import FORMATS, Source

if TYPE_CHECKING:
    from una_bench.problems.preference.settings import PreferenceSettings


def of_problem(problem: PreferenceSettings) -> list[Need]:
    """Return every model and data set that is missing, each with the command that brings it."""
    reward = problem.reward_model
    wanted = [("policy", problem.policy, problem.policy_revision)]
    if reward and (reward.name or reward.init):
        wanted.append(("reward model", reward.name or reward.init, reward.revision))
    found = [need for role, name, revision in wanted if (need := _model(role, name, revision))]
    sources = [("data", problem.dataset), *([("held-out data", problem.heldout)] if problem.heldout else [])]
    return found + [need for role, source in sources if (need := _data(role, source))]


def _model(role: str, name: str, revision: str) -> Need | None:
    if name in CARRIED:
        return None if catalog.is_added(name) else Need(what=f"{role}: {name}", command=f"una-bench models add {name}")
    if Path(name).exists():
        return None
    if Path(name).suffix == ".gguf" or name.count("/") != 1 or name.startswith((".", "/", "~")):
        return Need(what=f"{role}: {name}", command="no such folder or file, and no name on the hub")
    if hub.is_here(name, revision):
        return None
    return Need(what=f"{role}: {name}", command=hub.model_command(name, revision), automatic=True)


def _data(role: str, source: Source) -> Need | None:
    path = Path(source.source)
    if path.exists() or cached_datasets(source.source):
        return None
    if path.suffix in FORMATS or source.source.count("/") > 1 or source.source.startswith((".", "/", "~")):
        return Need(what=f"{role}: {source.source}", command="no such file or folder: check the path")
    command = hub.dataset_command(source.source, source.config, source.revision)
    return Need(what=f"{role}: {source.source}", command=command, automatic=True)
