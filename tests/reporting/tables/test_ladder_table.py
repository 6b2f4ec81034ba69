"""The table and the figure of ladders."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import climbs
import goldens
import synthetic

from una_bench.cli import results
from una_bench.reporting import report
from una_bench.reporting.plots import figures
from una_bench.reporting.tables import ladder_table, render


def test_the_table_is_as_it_was(tmp_path: Path) -> None:
    goldens.same("ladder.md", ladder_table.markdown(synthetic.write_run(tmp_path / "run", climbs.online())))


def test_one_seed_has_no_range() -> None:
    table = ladder_table.of_records([r for r in climbs.online() if r.seed == 0])
    assert table and "[" not in "".join(
        cell.text for group in table.groups for line in group.lines for cell in line.cells
    )


def test_a_run_without_neighboring_rungs_has_no_table_no_figure_and_no_section(tmp_path: Path) -> None:
    assert ladder_table.markdown(synthetic.write_run(tmp_path / "run")) == ""
    assert "ladder" not in [plot.name for plot in figures.draw(synthetic.records(), {})]
    assert 'id="ladder"' not in report.page(synthetic.records(), {})


def test_the_report_has_a_section_with_the_table_and_the_figure() -> None:
    page = report.page(climbs.online(), {})
    section = page[page.index('<section id="ladder">') : page.index('<section id="plots">')]
    assert all(part in section for part in ("<caption>", "our sampler", "<svg", "ladder-title"))
    assert page.count('id="ladder-title"') == 1


def test_a_run_writes_the_table_and_the_figure_into_its_folder(tmp_path: Path) -> None:
    finished: Any = SimpleNamespace(run=synthetic.write_run(tmp_path / "run", climbs.online()), records=climbs.online())
    results.write(finished, baseline="dpo")
    assert (finished.run / "ladder.md").read_text(encoding="utf-8") == ladder_table.markdown(finished.run)
    assert (finished.run / "plots" / "ladder.svg").is_file()


def test_the_numbers_are_in_base_units() -> None:
    table = ladder_table.of_records(climbs.online())
    assert table is not None
    first = render.frame(table).iloc[1]
    assert (first["seconds median [s]"], first["bytes median [B]"]) == (2.5, 8.0)


def test_the_documentation_has_the_table_of_the_kept_run() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "una.md").read_text(encoding="utf-8")
    table = page.split("<!-- ladder -->\n")[1].split("\n<!-- /ladder -->")[0]
    assert table == ladder_table.markdown(root / "results" / "ladder").strip()
