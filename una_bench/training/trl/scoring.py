"""What PPOTrainer takes for a reward model: a sequence classifier, or texts scored by anything behind that shape.

PPOTrainer hands its reward model the *policy's* token ids and reads one hidden state. That is right for a classifier
with the policy's tokenizer and nonsense for any other, so everything else goes through text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.models.reward_scorer import Scorer, reads_text

if TYPE_CHECKING:
    from una_bench.interfaces.method import Job
    from una_bench.interfaces.prepared import Prepared
    from una_bench.interfaces.problem import RewardFunction


class TextReward(nn.Module):
    """A reward function on texts in the shape that PPOTrainer expects of a reward model.

    PPOTrainer calls the module named by ``base_model_prefix``, then ``score`` on its last hidden states, and reads the
    result at the last real token: so each response's reward stands at every position.
    """

    base_model_prefix = "texts"

    def __init__(self, reward: RewardFunction, tokenizer: Any, prompt_texts: dict[tuple[int, ...], str]) -> None:
        super().__init__()
        self.texts = _Texts(reward, tokenizer, prompt_texts)

    def score(self, hidden_BT1: Tensor) -> Tensor:
        """The hidden state is the reward already, (B, T, 1)."""
        return hidden_BT1


class _Texts(nn.Module):
    """Token ids of prompt and response -> one reward, repeated over the sequence."""

    def __init__(self, reward: RewardFunction, tokenizer: Any, prompt_texts: dict[tuple[int, ...], str]) -> None:
        super().__init__()
        self.reward, self.tokenizer, self.prompt_texts = reward, tokenizer, prompt_texts
        self.model: Any = None
        """What the reward function runs, where that is a model: so its bytes and operations are counted."""
        self.context_length = 0
        """Width of the padded prompts of this rollout, in tokens; whoever generates sets it."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SimpleNamespace:
        """Score (B, T) token ids where ``attention_mask`` is true; returns hidden states of (B, T, 1)."""
        prompts, completions = [], []
        for ids, real in zip(input_ids.cpu(), attention_mask.bool().cpu(), strict=True):
            prompt = tuple(ids[: self.context_length][real[: self.context_length]].tolist())
            # TRL takes the first padding token as the end, even one that the policy sampled itself.
            kept = real[self.context_length :].cumprod(0).bool()
            completion = ids[self.context_length :][kept].tolist()
            prompts.append(self.prompt_texts[prompt])
            completions.append(completion_text(self.tokenizer, completion))
        rewards = torch.tensor(self.reward(prompts, completions), dtype=torch.float32, device=input_ids.device)
        hidden_BT1 = rewards[:, None, None].expand(*input_ids.shape, 1)
        return SimpleNamespace(hidden_states=(hidden_BT1,))


def completion_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text that reward functions see: with the end token where the response ended, without padding."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def reward_module(job: Job, prepared: Prepared, tokenizer: Any) -> tuple[nn.Module, Path | None]:
    """Return what PPOTrainer gets as reward model, and the folder that the value model can start from, if any."""
    if job.reward == "true":
        function = registry.true_reward(prepared)
        if function is None:
            raise UserError("This suite has no true reward: choose `reward: learned`.")
        return TextReward(function, tokenizer, _prompt_texts(prepared)), None
    if prepared.reward is None:
        raise UserError("This suite has no reward model: PPO needs one, or a true reward (`reward: true`).")
    if reads_text(prepared):
        scorer = Scorer(prepared, job.device)
        wrapped = TextReward(scorer, tokenizer, _prompt_texts(prepared))
        wrapped.texts.model = scorer.model  # registered, so that its bytes and its device are accounted for
        return wrapped, None
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(prepared.reward, num_labels=1, dtype=torch.float32)
    return model.eval().requires_grad_(False), prepared.reward


def _prompt_texts(prepared: Prepared) -> dict[tuple[int, ...], str]:
    """Ids of each prompt -> the text it was made from, which decoding would not always give back."""
    table = prepared.prompts("train")
    return {tuple(int(i) for i in ids): text for ids, text in zip(table.prompt_ids, table.prompt, strict=True)}
