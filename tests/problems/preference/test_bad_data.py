"""Bad data, models, tokenizers, rewards, records and surroundings: one message that says what to do, nothing begun.

As in test_bad_input.py, golden/bad_input.json holds every message to the letter.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import synthetic

PAIR = '{"prompt": "x", "chosen": "a", "rejected": "b"}'
ROWS: list[tuple[str, str, str]] = [
    ("a.jsonl", "", "a.jsonl has no rows."),
    ("a.jsonl", '{"prompt": "x"}\n{"prompt": ', "a.jsonl cannot be read as jsonl: line 2, column 12:"),
    ("a.jsonl", '["x"]\n', "a.jsonl cannot be read as jsonl: every row must be an object."),
    ("a.json", '["x"]', "a.json cannot be read as json: every row must be an object."),
    ("a.csv", "a,b\n1\n", "a.csv cannot be read as csv:"),
    ("a.parquet", "PAR1", "a.parquet cannot be read as parquet:"),
    ("a.jsonl", '{"q": "x", "a": "y"}\n', "has the columns q, a. It needs one of these sets: prompt, response"),
    ("a.jsonl", '{"chosen": "a", "rejected": "b"}\n', "so a column prompt is needed;"),
    (
        "a.jsonl",
        '{"prompt": 3.5, "chosen": "a", "rejected": "b"}\n',
        "prompt holds 3.5; text or a list of messages",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), ROWS, ids=[m for _, _, m in ROWS])
def test_data_that_cannot_be_read(name: str, content: str, message: str, tmp_path: Path, attempt: Any) -> None:
    from una_bench.problems.preference import formats, sources
    from una_bench.problems.preference.judged_response import Scoring

    (tmp_path / name).write_text(content)
    source = sources.Source(source=str(tmp_path / name))
    assert message in attempt(
        instead=lambda: formats.judged(sources.read(source)[0], Scoring(weights={"helpfulness": 1.0}), source.name)
    )


EMPTY = "\x02\0\0\0\0\0\0\0{}"
"""A safetensors file without tensors."""
MODELS: list[tuple[dict[str, str], str]] = [
    ({}, "is not a model: it has no config.json."),
    ({"config.json": "{}"}, "has no safetensors. Other formats can run code when loaded; convert it."),
    ({"config.json": "{}", "pytorch_model.bin": "x"}, "has no safetensors. Other formats can run code"),
    ({"config.json": "{}", "model.safetensors": "short"}, "model.safetensors is damaged or truncated."),
    (
        {"config.json": "{", "model.safetensors": EMPTY},
        "config.json is damaged. Download the model again.",
    ),
    (
        {"config.json": '{"auto_map": {}}', "model.safetensors": EMPTY},
        "needs its own code, which does not run by default.",
    ),
]


@pytest.mark.parametrize(("files", "message"), MODELS, ids=[m for _, m in MODELS])
def test_a_model_that_cannot_be_used(files: dict[str, str], message: str, tmp_path: Path, attempt: Any) -> None:
    from una_bench.models import catalog

    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert message in attempt(instead=lambda: catalog.resolve(str(tmp_path)))


TEMPLATES: list[tuple[dict[str, Any], str]] = [
    ({"chat_template": None}, "mine has no chat template. Set problem.chat_template=FILE"),
    ({"chat_template": "{{ raise_exception('no') }}"}, "The chat template of mine cannot be used: no. Set problem"),
    ({"chat_template": "{% if %}"}, "The chat template of mine cannot be used:"),
    ({"chat_template": "{{ messages[0]['content'] }}", "eos_token": None}, "mine has no end token"),
]


@pytest.mark.parametrize(("changes", "message"), TEMPLATES, ids=[m for _, m in TEMPLATES])
def test_a_tokenizer_that_cannot_be_used(changes: dict[str, Any], message: str, attempt: Any) -> None:
    from tiny_world import tiny_tokenizer

    from una_bench.problems.preference import template_checks

    tokenizer = tiny_tokenizer()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    assert message in attempt(instead=lambda: template_checks.make(tokenizer, chat=True, name="mine"))


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
    rewards: list[Any], weights: list[float] | None, message: str, attempt: Any
) -> None:
    from una_bench.una.rewards import WeightedReward

    assert message in attempt(instead=lambda: WeightedReward(rewards, weights)(["x", "y"], ["a", "b"]))


RECORDS: list[tuple[str, str]] = [
    ("", "has no records. Give the folder of a run"),
    ("{half", "has no records."),
    ("[]", "line 1 is not a record. Remove the line; the cell is then run again."),
    ("3", "line 1 is not a record."),
    ('{"schema": "one"}', "line 1 is not a record."),
    ('{"schema": 99}', "line 1 has format 99; this una-bench 0.1.0 reads up to 2. Upgrade una-bench."),
    ('{"schema": 1, "run": "x"}', "line 1 is not a valid record: suite: Field required. Remove the line"),
    ("[" * 100_000, "has no records."),
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
    ("series", "0123", "series: its checksum is another, so curves and steps were changed after they were written"),
    ("meanings", "?", "measurements: there is not one of the meanings for each"),
    ("extra", 1, "extra: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("key", "value", "message"), FIELDS, ids=[k for k, *_ in FIELDS])
def test_a_damaged_field_of_a_record(key: str, value: Any, message: str, attempt: Any, tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    raw = json.loads((run / "records.jsonl").read_text())
    (run / "records.jsonl").write_text(json.dumps({**raw, key: value}) + "\n")
    assert f"line 1 is not a valid record: {message}" in attempt("report", "r")


INFOS: list[tuple[str, str, str]] = [
    ("report", "{", "run.json is not valid JSON. Delete it and repeat the run's command to write it again."),
    ("report", '{"schema": 99}', "run.json has format 99; this una-bench 0.1.0 reads up to 2. Upgrade una-bench."),
    ("run", "{", "run.json is damaged. Choose another --out, or delete the folder."),
    ("run", "[]", "run.json is damaged. Choose another --out, or delete the folder."),
    ("run", '{"schema": 99}', "run.json has format 99; this una-bench 0.1.0 reads up to 2. Upgrade una-bench."),
    ("run", '{"suite": "exact", "key": "0"}', "is a run of another recipe (suite exact, key 0; this one has key"),
]


@pytest.mark.parametrize(("command", "content", "message"), INFOS, ids=[f"{c} {i}" for c, i, _ in INFOS])
def test_a_damaged_description_of_a_run(command: str, content: str, message: str, attempt: Any, tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    (run / "run.json").write_text(content)
    assert message in attempt(*(["run", "--out", "r"] if command == "run" else [command, "r"]))


def test_a_folder_with_something_else_in_it(attempt: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "--out out is not empty and is not a run of una-bench. Choose" in attempt("run", "--out", "out")


@pytest.mark.parametrize("value", ["/dev/null/cache", "/proc/una"])
def test_a_cache_that_cannot_be_written(value: str, attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNA_BENCH_CACHE", value)
    assert f"The cache {value}/prepared cannot be written: " in attempt("run", "--methods", "dpo")


@pytest.mark.parametrize("command", ["run", "reproduce"])
def test_a_card_that_is_not_there(command: str, attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from una_bench.machine import hardware

    monkeypatch.setattr(hardware, "CARDS", ())
    suite = {"run": ["exact"], "reproduce": ["una-table4", "--scale", "small"]}[command]
    assert "device=cuda: no GPU is visible" in attempt(command, *suite, "--set", "device=cuda")


@pytest.mark.parametrize("suffix", ["csv", "json", "README.md"])
def test_an_export_into_what_is_no_file(suffix: str, attempt: Any, tmp_path: Path) -> None:
    synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    form = {"README.md": "hf-model-card"}.get(suffix, suffix)
    os.mkfifo(tmp_path / "pipe")
    said = attempt("export", "r", "--format", form, "--out", "pipe")
    assert "pipe is not a regular file. Choose another name." in said


def test_an_unknown_format_of_export(attempt: Any, tmp_path: Path) -> None:
    synthetic.write_run(tmp_path / "r", [synthetic.record("dpo", 0)])
    assert "xls" in attempt("export", "r", "--format", "xls")
