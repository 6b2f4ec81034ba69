"""Answers of policies, compared by a judge with those of a baseline, or graded, with the judge's errors counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PrivateAttr, model_validator

from una_bench.errors import UserError, nearest
from una_bench.evaluation.judge import questions
from una_bench.evaluation.judge.judges import Judges, note_files, require_fit
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.settings import Count, NotNegative, Positive, WholeNumber

if TYPE_CHECKING:
    from una_bench.evaluation.judge.questions import Question
    from una_bench.interfaces.prepared import DataSize, Prepared
    from una_bench.record.schema import Measurement

UNTRAINED, REFERENCE = "base", "reference"
"""Baselines that are there before any training."""
AT_ONCE = 32
"""Prompts answered at the same time."""


class Judge(Benchmark):
    """Lets a judge compare what policies write; answers, verdicts and exports are kept beside the checkpoint."""

    label = "Judged answers"
    about = "win rate of answers against a baseline by a judge, raw and length-controlled, with the judge's errors"
    operational: ClassVar[frozenset[str]] = frozenset(
        {"concurrency", "requests_per_minute", "retries", "timeout_seconds", "key_variable", "most_requests"}
    )
    judge: str = "rule"
    """``rule`` (the suite's reward function), ``reward_model`` (the suite's), ``local`` (``model`` through
    transformers), or the URL of an API that speaks OpenAI's protocol."""
    model: str = ""
    """Model that judges: its name at the URL, or a folder, hub name or packaged model for ``local``."""
    second_judge: str = ""
    """A second judge, for agreement: as ``judge``."""
    second_model: str = ""
    """The second judge's model."""
    repeats: Count = 1
    """Times that a judge is asked each question; two and more show its agreement with itself."""
    kinds: Literal["pairwise", "grade", "both"] = "pairwise"
    """``pairwise``: against the baseline, in both orders; ``grade``: alone, from 1 to 10."""
    baseline: str = UNTRAINED
    """``base`` (the untrained policy), another method of the run, or ``reference`` (reference answers)."""
    prompts: str = questions.HELDOUT
    """``heldout`` (the suite's held-out prompts), ``alpaca_eval``, ``mt_bench``, or a file of JSON lines."""
    most_prompts: Count | None = 64
    """Maximum prompts, from the first; None: all."""
    known_pairs: WholeNumber = 0
    """Held-out pairs whose preference is known, to show how often the judge agrees with it."""
    temperature: NotNegative = 0.0
    """Temperature of answers; 0: greedy."""
    seed: WholeNumber = 0
    """Seed of answers, the same for every checkpoint."""
    max_new_tokens: Count | None = None
    """Maximum tokens of an answer; None: as in the suite's training."""
    pairwise_prompt: str = ""
    """File with the prompt of a comparison; empty: una-bench's."""
    grade_prompt: str = ""
    """File with the prompt of a grade; empty: una-bench's."""
    prompts_sha256: str = ""
    """Hash of the files with prompts, filled in; files that do not match it are refused."""
    judge_temperature: NotNegative | None = 0.0
    """Temperature of a judge behind a URL; null: not sent."""
    judge_max_tokens: Count = 512
    """Maximum tokens of a reply."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name of that limit in the protocol; newer models of OpenAI have the second."""
    key_variable: str | None = "OPENAI_API_KEY"
    """Environment variable with the key; null: the server takes none."""
    concurrency: Count = 8
    """Requests at the same time, in each evaluation process."""
    requests_per_minute: Positive | None = None
    """Maximum requests a minute to one URL from this machine; None: no limit."""
    retries: WholeNumber = 4
    """Further attempts of a request that failed, with growing pauses."""
    timeout_seconds: Positive = 60.0
    """Time for one reply."""
    most_requests: Count = 20_000
    """Maximum requests of a run; one that may need more is refused before it starts."""
    _questions: list[Question] = PrivateAttr(default_factory=list)
    _judges: Judges | None = None

    @model_validator(mode="before")
    @classmethod
    def _note_files(cls, given: Any) -> Any:
        """Note what the files with prompts hold: the same settings must mean the same questions to the judge."""
        return note_files(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _fits(self) -> Judge:
        require_fit(self.settings())
        return self

    def require(self, cells: Sequence[tuple[str, str]], *, connect: bool) -> None:
        """Refuse a baseline that is not in the run, too many requests, and a judge without key or reply."""
        judges, variants = Judges(self.settings()), Counter(method for method, _ in dict.fromkeys(cells))
        if self.baseline not in {UNTRAINED, REFERENCE} and variants[self.baseline] != 1:
            why = "has several variants in this run" if variants[self.baseline] else "is not in this run"
            choices = dict.fromkeys((UNTRAINED, REFERENCE, *(name for name, count in variants.items() if count == 1)))
            raise UserError(
                f"benchmarks.judge.baseline={self.baseline} {why}.{nearest(self.baseline, choices)} "
                f"Choose from: {', '.join(choices)}."
            )
        if (judges.requests(len(cells)) or 0) > self.most_requests:
            raise UserError(
                f"This run may send {judges.requests(len(cells)):,} requests to the judge, more than "
                f"benchmarks.judge.most_requests={self.most_requests}. Raise it, or lower "
                "benchmarks.judge.most_prompts."
            )
        judges.check(connect=connect)

    def overview(self, cells: Sequence[tuple[str, str]], data: DataSize | None) -> dict[str, str]:
        """Return how many requests the run sends at most, and with how many tokens."""
        return {"judge": Judges(self.settings()).planned(len(cells), data)}

    def check(self, prepared: Prepared, device: str) -> None:
        """Refuse, before any training, prompts that cannot be read or held, and a rule that is not there."""
        from una_bench.evaluation.judge.policies import Policies

        self._ready().load(prepared, device)
        asked = self._asked(prepared)
        Policies(prepared=prepared, settings=self.settings()).require_context(asked)
        without = next((one.id for one in asked if len(one.reference) < len(one.turns)), None)
        if self.baseline == REFERENCE and without is not None:
            raise UserError(f"The prompt {without} has no reference answer. Choose another benchmarks.judge.baseline.")

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Write the answers, have them judged, and keep answers, verdicts and exports in ``judge/``."""
        from una_bench.evaluation.judge.policies import Policies
        from una_bench.evaluation.judge.session import Session

        prepared = checkpoint.prepared
        judges = self._ready()
        judges.load(prepared, checkpoint.device)
        session = Session(
            settings=self.settings(),
            checkpoint=checkpoint,
            asked=self._asked(prepared),
            judges=judges,
            policies=Policies(prepared=prepared, settings=self.settings()),
            generate=self._generate,
        )
        measured = session.measure()
        checkpoint.facts.update(judge=session.facts(), judge_usage=session.usage())
        return measured

    def _generate(
        self, model: Any, tokenizer: Any, prompts: list[list[int]], most_tokens: int, turn: int
    ) -> tuple[list[list[int]], tuple[int, ...]]:
        from una_bench.una.generation import Sampling, end_tokens, generate, uniform_numbers

        ends = end_tokens(model, tokenizer)
        how = {"temperature": self.temperature} if self.temperature else {"top_k": 1}
        sampling = Sampling(max_new_tokens=most_tokens, eos=ends, pad=int(tokenizer.pad_token_id), **how)
        numbers_BT = uniform_numbers(len(prompts), most_tokens, (self.seed, turn))
        return generate(model, prompts, sampling, numbers_BT, batch=AT_ONCE), ends

    def _ready(self) -> Judges:
        if self._judges is None:
            self._judges = Judges(self.settings())
        return self._judges

    def _asked(self, prepared: Prepared) -> list[Question]:
        if not self._questions:
            self._questions = questions.load(self.prompts, prepared, self.most_prompts)
        return self._questions
