"""The report: complete, harmless, self-contained, the same to the byte, and legible in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from statistics import fmean

import goldens
import pytest
import synthetic
from synthetic import record

from una_bench.analysis import documents
from una_bench.cli import results
from una_bench.orchestration.runner import Finished
from una_bench.record import reader
from una_bench.record.schema import Better, Record
from una_bench.reporting import report, summary
from una_bench.reproduction import claims_table

PAGE = report.page(synthetic.records(), synthetic.INFO, baseline="dpo")
SLACK = 2
"""A busy machine doubles even the processor time."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Structure(HTMLParser):
    """Tags that are open, the ids, what is loaded, and the text."""

    VOID = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [values[k] for k in ("src", "srcset", "data", "poster", "action") if k in values]
        self.links += [values[k] for k in ("href", "xlink:href") if k in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


FOUND = Structure(PAGE)


def test_the_report_is_as_it_was() -> None:
    """Figures are left out: they depend on the version of matplotlib, and have tests of their own."""
    without = re.sub(r"<svg.*?</svg>", "<svg/>", PAGE, flags=re.S)
    goldens.same("report.html", without)


def test_every_tag_is_closed() -> None:
    assert (FOUND.wrong, FOUND.open) == ([], [])


def test_ids_are_unique() -> None:
    assert len(FOUND.ids) == len(set(FOUND.ids))


def test_nothing_is_loaded() -> None:
    assert FOUND.loads == [] and "@import" not in PAGE and not re.search(r"url\((?!#)", PAGE)


def test_links_stay_on_the_page() -> None:
    assert {link[1:] for link in FOUND.links if link.startswith("#")} == {link[1:] for link in FOUND.links}


def test_links_lead_somewhere() -> None:
    assert {link[1:] for link in FOUND.links} <= set(FOUND.ids)


@pytest.mark.parametrize(
    "section",
    ["answer", "fairness", "results", "plots", "tasks", "failures", "settings", "environment", "again"],
)
def test_every_section_is_there(section: str) -> None:
    assert section in FOUND.ids


def test_the_ledger_stands_above_the_results() -> None:
    assert PAGE.index('id="fairness"') < PAGE.index('id="results"')


def test_a_label_with_tags_is_text() -> None:
    assert ("<script>alert" in PAGE, "<script>alert('x')</script>" in FOUND.text) == (False, True)


def test_no_control_character_reaches_the_page() -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", PAGE)


def test_a_failure_has_phase_step_reason_advice_and_log() -> None:
    parts = ["ppo-s2", "out of memory", "in train, step 17", "<b>than</b>", "Lower batch_responses", "step 16"]
    assert [p for p in parts if p not in FOUND.text] == []


def test_the_page_says_how_to_run_it_again() -> None:
    assert synthetic.INFO["command"] in FOUND.text


def test_the_page_says_at_its_top_what_the_run_changed_of_its_suite() -> None:
    command = "una-bench run x --set problem.policy=big --offline --set 'settings.ppo=[{a: <1>}]' --set=budget.steps=3"
    text = Structure(report.page(synthetic.records(), {**synthetic.INFO, "command": command})).text
    said = " ".join(text.partition("Answer")[0].split())
    assert "Changed for this run: problem.policy=big, settings.ppo=[{a: <1>}], budget.steps=3" in said


@pytest.mark.parametrize("command", ["", "una-bench run x", "una-bench run 'x --set a=1"])
def test_a_run_of_a_suite_as_it_is_changed_nothing(command: str) -> None:
    assert "Changed for this run" not in report.page(synthetic.records(), {**synthetic.INFO, "command": command})


def test_the_page_has_a_citation() -> None:
    assert "arXiv preprint arXiv:2408.15339" in FOUND.text


def test_settings_that_differ_are_shown_and_equal_ones_are_not() -> None:
    section = PAGE[PAGE.index('id="settings"') : PAGE.index('id="environment"')]
    assert ("learning_rate" in section, "warmup_steps" in section) == (True, False)


def test_the_environment_names_versions() -> None:
    assert "2.13.0" in PAGE[PAGE.index('id="environment"') :]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first = report.write(synthetic.write_run(tmp_path / "a" / "run"), baseline="dpo").read_bytes()
    later = report.write(synthetic.write_run(tmp_path / "b" / "run", synthetic.records()[::-1]), baseline="dpo")
    assert later.read_bytes() == first


def test_a_report_is_made_from_records_alone(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    (run / "run.json").unlink()
    assert "una-bench run exact" in report.write(run).read_text()


def test_a_run_where_everything_failed_has_a_report() -> None:
    page = report.page([synthetic.failed("dpo", 0)], {})
    assert "No trained method has a quality metric" in page


def test_answers_of_a_model_are_escaped(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    synthetic.write_documents(run, record("dpo", 0), "copy", [1.0])
    page = report.write(run).read_text()
    assert ("<script>4" in page, "&lt;script&gt;4" in page) == (False, True)


def test_task_differences_are_paired_by_document_where_documents_are_kept(tmp_path: Path) -> None:
    def with_score(method: str, seed: int, scores: list[float]) -> Record:
        value = synthetic.measurement("task.copy.acc", "1", Better.HIGHER, sum(scores) / len(scores))
        return record(method, seed, measurements=(value,), key=f"{method}-{seed}-key")

    scores = {("dpo", 0): [1.0, 0.0, 1.0, 0.0], ("ppo", 0): [1.0, 1.0, 1.0, 0.0]}
    found = [with_score(m, s, v) for (m, s), v in scores.items()]
    run = synthetic.write_run(tmp_path / "r", found)
    for one in found:
        synthetic.write_documents(run, one, "copy", scores[one.method, one.seed])
    made = report.results_table.tasks(found, baseline="dpo", documents=documents.scores(run, found))
    assert made is not None and made.then[0].groups[0].lines[0].cells[0].text == "+0.25 ± 0.80"


def test_the_answer_is_three_sentences() -> None:
    assert len(summary.sentences(synthetic.records())) == 3


def test_the_answer_does_not_crown_what_is_not_resolved() -> None:
    assert "its lead over PPO is not resolved" in summary.sentences(synthetic.records())[0]


def test_the_answer_names_a_resolved_lead() -> None:
    found = [record(m, s) for m in ("dpo", "una_online") for s in range(3)]
    assert summary.sentences(found)[0].endswith("; its lead is resolved.")


def test_the_answer_counts_documents_as_the_table_does() -> None:
    """The lead is the same with every seed, and one prompt of three makes it."""
    metric, of = "oracle.regret.train", {"dpo": (0.5, 0.5, 0.5), "una_online": (-0.4, 0.5, 0.5)}
    found = []
    for method, seed in product(of, range(3)):
        value = synthetic.measurement(metric, "1", Better.LOWER, fmean(of[method]) + seed / 100, stderr=0.1)
        found.append(record(method, seed).model_copy(update={"measurements": (value,)}))
    scores = {(r.cell, metric): {str(d): v + r.seed / 100 for d, v in enumerate(of[r.method])} for r in found}
    paired, alone = (summary.sentences(found, documents=each)[0] for each in (scores, None))
    assert "0.21 ± 0.20; its lead over DPO is not resolved." in paired
    assert "0.21 ± 0.20; its lead is resolved (over seeds alone: the sampling of prompts" in alone


def test_the_answer_of_one_seed_says_that_it_is_one_seed() -> None:
    found = [record(m, 0) for m in ("dpo", "una_online")]
    assert "one seed cannot show" in summary.sentences(found)[0]


def test_the_answer_names_all_that_have_the_same_mean() -> None:
    best = record("dpo", 0)
    same = best.model_copy(update={"method": "una_pairwise", "label": "UNA-pairwise", "cell": "p", "key": "p"})
    assert ", equal to UNA-pairwise; " in summary.sentences([best, same, record("kto", 0)])[0]
    assert ", equal to " not in summary.sentences([best, record("kto", 0)])[0]


def test_a_report_of_a_thousand_records_takes_less_than_five_seconds(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", synthetic.thousand())
    report.page([record("dpo", 0)], {})  # imports of matplotlib are not what is bounded
    start = time.process_time()
    report.write(run)
    assert time.process_time() - start < 5 * SLACK


@pytest.mark.parametrize("step", [1, -1])
def test_the_report_at_the_end_of_a_run_is_that_of_its_records(step: int, tmp_path: Path) -> None:
    """It takes over the figures of the run's plots, unless the run has its records in another order."""
    run = synthetic.write_run(tmp_path / "r", synthetic.records())
    results.write(Finished(run=run, records=reader.records(run)[::step], trained=0), baseline="dpo")
    page = (run / "report.html").read_text(encoding="utf-8")
    claims = claims_table.of_run(run)
    assert page == report.write(run, baseline="DPO", claims=claims).read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_renders_in_a_browser_without_scrolling_sideways(width: int, scheme: str, tmp_path: Path) -> None:
    """A frame of the given width holds the page, as no window is narrower than 500, and tells how it turned out."""
    probe = (
        "<script>addEventListener('load',()=>{const d=document.documentElement;"
        "document.title=[d.scrollWidth<=innerWidth+1,document.querySelectorAll('figure svg').length,"
        "getComputedStyle(document.body).backgroundColor].join(';');"
        "parent.postMessage(document.title,'*')})</script>"
    )
    (tmp_path / "page.html").write_text(PAGE.replace("</body>", probe + "</body>"), encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        f"<meta name=color-scheme content='light dark'><iframe src=page.html width={width} height=900></iframe>"
        "<script>addEventListener('message',e=>{document.body.dataset.found=e.data})</script>"
    )
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    flags += [f"--blink-settings=preferredColorScheme={int(scheme == 'light')}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", (tmp_path / "frame.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    background = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    assert f'data-found="true;9;{background}"' in done.stdout
