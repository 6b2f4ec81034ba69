"""Loss of a batch from its log-probabilities, and the metrics to log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from una_bench.una import losses
from una_bench.una.logprobs import Scored
from una_bench.una.metrics import Ledger
from una_bench.una.offsets import Offset, Rows


def batch_loss(
    batch: Mapping[str, Any], scored: Scored, *, args: Any, offset: Offset, ledger: Ledger
) -> tuple[Tensor, Rows]:
    """Return the mean (or sum, by ``args.reduction``) of a batch's losses, (), and the rows to update ``offset`` with.

    The batch mixes pairs and single responses, as `Examples.__getitems__` returns them, with ``reference`` (N,): log
    pi_ref of each sequence. ``ledger`` receives the metrics to log.
    """
    pairs = int(batch["pairs"])
    anchor = batch.get("anchor", batch["reference"])
    logratio = scored.logps - anchor
    rows = Rows(
        reward=losses.implicit_reward(logratio[2 * pairs :], args.beta),
        target=batch["target"],
        binary=batch["binary"],
        states=scored.prompt_states[2 * pairs :],
        group=batch["group"],
        log_partition=batch.get("log_partition"),
    )
    parts = []
    if pairs:
        chosen, rejected = logratio[:pairs], logratio[pairs : 2 * pairs]
        parts.append(losses.una_pairwise(chosen, rejected, args.beta))
        ledger.add(chosen=args.beta * chosen, rejected=args.beta * rejected)
        ledger.add(logps_chosen=scored.logps[:pairs], logps_rejected=scored.logps[pairs : 2 * pairs])
    if len(rows.target):
        value = offset(rows)
        reward = rows.reward + value
        if args.loss_type == "difference":
            parts.append(losses.reward_difference(rows.reward - rows.target, rows.group))
        elif args.space == "reward":
            parts.append(losses.una_reward(reward, rows.target))
        else:
            parts.append(losses.una_score(reward, rows.target, loss_type=args.loss_type))
        ledger.add(implicit=reward, explicit=rows.target, offset=value, binary=rows.binary)
        ledger.add(logps=scored.logps[2 * pairs :])
    ledger.add(logratio=scored.logps - batch["reference"], length=batch["lengths"])
    if scored.entropy is not None:
        ledger.add(entropy=scored.entropy)
    losses_B = torch.cat(parts)
    return losses_B.sum() if args.reduction == "sum" else losses_B.mean(), rows
