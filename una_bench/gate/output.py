"""Output of the gate: text, JUnit XML, GitHub annotations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from una_bench import formatting
from una_bench.gate import figures
from una_bench.gate.compare import Outcome, Verdict

SHOWN = (Outcome.REGRESSION, Outcome.IMPROVEMENT)
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot represent."""


def _what(verdict: Verdict) -> str:
    return f"{verdict.cell} {figures.words(verdict.name)}".strip()


def lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield a line per regression and improvement, one per reason for no comparison, and the totals."""
    for outcome in SHOWN:
        for verdict in verdicts:
            if verdict.outcome is outcome:
                yield f"{outcome}: {_what(verdict)}{_joint(verdict)}{verdict.detail}"
    not_compared = [v for v in verdicts if v.outcome is Outcome.NOT_COMPARED]
    for reason in dict.fromkeys(v.detail for v in not_compared):
        names = Counter(v.name or v.cell for v in not_compared if v.detail == reason)
        cells = (figures.words(n) + (f" of {count} cells" if count > 1 else "") for n, count in names.items())
        yield f"not compared: {', '.join(cells)}: {reason}"
    counts = Counter(v.outcome for v in verdicts)
    plural = {outcome: "s" * (counts[outcome] != 1 and outcome in SHOWN) for outcome in Outcome}
    yield "gate: " + ", ".join(f"{counts[outcome]} {outcome}{s}" for outcome, s in plural.items())


def _joint(verdict: Verdict) -> str:
    return ": " if verdict.name else " "


def github(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield GitHub workflow commands: errors for regressions, notices for improvements."""
    for verdict in verdicts:
        if verdict.outcome in SHOWN:
            kind = "error" if verdict.outcome is Outcome.REGRESSION else "notice"
            title = _data(f"{verdict.outcome}: {_what(verdict)}").replace(":", "%3A").replace(",", "%2C")
            yield f"::{kind} title={title}::{_data(_what(verdict) + _joint(verdict) + verdict.detail)}"


def _data(text: str) -> str:
    return formatting.clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def junit(verdicts: Sequence[Verdict], suite: str) -> str:
    """Return JUnit XML with one test case per figure, failed if it is a regression."""
    from xml.etree import ElementTree as Xml

    counts = Counter(v.outcome for v in verdicts)
    failures, skipped = str(counts[Outcome.REGRESSION]), str(counts[Outcome.NOT_COMPARED])
    totals = {"tests": str(len(verdicts)), "failures": failures, "errors": "0", "skipped": skipped}
    root = Xml.Element("testsuites", {"name": "una-bench gate", **totals})
    body = Xml.SubElement(root, "testsuite", {"name": _xml(suite), **totals})
    for verdict in verdicts:
        names = {"classname": _xml(f"{suite}.{verdict.cell}"), "name": _xml(verdict.name or "cell"), "time": "0"}
        case = Xml.SubElement(body, "testcase", names)
        detail = _xml(verdict.detail)
        if verdict.outcome is Outcome.REGRESSION:
            Xml.SubElement(case, "failure", {"message": detail, "type": "regression"}).text = detail
        elif verdict.outcome is Outcome.NOT_COMPARED:
            Xml.SubElement(case, "skipped", {"message": detail})
        elif verdict.outcome is Outcome.IMPROVEMENT:
            Xml.SubElement(case, "system-out").text = f"improvement: {detail}"
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _NO_XML.sub("?", formatting.clean(text))
