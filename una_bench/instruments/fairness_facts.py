"""Facts that the fairness ledger compares between methods: initial weights, responses, tokenization."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.instruments.phases import BOOKKEEPING
from una_bench.record.hashes import file_sha256

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe


def weights_sha256(model: Any) -> str:
    """Hash the names, types and values of all weights of ``model``."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().contiguous().cpu().reshape(-1)
        digest.update(raw.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def checkpoint_sha256(folder: Path) -> str | None:
    """Hash the safetensors files of a checkpoint; None if there are none."""
    lines = [f"{path.name} {file_sha256(path)}\n" for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def record_reference(probe: Probe, model: Any) -> None:
    """Record the hash of the reference model after training, which must equal that of the initial policy."""
    if model is not None:
        with probe.phase(BOOKKEEPING):
            probe.facts["reference_weights_sha256"] = weights_sha256(model)


def record_facts(
    probe: Probe, *, model: Any, tokenizer: Any, prompt_ids: Iterable[Any], completion_ids: Iterable[Any] | None
) -> None:
    """Record what the fairness ledger compares; call this before adapters are added to ``model``.

    ``prompt_ids`` and ``completion_ids`` are the tokens of each prompt and response, as the method sees them; None if
    it generates its own. Hashes are over the sorted set of them, and examples are its first, the same for every method.
    """
    facts = probe.facts
    with probe.phase(BOOKKEEPING):
        facts["initial_weights_sha256"] = weights_sha256(model)
        prompts = [tuple(map(int, ids)) for ids in prompt_ids]
        distinct = sorted(set(prompts))
        facts["prompts_distinct"] = len(distinct)
        facts["prompts_set_sha256"] = hashlib.sha256(repr(distinct).encode()).hexdigest()
        facts["prompt_example"] = _example(tokenizer, distinct[0])
        if completion_ids is not None:
            responses = sorted(set(zip(prompts, (tuple(map(int, ids)) for ids in completion_ids), strict=True)))
            facts["responses_distinct"] = len(responses)
            facts["responses_set_sha256"] = hashlib.sha256(repr(responses).encode()).hexdigest()
            facts["tokenisation_example"] = _example(tokenizer, *responses[0])


def _example(tokenizer: Any, prompt: Sequence[int], completion: Sequence[int] = ()) -> dict[str, Any]:
    """Return the token ids, the number of leading BOS and trailing EOS tokens, and the text.

    The text shows the template; a doubled BOS or a missing EOS is the most common difference between trainers.
    """
    ids = [*prompt, *completion]
    shown: dict[str, Any] = {"prompt_ids": list(prompt)} | ({"completion_ids": list(completion)} if completion else {})
    shown["bos_tokens"] = sum(1 for _ in takewhile(lambda token: token == tokenizer.bos_token_id, ids))
    shown["eos_tokens"] = sum(1 for _ in takewhile(lambda token: token == tokenizer.eos_token_id, reversed(ids)))
    return shown | {"text": tokenizer.decode(ids)}


def dropout(model: Any) -> float:
    """Return the largest dropout rate in ``model``; 0 means no dropout."""
    from torch.nn.modules.dropout import _DropoutNd

    rates = [m.p for m in model.modules() if isinstance(m, _DropoutNd)]
    inside = (getattr(m, "attention_dropout", None) for m in model.modules())
    return float(max([0.0, *rates, *(rate for rate in inside if isinstance(rate, int | float))]))


def record_feedback(probe: Probe, table: pd.DataFrame) -> None:
    """Record how many of the responses to train on have a partner, and their labels."""
    alone = int((table["pair"] < 0).sum())
    labels = table["label"]
    probe.facts["feedback"] = {
        "in_pairs": len(table) - alone,
        "without_partner": alone,
        "desirable": int((labels == True).sum()),  # noqa: E712 - a label may be missing
        "undesirable": int((labels == False).sum()),  # noqa: E712
    }


def record_rows(probe: Probe, trainer: Any, *, given: int, kept: int, lengths: Iterable[int]) -> None:
    """Record how many rows the trainer dropped and truncates; ``lengths`` are tokens, prompt and response together."""
    limit = getattr(trainer.args, "max_length", None)
    probe.facts["rows_dropped"] = given - kept
    probe.facts["rows_truncated"] = 0 if limit is None else sum(length > limit for length in lengths)
