"""Work out tests/golden/losses.json with 50 digits, from the printed equations, without torch and without una_bench.

Run it from the repository's root: python tests/golden/make_losses.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mpmath import diff, exp, log, mp, mpf, quad

mp.dps = 50
BETA, OFFSET = mpf("0.3"), mpf("-0.7")
CHOSEN = [mpf(x) for x in ("0", "2.5", "-3.25", "60", "-200")]
REJECTED = [mpf(x) for x in ("0", "-1.5", "4", "-70", "150")]
LOGRATIO = [mpf(x) for x in ("0", "1.75", "-2.5", "40", "-55", "300", "-300")]
LABEL = [1, 0, 1, 1, 0, 0, 1]
SCORE = [mpf(x) for x in ("0.5", "0.1", "0.9", "1", "0", "0.25", "0.625")]
EXPLICIT = [mpf(x) for x in ("1.5", "-2", "0.125", "4", "-3.5", "0", "2.25")]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x))


def bce(x: Any, y: Any) -> Any:
    # -y log s(x) - (1-y) log(1-s(x)); fifty digits are not enough for s(90) = 1 - 8e-40 without the second form
    return y * log(1 + exp(-x)) + (1 - y) * log(1 + exp(x))


def reward(ratio: Any) -> Any:
    return BETA * ratio + OFFSET


SINGLE = {
    "una_binary_mse": (lambda x, y: (sigmoid(reward(x)) - y) ** 2, LABEL),
    "una_binary_bce": (lambda x, y: bce(reward(x), y), LABEL),
    "una_score_mse": (lambda x, s: (sigmoid(reward(x)) - s) ** 2, SCORE),
    "una_score_bce": (lambda x, s: bce(reward(x), s), SCORE),
    "una_reward": (lambda x, r: (reward(x) - r) ** 2, EXPLICIT),
}


def pair(chosen: Any, rejected: Any) -> Any:
    return log(1 + exp(-BETA * (chosen - rejected)))


def differences(ratios: Any) -> Any:
    """REBEL of all responses as those of one prompt: the mean of the squares of its pairs, eta = 1 / beta."""
    error = [BETA * x - r for x, r in zip(ratios, EXPLICIT, strict=True)]
    pairs = [(a, b) for i, a in enumerate(error) for b in error[:i]]
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


def differences_at(place: int) -> Any:
    return lambda x: differences([*LOGRATIO[:place], x, *LOGRATIO[place + 1 :]])


def main() -> None:
    expected: dict[str, Any] = {
        "dpo": {
            "losses": [float(pair(w, y)) for w, y in zip(CHOSEN, REJECTED, strict=True)],
            "grad": [float(diff(lambda w, y=y: pair(w, y), w)) for w, y in zip(CHOSEN, REJECTED, strict=True)],
        }
    }
    for name, (loss, targets) in SINGLE.items():
        pairs = list(zip(LOGRATIO, targets, strict=True))
        expected[name] = {
            "losses": [float(loss(x, t)) for x, t in pairs],
            "grad": [float(diff(lambda x, t=t, loss=loss: loss(x, t), x)) for x, t in pairs],
        }
    count = len(LOGRATIO)
    partial = [diff(differences_at(i), LOGRATIO[i]) for i in range(count)]
    expected["reward_difference"] = {"mean": float(differences(LOGRATIO)), "grad": [float(g) for g in partial]}
    # Z of a reward that is uniform in (0, 1), as the integral that defines it
    expected["log_partition_of_quantiles"] = {
        str(float(beta)): float(log(quad(lambda q, beta=beta: exp(q / beta), [0, 1])))
        for beta in (mpf("0.02"), BETA, mpf("5"))
    }
    inputs = {
        "beta": float(BETA), "offset": float(OFFSET), "label": LABEL,
        **{k: [float(v) for v in values] for k, values in {
            "chosen": CHOSEN, "rejected": REJECTED, "logratio": LOGRATIO, "score": SCORE, "explicit": EXPLICIT,
        }.items()},
    }  # fmt: skip
    text = json.dumps({"inputs": inputs, "expected": expected}, indent=1) + "\n"
    Path(__file__).with_name("losses.json").write_text(text)


if __name__ == "__main__":
    main()
