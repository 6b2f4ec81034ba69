"""lm-eval's results as measurements, with lm-eval's names and aggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from una_bench.evaluation import leaderboard_scores
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.evaluation.leaderboards import Entry


def measurements(
    results: dict[str, Any], entry: Entry | None = None, seen: str = "", note: str = ""
) -> list[Measurement]:
    """Return lm-eval's results of a task or group as measurements ``task.NAME.METRIC``, plus the filter if any.

    With a leaderboard entry, only the row and metrics that count there are kept. ``seen`` describes the documents, if
    they are spread over a group; ``note`` are settings to mention.
    """
    rows = results["results"] | (results.get("groups") or {})
    hows = {task: ", ".join(filter(None, (*_how(results, task, seen), note))) for task in rows}
    if entry is None:
        return [m for task, figures in rows.items() for m in _row(results, task, figures, hows[task])]
    task = entry.task
    figures = {key: value for key, value in rows[task].items() if key.replace("_stderr,", ",") in entry.metrics}
    # lm-eval loses the direction for nested groups; on a leaderboard, higher is always better.
    return [m.model_copy(update={"better": Better.HIGHER}) for m in _row(results, task, figures, hows[task])]


def named(metric: str, filtered: str) -> str:
    """Return our name of an lm-eval metric, with its filter if there is one."""
    return metric if filtered == "none" else f"{metric}.{filtered}"


def _row(results: dict[str, Any], task: str, figures: dict[str, Any], how: str) -> list[Measurement]:
    measured = []
    for key, value in figures.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        stderr = figures.get(f"{metric}_stderr,{filtered}")
        upward = results.get("higher_is_better", {}).get(task, {}).get(metric)
        measured.append(
            Measurement(
                metric=f"task.{task}.{named(metric, filtered)}",
                unit="1",
                better={True: Better.HIGHER, False: Better.LOWER}.get(upward, Better.NEITHER),
                samples=(float(value),),
                how=how,
                stderr=float(stderr) if isinstance(stderr, int | float) else None,
            )
        )
    return measured


def _how(results: dict[str, Any], task: str, spread: str) -> tuple[str, ...]:
    """Return lm-eval's version, the documents and the few-shot examples, in words."""
    import lm_eval

    counts = results.get("n-samples", {}).get(task)
    seen = f"{counts['effective']} of {counts['original']} documents" if counts else ""
    if not counts and results.get("configs"):
        seen = spread or leaderboard_scores.documents(results)
    shots = results.get("n-shot", {}).get(task)
    return f"lm-eval {lm_eval.__version__}", seen, f"{shots}-shot" if shots is not None else ""
