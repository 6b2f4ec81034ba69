"""The best of n samples of the untrained policy on the exact problem, and its rows in tables."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from una_bench.benchmarks import oracle

from una_bench.analysis import best_of, frame
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.exact import optimum, policy

PROBABILITY = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
REWARD = np.array([[0.0, 1.0, 1.0, -2.0], [3.0, 2.0, 1.0, 0.0]])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_best_of_n_is_what_every_draw_of_n_gives(n: int) -> None:
    expected = np.zeros_like(PROBABILITY)
    for row, (probability, reward) in enumerate(zip(PROBABILITY, REWARD, strict=True)):
        for draw in itertools.product(range(4), repeat=n):
            best = [i for i in draw if reward[i] == max(reward[list(draw)])]
            for i in best:
                expected[row, i] += math.prod(probability[list(draw)]) / len(best)
    assert np.exp(oracle.best_of(np.log(PROBABILITY), REWARD, n)) == pytest.approx(expected, abs=1e-12)


def test_one_sample_is_the_reference_itself() -> None:
    assert oracle.best_of(np.log(PROBABILITY), REWARD, 1) == pytest.approx(np.log(PROBABILITY))


def test_its_kl_is_at_most_that_without_ties() -> None:
    logp = np.log(PROBABILITY)
    kl = optimum.divergence(oracle.best_of(logp, REWARD, 4), logp)
    assert (kl <= math.log(4) - 3 / 4).all() and (kl > 0.1).all()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("exact")
    settings = {"kind": "exact", "sft_steps": 10, "responses": 64, "responses_heldout": 64, "reward_model": False}
    registry.problem(settings).prepare(folder, lambda _: None)
    return Prepared(folder)


def test_the_untrained_policy_alone_has_its_figures(prepared: Prepared, tmp_path: Path) -> None:
    def names(path: Path) -> set[str]:
        measured = registry.benchmark("oracle")().evaluate(Checkpoint(path=path, prepared=prepared, out=tmp_path))
        return {m.metric for m in measured if "best_of" in m.metric}

    policy.new_policy(5, spread=0.1).save_pretrained(tmp_path / "other")
    assert "oracle.best_of_4.regret.train" in names(prepared.policy)
    assert names(tmp_path / "other") == set()


def test_a_row_of_the_table_has_them() -> None:
    row = frame.Row(
        method="base",
        variant="",
        label="Base (untrained)",
        run="",
        context=frame.Context((), (), (), ()),
        records=(),
        values={"oracle.regret.train": {0: 1.0}, "oracle.best_of_4.regret.train": {0: 0.4}, "memory.peak": {0: 5.0}},
        errors={"oracle.best_of_4.regret.train": {0: 0.1}},
    )
    _, added = best_of.with_best_of([row])
    assert (added.label, added.values, added.errors) == (
        "Best of 4 (no training)",
        {"oracle.regret.train": {0: 0.4}},
        {"oracle.regret.train": {0: 0.1}},
    )
