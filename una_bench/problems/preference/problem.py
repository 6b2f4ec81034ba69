"""Problem interface of a language model with preference data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from una_bench.interfaces.prepared import DataSize
from una_bench.models.offline import Need
from una_bench.problems.preference.settings import PreferenceSettings


class Preference(PreferenceSettings):
    """Preparation of a language model, preference data and a reward model."""

    own_tasks = ()

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Read, pair, tokenize and split the data, and train or load the reward model."""
        from una_bench.problems.preference.prepare import prepare

        prepare(self, out, say)

    def needs(self) -> list[Need]:
        """Return the models and data that this machine lacks."""
        from una_bench.problems.preference.missing_inputs import of_problem

        return of_problem(self)

    def size(self) -> DataSize | None:
        """Return the amount of the data in local files."""
        from una_bench.problems.preference import preview

        return preview.size(self)

    def overview(self, data: DataSize | None) -> dict[str, str]:
        """Return the lines about model, data, lengths and reward."""
        from una_bench.problems.preference import preview

        return preview.overview(self, data)

    def parameter_count(self) -> int | None:
        """Return the parameters of the policy, None if it is not on this machine."""
        from una_bench.models import catalog

        return catalog.parameter_count(self.policy)
