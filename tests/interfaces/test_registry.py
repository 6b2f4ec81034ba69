"""Methods of others that cannot be loaded: one message that says why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from una_bench.errors import UserError
from una_bench.interfaces import registry

BODY = """
class Mine(Method):
    label = "Mine"
    feedback = Feedback.PAIRWISE
    paper = "p"
    beta: float = 0.1
    def train(self, job, probe): ...
"""
HEAD = "from dataclasses import dataclass\nfrom una_bench import Feedback, Method\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on the path whose entry points name methods in ``mine.py``."""
    about = tmp_path / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[una_bench.methods]\nmine = mine_for_tests:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._modules.cache_clear()
    yield tmp_path
    sys.modules.pop("mine_for_tests", None)
    registry._modules.cache_clear()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (HEAD + "@dataclass" + BODY, "its settings are fields of a plain class, so remove the decorator @dataclass"),
        (HEAD + "import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name' "),
        (HEAD, "AttributeError: module 'mine_for_tests' has no attribute 'Mine' "),
    ],
)
def test_a_method_that_cannot_be_loaded_says_why(code: str, why: str, package: Path) -> None:
    (package / "mine_for_tests.py").write_text(code)
    with pytest.raises(UserError) as error:
        registry.method("mine")
    assert str(error.value).startswith(f"The method 'mine' (mine_for_tests:Mine) cannot be loaded: {why}")


def test_a_method_that_is_a_plain_class_is_loaded(package: Path) -> None:
    (package / "mine_for_tests.py").write_text(HEAD + BODY)
    assert registry.method("mine")(beta=0.3).settings()["beta"] == 0.3


def test_an_entry_point_whose_name_is_taken_is_announced(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    (package / "mine-1.0.dist-info" / "entry_points.txt").write_text("[una_bench.methods]\ndpo = mine_for_tests:Mine\n")
    assert registry.method("dpo").__module__ == "una_bench.methods.dpo"
    assert "dpo = mine_for_tests:Mine" in caplog.text and "Rename it" in caplog.text
