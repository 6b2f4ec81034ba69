"""The losses of every method on one page: pure functions of log-ratios, without model, device or reduction.

Notation (responses B, pairs P, tokens T):

    logratio   l(x,y) = log pi(y|x) - log pi_ref(y|x), summed over response tokens, nats
    reward     r(x,y) = beta l + f(x) + c, the implicit reward, UNA Eq. 6; f and c are the ``offset``
    score      s in [0, 1], judged quality; sigmoid(r) is the implicit score
    label      y in {0, 1}

Half-precision inputs are computed in float32, float64 ones in float64. Gradients flow into log-ratios and offsets
unless the caller detached them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in at least float32."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def sequence_logratio(logp: Tensor, anchor_logp: Tensor, mask: Tensor) -> Tensor:
    """Sum the per-token log-ratio over response tokens, l = sum_t m_t (log pi_t - log anchor_t).

    The anchor is the reference policy in UNA Eq. 6. The paper's released online code uses the policy that generated
    the batch instead, which leaves no pull towards the reference in the loss.

    Args:
        logp: Log-probability of each token, (B, T).
        anchor_logp: The same under the anchor, (B, T).
        mask: 1 at response tokens, (B, T); other values are ignored.

    Returns:
        Log-ratios, nats, (B,).
    """
    difference_BT = wide(logp) - wide(anchor_logp)
    return torch.where(mask.bool(), difference_BT, torch.zeros_like(difference_BT)).sum(-1)


def implicit_reward(logratio: Tensor, beta: float, offset: Tensor | float = 0.0) -> Tensor:
    """Return r = beta l + f(x) + c. UNA Eq. 6.

    Args:
        logratio: l, nats, (B,).
        beta: Strength of the pull towards the reference, per nat.
        offset: f(x) + c, (B,) or one number; 0 is the published method.

    Returns:
        Implicit rewards, dimensionless, (B,).
    """
    return beta * wide(logratio) + offset


def dpo(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """DPO with the sigmoid loss, -log sigmoid(beta (l_w - l_l)). DPO Eq. 7.

    Args:
        chosen: Log-ratio of the preferred response of each pair, (P,).
        rejected: Log-ratio of the other one, (P,).
        beta: Per nat.

    Returns:
        Loss per pair, nats, (P,).
    """
    return -logsigmoid(beta * (wide(chosen) - wide(rejected)))


def una_pairwise(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """UNA on pairs, -log sigmoid(r_w - r_l): f(x) and c cancel, so it equals DPO bit for bit. UNA Eq. 10.

    Eq. 10 is printed as the plain difference of implicit rewards, which has no minimum; the paper's text and its "DPO
    (UNA-pairwise)" runs use the log-sigmoid of the difference, as here.

    Args:
        chosen: Log-ratio of the preferred response of each pair, (P,).
        rejected: Log-ratio of the other one, (P,).
        beta: Per nat.

    Returns:
        Loss per pair, nats, (P,).
    """
    return dpo(chosen, rejected, beta)


def kto_kl(logratio: Tensor) -> Tensor:
    """KTO's reference point: the mean log-ratio of mismatched responses, clamped at 0. KTO section 4.1.

    Args:
        logratio: Log-ratios of responses to other prompts, (B,); no gradient flows through them.

    Returns:
        Nats, ().
    """
    return wide(logratio).detach().mean().clamp(min=0)


def kto(
    logratio: Tensor,
    label: Tensor,
    kl: Tensor | float,
    beta: float,
    *,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Tensor:
    """KTO as in TRL: w_D (1 - sigmoid(beta (l - z))) or w_U (1 - sigmoid(beta (z - l))). KTO Eq. 8.

    Args:
        logratio: l, nats, (B,).
        label: Whether the response is desirable, (B,).
        kl: The reference point z of `kto_kl`, nats, ().
        beta: Per nat.
        desirable: Weight of desirable responses.
        undesirable: Weight of the others.

    Returns:
        Loss per response, dimensionless, (B,).
    """
    margin = beta * (wide(logratio) - kl)
    return torch.where(label.bool(), desirable * (1 - margin.sigmoid()), undesirable * (1 - (-margin).sigmoid()))


def bco(logratio: Tensor, label: Tensor, delta: Tensor | float, beta: float) -> Tensor:
    """Binary classifier optimization, BCE(sigmoid(beta l - delta), y). BCO Eq. 11.

    Args:
        logratio: l, nats, (B,).
        label: Whether the response is desirable, (B,).
        delta: Running mean of the rewards of both classes, dimensionless, ().
        beta: Per nat.

    Returns:
        Loss per response, nats, (B,).
    """
    margin = beta * wide(logratio) - delta
    return -logsigmoid(torch.where(label.bool(), margin, -margin))


def una_binary(reward: Tensor, label: Tensor, *, loss_type: str = "mse") -> Tensor:
    """UNA on labels, (sigmoid(r) - y)^2 or BCE(sigmoid(r), y). UNA Eq. 11 and 12.

    BCE is computed from logits: in float32, log(sigmoid(r)), as in the released code, is infinite at r = -104, and
    log(1 - sigmoid(r)) already at r = 17.

    Args:
        reward: Implicit reward of each response, (B,).
        label: Whether the response is desirable, (B,).
        loss_type: ``mse`` or ``bce``.

    Returns:
        Loss per response, (B,): dimensionless for ``mse``, nats for ``bce``.
    """
    return una_score(reward, label, loss_type=loss_type)


def una_score(reward: Tensor, score: Tensor, *, loss_type: str = "mse") -> Tensor:
    """UNA on scores, (sigmoid(r) - s)^2. UNA Eq. 13; online (Eq. 9) the score is that of a generated response.

    The paper prints Eq. 11 and 13 with a leading minus sign. Minimizing that would drive the implicit score away from
    the judged one; the released code minimizes the square, as this does. ``bce`` is ours: the cross-entropy with the
    score as soft label has the same minimizer per response and does not saturate.

    Args:
        reward: Implicit reward of each response, (B,).
        score: Judged quality of each response in [0, 1], (B,).
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

    Args:
        reward: Implicit reward of each response, (B,).
        explicit: Raw reward of each response, (B,).

    Returns:
        Squared error per response, squared units of reward, (B,).
    """
    reward = wide(reward)
    return (reward - explicit.to(reward.dtype)).square()
