"""Sampling of responses: ours against transformers' ``generate``, in turn in one process, on SmolLM2-135M.

    python benchmarks/studies/sampler.py                     # on a quiet machine; needs `una-bench models add smollm2`
    python benchmarks/studies/sampler.py --rows 32 --tokens 24 --rounds 1 --out /tmp/sampler.json

Three samplers: ``generate`` as users call it (``do_sample``), ``generate`` with our draws (``sampler="transformers"``),
and ours. Prompts are openings of the suite `sentiment`, four rows each. Responses end where the model ends them. Rates
are per CPU second; the share of rows that had ended and were still read is what continuous batches could save of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

OUT = Path(__file__).parents[2] / "results" / "studies" / "sampler.json"
EACH = 4
"""Rows of a prompt."""
PRECISIONS = ("float32", "bfloat16")


def prompts(tokenizer: Any, rows: int) -> list[list[int]]:
    """Return the token ids of ``rows`` prompts, `EACH` of a kind."""
    from una_bench.problems.generated.openings import OPENINGS

    texts = [OPENINGS[i % len(OPENINGS)] for i in range(rows // EACH)]
    return [tokenizer(text)["input_ids"] for text in texts for _ in range(EACH)]


def samplers(model: Any, ids: list[list[int]], tokens: int) -> dict[str, Callable[[], list[list[int]]]]:
    """Return each sampler as a function that draws one response to each prompt."""
    import torch

    from una_bench.una.generation import Sampling, generate, uniform_numbers

    eos, pad = int(model.generation_config.eos_token_id), 0
    sampling = Sampling(max_new_tokens=tokens, eos=(eos,), pad=pad)
    numbers = uniform_numbers(len(ids), tokens, (0, 0))
    width = max(map(len, ids))
    ids_BT = torch.tensor([[pad] * (width - len(p)) + p for p in ids])
    real_BT = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in ids])

    def users() -> list[list[int]]:
        plain = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "pad_token_id": eos}
        out_BT = model.generate(ids_BT, attention_mask=real_BT, max_new_tokens=tokens, **plain)
        rows = out_BT[:, width:].tolist()
        return [row[: row.index(eos) + 1] if eos in row else row for row in rows]

    return {
        "generate": users,
        "transformers": lambda: generate(model, ids, sampling, numbers, len(ids), "transformers"),
        "una": lambda: generate(model, ids, sampling, numbers, len(ids)),
    }


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """Give a list of the rows of every pass."""
    rows: list[int] = []
    hook = model.register_forward_pre_hook(lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True)
    yield rows
    hook.remove()


def measure(model: Any, draw: Callable[[], list[list[int]]], precision: str) -> dict[str, Any]:
    """Draw once, in autocast for bfloat16 as in training, and return the reading."""
    import torch

    from una_bench.una.generation import cast_once

    torch.manual_seed(0)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with torch.no_grad(), mixed, cast_once(model), counted(model) as rows:
        before = time.perf_counter(), time.process_time()
        responses = draw()
        after = time.perf_counter(), time.process_time()
    return {
        "wall_seconds": after[0] - before[0],
        "cpu_seconds": after[1] - before[1],
        "response_tokens": sum(map(len, responses)),
        "row_steps": sum(rows[1:]) + len(responses),
        "load": os.getloadavg()[0],
        "responses": responses,
    }


def compare(samples: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return, for each setting, tokens per CPU second of each sampler and the ratios of ours to the others."""
    out = []
    for setting in dict.fromkeys(name.rpartition("/")[0] for name in samples):
        rates = {
            name: [r["response_tokens"] / r["cpu_seconds"] for r in samples[f"{setting}/{name}"]]
            for name in ("generate", "transformers", "una")
        }
        ours = samples[f"{setting}/una"]
        line: dict[str, Any] = {"setting": setting} | {f"{name}_token_per_s": median(r) for name, r in rates.items()}
        for name in ("generate", "transformers"):
            each = [a / b for a, b in zip(rates["una"], rates[name], strict=False)]
            line[f"una_over_{name}"] = [median(each), min(each), max(each)]
        line["same_samples"] = all(r["same_samples"] for r in ours)
        line["mean_response_tokens"] = ours[0]["response_tokens"] / int(setting.split("/")[1])
        line["idle_share"] = 1 - ours[0]["response_tokens"] / ours[0]["row_steps"]
        out.append(line)
    return out


def markdown(record: dict[str, Any]) -> str:
    """Return the table: tokens per CPU second of ours, and how many times that of the other samplers."""
    heads = ["precision", "rows", "tokens at most", "mean", "ours, token per CPU second"]
    heads += ["over `generate`", "over `generate` with our draws", "rows that had ended"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for line in record["comparisons"]:
        precision, rows, tokens = line["setting"].split("/")
        rounds = len(record["samples"][f"{line['setting']}/una"])
        over = (line[f"una_over_{name}"] for name in ("generate", "transformers"))
        ratios = [f"{m:.2f} [{low:.2f}, {high:.2f}]" if rounds > 1 else f"{m:.2f}" for m, low, high in over]
        numbers = [f"{line['mean_response_tokens']:.0f}", f"{line['una_token_per_s']:.0f}", *ratios]
        lines.append("| " + " | ".join([precision, rows, tokens, *numbers, f"{line['idle_share']:.1%}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and run the study."""
    from una_vs_trl import environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="32,128")
    parser.add_argument("--tokens", default="24,256")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from una_bench.models import catalog

    torch.set_num_threads(1)
    folder = catalog.added_folder("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    record: dict[str, Any] = {"study": "sampler", "environment": environment(), "samples": {}}
    shapes = [(int(n), int(t)) for t in given.tokens.split(",") for n in given.rows.split(",")]
    for number in range(given.rounds):
        for precision in given.precisions.split(","):
            for rows, tokens in shapes:
                drawn: dict[str, list[list[int]]] = {}
                for name, draw in samplers(model, prompts(tokenizer, rows), tokens).items():
                    reading = measure(model, draw, precision)
                    drawn[name] = reading.pop("responses")
                    same = {"same_samples": drawn[name] == drawn["transformers"]} if name == "una" else {}
                    record["samples"].setdefault(f"{precision}/{rows}/{tokens}/{name}", []).append(reading | same)
                    print(f"{number + 1}/{given.rounds} {precision} {rows} {tokens} {name}: {reading}", file=sys.stderr)
                record["comparisons"] = compare(record["samples"])
                given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(markdown(record))


if __name__ == "__main__":
    main()
