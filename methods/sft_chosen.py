"""Supervised fine-tuning on the preferred responses: what a preference is worth without the other side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class SftChosen(Method):
    """TRL's SFTTrainer on the preferred response of each pair; the loss is the mean over its tokens."""

    label = "SFT on chosen"
    feedback = Feedback.PAIRWISE
    paper = "the baseline of Rafailov et al. 2023, arXiv:2305.18290, section 6 (Preferred-FT)"
    trainer = "trl.trainer.sft_trainer.SFTTrainer"
    preload = ("una_bench.training.trl.bridge",)
    one_process = ""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on preferred responses, one batch a step."""
        from una_bench.training.trl.bridge import CHOSEN, train_given

        prepared = {"skip_prepare_dataset": True}
        return train_given(self, job, probe, CHOSEN, loss_type="nll", dataset_kwargs=prepared, max_length=None)
