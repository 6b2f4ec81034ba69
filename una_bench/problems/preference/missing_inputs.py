"""Models and data of a preference problem that this machine lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.errors import UserError
from una_bench.models import adapters, catalog, hub
from una_bench.models.hub import cached_datasets
from una_bench.models.offline import Need
from una_bench.models.packaged import CARRIED
from una_bench.problems.preference.file_rows import FORMATS
from una_bench.problems.preference.sources import Source

if TYPE_CHECKING:
    from una_bench.problems.preference.settings import PreferenceSettings


def of_problem(problem: PreferenceSettings) -> list[Need]:
    """Return the missing models and data sets, each with the command to get it.

    Raises:
        UserError: The placeholders of the suite for your own model and data are still there.
    """
    for given, placeholder in ((problem.policy, "MODEL"), (problem.dataset.source, "DATA")):
        if given == placeholder and not Path(given).exists():
            option = placeholder.lower()
            raise UserError(
                f"There is no {option} yet. Give yours with --{option}: una-bench run --model MODEL --data DATA."
            )
    return of_parts(
        problem, [("data", problem.dataset), *([("held-out data", problem.heldout)] if problem.heldout else [])]
    )


def of_parts(problem: PreferenceSettings, sources: Sequence[tuple[str, Source]]) -> list[Need]:
    """Return the missing models of a problem, and those of ``sources`` (role, source) that are missing."""
    reward = problem.reward_model
    models = [("policy", problem.policy, problem.policy_revision)]
    if reward and (reward.name or reward.init):
        models.append(("reward model", reward.name or reward.init, reward.revision))
    needs = [_model(*model) for model in models] + [_data(*source) for source in sources]
    return [need for need in needs if need]


def _model(role: str, name: str, revision: str) -> Need | None:
    if name in CARRIED:
        return None if catalog.is_added(name) else Need(what=f"{role}: {name}", command=f"una-bench models add {name}")
    if adapters.is_adapter(Path(name)):
        return _model(f"base model of the {role}", *adapters.base_name(Path(name)))
    if Path(name).exists():
        return None
    if Path(name).suffix == ".gguf" or name.count("/") != 1 or name.startswith((".", "/", "~")):
        return Need(what=f"{role}: {name}", command="neither a folder, a file nor a name on the hub")
    if any(hub.cached_config(name, revision, file) for file in ("config.json", adapters.CONFIG)):
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
