"""The losses of UNA: pure functions of log-ratios, without model, device or reduction.

Notation (responses B, pairs P):

    logratio   l(x,y) = log pi(y|x) - log pi_ref(y|x), summed over response tokens, nats
    reward     r(x,y) = beta l + f(x) + c, the implicit reward, UNA Eq. 6; f and c are the ``offset``
    score      s in [0, 1], judged quality; sigmoid(r) is the implicit score
    label      y in {0, 1}

Half-precision inputs are computed in float32, float64 ones in float64. Gradients flow into log-ratios and offsets
unless the caller detached them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in at least float32."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def implicit_reward(logratio: Tensor, beta: float, offset: Tensor | float = 0.0) -> Tensor:
    """Return r = beta l + f(x) + c, dimensionless, (B,), of log-ratios in nats, (B,). UNA Eq. 6.

    ``beta`` is per nat; ``offset`` is f(x) + c, (B,) or one number, and 0 is the published method.
    """
    return beta * wide(logratio) + offset


def una_pairwise(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """UNA on pairs, -log sigmoid(r_w - r_l): f(x) and c cancel, so it equals DPO (Eq. 7) bit for bit. UNA Eq. 10.

    Eq. 10 is printed as the plain difference of implicit rewards, which has no minimum; the paper's text and its "DPO
    (UNA-pairwise)" runs use the log-sigmoid of the difference, as here.

    ``chosen`` and ``rejected`` are the log-ratios of each pair's preferred and other response, nats, (P,); ``beta`` is
    per nat. Return the loss per pair, nats, (P,).
    """
    return -logsigmoid(beta * (wide(chosen) - wide(rejected)))


def una_score(reward: Tensor, score: Tensor, *, loss_type: str = "mse") -> Tensor:
    """UNA on scores, (sigmoid(r) - s)^2 or BCE(sigmoid(r), s). UNA Eq. 13; on labels, Eq. 11 and 12; online, Eq. 9.

    The paper prints Eq. 11 and 13 with a leading minus sign. Minimizing that would drive the implicit score away from
    the judged one; the released code minimizes the square, as this does. On scores, ``bce`` is ours: the cross-entropy
    with the score as soft label has the same minimizer per response and does not saturate. It is computed from logits:
    in float32, log(sigmoid(r)), as in the released code, is infinite at r = -104, and log(1 - sigmoid(r)) at r = 17.

    Args:
        reward: Implicit reward of each response, (B,).
        score: Judged quality of each response in [0, 1], or its label, (B,).
        loss_type: ``mse`` or ``bce``.

    Returns:
        Loss per response, (B,): dimensionless for ``mse``, nats for ``bce``.
    """
    reward = wide(reward)
    score = score.to(reward.dtype)
    if loss_type == "bce":
        return binary_cross_entropy_with_logits(reward, score, reduction="none")
    if loss_type == "mse":
        return (reward.sigmoid() - score).square()
    raise ValueError(f"loss_type {loss_type!r} is neither 'mse' nor 'bce'")


def una_reward(reward: Tensor, explicit: Tensor) -> Tensor:
    """Regress the implicit reward on the raw one, (r - R)^2: UNA's loss without the sigmoid, ``space="reward"``.

    With f(x) = beta log Z(x) it is zero exactly at the optimum of E[R] - beta KL. Online, with samples that carry no
    gradient, its expected gradient is -2 beta times that of the objective for any f.

    ``reward`` and ``explicit`` are the implicit and the raw reward of each response, (B,). Return the squared error per
    response, squared units of reward, (B,).
    """
    reward = wide(reward)
    return (reward - explicit.to(reward.dtype)).square()


def reward_difference(error: Tensor, group: Tensor) -> Tensor:
    """Regress differences of implicit rewards on those of raw ones, over all pairs of a prompt's responses.

    REBEL (arXiv:2404.16767, Algorithm 1) minimizes (1/eta (log pi(a)/pi_t(a) - log pi(b)/pi_t(b)) - (R(a) - R(b)))^2
    for two responses a, b, with -beta log pi_t/pi_ref in the reward R. At eta = 1/beta, pi_t drops out:
    with ``error`` = beta l - R, R without the penalty, this is (error_a - error_b)^2. The mean over all pairs of K
    responses is computed from their deviations from the mean: 2 K / (K - 1) (error - mean)^2 of each response.

    ``error`` is the implicit minus the raw reward of each response, (B,), and ``group`` the number of its prompt, (B,);
    each has at least two. Return a loss per response, squared units of reward, (B,), whose mean over a prompt's
    responses is the mean over its pairs.
    """
    error = wide(error)
    _, number, counts = group.unique(return_inverse=True, return_counts=True)
    size = counts.to(error.dtype)
    mean = error.new_zeros(len(counts)).index_add(0, number, error) / size
    per_response: Tensor = (2 * size / (size - 1))[number] * (error - mean[number]).square()
    return per_response


def log_partition_of_quantiles(beta: float) -> float:
    """Return log Z = log E[exp(q / beta)] of a reward q that is uniform in (0, 1), nats.

    QRPO (arXiv:2507.08068) regresses the implicit reward on the quantile of a response's reward under the reference
    policy. Quantiles are uniform there whatever the reward, so Z is exact and the same for all prompts:
    Z = beta (exp(1 / beta) - 1). ``beta`` is per nat, above 0.
    """
    return 1 / beta + math.log(beta) + math.log1p(-math.exp(-1 / beta))
