"""One card a training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from una_bench.errors import UserError
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.training.common import require_one_card


def test_a_training_that_sees_several_cards_is_refused(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    method = registry.method("dpo")()
    with pytest.raises(UserError) as error:
        method.train(replace(tiny_job, device="cuda"), Probe())
    assert str(error.value) == (
        "This training sees 2 cards, and a cell uses one; on more, each batch would silently be 2 times as large. Set "
        "CUDA_VISIBLE_DEVICES to one card (its number, UUID or MIG id)."
    )


def test_a_training_on_the_processor_does_not_ask_for_cards(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    require_one_card(tiny_job.device)
