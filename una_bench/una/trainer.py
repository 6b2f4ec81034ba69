"""`UNATrainer`: offline UNA on pairs, labels and scores, alone or mixed, on top of `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from una_bench.errors import UserError
from una_bench.record.storage import cache_folder
from una_bench.una.base_trainer import UNABaseTrainer
from una_bench.una.config import UNAConfig
from una_bench.una.data import build_examples
from una_bench.una.examples import Examples, identity
from una_bench.una.logprobs import ResponseScorer, causal_model
from una_bench.una.objective import batch_loss
from una_bench.una.offsets import make_offset
from una_bench.una.pack_check import longest_packed
from una_bench.una.reference import frozen_copy, model_key, precompute
from una_bench.una.samplers import GroupSampler, LengthSampler


class UNATrainer(UNABaseTrainer):
    """Train a policy on feedback with UNA (arXiv:2408.15339).

    The columns of each row decide its loss: ``prompt, chosen, rejected`` (Eq. 10), ``prompt, completion, label``
    (Eq. 11, 12) or ``prompt, completion, score`` (Eq. 13); docs/una.md has an example of each.

    Args:
        model: The policy, or its name or folder.
        train_dataset: A `datasets.Dataset` or a list of mappings; text, messages or token ids (``prompt_ids``, ...).
        eval_dataset: The same, or a mapping of names to datasets.
        processing_class: The tokenizer; None: the policy's.
        peft_config: Adapters to add.
        ref_model: The reference policy, if it is not the initial policy.
        **kwargs: Other arguments of `transformers.Trainer`: ``callbacks``, ``optimizers``, ``compute_metrics``, ...
    """

    def __init__(  # noqa: PLR0913
        self,
        model: Any,
        args: UNAConfig | None = None,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        ref_model: Any = None,
        **kwargs: Any,
    ) -> None:
        args = args if args is not None else UNAConfig(output_dir="trainer_output")
        if isinstance(model, str | Path):
            processing_class = processing_class or AutoTokenizer.from_pretrained(model)
            model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        train = self._examples(train_dataset, processing_class, args)
        if isinstance(eval_dataset, Mapping):
            eval_dataset = {name: build_examples(part, processing_class, args) for name, part in eval_dataset.items()}
        elif eval_dataset is not None:
            eval_dataset = build_examples(eval_dataset, processing_class, args)
        self.reference_kind = _reference_kind(args, model, peft_config, ref_model)
        model, self.ref_model = _with_reference(model, peft_config, ref_model, self.reference_kind)
        if args.disable_dropout:
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
        super().__init__(
            model=model,
            args=args,
            data_collator=identity,
            train_dataset=train,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.scorer = ResponseScorer(self.policy, args.logits_chunk_size)
        self.longest_packed, self.pack_obstacle = self._longest_packed()
        """Longest sequence of a batch that may be packed, tokens; 0: none, for the reason behind it."""
        for examples in (train, *(eval_dataset.values() if isinstance(eval_dataset, Mapping) else [eval_dataset])):
            if isinstance(examples, Examples):
                examples.allow_packs(self.longest_packed, fill=args.bf16 or args.fp16)
        self._set_offset(make_offset(args, int(self.policy.config.get_text_config().hidden_size), args.device))
        if self.ref_model is not None:
            self.ref_model.to(args.device)

    def _examples(self, dataset: Any, tokenizer: Any, args: Any) -> Any:
        return None if dataset is None else build_examples(dataset, tokenizer, args)

    def _longest_packed(self) -> tuple[int, str]:
        if not self.args.share_prompts:
            return 0, "share_prompts is false"
        causal = causal_model(self.policy)
        return longest_packed(causal, lambda batch: self.scorer(causal, batch).logps)

    def prepare_reference(self) -> None:
        """Compute reference log-probabilities for ``reference="precomputed"``; `train` calls this first."""
        if self.reference_kind != "precomputed":
            return
        evaluation = self.eval_dataset
        parts = [self.train_dataset, *(evaluation.values() if isinstance(evaluation, Mapping) else [evaluation])]
        todo = [part for part in parts if isinstance(part, Examples) and part.reference is None]
        if not todo:
            return
        model = self.ref_model if self.ref_model is not None else self.policy
        key = model_key(model, str(self.accelerator.mixed_precision))
        folder = Path(self.args.reference_cache or cache_folder() / "reference")
        for examples in todo:
            precompute(
                examples,
                key=key,
                folder=folder,
                score=self._reference_logps,
                accelerator=self.accelerator,
                batch=self.args.per_device_eval_batch_size,
            )
        self.ref_model = None  # free its memory

    @torch.no_grad()
    def _reference_logps(self, batch: Mapping[str, Any]) -> Tensor:
        """Return log pi_ref of the sequences of a batch, (N,)."""
        batch = self._prepare_inputs(dict(batch)) if batch["input_ids"].device != self.args.device else batch
        policy = self.reader
        model = policy if self.ref_model is None else self.ref_model
        is_peft = self.ref_model is None and hasattr(policy, "disable_adapter")
        context: AbstractContextManager[None] = policy.disable_adapter() if is_peft else nullcontext()
        was_training = model.training
        model.eval()
        with context, self.accelerator.autocast():
            logps = self.scorer(model, batch).logps
        model.train(was_training)
        return logps

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as `transformers.Trainer.train` does."""
        self.prepare_reference()
        return super().train(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        examples = self.train_dataset if train_dataset is None else train_dataset
        if self.args.offset == "prompt_mean":
            self.sampler = GroupSampler(examples.groups, self.args.data_seed)
        elif self.args.train_sampling_strategy == "group_by_length":
            batch = self.args.per_device_train_batch_size * self.args.world_size  # of all processes together
            self.sampler = LengthSampler(examples.longest(), batch, self.args.data_seed)
        else:
            return super()._get_train_sampler(train_dataset)
        return self.sampler

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch, and in training update the offset from it."""
        mode = "train" if model.training else "eval"
        logs_next = (self.state.global_step + 1) % max(1, int(self.state.logging_steps or 1)) == 0
        with self.accelerator.autocast():
            scored = self.scorer(model, inputs, inner=self.policy, entropy=mode == "eval" or logs_next)
        if "reference" not in inputs:
            inputs["reference"] = self._reference_logps(inputs)
        loss, rows = batch_loss(inputs, scored, args=self.args, offset=self.offset, ledger=self.ledgers[mode])
        if mode == "train" and len(rows.target):
            self.offset.observe(rows, self.mean_over_processes)
        return (loss, {"logps": scored.logps}) if return_outputs else loss


def _reference_kind(args: UNAConfig, model: Any, peft_config: Any, ref_model: Any) -> str:
    adapters = peft_config is not None or hasattr(model, "disable_adapter")
    if args.reference is None:
        return "adapter_off" if adapters and ref_model is None else "frozen"
    if args.reference == "adapter_off" and not adapters:
        raise UserError("reference='adapter_off' needs adapters. Pass peft_config, or use 'frozen' or 'precomputed'.")
    if args.reference == "adapter_off" and ref_model is not None:
        raise UserError("reference='adapter_off' uses the policy itself: leave ref_model out, or use 'frozen'.")
    return args.reference


def _with_reference(model: Any, peft_config: Any, ref_model: Any, kind: str) -> tuple[Any, Any]:
    """Return the policy with its adapters, and the reference model if one is kept in memory."""
    if ref_model is not None:
        ref_model.requires_grad_(False).eval()
    elif kind == "frozen":
        ref_model = frozen_copy(model)
    if peft_config is not None:
        from peft import get_peft_model

        model = get_peft_model(model, peft_config)
    return model, ref_model
