"""A small generated problem: a tiny language model, eight prompts, and a reward function of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from text_models import write_model, write_rows

from una_bench.interfaces import registry
from una_bench.interfaces.prepared import Prepared

REWARD = """
from una_bench import bounded

@bounded(0, 1)
def low_bytes(prompts, completions):
    return [sum(c < "0" for c in text) / max(8, len(text)) for text in completions]

@bounded(0, 1000)
def far(prompts, completions):
    return low_bytes(prompts, completions)
"""


def write_problem(folder: Path, **changed: Any) -> dict[str, Any]:
    """Return settings of a small problem whose model, prompts and reward are in ``folder``."""
    if not (folder / "model").is_dir():
        write_model(folder / "model")
    prompts = folder / "prompts.jsonl"
    if not prompts.exists():
        write_rows(prompts, [{"prompt": f"number {i} is" + " so" * (i % 3)} for i in range(8)])
    (folder / "reward.py").write_text(REWARD)
    settings = {
        "kind": "generated",
        "policy": str(folder / "model"),
        "template": "plain",
        "prompts": str(prompts),
        "heldout_prompts": 3,
        "max_response_length": 8,
        "reward_function": f"{folder / 'reward.py'}:low_bytes",
        "beta": 0.2,
        "responses": 32,
        "responses_heldout": 8,
        "optimum_samples": 64,
    }
    return settings | changed


def prepared_with(folder: Path, **changed: Any) -> Prepared:
    registry.problem(write_problem(folder, **changed)).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")
