"""Direct preference optimization as TRL has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from una_bench.interfaces import trl_source
from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive, Share

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

    Loss = str
else:
    Loss = Literal[trl_source.losses("trl.trainer.dpo_trainer")]  # of the TRL that is installed


class Dpo(Method):
    """TRL's DPOTrainer on the prepared pairs, with the tokens as prepared: TRL adds no end token here."""

    label = "DPO"
    feedback = Feedback.PAIRWISE
    resident = frozenset({Resident.REFERENCE})
    paper = "Rafailov et al. 2023, arXiv:2305.18290, Eq. 7"
    trainer = "trl.trainer.dpo_trainer.DPOTrainer"
    preload = ("una_bench.training.trl.dpo",)
    one_process = ""
    whole_batch_losses = frozenset({"aot", "aot_unpaired", "bco_pair", "sft"})

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    loss_type: Loss = "sigmoid"
    """TRL's name of the loss; ``sigmoid`` is the paper's."""
    label_smoothing: Share = 0.0
    """Share of pairs taken to be labeled the wrong way round."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step. Measured on SmolLM2-135M: 1.3 times the
    token/s; with full weights also the reference's weights less memory."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.dpo import train_dpo

        return train_dpo(self, job, probe)
