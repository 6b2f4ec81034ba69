"""lm-eval's Hugging Face model with shared-prefix computation and drafted greedy answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from una_bench.models.decoding import prompt_lookup
from una_bench.models.decoding.grouped_attention import grouped
from una_bench.models.decoding.growing_cache import growing_cache
from una_bench.models.decoding.shared_prefix import Reader, can_share


class SharedPrefixLM(HFLM):
    """HFLM that shares prefixes and caches tokenized requests."""

    def __init__(self, *args: Any, encoded: dict[tuple[str, str], Any] | None = None, **kwargs: Any) -> None:
        """Accept HFLM's arguments; ``encoded`` caches tokenized requests for other models with the same tokenizer."""
        super().__init__(*args, **kwargs)
        self._encoded = {} if encoded is None else encoded
        self.forward_tokens = 0
        """Tokens processed by the model for log-likelihoods."""

    def _encode_pair(self, context: str, continuation: str) -> Any:
        key = (context, continuation)
        if key not in self._encoded:
            self._encoded[key] = super()._encode_pair(context, continuation)
        return self._encoded[key]

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        if not can_share(self.model):
            return super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm, override_bs=override_bs)
        reader = Reader(self.model, self.softmax_dtype)
        whole = [(context + target)[-(self.max_length + 1) :] for _, context, target in requests]
        pairs = [(ids[: -len(target)], target) for ids, (_, _, target) in zip(whole, requests, strict=True)]
        answers: list[Any] = [None] * len(requests)
        for place, logp_CV in reader.continuations(pairs):
            tokens_C = torch.tensor(pairs[place][1], device=logp_CV.device)
            greedy = bool((logp_CV.argmax(-1) == tokens_C).all())
            answers[place] = float(logp_CV.gather(-1, tokens_C[:, None]).sum()), greedy
        self.forward_tokens += reader.forward_tokens
        for (text, _, _), answer in zip(requests, answers, strict=True):
            if text is not None:
                self.cache_hook.add_partial("loglikelihood", text, answer)
        return answers

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
        if not can_share(self.model):
            return super()._model_generate(context, max_length, stop, **settings)
        if not is_plain_greedy(self.model, settings):
            return super()._model_generate(context, max_length, stop, past_key_values=growing_cache(), **settings)
        most = max_length - context.shape[1]
        mask = settings["attention_mask"]
        prompts = [row[real].tolist() for row, real in zip(context, mask.bool(), strict=True)]
        with grouped(self.model):
            completions = prompt_lookup.decode(self.model, prompts, self._ends(stop, most))
        pad = self.tokenizer.pad_token_id
        padded = [row + [pad] * (most - len(row)) for row in completions]
        return torch.cat([context, torch.tensor(padded, dtype=context.dtype, device=context.device)], dim=1)

    def _ends(self, stop: list[str], most: int) -> prompt_lookup.Ends:
        """Return the stop conditions at which lm-eval truncates an answer."""
        ends = self.model.generation_config.eos_token_id
        tokens = ends if isinstance(ends, list) else [] if ends is None else [ends]

        def stopped(written: list[int]) -> bool:
            text = self.tok_decode(written, skip_special_tokens=False)
            return any(word in text for word in stop if word)

        return prompt_lookup.Ends(tokens=frozenset(tokens), stopped=stopped, most=most)


def is_plain_greedy(model: Any, settings: Mapping[str, Any]) -> bool:
    """Return whether ``generate`` with these settings always takes the most likely token."""
    from transformers import GenerationConfig

    sampled = settings.get("do_sample") or settings.get("temperature")
    supported = {"attention_mask", "do_sample", "temperature"}
    irrelevant = {"temperature", "top_k", "top_p", "do_sample", "max_length", "max_new_tokens", "use_cache"}
    default, actual = GenerationConfig(), model.generation_config.to_dict()
    changed = {name for name, value in actual.items() if value != getattr(default, name, None)}
    changed -= {name for name in changed if name.endswith("_token_id") or name.startswith("_")}
    return not sampled and settings.keys() <= supported and changed <= irrelevant | {"transformers_version"}
