"""Data with feedback of one kind alone: who learns from it, what is said of it, and what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_problem import other_policy, prepared_with, train, una_bench
from text_models import write_model, write_reward_model, write_rows

from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.record import reader

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def labeled_rows(count: int = 8) -> list[dict[str, Any]]:
    """One response to each prompt; three of four are desirable."""
    return [{"prompt": f"p{i}", "completion": "yes" * (i % 3 + 1), "label": i % 4 != 0} for i in range(count)]


def scored_alone(count: int = 8) -> list[dict[str, Any]]:
    return [{"prompt": f"p{i}", "response": "yes" * (i % 3 + 1), "score": i / 8} for i in range(count)]


def three_a_prompt() -> list[dict[str, Any]]:
    answers = (("a", 0), ("b", 1), ("c", 0.5))
    return [{"prompt": f"p{i}", "response": r, "score": s} for i in range(4) for r, s in answers]


def prepared_from(folder: Path, rows: list[dict[str, Any]], **changed: Any) -> Prepared:
    write_rows(folder / "data.jsonl", rows)
    return prepared_with(folder, **changed)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("labels")
    heldout = write_rows(folder / "held.jsonl", [{**row, "prompt": "h" + row["prompt"]} for row in labeled_rows()])
    reward = {"name": str(write_reward_model(folder / "reward"))}
    return prepared_from(folder, labeled_rows(), heldout=str(heldout), reward_model=reward)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("scores")
    heldout = write_rows(folder / "held.jsonl", [{**row, "prompt": "h" + row["prompt"]} for row in scored_alone()])
    return prepared_from(folder, scored_alone(), heldout=str(heldout))


def test_labels_alone_are_kept_as_they_are(labels: Prepared) -> None:
    table = labels.responses()
    assert (table.pair == -1).all() and not table.chosen.any()
    assert table.label.tolist() == [False, True, True, True] * 2
    assert labels.manifest["counts"]["pairs_train"] == 0 and labels.manifest["counts"]["unpaired_train"] == 8


def test_the_manifest_says_what_labels_alone_cannot_give(labels: Prepared, scores: Prepared) -> None:
    assert labels.manifest["not_applicable"] == {"pairwise": "the data has no pairs"}
    assert scores.manifest["not_applicable"] == {
        "pairwise": "the data has no pairs",
        "binary": "the data has no labels; problem.label_threshold makes them of scores",
        "prompts": "the suite has no reward model (problem.reward_model)",
    }


def test_a_reward_model_cannot_be_trained_without_pairs(tmp_path: Path) -> None:
    prepared = prepared_from(tmp_path, labeled_rows(), reward_model={"steps": 2})
    reason = "the data has no pairs to train a reward model on; name one (problem.reward_model.name)"
    assert prepared.manifest["not_applicable"]["prompts"] == reason
    assert prepared.reward is None


def test_uneven_labels_are_said_with_what_balances_them(labels: Prepared) -> None:
    assert labels.manifest["notes"] == [
        "data.jsonl: 8 responses without a partner.",
        "held.jsonl: 8 responses without a partner.",
        "6 desirable and 2 undesirable responses: KTO's weights should bring it to 1 to 1.33: "
        "kto.balance_labels=true, or kto.desirable_weight.",
        "No scores but 1 and 0, of pairs or labels: UNA-score learns what UNA-binary learns.",
    ]


def test_labels_of_one_kind_are_said(tmp_path: Path) -> None:
    prepared = prepared_from(tmp_path, [{**row, "label": True} for row in labeled_rows()])
    assert any("all are alike, so that nothing tells good from bad" in note for note in prepared.manifest["notes"])


def test_a_threshold_makes_labels_of_single_scores(tmp_path: Path) -> None:
    prepared = prepared_from(tmp_path, scored_alone(), label_threshold=0.5, heldout_share=0.2)
    table = prepared.responses()
    assert (table.label == (table.score >= 0.5)).all() and "binary" not in prepared.manifest["not_applicable"]


def test_a_third_response_is_for_methods_that_need_no_partner(tmp_path: Path) -> None:
    rows = three_a_prompt()
    prepared = prepared_from(tmp_path, rows)
    table = prepared.responses()
    assert table.pair.tolist() == [0, 0, 1, 1, 2, 2, -1, -1, -1]
    assert [len(prepared.responses(feedback=kind)) for kind in ("pairwise", "binary", "score")] == [6, 6, 9]
    assert set(table.completion[table.pair < 0]) == {"c<|im_end|>"}


def test_responses_without_a_partner_can_be_left_out_for_all(tmp_path: Path) -> None:
    rows = three_a_prompt()
    prepared = prepared_from(tmp_path, rows, unpaired="leave_out")
    assert (prepared.responses().pair >= 0).all()
    [note] = [note for note in prepared.manifest["notes"] if "left out" in note]
    assert note == "Warning: data.jsonl: 3 pairs; left out: 4 responses without a partner."


@pytest.mark.parametrize("name", ["kto", "una_binary", "una_score"])
def test_methods_train_on_labels_alone(name: str, labels: Prepared, tmp_path: Path) -> None:
    probe = train(name, labels, tmp_path)
    seen = {"in_pairs": 0, "without_partner": 8, "desirable": 6, "undesirable": 2}
    assert probe.facts["feedback"] == seen and probe.totals["responses"] == 4


def test_una_score_trains_on_scores_alone(scores: Prepared, tmp_path: Path) -> None:
    assert train("una_score", scores, tmp_path).totals["responses"] == 4


def test_balanced_labels_weigh_the_same(labels: Prepared, tmp_path: Path) -> None:
    facts = train("kto", labels, tmp_path, balance_labels=True).facts["feedback"]
    assert 6 * facts["desirable_weight"] == pytest.approx(2 * facts["undesirable_weight"])


def measured(prepared: Prepared, folder: Path, path: Path) -> dict[str, float]:
    benchmark = registry.benchmark("preference")(prompts=0)
    checkpoint = Checkpoint(path=path, prepared=prepared, out=folder, device="cpu", seed=0)
    return {m.metric: m.samples[0] for m in benchmark.evaluate(checkpoint)}


def test_held_out_labels_are_measured_by_the_area_under_the_curve(labels: Prepared, tmp_path: Path) -> None:
    assert measured(labels, tmp_path, labels.policy) == {"preference.auc.heldout": 0.5}
    [(name, value)] = measured(labels, tmp_path, other_policy(labels, tmp_path / "other")).items()
    assert name == "preference.auc.heldout" and 0 <= value <= 1 and value != 0.5


def test_held_out_scores_are_measured_by_rank_correlation(scores: Prepared, tmp_path: Path) -> None:
    assert measured(scores, tmp_path, scores.policy) == {"preference.rank_correlation.heldout": 0.0}
    [(name, value)] = measured(scores, tmp_path, other_policy(scores, tmp_path / "other")).items()
    assert name == "preference.rank_correlation.heldout" and -1 <= value <= 1 and value


def test_the_area_and_the_correlation_are_those_of_the_implicit_reward(scores: Prepared) -> None:
    table = scores.responses("heldout")
    module = __import__("benchmarks.preference", fromlist=["_of_scores"])
    assert module._of_scores(table.assign(ratio=-table.score))[0].samples == pytest.approx((-1.0,))
    ordered = table.assign(ratio=table.score, label=table.score > 0.5, pair=-1)
    assert module._of_labels(ordered)[0].samples == (1.0,)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_model(tmp_path / "model")
    write_rows(tmp_path / "data.jsonl", labeled_rows(16))
    problem = {
        "kind": "preference",
        "policy": str(tmp_path / "model"),
        "dataset": str(tmp_path / "data.jsonl"),
        "max_prompt_length": 100,
        "max_response_length": 20,
        "reward_model": None,
        "heldout_share": 0.5,
    }
    raw = {
        "name": "labels",
        "problem": problem,
        "methods": ["dpo", "una_binary"],
        "budget": {"responses": 8},
        "batch_responses": 4,
        "benchmarks": {"preference": {"prompts": 0}},
    }
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "labels.yaml"


def test_a_method_without_its_feedback_is_a_row_that_says_so(recipe: Path) -> None:
    out = recipe.parent / "run"
    done = una_bench(recipe.parent, "run", str(recipe), "--out", str(out), "--quiet")
    assert done.returncode == 0, done.stderr
    records = {record.method: record for record in reader.records(out)}
    assert (records["dpo"].status, records["una_binary"].status) == ("not_applicable", "ok")
    assert records["dpo"].failure is not None and records["dpo"].failure.reason == "the data has no pairs"
    assert "not applicable dpo-s0: the data has no pairs" in done.stdout
    assert "preference.auc.heldout" in {m.metric for m in records["una_binary"].measurements}
    assert "not applicable: the data has no pairs" in (out / "report.html").read_text(encoding="utf-8")


def test_a_run_of_nothing_but_such_methods_is_refused(recipe: Path) -> None:
    arguments = ["run", str(recipe), "--out", "run", "--quiet", "--methods", "dpo,una_pairwise"]
    done = una_bench(recipe.parent, *arguments)
    assert (done.returncode, " ".join(done.stderr.split())) == (
        2,
        "una-bench: No method of this run can learn from the data (DPO: the data has no pairs; UNA-pairwise: the data "
        "has no pairs). Choose among --methods bco,kto,qrpo,una_binary,una_score.",
    )
