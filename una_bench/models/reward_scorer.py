"""Reward models as functions of texts, and the one place where their rewards are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared, sides
from una_bench.models import sizes, weight_files

STYLE = "style.json"
"""File in the folder of a reward model that reads text, because its tokenizer is not the policy's: how to write it."""
TOKENS_AT_ONCE = 8192
"""Padded tokens in one forward pass."""


def write_style(folder: Path, *, end: str, own_template: bool, policy_tokens: bool = False) -> None:
    """Record that the reward model in ``folder`` reads text, in which template and tokens, and what ends it."""
    style = {"end": end, "own_template": own_template} | ({"policy_tokens": True} if policy_tokens else {})
    (folder / STYLE).write_text(json.dumps(style) + "\n", encoding="utf-8")


def same_tokens(tokenizer: Any, other: Any) -> bool:
    """Return whether ids mean the same to both tokenizers; a padding token that only one has does not count."""
    padding = {(t.pad_token, t.pad_token_id) for t in (tokenizer, other)}
    return bool(tokenizer.get_vocab().items() ^ other.get_vocab().items() <= padding)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Tokenize text as a reward model reads it: where the policy's template has its first token, no second is added."""
    ids: list[int] = tokenizer(text)["input_ids"]
    first = tokenizer.bos_token_id
    return ids[1:] if first is not None and ids[:2] == [first, first] else ids


def reads_text(prepared: Prepared) -> bool:
    """Return whether the policy's token ids mean nothing to the prepared reward model, so that it must read text."""
    from transformers import AutoTokenizer

    if prepared.reward is None or (prepared.reward / STYLE).is_file():
        return prepared.reward is not None
    policy_tokenizer = AutoTokenizer.from_pretrained(prepared.policy, **weight_files.loading(prepared.policy))
    return not same_tokens(policy_tokenizer, AutoTokenizer.from_pretrained(prepared.reward))


def read_rewards(model: Any, ids: Sequence[Sequence[int]], pad: int | None) -> list[float]:
    """Return the reward of each sequence of token ids, read at its last token.

    transformers' classifiers read at the last token that is not ``config.pad_token_id``, which is one too early where
    sequences end in it. Another token pads them there: what stands behind a sequence does not change its reward.
    ``model`` has one output; ``ids`` are without padding; ``pad`` is the tokenizer's padding token, if it has one.
    """
    import torch

    ends = {row[-1] for row in ids if row}
    config = model.config.get_text_config()
    if pad is None or pad in ends or pad >= config.vocab_size:
        pad = next((token for token in range(config.vocab_size) if token not in ends), None)
    if pad is None:  # every token ends a sequence
        half = len(ids) // 2
        return read_rewards(model, ids[:half], pad) + read_rewards(model, ids[half:], pad)
    before, config.pad_token_id = config.pad_token_id, pad
    width = max(map(len, ids))
    padded = torch.tensor([[*row, *[pad] * (width - len(row))] for row in ids], device=model.device)
    real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=model.device)
    with torch.no_grad():
        logits_B1 = model(input_ids=padded, attention_mask=real).logits
    config.pad_token_id = before
    rewards: list[float] = logits_B1[:, 0].float().tolist()
    return rewards


class RewardModel:
    """A sequence classifier with one output and the tokenizer that is its own; it gets text, never ids."""

    def __init__(self, model: Any, tokenizer: Any = None, *, batch: int | None = None, device: Any = None) -> None:
        """Take a model, its name or its folder; without a tokenizer, it is loaded by the model's name.

        ``batch`` texts enter one forward pass, in the given order; None: texts of similar length, `TOKENS_AT_ONCE`.
        """
        if isinstance(model, str | Path):
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model)
            model = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32)
        outputs = getattr(model.config, "num_labels", None)
        if outputs != 1:
            raise UserError(f"The reward model has {outputs} outputs; one is needed. Load it with num_labels=1.")
        if tokenizer is None:
            raise UserError("The reward model needs a tokenizer of its own. Pass reward_processing_class.")
        self.model = model.requires_grad_(False).eval()
        self.tokenizer, self.batch = tokenizer, batch
        self.most = sizes.context(model.config)
        if device is not None:
            self.model.to(device)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
        """Return the raw reward of each prompt (text or messages) with its completion."""
        ids = [self.token_ids(p, c)[: self.most] for p, c in zip(prompts, completions, strict=True)]
        rewards = [0.0] * len(ids)
        for part in self._batches([len(row) for row in ids]):
            read = read_rewards(self.model, [ids[i] for i in part], self.tokenizer.pad_token_id)
            for place, reward in zip(part, read, strict=True):
                rewards[place] = reward
        return rewards

    def token_ids(self, prompt: Any, completion: str) -> list[int]:
        """Return the token ids of a prompt (text or messages) with its completion, however many."""
        if isinstance(prompt, str):
            return text_ids(self.tokenizer, prompt + completion)
        chat = [*prompt, {"role": "assistant", "content": completion}]
        return list(self.tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"])

    def _batches(self, lengths: Sequence[int]) -> Iterator[Sequence[int]]:
        if self.batch is not None:
            yield from (range(len(lengths))[i : i + self.batch] for i in range(0, len(lengths), self.batch))
            return
        order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        while order:
            most = max(1, TOKENS_AT_ONCE // max(1, lengths[order[-1]]))
            yield order[-most:]
            order = order[:-most]


class Scorer(RewardModel):
    """The prepared reward model, for whoever scores texts of the policy: template and end token included."""

    def __init__(self, prepared: Prepared, device: str = "cpu", *, batch: int | None = None) -> None:
        """Load the model; ``prepared.reward`` must exist."""
        from transformers import AutoTokenizer

        if prepared.reward is None:
            raise ValueError("the prepared folder has no reward model")
        super().__init__(prepared.reward, batch=batch, device=device)
        policy = AutoTokenizer.from_pretrained(prepared.policy, **weight_files.loading(prepared.policy))
        file = prepared.reward / STYLE
        self.style: dict[str, Any] = {"end": policy.eos_token, "policy_tokens": same_tokens(policy, self.tokenizer)}
        if file.is_file():
            self.style = json.loads(file.read_text(encoding="utf-8"))
        self.policy_tokenizer = policy if self.style.get("policy_tokens") else None
        """The policy's tokenizer where the reward model gets its token ids."""
        tables = [prepared.prompts(s) for s in ("train", "heldout")] if self.style.get("own_template") else []
        self.messages: dict[str, str] = dict(p for t in tables for p in zip(t.prompt, t.messages, strict=True))
        """Messages of each prompt, as JSON, by its text."""

    def token_ids(self, prompt: str, completion: str) -> list[int]:
        """Return the token ids of a prompt and completion in the policy's template, however many."""
        if self.policy_tokenizer is not None:  # the text has its special tokens already
            return list(self.policy_tokenizer(prompt + completion, add_special_tokens=False)["input_ids"])
        end = self.style["end"]
        bare = completion.removesuffix(end)
        if self.style.get("own_template"):
            return super().token_ids(json.loads(self.messages[prompt]), bare)
        return super().token_ids(prompt, completion if bare == completion else bare + (self.tokenizer.eos_token or ""))


def accuracy(scorer: Scorer, prepared: Prepared) -> float | None:
    """Return the share of held-out pairs whose preferred response gets the higher reward; a tie counts half.

    None: there are no held-out pairs.
    """
    table = prepared.responses("heldout", feedback="pairwise")
    if table.empty:
        return None
    table = table.assign(scored=scorer(table.prompt.tolist(), table.completion.tolist()))
    chosen, rejected = (side.scored.to_numpy() for side in sides(table))
    return float((chosen > rejected).mean() + 0.5 * (chosen == rejected).mean())
