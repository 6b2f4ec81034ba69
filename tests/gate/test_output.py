"""How the gate's findings are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from gate_records import one
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.gate import figures, output
from una_bench.gate.compare import Outcome, Verdict
from una_bench.gate.figures import Kind


def call(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app.app, [str(a) for a in arguments])


HOSTILE = Verdict(
    cell="dpo\x1b[31m-s0",
    name="loss.64",
    outcome=Outcome.REGRESSION,
    detail="50 % <b>worse</b> & ]]> \x00\x1b[2J ::error::no, a:b\nnext",
)


def test_status_is_one_with_a_line_for_each_regression(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    result = call("gate", write("b", one(pace=16.0)), "--baseline", file)
    lines = [line for line in result.output.splitlines() if line.startswith("regression: ")]
    assert result.exit_code == 1
    assert [line.partition(" yard")[0] for line in lines] == [
        "regression: dpo-s0 pace.step: 16",
        "regression: dpo-s0 pace.training: 16",
    ]
    assert "against 10 yardstick (+60 %), allowed from " in lines[0]
    assert "gate: 2 regressions, 0 improvements" in result.output


def test_junit_can_be_read_and_counts(write: Callable[..., Path], tmp_path: Path) -> None:
    file, xml = tmp_path / "b.json", tmp_path / "deep" / "gate.xml"
    call("baseline", "update", write("a", one()), "--baseline", file)
    call("gate", write("b", one(pace=16.0)), "--baseline", file, "--junit", xml)
    (suite,) = Xml.parse(xml).getroot()
    assert suite.get("failures") == "2"
    assert suite.get("tests") == str(len(suite))
    assert {case.get("name") for case in suite if case.find("failure") is not None} == {"pace.step", "pace.training"}


def test_junit_survives_a_hostile_message() -> None:
    (case,) = Xml.fromstring(output.junit([HOSTILE], "a<b").encode())[0]
    assert case.get("classname") == "a<b.dpo\\x1b[31m-s0"
    failure = case.find("failure")
    assert failure is not None and "<b>worse</b> & ]]>" in (failure.text or "")


def test_an_annotation_is_one_line_that_says_where() -> None:
    (line,) = output.github([HOSTILE])
    assert "\n" not in line and "\x1b" not in line
    assert line.startswith("::error title=regression%3A dpo")
    assert line.endswith("50 %25 <b>worse</b> & ]]> \\x00\\x1b[2J ::error::no, a:b next")


def test_annotations_are_printed_on_request(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    run = write("b", one(pace=16.0, regret=0.1))
    assert "::" not in call("gate", run, "--baseline", file).output
    said = call("gate", run, "--baseline", file, "--annotations").output
    assert (said.count("::error title="), said.count("::notice title=")) == (2, 1)


def test_every_figure_of_a_record_has_one_kind() -> None:
    found = figures.gauges(one(), figures.quality([one()]))
    assert {g.kind for g in found.values()} == set(Kind)
