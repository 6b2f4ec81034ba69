"""Task names of lm-eval, read from its files without importing it, to reject misspelled tasks before training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from una_bench.errors import UserError, nearest
from una_bench.evaluation.leaderboards import GROUPS

NAMED = re.compile(
    r"""^[ \t]*(?:-[ \t]*)?["']?(?:task|group|tag)["']?:[ \t]*(\[[^\]]*\]|[^\n#]*)"""
    r"""((?:\n[ \t]*-[ \t]+[^\s:]+[ \t]*$)*)""",
    re.MULTILINE,
)
"""Matches the names of tasks, groups or tags in a task file: one, a list in brackets, or a list in lines."""
NAME = re.compile(r"""[^\s,\[\]"']{2,}""")


def collection() -> Path:
    """Return the folder of lm-eval's tasks."""
    spec = find_spec("lm_eval")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "tasks" if places else Path("lm_eval/tasks")


def _names(text: str) -> set[str]:
    """Return the names of tasks, groups and tags in the text of a task file."""
    return {name for lists in NAMED.findall(text) for part in lists for name in NAME.findall(part)}


def require_known(names: Sequence[str], include: Sequence[Path] = ()) -> None:
    """Refuse the name of a task, group, tag or leaderboard that is in no task file of lm-eval or of ``include``."""
    unknown = {name for name in names if name not in GROUPS}
    for text in _texts([*include, collection()]):
        if not unknown:
            return
        if any(name in text for name in unknown):  # most files hold none, and are not searched for names
            unknown -= _names(text)
    for name in sorted(unknown):
        choices = {choice for text in _texts([*include, collection()]) for choice in _names(text)}
        raise UserError(
            f"lm-eval has no task '{name}'.{nearest(name, [*GROUPS, *sorted(choices)])} `lm_eval ls tasks` lists all; "
            f"leaderboards are {', '.join(GROUPS)}."
        )


def _texts(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        for file in folder.rglob("*"):
            if file.suffix in {"", ".yaml", ".yml"} and file.is_file():  # included files often have no suffix
                yield file.read_text(encoding="utf-8", errors="replace")
