"""`una-bench init`: a recipe of one's own that means the same as the suite, with a comment at every key."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from una_bench.cli import app
from una_bench.interfaces import registry
from una_bench.suite import plan, recipe, recipe_file, setting_help

SUITES = registry.suite_names()
VALUES = ("expected", "score_weights")
"""Keys whose entries are values: methods, or columns."""


@pytest.mark.parametrize("suite", SUITES)
def test_the_file_means_the_same_as_the_suite(suite: str, tmp_path: Path) -> None:
    recipe_file.create(tmp_path / "mine.yaml", suite)
    assert recipe.load(str(tmp_path / "mine.yaml")) == recipe.load(suite)
    assert plan.make(recipe.load(str(tmp_path / "mine.yaml"))) == plan.make(recipe.load(suite))


def uncommented(text: str) -> list[str]:
    """Keys, with their lines, that stand below no comment."""
    keys, before, inside = [], "", ""
    for line in text.splitlines():
        key = re.match(r" *([\w-]+):", line)
        if key and not line.startswith("  "):
            inside = key[1]
        if key and inside not in VALUES and not before.lstrip().startswith("# "):
            keys.append(line)
        before = line if line.strip() != "-" else before
    return keys


@pytest.mark.parametrize("suite", SUITES)
def test_every_key_has_a_comment(suite: str) -> None:
    assert uncommented(recipe_file.written(recipe.load(suite), "x")) == []


@pytest.mark.parametrize("cls", [registry.method(m) for m in registry.method_names() if m != "base"])
def test_every_setting_of_a_method_is_explained(cls: type) -> None:
    assert set(cls.model_fields) <= setting_help.of(cls).keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", registry.benchmark_names())
def test_every_setting_of_a_benchmark_is_explained(name: str) -> None:
    cls = registry.benchmark(name)
    assert set(cls.model_fields) <= setting_help.of(cls).keys()


def test_a_default_that_is_commented_out_can_be_used(tmp_path: Path) -> None:
    text = recipe_file.written(recipe.load("preference"), "x")
    file = tmp_path / "mine.yaml"
    file.write_text(
        text.replace("  # warmup_steps: 50", "  warmup_steps: 50").replace("    # pairs: null", "    pairs: 9")
    )
    loaded = recipe.load(str(file))
    assert (loaded.training["warmup_steps"], loaded.benchmarks["preference"]["pairs"]) == (50, 9)


def test_an_existing_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["una-bench", "init", "mine.yaml"])
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr().err
    assert (end.value.code, said) == (
        2,
        "una-bench: mine.yaml already exists. Choose another name; nothing was changed.\n",
    )
    assert Path("mine.yaml").read_text() == "mine"
