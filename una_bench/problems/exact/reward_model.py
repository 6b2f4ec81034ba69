"""Learned reward model of the exact problem, and its error against the true reward."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from una_bench.problems.exact import optimum, tree
from una_bench.problems.exact.optimum import Floats
from una_bench.problems.exact.truth import Truth


def learn(prepared: Path, truth: Truth, *, seed: int, steps: int) -> dict[str, Any]:
    """Train ``prepared / "reward"`` on the pairs, center it, and return its figures for the manifest.

    Preferences do not determine a constant added to the rewards of a prompt. One constant is added to all rewards, so
    that their mean under the reference is 0 over the training prompts; differences between prompts stay as learned.
    """
    from transformers import AutoModelForSequenceClassification

    from una_bench.training.trl.reward import train_reward_model

    out = prepared / "reward"
    figures: dict[str, Any] = dict(
        train_reward_model(prepared / "policy", prepared, out, seed=seed, steps=steps, batch=64, learning_rate=1e-3)
    )
    model = AutoModelForSequenceClassification.from_pretrained(out).eval()
    with torch.no_grad():
        learned: Floats = tree.rewards(model, tree.prompt_ids()).numpy()
    rows = truth.rows("train")
    shift = -float(optimum.expected(truth.logp_reference[rows], learned[rows]).mean())
    with torch.no_grad():  # the head has no bias, but the layer norm below it has one
        head = model.score.weight[0]
        model.model.final_layernorm.bias.add_(shift * head / head.square().sum())
    model.save_pretrained(out)
    return figures | {"shift": shift} | {split: _shortfall(truth, learned, split) for split in truth.standards}


def _shortfall(truth: Truth, learned: Floats, split: str) -> dict[str, float]:
    """Return the correlation with the true reward, and the regret of the policy that is optimal for the learned one."""
    rows = truth.rows(split)
    by = truth.standards[split]
    weight = np.exp(by.logp_reference)
    true = by.reward - optimum.expected(by.logp_reference, by.reward)[:, None]
    guess = learned[rows] - optimum.expected(by.logp_reference, learned[rows])[:, None]
    covariance = (weight * true * guess).sum() / math.sqrt((weight * true**2).sum() * (weight * guess**2).sum())
    best = optimum.judge(optimum.tilted(by.logp_reference, learned[rows], by.beta), by)
    return {
        "correlation": float(covariance),
        "regret_of_its_optimum": best["regret"],
        "offset_sd": float(optimum.expected(by.logp_reference, learned[rows]).std()),
    }
