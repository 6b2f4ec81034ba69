"""Registry of methods, benchmarks, problems and suites, by file name and by entry point of other packages."""

from __future__ import annotations

import logging
import pkgutil
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError, nearest

if TYPE_CHECKING:  # `una-bench --help` does without pydantic
    from una_bench.interfaces.benchmark import Benchmark
    from una_bench.interfaces.method import Method
    from una_bench.interfaces.prepared import Prepared
    from una_bench.interfaces.problem import Problem, RewardFunction

log = logging.getLogger("una_bench")


@cache
def _modules(group: str) -> Mapping[str, str]:
    """Return name -> import path of a group: files (or a package's ``problem``), then entry points of other names."""
    package = import_module(f"una_bench.{group}")
    paths = {
        module.name: f"una_bench.{group}.{module.name}" + (".problem" if module.ispkg else "")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }
    for point in entry_points(group=f"una_bench.{group}"):
        used = paths.setdefault(point.name, point.value)
        if used != point.value:
            log.warning(
                "The entry point %s = %s (group una_bench.%s) is not used: the name belongs to %s. Rename it.",
                *(point.name, point.value, group, used),
            )
    return dict(sorted(paths.items()))


def canonical(name: str) -> str:
    """Return the name in file spelling: ``UNA-Score`` becomes ``una_score``."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _load(group: str, kind: str, name: str, base: type) -> Any:
    modules = _modules(group)
    key = canonical(name)
    if key not in modules:
        choices = ", ".join(modules)
        raise UserError(f"There is no {kind} '{name}'.{nearest(key, modules)} Choose from: {choices}.")
    module, _, attribute = modules[key].partition(":")
    try:
        loaded = import_module(module)
        return getattr(loaded, attribute) if attribute else _only_subclass(loaded, base)
    except Exception as error:
        raise UserError(f"The {kind} '{name}' ({modules[key]}) cannot be loaded: {_why(error)}.") from error


def _why(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)
    if any(frame.name == "_process_class" for frame in last):
        return "its settings are fields of a plain class, so remove the decorator @dataclass"
    return f"{type(error).__name__}: {str(error).rstrip('.')} ({Path(last[-1].filename).name}, line {last[-1].lineno})"


def _only_subclass(module: ModuleType, base: type) -> type:
    classes = [
        v
        for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, base) and v is not base and v.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise ImportError(f"{module.__name__} must define exactly one {base.__name__}, not {len(classes)}")
    return classes[0]


def method_names() -> list[str]:
    """Return the names of all methods, the untrained ``base`` first."""
    return sorted(_modules("methods"), key=lambda name: (name != "base", name))


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks."""
    return list(_modules("benchmarks"))


def method(name: str) -> type[Method]:
    """Return the class of a method by name, in any spelling of `canonical`."""
    from una_bench.interfaces.method import Method

    cls: type[Method] = _load("methods", "method", name, Method)
    return cls


def benchmark(name: str) -> type[Benchmark]:
    """Return the class of a benchmark by name, in any spelling of `canonical`."""
    from una_bench.interfaces.benchmark import Benchmark

    cls: type[Benchmark] = _load("benchmarks", "benchmark", name, Benchmark)
    return cls


def problem_type(kind: str) -> type[Problem]:
    """Return the settings class of a kind of problem."""
    from una_bench.interfaces.problem import Problem

    cls: type[Problem] = _load("problems", "kind of problem", kind, Problem)
    return cls


def problem(settings: Mapping[str, Any]) -> Problem:
    """Return the problem of validated ``settings``, ``kind`` included."""
    return problem_type(str(settings["kind"])).model_validate(settings)


def true_reward(prepared: Prepared) -> RewardFunction | None:
    """Return the ground-truth reward of a prepared folder, if its problem has one."""
    return problem(prepared.manifest["settings"]).true_reward(prepared.path)


def groups() -> dict[str, list[str]]:
    """Return the methods of each group: by prefix (``una``), by what they learn from, and ``all``."""
    from una_bench.interfaces.method import Feedback

    methods = method_names()
    kinds = {name: method(name) for name in methods}
    given = {Feedback.PAIRWISE, Feedback.BINARY, Feedback.SCORE}
    return {
        "una": [name for name in methods if name.startswith("una_")],
        "offline": [name for name, kind in kinds.items() if kind.feedback in given],
        "online": [name for name, kind in kinds.items() if kind.feedback is Feedback.PROMPTS],
        "regression": [name for name, kind in kinds.items() if kind.regresses],
        "all": methods,
    }


def expand_methods(names: Sequence[str]) -> list[str]:
    """Resolve names and `groups` to methods, in registry order without duplicates."""
    methods = method_names()
    chosen: set[str] = set()
    for raw in names:
        name = canonical(raw)
        if name in methods:
            chosen.add(name)
            continue
        members = groups()
        if name not in members:
            hint = nearest(name, [*methods, *members])
            raise UserError(
                f"There is no method '{raw}'.{hint} Choose from: {', '.join(methods)}; groups: {', '.join(members)}."
            )
        chosen.update(members[name])
    return [m for m in methods if m in chosen]


def recipe_folder() -> Path:
    """Return the folder of the built-in suites."""
    return Path(str(import_module("una_bench.benchmarks").__path__[0])) / "recipes"


def suite_names() -> list[str]:
    """Return the names of the built-in suites."""
    return sorted(path.stem.replace("_", "-") for path in recipe_folder().glob("*.yaml"))
