"""The reward of a problem: a function found by name, held to the bounds that it states, row by row."""

from __future__ import annotations

import importlib
import importlib.util
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Any

from una_bench.errors import UserError, nearest
from una_bench.problems.generated.reward_functions import BUILT_IN, Function, bounded
from una_bench.record.hashes import file_sha256

GROUP = "una_bench.rewards"
"""Entry points of other packages: name -> ``module:function``."""
MODEL = "model:"
"""Prefix of a reward model, whose sigmoid is the reward."""
AT_ONCE = 64
"""Responses that a function gets in one call, within its limit of time."""
FIX = "Fix the function, then run the same command again."


class TooSlow(Exception):  # noqa: N818 - a state of the clock
    """Raised in a function that took longer than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """A reward function with its bounds; what it returns is checked, then multiplied by ``scale``."""

    name: str
    function: Function
    lowest: float
    """Least value that the function may return."""
    highest: float
    scale: float = 1.0
    seconds: float = 1.0
    """Time that it may take for a response, on average over `AT_ONCE`."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest reward, after scaling."""
        return self.scale * self.lowest, self.scale * self.highest

    def __call__(self, prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
        """Return the reward of each response, in order.

        Raises:
            UserError: The function raises, is too slow, or returns something else than a number within its bounds for
                each response; the message names the row.
        """
        rewards: list[float] = []
        for start in range(0, len(completions), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            rewards += self._part(prompts[part], completions[part], start)
        return [self.scale * reward for reward in rewards]

    def _part(self, prompts: Sequence[Any], completions: Sequence[str], start: int) -> list[float]:
        try:
            with at_most(self.seconds * len(completions)):
                values = list(self.function(list(prompts), list(completions)))
        except UserError:
            raise
        except TooSlow:
            rows = f"rows {start + 1} to {start + len(completions)}"
            raise UserError(
                f"The reward {self.name} took longer than {self.seconds * len(completions):g} s for {rows}, which is "
                f"problem.reward_seconds={self.seconds:g} each. Make it faster, or raise problem.reward_seconds."
            ) from None
        except Exception as error:
            if len(completions) > 1:  # once more one by one, to find the row
                for place in range(len(completions)):
                    self._part(prompts[place : place + 1], completions[place : place + 1], start + place)
            what = f"raised {type(error).__name__}: {str(error).rstrip('.') or 'no message'}"
            raise UserError(f"{self._row(start, completions[0])} {what}. {FIX}") from error
        if len(values) != len(completions):
            raise UserError(
                f"The reward {self.name} returned {len(values)} values for {len(completions)} completions (from row "
                f"{start + 1}). Return one number each."
            )
        return [self._checked(value, start + i, completions[i]) for i, value in enumerate(values)]

    def _checked(self, value: Any, row: int, completion: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UserError(f"{self._row(row, completion)} returned {value!r:.60}, which is no number. {FIX}") from None
        if not math.isfinite(number):
            raise UserError(f"{self._row(row, completion)} returned {number}. Return finite numbers.")
        if not self.lowest <= number <= self.highest:
            raise UserError(
                f"{self._row(row, completion)} returned {number:g}, outside of its bounds [{self.lowest:g}, "
                f"{self.highest:g}]. Change what it returns, or the bounds that it states."
            )
        return number

    def _row(self, row: int, completion: str) -> str:
        return f"The reward {self.name}, row {row + 1} ({completion!r:.60}):"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in what takes longer, or after it where no signal can interrupt it."""
    started = time.monotonic()
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        if time.monotonic() - started > seconds:
            raise TooSlow
        return

    def ring(_: int, __: FrameType | None) -> None:
        raise TooSlow

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # the timer of somebody else, pytest's for one
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - started)), interval)


def find(name: str, *, scale: float = 1.0, seconds: float = 1.0) -> Reward:
    """Return the reward called ``name``: built in, an entry point, ``module:function``, ``file.py:function``, or
    ``model:FOLDER`` for the sigmoid of a reward model.

    Raises:
        UserError: There is none of that name, it cannot be loaded, or it states no bounds.
    """
    if name.startswith(MODEL):
        function = _of_model(name.removeprefix(MODEL))
    elif ":" in name:
        function = _imported(name)
    else:
        points = {point.name: point.value for point in entry_points(group=GROUP)}
        if name not in BUILT_IN and name not in points:
            names = sorted({*BUILT_IN, *points})
            raise UserError(
                f"There is no reward '{name}'.{nearest(name, names)} Choose from: {', '.join(names)}, or give your "
                "function as module:function or file.py:function."
            )
        function = BUILT_IN[name] if name in BUILT_IN else _imported(points[name])
    limits = [getattr(function, side, None) for side in ("lowest", "highest")]
    numbers = [float(limit) for limit in limits if isinstance(limit, int | float)]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or numbers[0] >= numbers[1]:
        raise UserError(
            f"The reward {name} must state its bounds as finite numbers, lowest below highest, not "
            f"{limits[0]!r} and {limits[1]!r}. Decorate it: @una_bench.bounded(0, 1)."
        )
    return Reward(name=name, function=function, lowest=numbers[0], highest=numbers[1], scale=scale, seconds=seconds)


def _imported(name: str) -> Function:
    module_name, _, attribute = name.rpartition(":")
    try:
        module = _from_file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    except UserError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {str(error).rstrip('.')}"
        raise UserError(f"The reward {name} cannot be imported: {what}. Check its name and its file.") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UserError(f"{module_name} has no function '{attribute}'.{nearest(attribute, names)} Check the name.")
    checked: Function = function
    return checked


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not look in the folder that it is called in
        sys.path.append(here)
    return importlib.import_module(name)


def _from_file(file: Path) -> Any:
    if not file.is_file():
        raise UserError(f"There is no file {file} with a reward function. Check the path.")
    spec = importlib.util.spec_from_file_location(f"una_bench_reward_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _of_model(name: str) -> Function:
    from una_bench.models.reward_scorer import RewardModel

    try:
        model = RewardModel(name)
    except (OSError, ValueError) as error:
        line = str(error).strip().partition("\n")[0]
        raise UserError(f"The reward model {name} cannot be loaded: {line}") from None

    @bounded(0.0, 1.0)
    def sigmoid(prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
        return [1 / (1 + math.exp(-max(-700.0, raw))) for raw in model(prompts, completions)]

    return sigmoid


def fingerprint(name: str) -> str:
    """Return the hash of the file of a user's function, or of a local reward model; empty for what has none.

    Equal settings must mean equal rewards; a function that reads other files is the user's own affair.
    """
    from una_bench.models import catalog

    if name.startswith(MODEL):
        return catalog.fingerprint(name.removeprefix(MODEL))
    module = name.rpartition(":")[0]
    if module.endswith(".py"):
        return file_sha256(Path(module)) if Path(module).is_file() else ""
    with suppress(ImportError, ValueError, AttributeError):
        if module and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        spec = importlib.util.find_spec(module) if module else None
        return file_sha256(Path(str(spec.origin))) if spec and spec.origin and Path(spec.origin).is_file() else ""
    return ""
