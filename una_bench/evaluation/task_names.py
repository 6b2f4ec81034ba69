"""Task names of lm-eval, read from its files without importing it, to reject misspelled tasks before training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from una_bench.errors import UserError, nearest
from una_bench.evaluation.leaderboards import GROUPS

NAMED = re.compile(r"""^\s*-?\s*["']?(?:task|group|tag)["']?:\s*["']?([^\s"'#\[]+)""", re.MULTILINE)
"""Matches the name of a task, group or tag in a task file."""


def collection() -> Path:
    """Return the folder of lm-eval's tasks."""
    spec = find_spec("lm_eval")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "tasks" if places else Path("lm_eval/tasks")


def require_known(names: Sequence[str], include: Path | None = None) -> None:
    """Refuse the name of a task, group, tag or leaderboard that is in no task file of lm-eval or of ``include``."""
    unknown = {name for name in names if name not in GROUPS}
    for text in _texts([include, collection()] if include else [collection()]):
        if not unknown:
            return
        unknown = {name for name in unknown if name not in text}
    for name in unknown:
        choices = {choice for text in _texts([collection()]) for choice in NAMED.findall(text)}
        raise UserError(
            f"lm-eval has no task '{name}'.{nearest(name, [*GROUPS, *sorted(choices)])} `lm_eval ls tasks` lists all; "
            f"leaderboards are {', '.join(GROUPS)}."
        )


def _texts(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        for file in folder.rglob("*yaml"):
            yield file.read_text(encoding="utf-8", errors="replace")
