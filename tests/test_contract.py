"""What every method and every benchmark must do; a new file in methods/ or benchmarks/ is tested by being there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry, trl_source
from una_bench.interfaces.method import Feedback, Job, Lora
from una_bench.interfaces.prepared import Prepared
from una_bench.record.schema import Measurement
from una_bench.suite import plan

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
TRAINED = [
    name
    for name, kind in ((n, registry.method(n)) for n in registry.method_names())
    if kind.feedback is not Feedback.NONE and trl_source.has(kind.trainer)
]
BUDGET = 2048  # two rollouts of 256 responses, four times over


@pytest.fixture(scope="module")
def trained(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Probe]]:
    """Every method, once, with its default settings."""
    from transformers import set_seed

    made = {}
    for name in TRAINED:
        out = tmp_path_factory.mktemp(name)
        lengths = {"max_prompt_length": 2, "max_new_tokens": 4}
        job = Job(prepared=tiny_prepared, out=out, seed=0, budget_responses=BUDGET, batch_responses=64, **lengths)
        set_seed(0)
        probe = Probe()
        made[name] = (registry.method(name)().train(job, probe), probe)
    return made


@pytest.mark.parametrize("name", registry.method_names())
def test_a_method_is_frozen_settings_with_facts(name: str) -> None:
    method = registry.method(name)
    assert method.model_config["frozen"] and method.model_config["extra"] == "forbid"
    assert method.label and method.paper and method.__doc__


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_leaves_a_checkpoint_that_loads(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint, _ = trained[name]
    assert checkpoint.name == "checkpoint"
    assert AutoTokenizer.from_pretrained(checkpoint)("AB")["input_ids"]
    assert AutoModelForCausalLM.from_pretrained(checkpoint).num_parameters() > 0


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_changes_the_policy(name: str, trained: dict[str, tuple[Path, Probe]], tiny_prepared: Path) -> None:
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(Prepared(tiny_prepared).policy).state_dict()
    after = AutoModelForCausalLM.from_pretrained(trained[name][0]).state_dict()
    assert any((after[key] != before[key]).any() for key in before)


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_spends_exactly_its_budget(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    _, probe = trained[name]
    assert probe.totals["responses"] == BUDGET
    assert probe.totals["optimizer_steps"] == BUDGET // 64


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_probes_every_step(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    _, probe = trained[name]
    assert sum(probe.samples["responses"]) == BUDGET
    assert min(probe.samples["seconds"]) > 0
    assert probe.totals["response_tokens"] >= probe.totals["responses"]
    assert "loss" in probe.curves


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_names_its_phases(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    _, probe = trained[name]
    assert {"load", "forward", "backward", "optimizer", "save"} <= set(probe.peaks)
    assert ("generation" in probe.peaks) == (registry.method(name).feedback is Feedback.PROMPTS)


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_accounts_for_what_is_resident(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    _, probe = trained[name]
    assert {"weights", "gradients", "optimizer"} <= set(probe.resident)
    assert 2 * probe.resident["weights"] <= probe.resident["optimizer"] * 1.1  # Adam keeps two moments
    assert sum(probe.resident.values()) <= probe.peak_bytes


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_counts_operations(name: str, trained: dict[str, tuple[Path, Probe]]) -> None:
    _, probe = trained[name]
    assert probe.flops["policy.backward"] > probe.flops["policy.forward"] / 4 > 0


def test_every_method_starts_from_the_same_weights(trained: dict[str, tuple[Path, Probe]]) -> None:
    assert len({probe.facts["initial_weights_sha256"] for _, probe in trained.values()}) == 1


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_trains_with_what_recipes_of_language_models_set(
    name: str, tiny_prepared: Path, tmp_path: Path
) -> None:
    lengths = {"max_prompt_length": 2, "max_new_tokens": 4}
    job = Job(
        prepared=tiny_prepared,
        out=tmp_path,
        seed=0,
        budget_responses=BUDGET,
        batch_responses=64,
        lora=Lora(r=2),
        **lengths,
    )
    settings = {"group_by_length": True, "warmup_steps": 1}
    assert registry.method(name)(**settings).train(job, Probe()).name == "checkpoint"


@pytest.mark.parametrize("name", registry.benchmark_names())
def test_a_benchmark_says_what_it_measures_and_returns_measurements(
    name: str, trained: dict[str, tuple[Path, Probe]]
) -> None:
    benchmark = registry.benchmark(name)()
    assert benchmark.label and benchmark.about and type(benchmark).__doc__
    _, probe = trained["dpo"]
    probe.facts.setdefault("precision", "float32")
    assert all(isinstance(m, Measurement) and m.unit and m.how for m in benchmark.read(probe))


@pytest.mark.parametrize("name", registry.benchmark_names())
def test_a_benchmark_refuses_a_setting_that_it_does_not_have(name: str) -> None:
    with pytest.raises(ValidationError):
        registry.benchmark(name)(no_such_setting=1)


def test_a_job_in_a_record_names_no_path(tiny_job: Job) -> None:
    facts = plan.job_facts(replace(tiny_job, seed=3))
    assert not any(isinstance(value, Path) or "/" in str(value) for value in facts.values())
