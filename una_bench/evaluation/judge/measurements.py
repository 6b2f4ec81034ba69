"""Measurements of verdicts, with what could not be read or was not given said in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from una_bench.evaluation.judge import figures
from una_bench.evaluation.judge.comparison import Compared
from una_bench.evaluation.judge.requests import Asked, Verdict
from una_bench.record.schema import Better, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all measurements of one judge say."""

    prompts: str
    """Last part of the metrics' names: ``heldout``."""
    judge: str
    """Name of the judge and of its prompt."""
    against: str = ""
    second: bool = False
    """Whether it is the second judge, which has metrics of its own."""

    def measured(
        self, name: str, value: float | None, how: str, *, better: Better = Better.HIGHER, stderr: float | None = None
    ) -> Measurement:
        """Return one figure; None: it could not be measured."""
        return Measurement(
            metric=f"judge.{'second_' if self.second else ''}{name}.{self.prompts}",
            unit="1",
            better=better,
            samples=() if value is None else (value,),
            how=f"{how}; judge {self.judge}",
            stderr=stderr,
        )


def not_run(asked: Asked) -> str:
    """Return how much there is of what a judge that is gone was asked for."""
    count = len(asked.verdicts)
    return f"not run: {count - asked.missing} of {count} verdicts; {asked.gone}"


def of_comparison(context: Context, compared: Sequence[Compared], asked: Asked) -> list[Measurement]:
    """Return win rates, position bias, and the share of verdicts that could not be read."""
    if asked.missing:
        return [context.measured("win_rate", None, not_run(asked))]
    points = [p for one in compared if not one.same for pair in one.points for p in pair]
    unread = sum(p is None for p in points)
    same, read = sum(one.same for one in compared), [one for one in compared if one.score is not None]
    about = f"{len(compared)} prompts against {context.against}, both orders"
    about += f"; {same} equal answers tie without being sent" if same else ""
    measured = []
    if read:
        scores = [score for one in read if (score := one.score) is not None]
        low, high = figures.bounds(compared)
        how = f"wins plus half of the ties, {about}; standard error over prompts"
        if unread:
            how += (
                f"; {unread} of {len(points)} verdicts cannot be read, which leaves {len(read)} prompts; with them it "
                f"is between {low:.3f} and {high:.3f}"
            )
        value, error = figures.mean_error(scores)
        measured.append(context.measured("win_rate", value, how, stderr=error))
        value, error = figures.length_controlled(scores, [one.lengths for one in read])
        how = "win rate at equal lengths by logistic regression (arXiv:2404.04475, without the difficulty of prompts)"
        measured.append(context.measured("win_rate_lc", value, f"{how}; {about}", stderr=error))
    else:
        how = f"not measured: none of {len(points)} verdicts can be read"
        measured.append(context.measured("win_rate", None, how))
    shares, first, second = figures.position_bias(compared)
    if shares:
        value, error = figures.mean_error(shares)
        how = (
            f"prompts whose two orders give different verdicts: of {len(shares)} prompts {first} times the first answer"
        )
        how += f" was preferred in both orders, {second} times the second"
        measured.append(context.measured("position_bias", value, how, better=Better.LOWER, stderr=error))
    return [*measured, *_unreadable(context, unread, len(points))]


def of_grades(context: Context, grades: Sequence[Sequence[Verdict | None]], asked: Asked) -> list[Measurement]:
    """Return the mean grade, and the share of grades that could not be read."""
    if asked.missing:
        return [context.measured("grade", None, not_run(asked))]
    means = [value for row in grades if (value := mean_grade(row)) is not None]
    count = sum(len(row) for row in grades)
    unread = sum(verdict is None or verdict.value is None for row in grades for verdict in row)
    if not means:
        return [context.measured("grade", None, f"not measured: none of {count} grades can be read")]
    value, error = figures.mean_error(means)
    how = f"grade from 1 to 10, mean of {len(means)} of {len(grades)} prompts; standard error over prompts"
    how += f"; {unread} of {count} grades cannot be read" if unread else ""
    return [context.measured("grade", value, how, stderr=error), *_unreadable(context, unread, count, "grades_")]


def mean_grade(row: Sequence[Verdict | None]) -> float | None:
    """Return the mean of a prompt's grades; None if one cannot be read."""
    values = [float(one.value) for one in row if one is not None and one.value is not None]
    return fmean(values) if values and len(values) == len(row) else None


def _unreadable(context: Context, unread: int, count: int, prefix: str = "") -> list[Measurement]:
    if not count:
        return []
    how = f"{unread} of {count} verdicts cannot be read"
    return [context.measured(f"{prefix}unreadable", unread / count, how, better=Better.LOWER)]


def agreement(
    context: Context, name: str, pair: tuple[Sequence[float | None], Sequence[float | None]], who: str
) -> list[Measurement]:
    """Return Cohen's κ of two series of verdicts, None where there are no verdicts."""
    ours, theirs = pair
    if not ours or not theirs:
        return []
    value, count = figures.kappa(ours, theirs)
    how = f"Cohen's κ of {who}, {count} of {len(ours)} verdicts that both could be read"
    how = how if value is not None else f"not measured: {who} give one and the same verdict {count} times"
    return [context.measured(name, value, how)]
