"""A local model as a judge: its verdict is the most probable of the allowed ones, without a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from una_bench.evaluation.judge.judge_prompt import MARKS
from una_bench.evaluation.judge.requests import Reply, Request
from una_bench.machine import stop_request
from una_bench.models import catalog, sizes, weight_files

AT_ONCE = 16
"""Requests between two checks for a stop."""


@dataclass(slots=True, kw_only=True)
class LocalJudge:
    """A causal language model on this machine, read by log-probabilities."""

    model: str
    device: str = "cpu"
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False)
    _folder: Path | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """Name of the model, without its folder."""
        return Path(self.model).name

    def identity(self) -> Mapping[str, Any]:
        """Return a fingerprint of the model's files."""
        return {"local": str(weight_files.fingerprint(self.folder)), "read": "log-probabilities"}

    @property
    def folder(self) -> Path:
        """Folder of the model; a UserError if it is not on this machine."""
        if self._folder is None:
            self._folder = catalog.resolve(self.model).folder
        return self._folder

    def ask(self, requests: Sequence[Request], keep: Callable[[int, Reply], None]) -> None:
        """Choose the allowed verdict with the largest log-probability after each prompt."""
        for start in range(0, len(requests), AT_ONCE):
            stop_request.check()
            part = requests[start : start + AT_ONCE]
            for number, reply in enumerate(self._replies(part), start=start):
                keep(number, reply)

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        model, tokenizer = self._load()
        limit = sizes.context(model.config)
        pairs: list[tuple[list[int], list[int]]] = []
        marks: list[list[str]] = []
        prompts = [self.prompt_ids(request) for request in requests]
        for ids, request in zip(prompts, requests, strict=True):
            choices = {
                mark: list(tokenizer(mark, add_special_tokens=False)["input_ids"]) for mark in MARKS[request.kind]
            }
            longest = len(ids) + max(map(len, choices.values()))
            marks.append(list(choices) if limit is None or longest <= limit else [])
            pairs += [(ids, choices[mark]) for mark in marks[-1]]
        scores = iter(log_probabilities(model, pairs))
        replies = []
        for ids, allowed in zip(prompts, marks, strict=True):
            by_mark = {mark: next(scores) for mark in allowed}
            too_long = f"refused: {len(ids)} tokens, but {self.name} reads {limit}"
            best = max(by_mark, key=by_mark.__getitem__) if by_mark else ""
            replies.append(Reply(text=best, refused="" if best else too_long, tokens_in=len(ids)))
        return replies

    def prompt_ids(self, request: Request) -> list[int]:
        """Return the tokens of a request; system and user text are one message, as some templates have no other."""
        _, tokenizer = self._load()
        text = "\n\n".join(message["content"] for message in request.messages)
        if not tokenizer.chat_template:
            return list(tokenizer(text)["input_ids"])
        message = [{"role": "user", "content": text}]
        return list(tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"])

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            arguments = weight_files.loading(self.folder)
            model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, **arguments)
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **arguments)
            self._loaded = model.to(self.device).eval(), tokenizer
        return self._loaded


def log_probabilities(model: Any, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Return log p(continuation | context) of each pair, nats; contexts are read once if the model allows."""
    import torch

    from una_bench.models.decoding.shared_prefix import Reader, can_share

    out = [0.0] * len(pairs)
    if can_share(model):
        for place, logp_CV in Reader(model, torch.float32).continuations(pairs):
            labels_C = torch.tensor(pairs[place][1], device=logp_CV.device)
            out[place] = float(logp_CV.gather(-1, labels_C[:, None]).double().sum())
        return out
    for place, (context, continuation) in enumerate(pairs):
        ids_1T = torch.tensor([[*context, *continuation]], device=model.device)
        with torch.no_grad():
            logp_TV = model(input_ids=ids_1T, use_cache=False).logits[0].float().log_softmax(-1)
        rows = range(len(context) - 1, len(context) + len(continuation) - 1)
        out[place] = sum(float(logp_TV[row, token]) for row, token in zip(rows, continuation, strict=True))
    return out
