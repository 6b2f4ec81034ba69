"""What a user can get wrong in a command or a recipe: one message that says what to do, and nothing is begun.

The tables hold the part that matters; golden/bad_input.json holds every message to the letter.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from una_bench.cli import app

SMALL: dict[str, Any] = {
    "problem": {"kind": "exact"},
    "budget": {"responses": 64},
    "batch_responses": 8,
    "benchmarks": {"memory": {}},
    "methods": ["dpo", "una"],
}
PREFERENCE = {"kind": "preference", "policy": "policy", "dataset": "data.jsonl"}

TWO = ["--set", "processes=2"]

COMMANDS: list[tuple[list[str], str]] = [
    (["run", "ci", "--set", "una_online.sampler=transformer"], "Did you mean 'transformers'?"),
    (["run", "ci", "--set", "una_pairwise.logits_chunk_size=-1"], "una_pairwise.logits_chunk_size"),
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
    (["run", "--draws", "0"], "--draws 0: give a whole number from 1 to 1000."),
    (["run", "--draws", "1001"], "--draws 1001: give a whole number from 1 to 1000."),
    (["run", "--draws", "2.5"], "--draws 2.5: give a whole number from 1 to 1000."),
    (["run", "--draws", "many"], "--draws many: give a whole number from 1 to 1000."),
    (
        ["run", "smollm2", "--draws", "2"],
        "'draws' is 2: the data of a problem of kind preference are given, not drawn.",
    ),
    (["run", "--set", "budget.respones=3"], "there is no key 'budget.respones'. Did you mean 'responses'?"),
    (["run", "--set", "budget"], "--set budget: write key=value"),
    (["run", "--set", "=3"], "--set =3: write key=value"),
    (["run", "--set", "a..b=3"], "--set a..b=3: write key=value"),
    (["run", "--set", "name.first=3"], "--set name.first=3: 'name' has no subkeys."),
    (["run", "--set", "nothing=1"], "there is no key 'nothing'."),
    (["run", "--set", "dpo.betta=1"], "there is no key 'settings.dpo.betta'. Did you mean 'beta'?"),
    (["run", "--set", "budget.responses=-5"], "'budget.responses' is -5"),
    (["run", "--set", "workers=[", "--dry-run"], "--set workers=[: the value is not valid YAML."),
    (
        ["run", "--set", "workers=2026-99-99"],
        "'workers' is '2026-99-99': no number of cells. Give auto or a whole number",
    ),
    (["run", "--set", "benchmarks.leaderbord=null"], "'benchmarks' has no 'leaderbord'. Did you mean 'leaderboard'?"),
    (["run", "--set", "training.betta=null"], "'training' has no 'betta'. Did you mean 'beta'?"),
    (["run", "preference", "--set", "problem.columns.prompt=null"], "'problem.columns' has no 'prompt'."),
    (["run", "--set", "methods.pppo=null"], "There is no method 'pppo'. Did you mean 'ppo'?"),
    (["run", "--executor", "slrum"], "There is no executor 'slrum'. Did you mean 'slurm'?"),
    (["run", "--slurm", "partition=gpu"], "--slurm partition=gpu: cells run on this machine. Add --executor slurm"),
    (["run", "--executor", "slurm", "--slurm", "partitoin=gpu"], "no key 'partitoin'. Did you mean 'partition'?"),
    (["run", "--executor", "slurm", "--slurm", "partition"], "--slurm partition: write key=value"),
    (["run", "--executor", "slurm", "--slurm", "time=1:00:00"], "'slurm.time' is '1:00:00': give whole minutes"),
    (["reproduce", "una-table1", "--slurm", "partition=gpu"], "--slurm partition=gpu: cells run on this machine."),
    (["reproduce", "una-table1", "--executor", "slrm"], "There is no executor 'slrm'. Did you mean 'slurm'?"),
    (["run", "--set", "workers=all"], "'workers' is 'all': no number of cells. Give auto or a whole number above 0."),
    (
        ["run", "--set", "workers=aoto"],
        "'workers' is 'aoto': no number of cells. Did you mean 'auto'? Give auto or a whole number above 0.",
    ),
    (["run", "--set", "slurm.partitoin=gpu"], "there is no key 'slurm.partitoin'. Did you mean 'partition'?"),
    (["run", "--set", "processes=2", "--methods", "ppo"], "PPO with processes=2: TRL samples with a generator"),
    (["run", "--set", "processes=2", "--methods", "orpo"], "ORPO with processes=2: its loss on the chosen responses"),
    (["run", "ci", "--set", "processes=3", "--methods", "una"], "it does not divide the 16 responses of a step"),
    (["run", "ci", "--set", "processes=0"], "'processes' is 0"),
    (
        ["run", "ci", "--set", "sharding=zero1"],
        "'sharding' is 'zero1': there is no file of that name. Did you mean 'zero",
    ),
    (["run", "ci", "--methods", "dpo", "--set", "sharding=zero2"], "divides states among processes, and there is one"),
    (["run", "ci", "--methods", "ppo", *TWO, "--set", "sharding=zero3"], "PPO with processes=2: TRL samples with a"),
    (["run", "ci", "--methods", "dpo", *TWO, "--set", "sharding=fsdp2", "--set", "device=cpu"], "needs accelerators"),
    (["run", "ci", "--methods", "dpo", *TWO, "--set", "sharding=zero3", "--set", "precision=bfloat16"], "float32"),
    (
        ["run", "ci", "--methods", "dpo", *TWO, "--set", "sharding=fsdp2", "--set", "precompute_ref_log_probs=true"],
        "TRL 1.12 computes the reference before FSDP2 has the model",
    ),
    (
        [
            "run",
            "ci",
            "--methods",
            "dpo",
            *TWO,
            "--set",
            "sharding={zero_optimization: {stage: 2}, optimizer: {lr: 1}}",
        ],
        "its key 'optimizer' is decided by the settings of each method",
    ),
    (["run", "ci", "--set", "processes=2", "--methods", "kto", "--set", "batch_responses=2"], "needs two responses in"),
    (["run", "ci", "--set", "processes=2", "--methods", "dpo", "--set", "dpo.loss_type=aot"], "loss_type=aot needs a"),
    (
        ["run", "ci", "--set", "processes=2", "--methods", "una_score", "--set", "una_score.offset=prompt_mean"],
        "offset=prompt_mean needs all responses to a prompt in one process.",
    ),
    (
        ["run", "ci", "--set", "processes=2", "--methods", "una_score", "--set", "una_score.reduction=sum"],
        "reduction=sum adds up one forward pass",
    ),
    (
        ["run", "ci", "--set", "processes=8", "--methods", "rebel", "--set", "rebel.responses_per_rollout=32"],
        "it compares the 4 responses to a prompt, and 2 responses in a process are no multiple of that.",
    ),
    (
        ["run", "ci", "--methods", "dpo", "--set", "processes=2", "--set", "budget={seconds: 9}"],
        "processes=2: each process would see its own budget.seconds.",
    ),
    (["run", "--set", "workers=null"], "'workers' is None: no number of cells. Give auto or a whole number above 0."),
    (["run", "preference"], "There is no model yet. Give yours with --model: una-bench run --model MODEL --data DATA."),
    (["run", "--data", "x.jsonl"], "There is no model yet."),
    (["run", "exact", "--model", "m"], "--model m: the suite exact makes its own model and data."),
    (["run", "ci", "--reward-model", "m"], "--reward-model m: the suite ci makes its own model and data."),
    (["run", "preference", "--limit", "3"], "--limit 3: the suite preference has no tasks."),
    (["run", "--tasks", ","], "--tasks , has no name."),
    (["run", "--tasks", "hellaswa,leaderboard-v2"], "lm-eval has no task 'hellaswa'. Did you mean 'hellaswag'?"),
    (["run", "--tasks", "exact_choise"], "lm-eval has no task 'exact_choise'."),
    (["run", "--tasks-path", "nowhere"], "tasks_path=nowhere is not a folder: give one with lm-eval task files"),
    (["run", "--judge", "rul"], "there is no judge 'rul'. Did you mean 'rule'? Choose from: rule, reward_model, local"),
    (["run", "--judge", "http://127.0.0.1:9/v1"], "needs the name of a model: set model (--judge-model)"),
    (["run", "--judge-model", "nowhere"], "There is no model 'nowhere'."),
    (
        ["run", "--judge", "http://user:secret@127.0.0.1:9/v1", "--judge-model", "m"],
        "judge is a URL with more than the address of an API: give the key in an environment variable",
    ),
    (["run", "--judge", "http://127.0.0.1:9/v1", "--judge-model", "m"], "needs a key in the environment variable"),
    (["run", "--judge", "rule", "--set", "benchmarks.judge.baseline=kot"], "benchmarks.judge.baseline=kot is not in"),
    (["run", "--judge", "rule", "--set", "benchmarks.judge.kinds=grade"], "a rule gives no grades"),
    (["run", "--judge", "rule", "--set", "benchmarks.judge.pairwise_prompt=no.yaml"], "no.yaml cannot be read"),
    (["run", "--tasks", "hellaswag", "--limit", "0"], "'benchmarks.leaderboard.limit' is 0"),
    (["init", "mine.txt"], "mine.txt is not the name of a recipe. Choose one that ends in .yaml."),
    (["init", "nowhere/mine.yaml"], "nowhere/mine.yaml cannot be written: No such file or directory."),
    (["init", "mine.yaml", "--from", "exakt"], "There is no suite 'exakt'. Did you mean 'exact'?"),
    (
        ["run", "--methods", "ofline"],
        "There is no method 'ofline'. Did you mean 'offline'?",
    ),
    (
        ["run", "--methods", "grpo", "--set", "grpo.num_generations=1"],
        "'settings.grpo.num_generations' is 1: at least 2 are needed, since GRPO compares the responses to a prompt.",
    ),
    (
        ["run", "--methods", "orpo", "--set", "orpo.precompute_ref_log_probs=true"],
        "precompute_ref_log_probs must be left out, since ORPO has no reference model.",
    ),
    (
        ["run", "--methods", "rloo", "--set", "rloo.precompute_ref_log_probs=true"],
        "precompute_ref_log_probs must be left out, since RLOO has new responses to score in every rollout.",
    ),
    (["run", "--set", "grpo.loss_type=dr_grop"], "'settings.grpo.loss_type' is 'dr_grop'. Did you mean 'dr_grpo'?"),
    (["run", "--set", "robust_dpo.label_smoothing=0.5"], "'settings.robust_dpo.label_smoothing' is 0.5"),
    (["run", "--tune", "trials=4", "--draws", "2"], "methods are tuned on one draw of the problem."),
    (["run", "--tune", "trials"], "--tune trials: write key=value, for example --tune trials=8."),
    (["run", "--tune", "trails=8"], "--tune trails=8: there is no key 'trails'. Did you mean 'trials'?"),
    (["run", "--tune", "trials=1"], "'tune.trials' is '1'"),
    (["run", "--tune", "space=1"], "Write --set tune.space.METHOD.SETTING=[LOW,HIGH]."),
    (["run", "--tune", "metric=oracle.regret.train"], "tune.metric=oracle.regret.train is reported in the table"),
    (["run", "--tune", "metric=oracle.regert.validation"], "Did you mean 'oracle.regret.validation'?"),
    (
        ["run", "--tune", "trials=4", "--methods", "dpo", "--set", "tune.space.kto.beta=[0.1,1]"],
        "tune.space has ranges for 'kto', which is not run.",
    ),
    (
        ["run", "--tune", "trials=4", "--set", "tune.space.dpo.beta=[1,0.1]"],
        "dpo.beta: [1, 0.1] is no range: give two numbers above 0, the lower first.",
    ),
    (
        ["run", "--tune", "trials=4", "--methods", "dpo", "--set", "tune.space.dpo.kl_coef=[0.1,1]"],
        "DPO has no setting 'kl_coef'.",
    ),
    (["run", "--baseline", "dop"], "There is no method 'dop'. Did you mean 'dpo'?"),
    (["run", "--retry", "all"], "--retry all is not supported. Use --retry failed."),
    (["run", "--out", "/proc/una"], "--out /proc/una cannot be written: No such file or directory."),
    (["run", "--out", "/dev/null"], "--out /dev/null is a file. Choose another folder."),
    (["show", "una_scroe"], "There is no method or suite 'una_scroe'. Did you mean 'una_score'?"),
    (["report", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["compare", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["audit", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["export", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["leaderboard", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["claims", "nowhere"], "nowhere is not a run: it has no records.jsonl."),
    (["claims", "results/exact", "results/exact"], "results/exact is not a run: it has no records.jsonl."),
    (["gate", "nowhere", "--baseline", "none"], "There is no baseline none."),
    (["gate", "nowhere", "--baseline", ""], "--baseline is empty."),
    (["baseline", "update", "nowhere", "--baseline", "none"], "nowhere has no records."),
    (
        ["run", "--report-to", "tensorbord"],
        "--report-to: there is no tracker 'tensorbord'. Did you mean 'tensorboard'?",
    ),
    (["run", "--set", "preset=papr"], "has no preset 'papr'. It has no presets."),
    (["run", "--bundle", "nowhere"], "--bundle nowhere is not a bundle."),
    (["reproduce", "exact"], "The suite exact reproduces no published numbers."),
    (["reproduce", "una-table1", "--preset", "papr"], "has no preset 'papr'. Did you mean 'paper'?"),
    (["reproduce", "una-table1", "--scale", "tiny"], "has no scale 'tiny'. Choose from: small."),
    (["bundle", "exact", "--out", "/dev/null"], "--out /dev/null already exists. Choose another folder."),
    (["models", "add", "smollm3"], "There is no model 'smollm3' to add. Did you mean 'smollm2'?"),
    (["doctor", "--json", "x"], "--json needs --measure: una-bench doctor --measure --json FILE."),
]
USAGE: list[tuple[list[str], str]] = [
    (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
    (["run", "--sed", "3"], "No such option: --sed (Possible options: --scale, --seeds, --set)"),
    (["run", "exact", "extra"], "Got unexpected extra argument(s) (extra)"),
    (["run", "--seeds"], "Option '--seeds' requires an argument."),
    (["report"], "Missing argument 'RUN'."),
    (["gate", "nowhere"], "Missing option '--baseline'."),
    (["bundle", "exact"], "Missing option '--out'."),
]
"""What typer refuses, in its box below the usage."""

RECIPES: list[tuple[dict[str, Any], str]] = [
    ({"budgit": 1}, "there is no key 'budgit'. Did you mean 'budget'?"),
    ({"budget": {"response": 1}}, "there is no key 'budget.response'. Did you mean 'responses'?"),
    ({"budget": {}}, "'budget' is {}: give exactly one of responses, steps, tokens, flops, seconds, epochs."),
    ({"budget": {"responses": 8, "steps": 1}}, "give exactly one of responses, steps, tokens, flops, seconds, epochs."),
    ({"budget": {"epochs": -1}}, "'budget.epochs' is -1: input should be greater than 0."),
    ({"budget": {"flops": float("inf")}}, "'budget.flops' is inf: input should be a finite number."),
    ({"budget": {"responses": 0}}, "'budget.responses' is 0: input should be greater than 0."),
    ({"budget": {"responses": "many"}}, "'budget.responses' is 'many': input should be a valid integer"),
    ({"problem": {"kind": "exakt"}}, "There is no kind of problem 'exakt'. Did you mean 'exact'?"),
    ({"problem": {}}, "There is no kind of problem ''."),
    ({"problem": {"kind": "exact", "bета": 1}}, "there is no key 'problem.b"),
    ({"problem": {"kind": "exact", "shft": 1}}, "there is no key 'problem.shft'. Did you mean 'shift'?"),
    ({"problem": {"kind": "exact", "responses": 7}}, "'problem.responses' is 7: input should be a multiple of 2."),
    ({"problem": {"kind": "exact", "variant": "E0", "shift": 2}}, "shift is 0.0 in variant E0; omit the variant"),
    ({"methods": ["dpo", "ktoo"]}, "There is no method 'ktoo'. Did you mean 'kto'?"),
    ({"methods": "dpo"}, "'methods' is 'dpo': input should be a list, as [a, b]."),
    ({"seeds": [0, 0]}, "give at least one seed, all distinct and not negative."),
    ({"seeds": []}, "give at least one seed, all distinct and not negative."),
    ({"seeds": [-1]}, "give at least one seed, all distinct and not negative."),
    ({"seeds": [2**32]}, "seeds must not be above 4294967295."),
    ({"draws": 0}, "'draws' is 0: input should be greater than or equal to 1."),
    ({"draws": 1.5}, "'draws' is 1.5: input should be a valid integer"),
    ({"draws": True}, "'draws' is True: give a whole number from 1 to 1000."),
    ({"draws": "ten"}, "'draws' is 'ten': input should be a valid integer"),
    ({"training": {"learning_rat": 1}}, "no method has a setting 'learning_rat'. Did you mean 'learning_rate'?"),
    ({"settings": {"dpo": {"betta": 1}}}, "there is no key 'settings.dpo.betta'. Did you mean 'beta'?"),
    ({"settings": {"dpoo": {}}}, "There is no method 'dpoo'. Did you mean 'dpo'?"),
    ({"settings": {"dpo": {"beta": "much"}}}, "'settings.dpo.beta' is 'much': input should be a valid number"),
    ({"settings": {"dpo": {"beta": float("nan")}}}, "'settings.dpo.beta' is nan: input should be a finite number."),
    ({"settings": {"dpo": {"beta": 0}}}, "'settings.dpo.beta' is 0: input should be greater than 0."),
    ({"settings": {"ppo": {"num_ppo_epochs": 0}}}, "'settings.ppo.num_ppo_epochs' is 0: input should be greater than"),
    ({"training": {"learning_rate": -1e-3}}, "'settings.dpo.learning_rate' is -0.001: input should be greater than 0."),
    ({"training": {"warmup_steps": -1}}, "'settings.dpo.warmup_steps' is -1: input should be greater than or equal to"),
    (
        {"training": {"learning_rate": float("inf")}},
        "'settings.dpo.learning_rate' is inf: input should be a finite number.",
    ),
    ({"settings": {"dpo": 3}}, "'settings.dpo.0' is 3: input should be a set of keys and values."),
    ({"benchmarks": {"memry": {}}}, "There is no benchmark 'memry'. Did you mean 'memory'?"),
    ({"benchmarks": {"memory": {"x": 1}}}, "there is no key 'benchmarks.memory.x'."),
    ({"benchmarks": {"leaderboard": {"batch_size": "big"}}}, "'benchmarks.leaderboard.batch_size' is 'big'"),
    ({"schema": 99}, "has schema 99; this una-bench reads up to 1. Upgrade una-bench."),
    ({"precision": "float8"}, "'precision' is 'float8'. Did you mean 'float32'?"),
    ({"reward": "guess"}, "'reward' is 'guess'. Choose from: learned, true."),
    ({"temperature": 0}, "'temperature' is 0: input should be greater than 0."),
    ({"device": "tpu"}, "'device' is 'tpu'. Did you mean 'cpu'?"),
    ({"device": "cuda:1"}, "'device' is 'cuda:1'. Did you mean 'cuda'?"),
    ({"workers": 0}, "'workers' is 0: no number of cells. Give auto or a whole number above 0."),
    ({"lora": {"r": "deep"}}, "'lora.r' is 'deep'"),
    ({"name": "../../x"}, "'name' is '../../x': use only letters, digits, spaces and . _ -"),
    ({"name": "/etc/x"}, "'name' is '/etc/x': use only letters, digits"),
    ({"name": ".."}, "'name' is '..': use only letters, digits"),
    ({"name": "a\x1b[31m"}, "use only letters, digits"),
    ({"name": ""}, "'name' is '': use only letters, digits"),
]

BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in b"bcdefghijklmnopqrst")
"""Twenty lines that unfold to a million values."""
FILES: list[tuple[bytes, str]] = [
    (b"", "must contain keys and values. `una-bench show exact` prints an example."),
    (b"- 1\n- 2\n", "must contain keys and values"),
    (b"name: [", "is not valid YAML: while parsing"),
    (b"a: \xff\xfe", "is not UTF-8 text (byte 3). Save it as UTF-8."),
    (b"day: 2026-99-99", "is not valid YAML: month must be in 1..12."),
    (b"[" * 5000, "is nested too deeply."),
    (BOMB, "expands to more than 10000 values; a recipe has about a hundred."),
    (b"a: &a [*a]", "expands to more than 10000 values"),
    (b"#" * (2**20 + 1), "has more than 1048576 bytes; a recipe has a few thousand."),
]

DATA: list[tuple[dict[str, Any], str]] = [
    ({"policy": None}, "'problem.policy' is None"),
    ({"dataset": None}, "'problem.dataset' is None"),
    ({"dataset": {"source": "data.jsonl", "splt": "x"}}, "there is no key 'problem.dataset.splt'."),
    ({"template": "fancy"}, "'problem.template' is 'fancy'. Choose from: chat, plain."),
    ({"chat_template": "nowhere.jinja"}, "it is neither an existing file nor a Jinja template."),
    ({"score_range": [1, 0]}, "the first number must be below the second."),
    ({"score_weights": {"helpfulness": -1}}, "weights must not be negative, and their sum must be above 0."),
    ({"score_weights": {}}, "weights must not be negative, and their sum must be above 0."),
    ({"heldout_share": 1}, "'problem.heldout_share' is 1: input should be less than 1."),
    ({"ties": "toss"}, "'problem.ties' is 'toss'. Choose from: leave_out, keep."),
    ({"pairs": 0}, "'problem.pairs' is 0: input should be greater than or equal to 1."),
    ({"reward_model": {"name": "a", "init": "b"}}, "set either name (a model to use) or init"),
    (
        {"reward_model": {"own_template": True}},
        "own_template needs a reward model with name and own_tokenizer; leave it out.",
    ),
    ({"sft": {"epochs": 0}}, "'problem.sft.epochs' is 0: input should be greater than or equal to 1."),
]


@pytest.mark.parametrize(("arguments", "message"), COMMANDS, ids=[" ".join(a) for a, _ in COMMANDS])
def test_a_wrong_word_on_the_command_line(arguments: list[str], message: str, attempt: Any) -> None:
    assert message in attempt(*arguments)


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(a) for a, _ in USAGE])
def test_a_call_that_no_command_takes(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["una-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr().err
    assert (end.value.code, "Traceback" in said) == (2, False)
    assert re.findall(r"│ (.+?) +│", said) == [message]


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
