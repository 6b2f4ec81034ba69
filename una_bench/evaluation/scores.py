"""lm-eval's results as measurements, under lm-eval's own names and by its own aggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from una_bench.evaluation import leaderboard_scores
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.evaluation.leaderboards import Entry


def measurements(
    results: dict[str, Any], entry: Entry | None = None, seen: str = "", note: str = ""
) -> list[Measurement]:
    """Turn lm-eval's results into measurements: ``task.NAME.METRIC``, and the filter where lm-eval names one.

    Args:
        results: Of one task or group.
        entry: What it is on a leaderboard: only the row and the metrics that count there become measurements.
        seen: Which documents were seen, in words, where they are spread over a group.
        note: On the settings.
    """
    rows = results["results"] | (results.get("groups") or {})
    hows = {task: ", ".join(filter(None, (*_how(results, task, seen), note))) for task in rows}
    if entry is None:
        return [m for task, figures in rows.items() for m in _row(results, task, figures, hows[task])]
    task = entry.task
    wanted = {key: value for key, value in rows[task].items() if key in entry.keys}
    found = _row(results, task, wanted, hows[task])
    # lm-eval loses the direction where groups hold groups; on a leaderboard more is better throughout.
    return [m.model_copy(update={"better": Better.HIGHER}) for m in found]


def named(metric: str, filtered: str) -> str:
    """Return our name of a metric of lm-eval's: with its filter, where lm-eval names one."""
    return metric if filtered == "none" else f"{metric}.{filtered}"


def _row(results: dict[str, Any], task: str, figures: dict[str, Any], how: str) -> list[Measurement]:
    """Measurements of one task or group."""
    found = []
    for key, value in figures.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        stderr = figures.get(f"{metric}_stderr,{filtered}")
        upward = results.get("higher_is_better", {}).get(task, {}).get(metric)
        found.append(
            Measurement(
                metric=f"task.{task}.{named(metric, filtered)}",
                unit="1",
                better={True: Better.HIGHER, False: Better.LOWER}.get(upward, Better.NEITHER),
                samples=(float(value),),
                how=how,
                stderr=float(stderr) if isinstance(stderr, int | float) else None,
            )
        )
    return found


def _how(results: dict[str, Any], task: str, spread: str) -> tuple[str, ...]:
    """Say by which lm-eval, on how many documents, and with how many examples in the prompt."""
    import lm_eval

    counts = results.get("n-samples", {}).get(task)
    seen = f"{counts['effective']} of {counts['original']} documents" if counts else ""
    if not counts and results.get("configs"):
        seen = spread or leaderboard_scores.documents(results)
    shots = results.get("n-shot", {}).get(task)
    return f"lm-eval {lm_eval.__version__}", seen, f"{shots}-shot" if shots is not None else ""
