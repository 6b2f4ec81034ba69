"""Answers of the policies of a run: the checkpoint's own and those of its baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.evaluation.judge import answers, questions
from una_bench.evaluation.judge.answers import Answer, Asker
from una_bench.evaluation.judge.questions import Question
from una_bench.interfaces import source_code
from una_bench.models import sizes, weight_files
from una_bench.record import storage

if TYPE_CHECKING:
    from una_bench.interfaces.benchmark import Checkpoint
    from una_bench.interfaces.prepared import Prepared

Generate = Callable[[Any, Any, list[list[int]], int, int], tuple[list[list[int]], tuple[int, ...]]]
"""(model, tokenizer, tokens of prompts, most new tokens, number of the turn) -> tokens of answers, end tokens."""


@lru_cache(maxsize=1)
def _tokenizer(policy: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(policy, **weight_files.loading(policy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What all policies of a run share: template, lengths and sampling."""

    prepared: Prepared
    settings: Mapping[str, Any]
    _keys: dict[Path, str] = field(default_factory=dict)

    @property
    def most_tokens(self) -> int:
        """Maximum tokens of an answer."""
        return int(self.settings["max_new_tokens"] or self.prepared.manifest["max_new_tokens"])

    @property
    def asker(self) -> Asker:
        """Prompts in the policy's words."""
        template = self.prepared.manifest.get("template") or {}
        return Asker(tokenizer=_tokenizer(self.prepared.policy), template=template)

    def require_context(self, asked: Sequence[Question]) -> None:
        """Refuse prompts that the policy's context cannot hold with their answers."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.prepared.policy, **weight_files.loading(self.prepared.policy))
        self.asker.require_context(asked, self.most_tokens, sizes.context(config))

    @property
    def sampling(self) -> dict[str, Any]:
        """Sampling of answers, as recorded."""
        temperature = self.settings["temperature"]
        how = {"temperature": temperature, "seed": self.settings["seed"]} if temperature else {"greedy": True}
        return {**how, "max_new_tokens": self.most_tokens}

    def answers(self, checkpoint: Checkpoint, asked: Sequence[Question], generate: Generate) -> list[Answer]:
        """Return the answers of a checkpoint, from the cache if it has given them before."""
        import torch
        import transformers

        from una_bench.evaluation.checkpoints import load_checkpoint
        from una_bench.evaluation.result_cache import model_key

        if checkpoint.path not in self._keys:
            self._keys[checkpoint.path] = model_key(checkpoint)
        key = {
            "model": self._keys[checkpoint.path],
            "prompts": questions.digest(asked),
            "template": dict(self.asker.template),
            "sampling": self.sampling,
            "device": checkpoint.device,
            "code": source_code.of_packages("evaluation", "models", "una"),
            "versions": [torch.__version__, transformers.__version__],
        }

        def make() -> list[Answer]:
            model, tokenizer = load_checkpoint(checkpoint)
            asker = replace(self.asker, tokenizer=tokenizer)

            def write(prompts: list[list[int]], turn: int) -> tuple[list[list[int]], tuple[int, ...]]:
                return generate(model, tokenizer, prompts, self.most_tokens, turn)

            return asker.answer(asked, write)

        return answers.kept(key, make)


def baseline_of(checkpoint: Checkpoint, baseline: str) -> Checkpoint | None:
    """Return the checkpoint of another method of the run with the same seed, None if there is none."""
    for folder in sorted(checkpoint.out.parent.glob(f"{baseline}-s{checkpoint.seed}-*")):
        trained = storage.read_json(folder / "trained.json")
        if trained and trained.get("checkpoint") and (folder / trained["checkpoint"]).is_dir():
            return replace(checkpoint, path=folder / trained["checkpoint"], out=folder)
    return None
