"""Files that want to do harm: what they ask for is refused, what they say is shown without its claws."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import synthetic
import yaml
from synthetic import record

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.models import catalog
from una_bench.orchestration import bundle
from una_bench.orchestration.run_folder import RunFolder
from una_bench.record.schema import Failure, Status
from una_bench.suite import plan, recipe

EVIL = "\x1b[2J\x1b]0;owned\x07 [/bold] {{ 7*7 }} <script>alert('x')</script><img src=x onerror=alert(1)> \u202egone"
CLAWS = ("\x1b", "\x07", "\u202e")


class Touch:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def model_folder(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return folder


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    folder, mark = model_folder(tmp_path / "model"), tmp_path / "mark"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(mark)))
    with pytest.raises(UserError, match=r"has no safetensors\. Other formats can run code when loaded"):
        catalog.resolve(str(folder))
    assert not mark.exists()


def test_a_models_own_code_is_refused_unrun(tmp_path: Path) -> None:
    folder, mark = model_folder(tmp_path / "model", auto_map={"AutoModelForCausalLM": "evil.Evil"}), tmp_path / "mark"
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n")
    with pytest.raises(UserError, match="needs its own code, which does not run by default"):
        catalog.resolve(str(folder))
    assert not mark.exists()


def test_the_code_of_a_data_set_on_the_hub_is_refused_unrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    from una_bench.models import hub

    folder, mark, load = tmp_path / "evil", tmp_path / "mark", datasets.load_dataset
    folder.mkdir()
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, split, **__: load(str(folder), split=split))
    with pytest.raises(UserError, match="someone/evil is loaded by its own code, which is not run"):
        hub.open_dataset("someone/evil", config="", split="train", revision="")
    assert not mark.exists()


@pytest.mark.parametrize("source", ["evil.pkl", "evil.py", "."])
def test_data_that_is_code_or_a_pickle_is_refused_unread(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from una_bench.problems.preference import sources

    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "mark"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Touch(mark)))
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    with pytest.raises(UserError, match=r"\.csv, \.json, \.jsonl, \.parquet"):
        sources.read(sources.Source(source=source))
    assert not mark.exists()


def test_no_call_of_a_library_trusts_remote_code_by_itself() -> None:
    root = Path(__file__).parent.parent
    files = [p for part in ("una_bench", "methods", "benchmarks") for p in (root / part).rglob("*.py")]
    assert not [p for p in files if "trust_remote_code=True" in p.read_text(encoding="utf-8")]


def test_the_default_folder_of_a_run_stays_below_results(tmp_path: Path) -> None:
    made = plan.make(recipe.load("exact", ["name=a..b"]))
    assert RunFolder.default(made).path.parts[:2] == ("results", "runs")
    assert len(RunFolder.default(made).path.parts) == 3


# records, labels, samples ----------------------------------------------------------------------------------------


@pytest.fixture
def evil_run(tmp_path: Path) -> Path:
    """A run whose every text is hostile."""
    why = Failure(phase=EVIL, step=1, reason=EVIL, advice=EVIL, log_tail=(EVIL,))
    texts = {"label": EVIL, "variant": EVIL, "suite": EVIL, "run": EVIL, "environment": {"machine": EVIL, EVIL: EVIL}}
    good = record("dpo", 0, **texts, cell=f"dpo[{EVIL}]-s0", settings={EVIL: EVIL}, facts={EVIL: EVIL})
    bad = record("kto", 0, **texts, status=Status.FAILED, failure=why, measurements=(), curves=(), facts={})
    info = {**synthetic.INFO, "suite": EVIL, "about": EVIL, "command": EVIL, "prepared": {"data": {"x": EVIL}}}
    run = synthetic.write_run(tmp_path / "run", [record("base", 0, label=EVIL), good, bad], info)
    folder = run / "cells" / f"dpo-s0-{good.key[:8]}" / "lmeval"
    folder.mkdir(parents=True)
    line = {"doc_id": 0, "filter": "none", "acc": 1.0, "arguments": [[EVIL, {}]], "resps": [[EVIL]]}
    (folder / "copy.samples.jsonl").write_text(json.dumps(line) + "\n")
    return run


@pytest.mark.parametrize("command", ["compare", "leaderboard", "audit", "report", "export"])
def test_hostile_text_reaches_no_terminal(
    command: str, evil_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["una-bench", command, str(evil_run)])
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr()
    assert not end.value.code, said.err
    assert not [claw for claw in CLAWS if claw in said.out + said.err]


def test_hostile_text_is_text_in_the_report(
    evil_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from una_bench.reporting import report

    page = report.write(evil_run).read_text()
    assert not [claw for claw in CLAWS if claw in page]
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("form", ["csv", "json", "hf-model-card"])
def test_hostile_text_is_text_in_what_is_exported(form: str, evil_run: Path, tmp_path: Path) -> None:
    from una_bench.reporting import export

    text = export.write(evil_run, form, tmp_path / "out").read_text()
    assert not [claw for claw in CLAWS if claw in text]


def test_hostile_text_is_no_html_in_a_model_card(evil_run: Path, tmp_path: Path) -> None:
    from una_bench.reporting import export

    text = export.write(evil_run, "hf-model-card", tmp_path / "out").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "transformers"
    assert not [line for line in body.splitlines() if "<" in line and not line.startswith("    ")]
    assert "&lt;script&gt;alert" in body, "what is harmless stays readable"


# bundles ---------------------------------------------------------------------------------------------------------


def packed(folder: Path, files: dict[str, str]) -> Path:
    (folder / "prepared").mkdir(parents=True)
    index = {"suite": "exact", "una_bench": "0", "problem_key": "0", "preparation": "0" * 12, "files": files}
    (folder / "bundle.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "prepared/../../outside"])
def test_a_bundle_whose_list_leads_out_of_it_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    with pytest.raises(UserError, match="is outside the bundle"):
        bundle.use(packed(tmp_path / "bundle", {name: "0" * 64}), "exact")


def test_a_link_in_a_bundle_is_refused(tmp_path: Path) -> None:
    folder = packed(tmp_path / "bundle", {"prepared/link": "0" * 64})
    (folder / "prepared" / "link").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="is outside the bundle"):
        bundle.use(folder, "exact")


def test_a_file_that_a_bundle_does_not_list_is_refused(tmp_path: Path) -> None:
    folder = packed(tmp_path / "bundle", {})
    (folder / "prepared" / "modeling.py").write_text("")
    with pytest.raises(UserError, match="not in its list"):
        bundle.use(folder, "exact")
