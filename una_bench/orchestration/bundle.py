"""Bundles: everything that a suite needs in one folder, for machines without a network.

bundle.json    suite, versions, and the SHA-256 of every file
recipe.yaml    the suite with every default and the hashes of its models and data
prepared/      the prepared folder: policy, reward model, responses; prepared-K/ that of draw K of the problem
hf/            cache of the library datasets with the tasks' documents
nltk_data/     data that lm-eval needs to count sentences
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.evaluation.leaderboards import GROUPS
from una_bench.models import hub, offline
from una_bench.orchestration import missing_inputs, preparation
from una_bench.orchestration.process_pool import Pool
from una_bench.record import code_facts, sealed_folder, storage
from una_bench.record.hashes import file_sha256
from una_bench.record.version import VERSION
from una_bench.suite import draws
from una_bench.suite import plan as plans
from una_bench.suite import recipe as recipes
from una_bench.suite.plan import Plan

Say = Callable[[str], None]


def make(plan: Plan, out: Path, say: Say) -> list[str]:
    """Prepare the suite if necessary, and write the bundle to ``out``, which must not exist or be empty.

    Returns the data and packages that this machine lacks; tasks that need them will show "not run".
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} already exists. Choose another folder.")
    storage.writable(out)
    missing = missing_inputs.check(plan) or missing_inputs.for_tasks(missing_inputs.tasks_of(plan))

    def hear(task: object, kind: str, content: Any) -> None:
        if kind == "say":
            say(str(content))

    pool = Pool(workers=1, threads=plan.recipe.threads, listen=hear)
    for number, draw in enumerate(draws.of(plan)):
        prepared = preparation.ensure(draw, pool, log=out / "prepare.log", say=say)
        say("copying")
        shutil.copytree(prepared.path, _of_draw(out, number), copy_function=_link_or_copy)
    (out / "prepare.log").unlink(missing_ok=True)
    for entry in (entry for name in missing_inputs.tasks_of(plan) for entry in GROUPS.get(name, ())):
        for folder in hub.cached_datasets(entry.data):
            target = out / "hf" / "datasets" / folder.name
            shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock"))
    _copy_sentence_splitter(out / "nltk_data")
    storage.write_text(out / "recipe.yaml", recipes.dump(plan.recipe))
    files = {str(p.relative_to(out)): file_sha256(p) for p in sorted(out.rglob("*")) if p.is_file()}
    index = {
        "suite": plan.recipe.name,
        "una_bench": VERSION,
        "problem_key": plan.problem_key,
        "draws": plan.recipe.draws,
        "preparation": plan.preparation,
        "files": files,
    }
    storage.write_text(out / "bundle.json", json.dumps(index, indent=1) + "\n")
    return [f"{need.what}: {need.command}" for need in missing]


def _of_draw(folder: Path, number: int) -> Path:
    return folder / (f"prepared-{number}" if number else "prepared")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy_sentence_splitter(out: Path) -> None:
    """Copy NLTK's sentence splitter if this machine has it."""
    try:
        folder = Path(str(import_module("nltk.data").find("tokenizers/punkt_tab")))
    except (ImportError, LookupError):
        return
    shutil.copytree(folder, out / "tokenizers" / "punkt_tab")


def use(folder: Path, suite: str) -> str:
    """Make a bundle's contents available to this process and its children, and forbid connections.

    Returns the recipe file to load instead of the suite; `UserError` if this is no intact bundle of that suite. Without
    a suite it is the bundle's.
    """
    index = index_of(folder)
    if suite not in {"", index["suite"], str(folder / "recipe.yaml")}:
        raise UserError(f"--bundle {folder} has the suite {index['suite']}, not {suite}.")
    _require_whole(folder, index)
    offline.enable()
    recipe = folder / "recipe.yaml"
    plan = plans.make(recipes.load(str(recipe)))
    if plan.problem_key != index["problem_key"]:
        raise UserError(
            f"--bundle {folder} was created by una-bench {index['una_bench']}, which prepares other data from the same "
            f"settings than this una-bench {VERSION}. Create it again with this version."
        )
    for number, draw in enumerate(draws.of(plan.prepared_by(index["preparation"]))):
        _install(_of_draw(folder, number), preparation.folder_of(draw))
    _point_libraries(folder)
    return str(recipe)


def index_of(folder: Path) -> dict[str, Any]:
    """Return the content of ``bundle.json``; ``preparation`` is the hash of the code that prepared the suite."""
    try:
        index: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        _ = index["suite"], index["una_bench"], index["problem_key"], index["preparation"], index["files"]
        if not code_facts.HASH.fullmatch(index["preparation"]):
            raise ValueError("no hash")
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"--bundle {folder} is not a bundle. Create one: `una-bench bundle SUITE --out DIR`.") from None
    return index


def require_draws(folder: Path, count: int) -> None:
    """Raise `UserError` if the bundle does not hold so many draws of its problem."""
    held = index_of(folder).get("draws", 1)
    if count > held:
        raise UserError(f"--draws {count}: --bundle {folder} has {held}. Create one with --set draws={count}.")


def _require_whole(folder: Path, index: dict[str, Any]) -> None:
    root = folder.resolve()
    prepared = (path for top in folder.glob("prepared*") for path in top.rglob("*"))
    present = {str(p.relative_to(folder)) for p in prepared if not p.is_dir() or p.is_symlink()}
    for name in {*index["files"], *present}:
        if name not in index["files"] or not (folder / name).resolve().is_relative_to(root):
            raise UserError(
                f"--bundle {folder}: {name} is outside the bundle or not in its list of files. Do not use this bundle."
            )
    if name := sealed_folder.first_damaged(folder, index["files"]):
        raise UserError(f"--bundle {folder}: {name} is damaged or missing. Copy the bundle again.")


def _install(folder: Path, target: Path) -> None:
    """Copy a prepared folder to the cache."""
    if not sealed_folder.damage(target):
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(target, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, beside, copy_function=_link_or_copy)
    beside.rename(target)


def _point_libraries(folder: Path) -> None:
    """Point datasets and NLTK to the bundle's data; datasets must be able to write locks there."""
    hf = folder / "hf"
    if hf.is_dir() and not os.access(hf, os.W_OK):
        copy = storage.cache_folder() / "bundles" / file_sha256(folder / "bundle.json")[:16]
        if not copy.is_dir():
            shutil.copytree(hf, copy)
        hf = copy
    if hf.is_dir():
        os.environ["HF_HOME"] = str(hf.resolve())
        os.environ.pop("HF_DATASETS_CACHE", None)
    if (folder / "nltk_data").is_dir():
        os.environ["NLTK_DATA"] = str((folder / "nltk_data").resolve())
