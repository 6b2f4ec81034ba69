"""Memory and operations of a training against closed formulas, which share no code with the instruments."""

from __future__ import annotations

import pytest

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.interfaces.prepared import Prepared
from una_bench.orchestration import self_check_model
from una_bench.orchestration.self_check_model import INNER, JOB, LAYERS, PROMPT, RESPONSE, ROWS, VOCABULARY, WIDTH

BATCH, STEPS, TOKENS = JOB["batch_responses"], 6, PROMPT + RESPONSE
PRODUCTS = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER)
"""Weights of the layers that each token is multiplied with."""
PARAMETERS = PRODUCTS + 2 * VOCABULARY * WIDTH + (2 * LAYERS + 1) * WIDTH
"""All weights: layers, embedding, output layer, norms."""
OUTPUT = 2 * VOCABULARY * WIDTH * RESPONSE
"""Operations of the output layer on one response."""
FORWARD = 2 * PRODUCTS * TOKENS + 4 * LAYERS * WIDTH * TOKENS * (TOKENS + 1) / 2 + OUTPUT
"""Operations of a forward pass over one row: layers, causal attention, output layer on response tokens."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """The probe of a short training of UNA-score."""
    from transformers import set_seed

    folder = tmp_path_factory.mktemp("known")
    self_check_model.write({"out": str(folder)}, None)
    prepared = Prepared(folder)
    benchmarks = [registry.benchmark(name)() for name in ("memory", "compute")]
    probe = Probe(watchers=[lambda policy, b=b: b.watch(policy, prepared) for b in benchmarks])
    set_seed(0)
    job = Job(prepared=folder, out=tmp_path_factory.mktemp("cell"), seed=0, **{**JOB, "budget_steps": STEPS})
    registry.method("una_score")(warmup_steps=0).train(job, probe)
    return probe


def test_weights_gradients_and_two_numbers_of_adam_a_weight_are_resident(trained: Probe) -> None:
    size = 4 * PARAMETERS
    expected = {"weights": size, "gradients": size, "optimizer": 2 * size}
    assert {kind: trained.resident[kind] for kind in expected} == pytest.approx(expected, rel=1e-3)


def test_a_training_costs_a_reference_pass_and_three_forwards_a_step(trained: Probe) -> None:
    # so short a training logs every step, with the entropy: the output layer once more
    step = BATCH * (3 * FORWARD + OUTPUT)
    assert sum(trained.flops.values()) == pytest.approx(ROWS * FORWARD + STEPS * step, rel=1e-3)
