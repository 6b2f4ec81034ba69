"""The order of methods in a run of `sentiment` beside that in `exact`, and which pairs of methods are resolved.

    python benchmarks/studies/order_of_methods.py results/runs/sentiment results/exact

The first run is the folder that `una-bench run` made, with the prompts' figures in its `cells/`. The interval of the
rank correlation is over resamples of seeds (both runs) and prompts (the first).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from una_bench.analysis import aggregate, documents, frame, stats
from una_bench.analysis.frame import Row
from una_bench.record import reader

OUT = Path(__file__).parents[2] / "results" / "studies" / "order_of_methods.json"
SPLITS = ("train", "heldout")
APART = 0.1
"""Pairs whose regrets differ by more than this should be resolved."""
RESAMPLES = 10_000
Matrix = np.ndarray[Any, np.dtype[np.float64]]
"""Regrets by seed and prompt, (S, P)."""


def trained(run: Path) -> dict[str, Row]:
    """Return the trained rows of a run by label."""
    return {row.label: row for row in frame.rows(reader.some(run)) if not row.fixed}


def by_prompt(run: Path, metric: str) -> dict[str, Matrix]:
    """Return each trained row's regrets by seed and prompt."""
    rows = trained(run)
    scores = documents.scores(run, [record for row in rows.values() for record in row.records])
    return {
        label: np.array([list(scores[record.cell, metric].values()) for record in row.records])
        for label, row in rows.items()
    }


def pairs(regrets: Mapping[str, Matrix]) -> list[dict[str, Any]]:
    """Return the difference of each two methods, paired by seed and prompt, under Holm's correction for all pairs."""
    names = list(combinations(regrets, 2))
    differences = [regrets[a] - regrets[b] for a, b in names]
    raw = [aggregate.by_document(d).p or 0.0 for d in differences]
    corrected = zip(names, differences, stats.holm(raw), stats.holm_levels(raw), strict=True)
    made = []
    for (first, second), difference, p, level in corrected:
        effect = aggregate.by_document(difference, level=level, p=p)
        row = {"first": first, "second": second, "difference": effect.mean, "low": effect.low, "high": effect.high}
        made.append({**row, "resolved": effect.resolved})
    return made


def correlation(real: Mapping[str, Matrix], toy: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return Spearman's rank correlation of the methods' mean regrets, with a percentile interval."""
    names, rng = [name for name in real if name in toy], np.random.default_rng(0)
    value = spearmanr([real[n].mean() for n in names], [fmean(toy[n]) for n in names]).statistic
    again = []
    for _ in range(RESAMPLES):
        seeds, prompts = real[names[0]].shape
        rows, columns = rng.integers(seeds, size=seeds), rng.integers(prompts, size=prompts)
        ours = [real[n][np.ix_(rows, columns)].mean() for n in names]
        theirs = [np.take(toy[n], rng.integers(len(toy[n]), size=len(toy[n]))).mean() for n in names]
        again.append(spearmanr(ours, theirs).statistic)
    low, high = np.nanquantile(again, [0.025, 0.975])
    return {"methods": names, "spearman": float(value), "low": float(low), "high": float(high)}


def study(sentiment: Path, exact: Path) -> dict[str, Any]:
    """Return the record of both splits."""
    found: dict[str, Any] = {"schema": 1, "kind": "order_of_methods", "splits": {}}
    for split in SPLITS:
        metric = f"oracle.regret.{split}"
        real = by_prompt(sentiment, metric)
        toy = {label: list(row.values[metric].values()) for label, row in trained(exact).items()}
        each = pairs(real)
        far = [pair for pair in each if abs(pair["difference"]) > APART]
        found["splits"][split] = {
            "regret": {
                name: {"sentiment": float(m.mean())} | ({"exact": fmean(toy[name])} if name in toy else {})
                for name, m in real.items()
            },
            "pairs": each,
            "apart": len(far),
            "apart_resolved": sum(pair["resolved"] for pair in far),
            "resolved": sum(pair["resolved"] for pair in each),
            "rank_correlation": correlation(real, toy),
        }
    return found


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentiment", type=Path)
    parser.add_argument("exact", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    result = study(given.sentiment, given.exact)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for split, row in result["splits"].items():
        ranks = row["rank_correlation"]
        print(f"{split}: {row['resolved']} of {len(row['pairs'])} pairs resolved, {row['apart_resolved']} of the")
        print(f"  {row['apart']} that differ by more than {APART}; rank correlation of {len(ranks['methods'])} methods")
        print(f"  with exact {ranks['spearman']:.2f} ({ranks['low']:.2f} to {ranks['high']:.2f})")


if __name__ == "__main__":
    main()
