"""`OnlineUNATrainer`: the policy generates, rewards score, and UNA's loss trains; no value model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from una_bench.errors import UserError
from una_bench.una import rollout
from una_bench.una.config import OnlineUNAConfig
from una_bench.una.examples import Examples
from una_bench.una.generation import Sampling, cast_once, end_tokens, generate, uniform_numbers
from una_bench.una.logprobs import causal_model
from una_bench.una.rewards import Normalizer, make_reward
from una_bench.una.tokens import pad_token
from una_bench.una.trainer import UNATrainer
from una_bench.una.whole_copy import WholeCopy, is_divided


class OnlineUNATrainer(UNATrainer):
    """Train a policy online with UNA (arXiv:2408.15339, Eq. 9 and section 2.3.4).

    Args:
        model: The policy, or its name or folder.
        reward_funcs: A sequence-classification model with one output, its name or folder, a Python function
            ``(prompts, completions) -> floats``, or a list of these.
        train_dataset: Rows with ``prompt`` (text or messages) or ``prompt_ids``; other columns are ignored.
        reward_processing_class: Tokenizer of the reward model, or a list of them; None: loaded by the model's name.
        **kwargs: As for `UNATrainer`; an ``eval_dataset`` has the same columns as there.
    """

    online = True

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: OnlineUNAConfig | None = None,
        *,
        train_dataset: Any = None,
        reward_processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        args = args if args is not None else OnlineUNAConfig(output_dir="trainer_output")
        self.phase: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext()
        """Context of each part of a rollout (``generation``, ``reward``, ``reference``), for measuring."""
        self.reward = make_reward(reward_funcs, reward_processing_class, args)
        self.normalize = Normalizer(args)
        self.rollout: Examples | None = None
        self.rollout_number = -1
        super().__init__(model, args, train_dataset=train_dataset, **kwargs)
        self.copy = WholeCopy(self.policy) if is_divided(self) else None
        """Generates where training divides the weights among processes."""
        step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        if args.responses_per_rollout % step:
            raise UserError(
                f"responses_per_rollout={args.responses_per_rollout} must be a multiple of the {step} responses of"
                " an optimizer step (per device x accumulation steps x processes)."
            )
        self.sampling = Sampling(
            max_new_tokens=args.max_completion_length,
            eos=end_tokens(causal_model(self.policy), self.processing_class),
            pad=int(self.processing_class.pad_token_id),
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
        )

    def _examples(self, dataset: Any, tokenizer: Any, args: Any) -> Any:
        """Read the prompts, and return slots of future rollouts for the trainer to iterate over."""
        if dataset is None:
            raise UserError("train_dataset is missing: online training needs prompts.")
        pad_token(tokenizer)
        self.prompts = rollout.read_prompts(dataset, tokenizer, args)
        rollouts = -(-len(self.prompts.ids) * args.num_generations // args.responses_per_rollout)
        self.sampler = rollout.RolloutSampler(rollouts=rollouts, args=args)
        return rollout.Slots(len(self.sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler

    def _prepare_inputs(self, inputs: Mapping[str, Any]) -> Any:
        """Replace codes by their responses, and generate the next rollout when needed."""
        if "slots" in inputs:
            codes = inputs["slots"].cpu().numpy()
            number = int(codes[0] // self.args.responses_per_rollout)
            if number != self.rollout_number or self.rollout is None:
                self.rollout, self.rollout_number = self._new_rollout(number), number
            inputs = self.rollout.__getitems__(codes % self.args.responses_per_rollout)
            self.last_batch = inputs  # for counting tokens
        return super()._prepare_inputs(inputs)

    @contextmanager
    def _whole_policy(self) -> Iterator[None]:
        """Keep all weights of the policy in this process, once gathered; a collective call."""
        if self.copy is None:
            yield
            return
        with ExitStack() as stack:
            with self.phase("generation"):
                self._filled = stack.enter_context(self.copy.filled(self.policy))
            yield
        self._filled = None

    def _new_rollout(self, number: int) -> Examples:
        with torch.no_grad(), self._whole_policy():
            return self._sampled_rollout(number)

    def _sampled_rollout(self, number: int) -> Examples:
        """Generate and score a rollout; each process computes its share and receives the whole."""
        size, each = self.args.responses_per_rollout, self.args.num_generations
        chosen = np.repeat(rollout.prompts_of(number, size // each, len(self.prompts.ids), self.sampler.seed), each)
        share = size // self.accelerator.num_processes
        mine = slice(share * self.accelerator.process_index, share * (self.accelerator.process_index + 1))
        prompts = [self.prompts.ids[p] for p in chosen[mine]]
        policy = self.reader
        was_training = policy.training
        policy.eval()
        with self.phase("generation"), self.accelerator.autocast(), cast_once(policy):
            numbers = uniform_numbers(size, self.args.max_completion_length, (self.args.seed, number))[mine]
            batch = self.args.generation_batch_size or share
            responses = generate(policy, prompts, self.sampling, numbers, batch, self.args.sampler)
        with self.phase("reward"):
            raw = self._judge([self.prompts.given[p] for p in chosen[mine]], responses)
        with self.phase("reference"):
            local = rollout.responses_as_examples(prompts, responses, self.sampling.pad)
            reference = self._score(local, self._reference_logps)
            anchor = self._score(local, self._policy_logps) if self.args.anchor == "rollout" else None
        policy.train(was_training)
        parts: list[Any] = [(responses, raw, reference, anchor)]
        parts = parts if share == size else gather_object(parts)
        responses = [response for part in parts for response in part[0]]
        whole = rollout.responses_as_examples([self.prompts.ids[p] for p in chosen], responses, self.sampling.pad)
        whole.targets = self.normalize(np.concatenate([part[1] for part in parts]))
        whole.groups = np.arange(size) // each
        whole.log_partition = self.prompts.log_partition[chosen] if self.args.offset == "partition" else None
        whole.reference = np.concatenate([part[2] for part in parts])
        whole.anchor = np.concatenate([part[3] for part in parts]) if self.args.anchor == "rollout" else None
        return whole

    def _judge(self, prompts: list[Any], responses: list[list[int]]) -> NDArray[np.float64]:
        """Return the raw reward of each response, and log it."""
        tokenizer, ended = self.processing_class, [response[-1] in self.sampling.eos for response in responses]
        texts = tokenizer.batch_decode(responses, skip_special_tokens=not self.args.keep_special_tokens)
        raw = self.reward(prompts, texts)
        if self.args.missing_eos_penalty is not None:
            raw = raw - self.args.missing_eos_penalty * ~np.asarray(ended)
        self.ledgers["train"].add(raw=torch.from_numpy(raw), clipped=~torch.tensor(ended))
        return raw

    def _policy_logps(self, batch: Mapping[str, Any]) -> Tensor:
        with self.accelerator.autocast():
            return self.scorer(self.reader, super()._prepare_inputs(dict(batch))).logps

    def _score(self, examples: Examples, logps: Callable[[Mapping[str, Any]], Tensor]) -> NDArray[np.float32]:
        batch = self.args.per_device_eval_batch_size
        numbers = np.arange(len(examples))
        parts = [logps(examples.sequences(numbers[i : i + batch])) for i in range(0, len(numbers), batch)]
        return torch.cat(parts).float().cpu().numpy()

    def extra_state(self) -> dict[str, Any]:
        """Return the offset, the current rollout and recent rewards."""
        state = super().extra_state() | {"recent": torch.from_numpy(self.normalize.recent)}
        if self.rollout is not None:
            state |= {"rollout": rollout.to_state(self.rollout), "rollout_number": self.rollout_number}
        return state

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the offset, the current rollout and recent rewards."""
        super().load_extra_state(state)
        self.normalize.recent = state["recent"].cpu().numpy()
        if "rollout" in state:
            self.rollout = rollout.from_state(state["rollout"], self.sampling.pad)
            self.rollout_number = int(state["rollout_number"])
