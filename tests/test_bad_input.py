"""What a user can get wrong: each is one message that says what to do, status 2, and nothing was started or written.

The tables hold the part that matters; golden/bad_input.json holds every message to the letter.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import goldens
import pytest
import synthetic
import yaml

from una_bench import cli, supervise
from una_bench.errors import UserError

SMALL: dict[str, Any] = {
    "problem": {"kind": "exact"},
    "budget": {"responses": 64},
    "batch_responses": 8,
    "benchmarks": {"memory": {}},
    "methods": ["dpo", "una"],
}
PREFERENCE = {"kind": "preference", "policy": "policy", "dataset": "data.jsonl"}

COMMANDS: list[tuple[list[str], str]] = [
    (["run", "exakt"], "There is no suite 'exakt'. Did you mean 'exact'?"),
    (["run", "none.yaml"], "There is no recipe file none.yaml."),
    (["run", "--methods", "dpo,una_scroe"], "There is no method 'una_scroe'. Did you mean 'una_score'?"),
    (["run", "--methods", ","], "--methods is empty."),
    (["run", "--seeds", "0,x"], "--seeds 0,x: 'x' is not a seed."),
    (["run", "--seeds", "3-1"], "--seeds 3-1: '3-1' is not a seed."),
    (["run", "--seeds", "1,1"], "--seeds 1,1: a seed is given twice."),
    (["run", "--seeds", "-1"], "--seeds -1: '-1' is not a seed."),
    (["run", "--seeds", "²"], "--seeds ²: '²' is not a seed."),
    (["run", "--seeds", "4294967296"], "'4294967296' is not a seed."),
    (["run", "--seeds", "0-4000000000"], "--seeds 0-4000000000: more than 1000 seeds."),
    (["run", "--set", "budget.respones=3"], "there is no key 'budget.respones'. Did you mean 'responses'?"),
    (["run", "--set", "budget"], "--set budget: write key=value"),
    (["run", "--set", "=3"], "--set =3: write key=value"),
    (["run", "--set", "a..b=3"], "--set a..b=3: write key=value"),
    (["run", "--set", "name.first=3"], "--set name.first=3: 'name' has no keys below it."),
    (["run", "--set", "nothing=1"], "there is no key 'nothing'."),
    (["run", "--set", "dpo.betta=1"], "there is no setting 'betta'. Did you mean 'beta'?"),
    (["run", "--set", "budget.responses=-5"], "'budget.responses' is -5"),
    (["run", "--set", "workers=[", "--dry-run"], "--set workers=[: the value is not valid YAML."),
    (["run", "--set", "workers=2026-99-99"], "--set workers=2026-99-99: the value is not valid YAML."),
    (["run", "--baseline", "dop"], "There is no method 'dop'. Did you mean 'dpo'?"),
    (["run", "--retry", "all"], "--retry all: only `--retry failed` is known."),
    (["run", "--out", "/proc/una"], "--out /proc/una cannot be written: No such file or directory."),
    (["run", "--out", "/dev/null"], "--out /dev/null is a file. Choose another folder."),
    (["show", "una_scroe"], "There is no method or suite 'una_scroe'. Did you mean 'una_score'?"),
    (["report", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["compare", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["audit", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["export", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["leaderboard", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["gate", "nowhere", "--baseline", "none"], "There is no baseline none."),
    (["gate", "nowhere", "--baseline", ""], "There is no baseline"),
    (["baseline", "update", "nowhere", "--baseline", "none"], "nowhere holds no records."),
]

RECIPES: list[tuple[dict[str, Any], str]] = [
    ({"budgit": 1}, "there is no key 'budgit'. Did you mean 'budget'?"),
    ({"budget": {"response": 1}}, "there is no key 'budget.response'. Did you mean 'responses'?"),
    ({"budget": {}}, "'budget' is {}: give exactly one of responses, steps, tokens, flops, seconds."),
    ({"budget": {"responses": 8, "steps": 1}}, "give exactly one of responses, steps, tokens, flops, seconds."),
    ({"budget": {"flops": float("inf")}}, "'budget.flops' is inf: input should be a finite number."),
    ({"budget": {"responses": 0}}, "'budget.responses' is 0: input should be greater than 0."),
    ({"budget": {"responses": "many"}}, "'budget.responses' is 'many': input should be a valid integer"),
    ({"problem": {"kind": "exakt"}}, "There is no kind of problem 'exakt'. Did you mean 'exact'?"),
    ({"problem": {}}, "There is no kind of problem ''."),
    ({"problem": {"kind": "exact", "bета": 1}}, "there is no key 'problem.b"),
    ({"problem": {"kind": "exact", "shft": 1}}, "there is no key 'problem.shft'. Did you mean 'shift'?"),
    ({"problem": {"kind": "exact", "responses": 7}}, "'problem.responses' is 7: input should be a multiple of 2."),
    ({"problem": {"kind": "exact", "variant": "E0", "shift": 2}}, "shift: variant E0 means 0.0; leave out the variant"),
    ({"methods": ["dpo", "ktoo"]}, "There is no method 'ktoo'. Did you mean 'kto'?"),
    ({"methods": "dpo"}, "'methods' is 'dpo': input should be a valid tuple."),
    ({"seeds": [0, 0]}, "seeds must be different numbers from 0 up, at least one."),
    ({"seeds": []}, "seeds must be different numbers from 0 up, at least one."),
    ({"seeds": [-1]}, "seeds must be different numbers from 0 up, at least one."),
    ({"seeds": [2**32]}, "seeds must not be above 4294967295."),
    ({"training": {"learning_rat": 1}}, "no method has a setting 'learning_rat'. Did you mean 'learning_rate'?"),
    ({"settings": {"dpo": {"betta": 1}}}, "there is no setting 'betta'. Did you mean 'beta'?"),
    ({"settings": {"dpoo": {}}}, "There is no method 'dpoo'. Did you mean 'dpo'?"),
    ({"settings": {"dpo": {"beta": "much"}}}, "'settings.dpo.beta' is 'much': Input should be a valid number"),
    ({"settings": {"dpo": {"beta": float("nan")}}}, "'settings.dpo.beta' is nan: Input should be a finite number."),
    ({"settings": {"dpo": {"beta": 0}}}, "'settings.dpo.beta' is 0: Input should be greater than 0."),
    ({"settings": {"ppo": {"num_ppo_epochs": 0}}}, "'settings.ppo.num_ppo_epochs' is 0: Input should be greater than"),
    ({"training": {"learning_rate": -1e-3}}, "'settings.dpo.learning_rate' is -0.001: Input should be greater than 0."),
    ({"training": {"warmup_steps": -1}}, "'settings.dpo.warmup_steps' is -1: Input should be greater than or equal to"),
    (
        {"training": {"learning_rate": float("inf")}},
        "'settings.dpo.learning_rate' is inf: Input should be a finite number.",
    ),
    ({"settings": {"dpo": 3}}, "'settings.dpo' is 3: input should be a valid tuple."),
    ({"benchmarks": {"memry": {}}}, "There is no benchmark 'memry'. Did you mean 'memory'?"),
    ({"benchmarks": {"memory": {"x": 1}}}, "benchmarks.memory: there is no setting 'x'."),
    ({"benchmarks": {"leaderboard": {"batch_size": "big"}}}, "'benchmarks.leaderboard.batch_size' is 'big'"),
    ({"schema": 99}, "has schema 99; this una-bench reads up to 1. Upgrade una-bench."),
    ({"precision": "float8"}, "'precision' is 'float8': input should be 'auto', 'float32' or 'bfloat16'."),
    ({"reward": "guess"}, "'reward' is 'guess': input should be 'learned' or 'true'."),
    ({"temperature": 0}, "'temperature' is 0: input should be greater than 0."),
    ({"device": "tpu"}, "'device' is 'tpu': input should be 'auto', 'cpu' or 'cuda'."),
    ({"device": "cuda:1"}, "'device' is 'cuda:1': input should be 'auto', 'cpu' or 'cuda'."),
    ({"workers": 0}, "'workers' is 0: input should be greater than 0."),
    ({"lora": {"r": "deep"}}, "'lora.r' is 'deep'"),
    ({"name": "../../x"}, "'name' is '../../x': a name has letters, digits, spaces and . _ - only"),
    ({"name": "/etc/x"}, "'name' is '/etc/x': a name has letters, digits"),
    ({"name": ".."}, "'name' is '..': a name has letters, digits"),
    ({"name": "a\x1b[31m"}, "a name has letters, digits"),
    ({"name": ""}, "'name' is '': a name has letters, digits"),
]

BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in b"bcdefghijklmnopqrst")
"""Twenty lines that unfold to a million values."""
FILES: list[tuple[bytes, str]] = [
    (b"", "must hold keys and values, as the suites that `una-bench list` names do."),
    (b"- 1\n- 2\n", "must hold keys and values"),
    (b"name: [", "is not valid YAML: while parsing"),
    (b"a: \xff\xfe", "cannot be read: 'utf-8' codec can't decode"),
    (b"day: 2026-99-99", "is not valid YAML: month must be in 1..12."),
    (b"[" * 5000, "is not valid YAML: maximum recursion depth exceeded"),
    (BOMB, "unfolds to more than 10000 values; a recipe has about a hundred."),
    (b"a: &a [*a]", "unfolds to more than 10000 values"),
    (b"#" * (2**20 + 1), "has more than 1048576 bytes; a recipe has a few thousand."),
]

DATA: list[tuple[dict[str, Any], str]] = [
    ({"policy": None}, "'problem.policy' is None"),
    ({"dataset": None}, "'problem.dataset' is None"),
    ({"dataset": {"source": "data.jsonl", "splt": "x"}}, "there is no key 'problem.dataset.splt'."),
    ({"template": "fancy"}, "'problem.template' is 'fancy': input should be 'chat' or 'plain'."),
    ({"chat_template": "nowhere.jinja"}, "there is no such file, and it is no template."),
    ({"score_range": [1, 0]}, "the first number must be below the second."),
    ({"score_weights": {"helpfulness": -1}}, "weights must not be negative, and their sum must be above 0."),
    ({"score_weights": {}}, "weights must not be negative, and their sum must be above 0."),
    ({"heldout_share": 1}, "'problem.heldout_share' is 1: input should be less than 1."),
    ({"ties": "toss"}, "'problem.ties' is 'toss': input should be 'leave_out' or 'keep'."),
    ({"pairs": 0}, "'problem.pairs' is 0: input should be greater than or equal to 1."),
    ({"reward_model": {"name": "a", "init": "b"}}, "reward_model has a name and an init"),
    ({"reward_model": {"own_template": True}}, "own_template is for a named reward model with its own tokenizer."),
    ({"sft": True}, "'problem.sft' is True: input should be False."),
]


@pytest.fixture
def exact(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Compare a message with the golden one of this test."""

    def compare(message: object) -> None:
        text = str(message).strip().replace(str(tmp_path), "…")
        text = re.sub(r"\S*/benchmarks/recipes/", "…/", text)
        goldens.told(request.node.name, re.sub(r"\b[0-9a-f]{16}\b", "KEY", text))

    return compare


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, exact: Any) -> Any:
    """Call the command line in an empty folder where nothing may start; return what it said on standard error."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr(supervise.Pool, "run", refuse)
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        assert end.value.code == 2, captured.err
        assert captured.err.startswith("una-bench: ")
        assert "Traceback" not in captured.err
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        exact(captured.err)
        return captured.err

    return call


@pytest.mark.parametrize(("arguments", "message"), COMMANDS, ids=[" ".join(a) for a, _ in COMMANDS])
def test_a_wrong_word_on_the_command_line(arguments: list[str], message: str, attempt: Any) -> None:
    assert message in attempt(*arguments)


@pytest.mark.parametrize(("changes", "message"), RECIPES, ids=[str(c) for c, _ in RECIPES])
def test_a_wrong_key_in_a_recipe(changes: dict[str, Any], message: str, attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**SMALL, **changes}))
    assert message in attempt("run", "r.yaml")


@pytest.mark.parametrize("missing", ["problem", "budget", "batch_responses", "benchmarks"])
def test_a_missing_key_in_a_recipe(missing: str, attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({k: v for k, v in SMALL.items() if k != missing}))
    assert f"r.yaml: the key '{missing}' is missing." in attempt("run", "r.yaml")


@pytest.mark.parametrize(("content", "message"), FILES, ids=[repr(c[:20]) for c, _ in FILES])
def test_a_file_that_is_no_recipe(content: bytes, message: str, attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    assert message in attempt("run", "r.yaml")


@pytest.mark.parametrize(("changes", "message"), DATA, ids=[str(c) for c, _ in DATA])
def test_a_wrong_setting_of_data(changes: dict[str, Any], message: str, attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**SMALL, "problem": {**PREFERENCE, **changes}}))
    assert message in attempt("run", "r.yaml")


PAIR = '{"prompt": "x", "chosen": "a", "rejected": "b"}'
ROWS: list[tuple[str, str, str]] = [
    ("a.jsonl", "", "a.jsonl has no rows."),
    ("a.jsonl", '{"prompt": "x"}\n{"prompt": ', "a.jsonl cannot be read as jsonl:"),
    ("a.jsonl", '["x"]\n', "a.jsonl cannot be read as jsonl: one object a row is needed."),
    ("a.json", '{"prompt": "x"}', "a.json cannot be read as json: one object a row is needed."),
    ("a.csv", "a,b\n1\n", "a.csv cannot be read as csv:"),
    ("a.parquet", "PAR1", "a.parquet cannot be read as parquet:"),
    ("a.jsonl", '{"q": "x", "a": "y"}\n', "has the columns q, a. Needed is one of these sets: prompt, response"),
    ("a.jsonl", '{"chosen": "a", "rejected": "b"}\n', "so a column prompt is needed beside them."),
    ("a.jsonl", '{"prompt": 3, "chosen": "a", "rejected": "b"}\n', "prompt holds int; text or a list of messages"),
    ("a.jsonl", f'{PAIR}\n{{"prompt": "x", "chosen": "a"}}\n', "row 1 has no rejected, which other rows have."),
]


@pytest.mark.parametrize(("name", "content", "message"), ROWS, ids=[m for _, _, m in ROWS])
def test_data_that_cannot_be_read(name: str, content: str, message: str, tmp_path: Path, exact: Any) -> None:
    from una_bench.text import formats, sources
    from una_bench.text.judged import Scoring

    (tmp_path / name).write_text(content)
    source = sources.Source(source=str(tmp_path / name))
    with pytest.raises(UserError) as error:
        formats.judged(sources.read(source)[0], Scoring(weights={"helpfulness": 1.0}), source.name)
    assert message in str(error.value)
    exact(error.value)


EMPTY = "\x02\0\0\0\0\0\0\0{}"
"""A safetensors file without tensors."""
MODELS: list[tuple[dict[str, str], str]] = [
    ({}, "is not a model: it has no config.json."),
    ({"config.json": "{}"}, "has no safetensors. Other formats can run code when they are read; convert it."),
    ({"config.json": "{}", "pytorch_model.bin": "x"}, "has no safetensors. Other formats can run code"),
    ({"config.json": "{}", "model.safetensors": "short"}, "model.safetensors is damaged or cut off."),
    (
        {"config.json": "{", "model.safetensors": EMPTY},
        "config.json is damaged. Fetch the model again.",
    ),
    (
        {"config.json": '{"auto_map": {}}', "model.safetensors": EMPTY},
        "code of its own, which is not run.",
    ),
]


@pytest.mark.parametrize(("files", "message"), MODELS, ids=[m for _, m in MODELS])
def test_a_model_that_cannot_be_used(files: dict[str, str], message: str, tmp_path: Path, exact: Any) -> None:
    from una_bench import models

    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as error:
        models.resolve(str(tmp_path))
    assert message in str(error.value)
    exact(error.value)


TEMPLATES: list[tuple[dict[str, Any], str]] = [
    ({"chat_template": None}, "mine has no chat template. Give one (problem.chat_template=FILE)"),
    ({"chat_template": "{{ raise_exception('no') }}"}, "The chat template of mine cannot be used: no."),
    ({"chat_template": "{% if %}"}, "The chat template of mine cannot be used:"),
    ({"chat_template": "{{ messages[0]['content'] }}", "eos_token": None}, "mine has no end token"),
]


@pytest.mark.parametrize(("changes", "message"), TEMPLATES, ids=[m for _, m in TEMPLATES])
def test_a_tokenizer_that_cannot_be_used(changes: dict[str, Any], message: str, exact: Any) -> None:
    from tiny_world import tiny_tokenizer

    from una_bench.text import template

    tokenizer = tiny_tokenizer()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    with pytest.raises(UserError) as error:
        template.make(tokenizer, chat=True, name="mine")
    assert message in str(error.value)
    exact(error.value)


def three(prompts: Any, completions: Any) -> list[float]:
    return [1.0, 2.0, 3.0]


def infinite(prompts: Any, completions: Any) -> list[float]:
    return [float("inf")] * len(completions)


REWARDS: list[tuple[list[Any], list[float] | None, str]] = [
    ([], None, "No reward was given. Pass a reward model, a function or a list of them."),
    ([three], [1.0, 2.0], "reward_weights has 2 weights for 1 rewards. Give one for each."),
    ([three], None, "Reward 0 (three) returned shape (3,) for 2 completions. Return one number each."),
    ([infinite], None, "Reward 0 (infinite) gave inf to 'a'."),
]


@pytest.mark.parametrize(("rewards", "weights", "message"), REWARDS, ids=[m for *_, m in REWARDS])
def test_a_reward_function_that_cannot_be_used(
    rewards: list[Any], weights: list[float] | None, message: str, exact: Any
) -> None:
    from una_bench.una.rewards import WeightedReward

    with pytest.raises(UserError) as error:
        WeightedReward(rewards, weights)(["x", "y"], ["a", "b"])
    assert message in str(error.value)
    exact(error.value)


RECORDS: list[tuple[str, str]] = [
    ("", "holds no records. Give a folder that `una-bench run` printed"),
    ("{half", "holds no records."),
    ("[]", "line 1 is not a record. Remove the line; its cell is then run again."),
    ("3", "line 1 is not a record."),
    ('{"schema": "one"}', "line 1 is not a record."),
    ('{"schema": 99}', "line 1 has format 99; this una-bench 0.1.0 reads up to 1. Upgrade una-bench."),
    ('{"schema": 1, "run": "x"}', "line 1 is not a valid record: suite: Field required. Remove the line"),
    ("[" * 100_000, "holds no records."),
]


@pytest.mark.parametrize("command", ["report", "compare", "audit", "export"])
@pytest.mark.parametrize(("content", "message"), RECORDS, ids=[c[:20] for c, _ in RECORDS])
def test_records_that_cannot_be_read(content: str, message: str, command: str, attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "records.jsonl").write_text(content + "\n")
    assert message in attempt(command, "r")


FIELDS: list[tuple[str, Any, str]] = [
    ("status", "great", "status: Input should be 'ok', 'failed'"),
    ("seed", "x", "seed: Input should be a valid integer"),
    ("measurements", [{"metric": "a"}], "measurements.0.unit: Field required"),
    ("curves", 3, "curves: Input should be a valid tuple"),
    ("extra", 1, "extra: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("key", "value", "message"), FIELDS, ids=[k for k, *_ in FIELDS])
def test_a_damaged_field_of_a_record(key: str, value: Any, message: str, attempt: Any, tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    raw = json.loads((run / "records.jsonl").read_text())
    (run / "records.jsonl").write_text(json.dumps({**raw, key: value}) + "\n")
    assert f"line 1 is not a valid record: {message}" in attempt("report", "r")


INFOS: list[tuple[str, str, str]] = [
    ("report", "{", "run.json is not valid JSON. Delete it; the command of the run writes it anew."),
    ("report", '{"schema": 99}', "run.json has format 99; this una-bench 0.1.0 reads up to 1. Upgrade una-bench."),
    ("run", "{", "run.json is damaged. Choose another --out, or delete the folder."),
    ("run", "[]", "run.json is damaged. Choose another --out, or delete the folder."),
    ("run", '{"schema": 99}', "run.json has format 99; this una-bench 0.1.0 reads up to 1. Upgrade una-bench."),
    ("run", '{"suite": "exact", "key": "0"}', "holds a run of another recipe (suite exact, key 0; this one has key"),
]


@pytest.mark.parametrize(("command", "content", "message"), INFOS, ids=[f"{c} {i}" for c, i, _ in INFOS])
def test_a_damaged_description_of_a_run(command: str, content: str, message: str, attempt: Any, tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    (run / "run.json").write_text(content)
    assert message in attempt(*(["run", "--out", "r"] if command == "run" else [command, "r"]))


def test_a_folder_with_something_else_in_it(attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "--out out is not empty and holds no run of una-bench. Choose" in attempt("run", "--out", "out")


@pytest.mark.parametrize("value", ["/dev/null/cache", "/proc/una"])
def test_a_cache_that_cannot_be_written(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNA_BENCH_CACHE", value)
    monkeypatch.setattr(sys, "argv", ["una-bench", "run", "--methods", "dpo"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert f"The cache {value}/prepared cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "reproduce"])
def test_a_card_that_is_not_there(command: str, attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from una_bench import hardware

    monkeypatch.setattr(hardware, "CARDS", ())
    suite = {"run": ["exact"], "reproduce": ["una-table4", "--scale", "small"]}[command]
    assert "device=cuda: there is no card here" in attempt(command, *suite, "--set", "device=cuda")


@pytest.mark.parametrize("suffix", ["csv", "json", "README.md"])
def test_an_export_into_what_is_no_file(suffix: str, attempt: Any, tmp_path: Path) -> None:
    synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    form = {"README.md": "hf-model-card"}.get(suffix, suffix)
    os.mkfifo(tmp_path / "pipe")
    said = attempt("export", "r", "--format", form, "--out", "pipe")
    assert "pipe is no file, and would be replaced. Choose another name." in said


def test_an_unknown_format_of_export(attempt: Any, tmp_path: Path) -> None:
    synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    assert "xls" in attempt("export", "r", "--format", "xls")
