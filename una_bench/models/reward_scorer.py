"""A prepared reward model as a function of texts: what every user of it should see, whatever its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from una_bench.interfaces.prepared import Prepared

STYLE = "style.json"
"""Beside a reward model that reads text, because its tokenizer is not the policy's: how to write it."""
TOKENS_AT_ONCE = 8192
"""Padded tokens in one forward pass."""


def write_style(folder: Path, *, end: str, own_template: bool, policy_tokens: bool = False) -> None:
    """Say that the reward model in ``folder`` reads text, in whose template and in whose tokens, and what ends it."""
    style = {"end": end, "own_template": own_template} | ({"policy_tokens": True} if policy_tokens else {})
    (folder / STYLE).write_text(json.dumps(style) + "\n", encoding="utf-8")


def reads_text(prepared: Prepared) -> bool:
    """Whether the reward model has a tokenizer of its own, so that `Scorer` must show it what it reads."""
    return prepared.reward is not None and (prepared.reward / STYLE).is_file()


class Scorer:
    """Scores responses with the prepared reward model and its own tokenizer."""

    def __init__(self, prepared: Prepared, device: str = "cpu") -> None:
        """Load the model; ``prepared.reward`` must exist."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = prepared.reward
        if folder is None:
            raise ValueError("the prepared folder has no reward model")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model = model.to(device).eval().requires_grad_(False)
        positions = getattr(model.config, "max_position_embeddings", None)
        self.most = int(positions) if positions else None
        self.style = json.loads((folder / STYLE).read_text(encoding="utf-8")) if reads_text(prepared) else {}
        self.messages = _messages(prepared) if self.style.get("own_template") else {}
        self.policys = AutoTokenizer.from_pretrained(prepared.policy) if self.style.get("policy_tokens") else None
        """The policy's tokenizer where the reward model gets its token ids."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """Return the raw reward of each completion, as given to or written by the policy, template and end included."""
        ids = [self._ids(p, c) for p, c in zip(prompts, completions, strict=True)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        rewards = [0.0] * len(ids)
        while order:
            width = max(1, len(ids[order[-1]]))
            count = max(1, TOKENS_AT_ONCE // width)
            part, order = order[-count:], order[:-count]
            for place, reward in zip(part, self._forward([ids[i] for i in part]), strict=True):
                rewards[place] = reward
        return rewards

    def _ids(self, prompt: str, completion: str) -> list[int]:
        """Tokenize one text; what is longer than the model reads loses its end."""
        end = self.style.get("end", "")
        if self.policys is not None:
            theirs: list[int] = self.policys(prompt + completion, add_special_tokens=False)["input_ids"]
            return theirs[: self.most]
        if not self.style.get("own_template"):
            ended = bool(end) and completion.endswith(end)
            text = prompt + (completion.removesuffix(end) + (self.tokenizer.eos_token or "") if ended else completion)
            ids: list[int] = self.tokenizer(text)["input_ids"]
        else:
            answer = {"role": "assistant", "content": completion.removesuffix(end)}
            chat = [{"role": role, "content": content} for role, content in json.loads(self.messages[prompt])]
            text = self.tokenizer.apply_chat_template([*chat, answer], tokenize=False)
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[: self.most]

    def _forward(self, ids: Sequence[Sequence[int]]) -> list[float]:
        import torch

        width, pad = max(map(len, ids)), int(self.tokenizer.pad_token_id)
        padded = torch.tensor([[*row, *[pad] * (width - len(row))] for row in ids], device=self.model.device)
        real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self.model.device)
        with torch.no_grad():
            logits_B1 = self.model(input_ids=padded, attention_mask=real).logits
        rewards: list[float] = logits_B1[:, 0].float().tolist()
        return rewards


def _messages(prepared: Prepared) -> dict[str, str]:
    """Messages of each prompt, as JSON, by its text."""
    tables = [prepared.prompts(split) for split in ("train", "heldout")]
    return dict(pair for table in tables for pair in zip(table.prompt, table.messages, strict=True))


def accuracy(scorer: Scorer, prepared: Prepared) -> float:
    """Share of held-out pairs whose preferred response gets the higher reward; equal rewards count half."""
    table = prepared.responses("heldout")
    table = table.assign(scored=scorer(table.prompt.tolist(), table.completion.tolist()))
    chosen = table[table.chosen].sort_values("pair").scored.to_numpy()
    rejected = table[~table.chosen].sort_values("pair").scored.to_numpy()
    return float((chosen > rejected).mean() + 0.5 * (chosen == rejected).mean())
