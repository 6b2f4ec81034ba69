"""A language model with preference data as the engine meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from una_bench.models.offline import Need
from una_bench.problems.preference.settings import PreferenceSettings


class Preference(PreferenceSettings):
    """Preparation of a language model, preference data and a reward model."""

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Read, judge, pair, tokenize and split the data, and fit or fetch the reward model."""
        from una_bench.problems.preference.prepare import prepare

        prepare(self, out, say)

    def needs(self) -> list[Need]:
        """Return what is not on this machine: policy, reward model and data."""
        from una_bench.problems.preference.missing_inputs import of_problem

        return of_problem(self)

    def parameter_count(self) -> int | None:
        """Parameters of a policy that is on this machine."""
        from una_bench.models import catalog, weight_files

        folder = catalog.added_folder(self.policy) if catalog.is_added(self.policy) else Path(self.policy)
        return weight_files.parameter_count(folder) if (folder / "config.json").is_file() else None
