"""Shared prefixes: the same numbers as lm-eval's own model from fewer tokens."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from text_models import byte_tokenizer, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from una_bench.evaluation import result_cache, tasks
from una_bench.evaluation.harness import Options
from una_bench.evaluation.shared_prefix_lm import SharedPrefixLM
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.models.decoding.growing_cache import growing_cache
from una_bench.models.decoding.shared_prefix import Reader, can_share

SHOTS = "an example that every question shows first, and an answer to it. " * 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_model(tmp_path_factory.mktemp("model"), initializer_range=0.3)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def wrapped(kind: type, model: Any, **settings: Any) -> Any:
    return kind(pretrained=model, tokenizer=byte_tokenizer(), backend="causal", batch_size=4, **settings)


def requests(pairs: list[tuple[str, str]]) -> list[Instance]:
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i, metadata=("t", i, 1))
        for i, pair in enumerate(pairs)
    ]


CASES = {
    "choices of one question": [(SHOTS + "which?", f" {c}") for c in ("yes", "no", "perhaps not")],
    "one-token choices": [(SHOTS + "which? ", c) for c in "ABCD"],
    "questions with the same examples": [(f"{SHOTS}question {i}?", f" {c}") for i in range(5) for c in ("a", "b c")],
    "a context that begins another": [(SHOTS, "x"), (SHOTS + "x", "y"), (SHOTS + "xy and more of it", "z")],
    "a continuation that holds another": [(SHOTS, "x"), (SHOTS, "x and more, so much more that it is worth sharing")],
    "nothing in common": [("one", " a"), ("two", " b"), ("", "c")],
    "too long for the model": [("w" * 300 + SHOTS, " end"), ("w" * 300 + SHOTS, " fin")],
    "the same request twice": [(SHOTS, " a"), (SHOTS, " a")],
    "other examples for each": [(f"{i} " * 30 + SHOTS, f" {c}") for i in range(3) for c in "ab"],
}


@pytest.mark.parametrize("name", CASES)
def test_log_likelihoods_are_lm_evals(name: str, model: Any) -> None:
    theirs = wrapped(HFLM, model).loglikelihood(requests(CASES[name]), disable_tqdm=True)
    ours = wrapped(SharedPrefixLM, model).loglikelihood(requests(CASES[name]), disable_tqdm=True)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_greedy_matches_are_lm_evals(name: str, model: Any) -> None:
    theirs = wrapped(HFLM, model).loglikelihood(requests(CASES[name]), disable_tqdm=True)
    ours = wrapped(SharedPrefixLM, model).loglikelihood(requests(CASES[name]), disable_tqdm=True)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_the_greedy_continuation_is_known_as_such(model: Any) -> None:
    lm = wrapped(SharedPrefixLM, model)
    ids = lm.tok_encode(SHOTS)
    best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    [(_, greedy)] = lm._loglikelihood_tokens([((SHOTS, ""), ids, [best])])
    assert greedy


def test_what_is_shared_is_computed_once(model: Any) -> None:
    lm = wrapped(SharedPrefixLM, model)
    pairs = CASES["questions with the same examples"]
    lm.loglikelihood(requests(pairs), disable_tqdm=True)
    own = sum(len(q) + len(a) - 1 - len(SHOTS) for q, a in pairs)
    assert lm.forward_tokens <= len(SHOTS) + own + 4 * len(pairs)


def test_tokenized_requests_serve_the_next_model(model: Any) -> None:
    encoded: dict[tuple[str, str], Any] = {}
    pairs = CASES["choices of one question"]
    wrapped(SharedPrefixLM, model, encoded=encoded).loglikelihood(requests(pairs), disable_tqdm=True)
    second = wrapped(SharedPrefixLM, model, encoded=encoded)
    second.tok_encode = None
    assert len(second.loglikelihood(requests(pairs), disable_tqdm=True)) == 3


@pytest.mark.parametrize("config", [{"layer_types": ["full_attention", "sliding_attention"]}, {"sliding_window": 8}])
def test_models_that_do_not_attend_to_everything_are_left_to_lm_eval(config: dict[str, Any], model: Any) -> None:
    text = SimpleNamespace(**{"layer_types": None, "sliding_window": None} | config)
    assert not can_share(SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text), forward=model.forward))


def test_a_plain_model_is_shared(model: Any) -> None:
    assert can_share(model)


@pytest.mark.parametrize("kind", [HFLM, SharedPrefixLM])
def test_generated_text_is_what_greedy_decoding_writes(kind: type, model: Any) -> None:
    prompts = [SHOTS, "short", SHOTS + "longer"]
    arguments = [(prompt, {"until": ["zz"], "max_gen_toks": 40}) for prompt in prompts]
    asked = [
        Instance(request_type="generate_until", doc={}, arguments=a, idx=i, metadata=("t", i, 1))
        for i, a in enumerate(arguments)
    ]
    found = wrapped(kind, model).generate_until(asked, disable_tqdm=True)
    tokenizer = byte_tokenizer()
    expected = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)
        expected.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).split("zz")[0])
    assert found == expected


@pytest.mark.parametrize(("most", "room"), [(None, 100 + 256), (300, 300), (250, 300)])
def test_a_cache_with_room_holds_what_a_plain_one_holds(most: int | None, room: int, model: Any) -> None:
    plain, roomy = DynamicCache(), growing_cache(most)
    ids = torch.randint(3, 200, (2, 300), generator=torch.Generator().manual_seed(0))
    for start in range(0, 300, 100):
        for cache in (plain, roomy):
            with torch.no_grad():
                model(ids[:, start : start + 100] % 256, past_key_values=cache, use_cache=True)
    for ours, theirs in zip(roomy.layers, plain.layers, strict=True):
        torch.testing.assert_close(ours.keys, theirs.keys)
        torch.testing.assert_close(ours.values, theirs.values)
        assert ours.keys.untyped_storage().nbytes() == ours.keys[..., 0, :].nbytes * room


# Results by content.


TASK = """\
task: letters
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: ["a", "b"]
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """Return a task of three documents and a checkpoint."""
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"q": f"question {i}"}) + "\n" for i in range(3)))
    (tmp_path / "tasks" / "letters.yaml").write_text(TASK.replace("DATA", str(tmp_path / "data.jsonl")))
    return Checkpoint(path=write_model(tmp_path / "policy"), prepared=Prepared(tmp_path), out=tmp_path / "out")


def run(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[list[Any], int]:
    """Run the task; return the measurements and the number of forward passes."""
    passes = []
    forward = Reader._forward
    monkeypatch.setattr(Reader, "_forward", lambda *a, **k: (passes.append(1), forward(*a, **k))[1])
    harness = tasks.load(["letters"], [checkpoint.prepared.path / "tasks"], Options(**options))
    network = AutoModelForCausalLM.from_pretrained(checkpoint.path)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    found = harness.run(network, tokenizer, checkpoint.out, content=result_cache.model_key(checkpoint))
    monkeypatch.setattr(Reader, "_forward", forward)
    return found, len(passes)


def test_the_same_model_goes_through_a_task_once(suite: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    first, passes = run(suite, monkeypatch)
    again, none = run(suite, monkeypatch)
    assert (again, none) == (first, 0) and passes > 0


def test_results_and_samples_are_kept_beside_a_cached_result_too(
    suite: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(suite, monkeypatch)
    before = {p.name: p.read_bytes() for p in suite.out.iterdir()}
    run(suite, monkeypatch)
    assert {p.name: p.read_bytes() for p in suite.out.iterdir()} == before


def test_another_limit_is_another_result(suite: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    run(suite, monkeypatch)
    assert run(suite, monkeypatch, limit=2)[1] > 0


def test_other_weights_are_another_result(suite: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    run(suite, monkeypatch)
    write_model(suite.path, initializer_range=0.5)
    assert run(suite, monkeypatch)[1] > 0


def test_adapters_are_another_result_than_their_base(suite: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    adapted = Checkpoint(path=tmp_path / "adapter", prepared=suite.prepared, out=suite.out)
    before = result_cache.model_key(adapted)
    write_model(suite.prepared.policy, initializer_range=0.5)
    assert result_cache.model_key(suite) != before != result_cache.model_key(adapted)


def test_a_damaged_result_is_made_again(suite: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, _ = run(suite, monkeypatch)
    [file] = (tmp_path / "cache" / "lm-eval").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert run(suite, monkeypatch)[0] == first


def test_a_limit_for_the_whole_task_is_told(suite: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    [measurement], _ = run(suite, monkeypatch, limit=2, limit_per="task")
    assert "2 of 3 documents" in measurement.how
