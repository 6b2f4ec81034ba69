"""The README's two commands and its table are what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.interfaces import registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULT = ROOT / "results" / "exact"


def block(name: str) -> str:
    return re.search(rf"<!-- {name} command -->\n```bash\n(.*?)\n```", README, re.DOTALL)[1]  # type: ignore[index]


def test_the_table_is_the_committed_result() -> None:
    table = README.split("<!-- table -->")[1].split("<!-- /table -->")[0].strip()
    assert table
    assert table in (RESULT / "table.md").read_text(encoding="utf-8")


def test_the_run_command_installs_and_runs_the_default_suite() -> None:
    assert block("run").startswith("python -m pip install -c constraints.txt . && una-bench run")


def test_the_test_command_is_what_ci_runs() -> None:
    assert block("test") == "python -m pip install -c constraints.txt -e '.[test]' && python -m pytest"
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^una-bench ([a-z]+)", README, re.MULTILINE))))
def test_every_command_shown_exists(command: str) -> None:
    assert CliRunner().invoke(app.app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()


def test_the_committed_result_has_every_method_on_three_seeds() -> None:
    from una_bench.record import reader

    records = reader.records(RESULT)
    for name in set(registry.method_names()) - {"base"}:
        assert {r.seed for r in records if r.method == name} == {0, 1, 2}
