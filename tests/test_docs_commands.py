"""README and docs name only what exists: commands, settings, files, modules and functions.

Commands in blocks run in this process, in a folder with a small model, data and copies of a committed run: those that
would start work with ``--dry-run``, those that read runs as they are. Only parsed are commands that have no dry form
and need a network or minutes (``bundle``, ``run --bundle``, ``models add``, ``doctor --measure``), and commands within
a sentence, whose arguments are often names of arguments.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from una_bench.cli import app
from una_bench.orchestration import process_pool

ROOT = Path(__file__).parent.parent
PAGES = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}
EVERY = "\n".join([*PAGES.values(), (ROOT / "results" / "README.md").read_text(encoding="utf-8")])
SUITES = ("exact", "smollm2", "una-table4", "sentiment")
"""Suites that a setting within a sentence is tried on, in order; it must fit one."""
CONFIG = {"model_type": "llama", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
RUNS = ("RUN", "OTHER", "a", "b", "c", "seeds", "results/runs/ci")


def shell(text: str) -> list[str]:
    """Lines of shell: fenced as bash, or indented."""
    fenced = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return fenced + re.findall(r"^    (una-bench .*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    for line in shell(text):
        for part in re.split(r"&&|;", line):
            if part.strip().startswith("una-bench "):
                yield shlex.join(shlex.split(part, comments=True))


def inline(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


BLOCKS = sorted({command for text in PAGES.values() for command in commands(text)})
SENTENCES = sorted({code for text in PAGES.values() for code in inline(text) if re.match(r"una-bench \w", code)})
SETTINGS = sorted(
    {setting for text in PAGES.values() for code in inline(text) for setting in re.findall(r"--set (\S+=\S+)", code)}
    | {  # the page on UNA as a library has arguments of Python
        code
        for page, text in PAGES.items()
        for code in inline(text)
        if page != "docs/una.md" and re.fullmatch(r"[a-z_.]+=[\w.-]+", code)
    }
)


def only_parsed(words: list[str]) -> bool:
    return words[0] in {"bundle", "models"} or "--bundle" in words or "--measure" in words


def parse(words: list[str]) -> None:
    command: Any = typer.main.get_command(app.app)
    context = command.make_context("una-bench", list(words), resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
    assert command.make_context(name, list(words)).command is command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands name."""
    folder = tmp_path_factory.mktemp("world")
    lines = (ROOT / "results" / "exact" / "records.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    one_seed = "".join(line for line in lines if json.loads(line)["seed"] == 0)  # a report of all takes long to draw
    for name in RUNS:
        shutil.copytree(ROOT / "results" / "exact", folder / name)
        (folder / name / "records.jsonl").write_text(one_seed, encoding="utf-8")
    (folder / "results" / "baselines").mkdir()
    shutil.copy(ROOT / "benchmarks" / "recipes" / "exact.yaml", folder / "my_suite.yaml")
    (folder / "MODEL").mkdir()
    (folder / "MODEL" / "config.json").write_text(json.dumps(CONFIG))
    (folder / "DATA.jsonl").write_text('{"prompt": "Say 1", "chosen": "1", "rejected": "2"}\n')
    (folder / "FILE").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    return folder


@pytest.fixture
def call(world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Call the command line in that folder; no process may start."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("work was started")

    def call(words: list[str]) -> int:
        monkeypatch.setattr(
            sys, "argv", ["una-bench", *(re.sub(r"(^|=)DATA$", r"\1DATA.jsonl", word) for word in words)]
        )
        with pytest.raises(SystemExit) as end:
            app.main()
        return int(end.value.code or 0)

    monkeypatch.setattr(process_pool.Pool, "run", refuse)
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(world)
    return call


def test_there_is_something_to_test() -> None:
    assert len(BLOCKS) > 20 and len(SENTENCES) > 10 and len(SETTINGS) > 20


@pytest.mark.parametrize("command", BLOCKS)
def test_a_command_in_a_block_works(command: str, call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)[1:]
    if only_parsed(words):
        parse(words)
        return
    if words[0] == "gate":
        assert call(["baseline", "update", *RUNS[2:4], *words[2:]]) == 0
    dry = ["--dry-run"] if words[0] in {"run", "reproduce"} and "--dry-run" not in words else []
    status, said = call([*words, *dry]), capsys.readouterr().err
    assert status == 0 or ("--dry-run" in (*words, *dry) and lacks_only_inputs(said)), said


def lacks_only_inputs(said: str) -> bool:
    """Whether a dry run was understood, and only models and data are not on this machine."""
    return "This run cannot start: Inputs of the suite" in said and "una-bench: " not in said


@pytest.mark.parametrize("command", SENTENCES)
def test_a_command_in_a_sentence_is_one_that_the_command_line_takes(command: str) -> None:
    words = shlex.split(command)[1:]
    gated = ["RUN", "--baseline", "FILE"]
    required = {"gate": gated, "baseline": gated, "show": ["NAME"]}
    required |= {name: ["RUN"] for name in ("compare", "leaderboard", "report", "audit", "export")}
    given = len(words) > 1 + (words[0] == "baseline")
    parse(words if given else [*words, *required.get(words[0], [])])


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_fits_a_suite(setting: str, call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for suite in SUITES:
        status = call(["run", suite, "--set", setting, "--dry-run"])
        said.append(capsys.readouterr().err)
        if status == 0 or lacks_only_inputs(said[-1]):
            return
    pytest.fail("\n".join(said))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:una_bench|methods|benchmarks|tests)/[\w./-]*\w", EVERY))))
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\buna_bench(?:\.\w+)+", EVERY))))
def test_a_dotted_name_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    group = any(f'"{name}"' in path.read_text(encoding="utf-8") for path in ROOT.glob("una_bench/**/*.py"))
    assert hasattr(import_module(module), attribute) or find_spec(name) or group  # or a group of entry points


@pytest.mark.parametrize(
    ("path", "names"), re.findall(r"^\| \d+ \| `(\S+\.py)` \| (.*?) \|", PAGES["docs/architecture.md"], re.MULTILINE)
)
def test_the_walk_names_functions_that_exist(path: str, names: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert defined >= set(re.findall(r"`(\w+)`", names)) > set()


@pytest.mark.parametrize("package", sorted(p.parent.name for p in ROOT.glob("una_bench/*/__init__.py")))
def test_every_package_is_described(package: str) -> None:
    assert f"| `una_bench/{package}` |" in PAGES["docs/architecture.md"]


@pytest.mark.parametrize(
    ("page", "link"), [(p, u) for p, text in PAGES.items() for u in re.findall(r"\]\(([^)#\s]+)\)", text)]
)
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    assert link.startswith("https://") or ((ROOT / page).parent / link).exists()


def test_the_commit_hooks_are_the_checks_of_the_test_command() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert entries == ["ruff check", "ruff format --check", "mypy", "lint-imports --no-cache"]


def test_the_citation_names_this_version() -> None:
    from una_bench import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["cff-version"], str(citation["version"])) == ("1.2.0", __version__)
