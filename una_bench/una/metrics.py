"""Training metrics since the last log, over all processes, under TRL's names where it has them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


class Ledger:
    """Collects per-row tensors; metrics are computed only when a log is due."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, **rows: Tensor) -> None:
        """Add values of one batch, each (B,) or ()."""
        for name, value in rows.items():
            self.values[name].append(value.detach().reshape(-1))

    def drain(self, accelerator: Any) -> dict[str, Tensor]:
        """Return the values of all processes, and clear them."""
        local = {name: torch.cat(parts).float().cpu() for name, parts in self.values.items()}
        self.values.clear()
        if accelerator.num_processes == 1:
            return local
        from accelerate.utils import gather_object

        gathered: list[dict[str, Tensor]] = gather_object([local])
        names = sorted({name for part in gathered for name in part})
        return {name: torch.cat([part[name] for part in gathered if name in part]) for name in names}


def correlation(first: Tensor, second: Tensor) -> float | None:
    """Return Pearson's correlation, or None if either input is constant."""
    if len(first) < 2:
        return None
    first, second = first - first.mean(), second - second.mean()
    scale = first.norm() * second.norm()
    return float((first * second).sum() / scale) if scale > 0 else None


def importance_kl(logratio: Tensor) -> float:
    """Estimate KL(pi || pi_ref), nats, from log-ratios of n responses of pi_ref, by self-normalized importance weights.

    It is the divergence of the normalized weights from uniform ones, in [0, log n].
    """
    weights = logratio.softmax(0)
    log_mean = logratio.logsumexp(0) - torch.log(torch.tensor(float(len(logratio))))
    return float((weights * logratio).sum() - log_mean)


def summarize(values: dict[str, Tensor], *, online: bool) -> dict[str, float]:
    """Return metrics of collected rows.

    ``rewards/...`` are implicit rewards beta l + offset, except ``rewards/explicit``. ``kl`` is the mean log-ratio of
    the policy's own responses online, and `importance_kl` of the dataset's responses offline.
    """
    out: dict[str, float] = {}
    if "chosen" in values:
        margin = values["chosen"] - values["rejected"]
        out |= _means(values, {"rewards/chosen": "chosen", "rewards/rejected": "rejected"})
        out |= _means(values, {"logps/chosen": "logps_chosen", "logps/rejected": "logps_rejected"})
        out |= {"rewards/margins": float(margin.mean()), "rewards/accuracies": float((margin > 0).float().mean())}
    if "implicit" in values:
        out |= _means(values, {"rewards/implicit": "implicit", "rewards/explicit": "explicit", "offset": "offset"})
        pearson = correlation(values["implicit"], values["explicit"])
        if pearson is not None:
            out["rewards/correlation"] = pearson
        binary = values["binary"] > 0
        if binary.any():
            reward, label = values["implicit"][binary], values["explicit"][binary] > 0.5
            out["rewards/label_accuracies"] = float(((reward > 0) == label).float().mean())
    if "logratio" in values:
        out["kl"] = float(values["logratio"].mean()) if online else importance_kl(values["logratio"])
    names = {"completions/mean_length": "length", "entropy": "entropy", "reward": "raw", "logps": "logps"}
    out |= _means(values, names | {"completions/clipped_ratio": "clipped"})
    if "raw" in values and len(values["raw"]) > 1:
        out["reward_std"] = float(values["raw"].std())
    return out


def _means(values: dict[str, Tensor], names: dict[str, str]) -> dict[str, float]:
    return {shown: float(values[name].mean()) for shown, name in names.items() if name in values}
