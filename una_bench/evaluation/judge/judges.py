"""The judges of a run: who they are, what they need, and what they will be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from una_bench.errors import UserError, nearest
from una_bench.evaluation.judge import judge_prompt, questions
from una_bench.evaluation.judge.endpoint import Endpoint
from una_bench.evaluation.judge.judge_prompt import Kind
from una_bench.record.hashes import content_hash, file_sha256

if TYPE_CHECKING:
    from una_bench.evaluation.judge.requests import Judge
    from una_bench.interfaces.prepared import DataSize, Prepared

RULE, REWARD_MODEL, LOCAL = "rule", "reward_model", "local"
REWARDS = (RULE, REWARD_MODEL)
CHOICES = (RULE, REWARD_MODEL, LOCAL)
CHARACTERS = 4
"""Of a token, for estimates."""


def is_url(judge: str) -> bool:
    """Return whether a judge is named by a URL."""
    return judge.startswith(("http://", "https://"))


def require_choice(judge: str, model: str, prefix: str = "") -> None:
    """Raise ValueError for a judge that is none of the choices, or that lacks its model."""
    if is_url(judge):
        parts = urlsplit(judge)
        if not parts.hostname or parts.username or parts.password or parts.query:
            raise ValueError(
                f"{prefix}judge is a URL with more than the address of an API: give the key in an environment variable"
            )
        if not model:
            raise ValueError(f"{prefix}judge={judge} needs the name of a model: set {prefix}model (--judge-model)")
    elif judge == LOCAL and not model:
        raise ValueError(f"{prefix}judge=local needs a model: set {prefix}model (--judge-model)")
    elif judge not in CHOICES:
        choices = f"{', '.join(CHOICES)}, or a URL (http://…)"
        raise ValueError(f"there is no {prefix}judge '{judge}'.{nearest(judge, CHOICES)} Choose from: {choices}")
    elif judge in REWARDS and model:
        raise ValueError(f"{prefix}judge={judge} has no model: leave out {prefix}model, or set {prefix}judge=local")


def require_fit(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for settings of the benchmark that do not fit together."""
    require_choice(settings["judge"], settings["model"])
    if settings["second_judge"] or settings["second_model"]:
        require_choice(settings["second_judge"], settings["second_model"], "second_")
    of_rewards = [judge for judge in (settings["judge"], settings["second_judge"]) if judge in REWARDS]
    if of_rewards and Kind.GRADE in judge_prompt.asked(settings["kinds"]):
        raise ValueError(f"a {of_rewards[0]} gives no grades: use kinds: pairwise, or another judge")
    if of_rewards and settings["prompts"] != questions.HELDOUT:
        raise ValueError(
            f"a {of_rewards[0]} judges the suite's own prompts alone: use prompts: heldout, or another judge"
        )
    for kind in judge_prompt.asked(settings["kinds"]):
        judge_prompt.load(settings[f"{kind}_prompt"], kind)


def note_files(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of the benchmark with the hash of the files of prompts that they name."""
    names = [str(settings.get(key) or "") for key in ("pairwise_prompt", "grade_prompt")]
    prompts = str(settings.get("prompts") or questions.HELDOUT)
    if prompts != questions.HELDOUT and prompts not in questions.SETS:
        if not Path(prompts).expanduser().is_file():
            choices = (questions.HELDOUT, *questions.SETS)
            raise ValueError(
                f"prompts={prompts} is not a file.{nearest(prompts, choices)} Give one, or {', '.join(choices)}"
            )
        names.append(prompts)
    files = [Path(name).expanduser() for name in names if name]
    defaults = sorted((judge_prompt.FOLDER).glob("*.yaml"))
    digest = content_hash([file_sha256(file) for file in (*files, *defaults) if file.is_file()])
    if settings.get("prompts_sha256") not in (None, "", digest):
        raise ValueError("a file with prompts has changed: restore it, or remove prompts_sha256")
    return {**settings, "prompts_sha256": digest}


@dataclass(slots=True)
class Judges:
    """The first and the second judge."""

    settings: Mapping[str, Any]
    first: Judge | None = field(default=None, init=False)
    second: Judge | None = field(default=None, init=False)

    @property
    def _named(self) -> list[tuple[str, str]]:
        named = [
            (self.settings["judge"], self.settings["model"]),
            (self.settings["second_judge"], self.settings["second_model"]),
        ]
        return [(judge, model) for judge, model in named if judge]

    def check(self, *, connect: bool) -> None:
        """Refuse a judge that lacks its key, its package or its files or, with ``connect``, does not answer."""
        for judge, model in self._named:
            if is_url(judge):
                self._endpoint(judge, model).check(connect=connect)
            elif judge == LOCAL and connect:
                from una_bench.evaluation.judge.local_judge import LocalJudge

                LocalJudge(model=model).folder  # noqa: B018 - resolves the name

    def load(self, prepared: Prepared, device: str) -> None:
        """Make the judges ready, once for all checkpoints."""
        if self.first is None:
            ready = [self._ready(judge, model, prepared, device) for judge, model in self._named]
            self.first, self.second = ready[0], ready[1] if len(ready) > 1 else None

    def _ready(self, judge: str, model: str, prepared: Prepared, device: str) -> Judge:
        from una_bench.evaluation.judge.local_judge import LocalJudge
        from una_bench.evaluation.judge.rule import RuleJudge
        from una_bench.interfaces import registry

        if is_url(judge):
            return self._endpoint(judge, model)
        if judge == LOCAL:
            return LocalJudge(model=model, device=device)
        if judge == REWARD_MODEL:
            from una_bench.models.reward_scorer import Scorer

            if prepared.reward is None:
                raise UserError("The suite has no reward model to judge. Choose another judge: --judge URL or local.")
            return RuleJudge(name="the suite's reward model", reward=Scorer(prepared, device))
        reward = registry.true_reward(prepared)
        if reward is None:
            raise UserError(
                "The suite has no reward function, which --judge rule needs. Choose another judge: "
                "--judge reward_model, --judge local --judge-model MODEL, or --judge URL --judge-model NAME."
            )
        return RuleJudge(name="the suite's reward function", reward=cast(Any, reward))

    def _endpoint(self, url: str, model: str) -> Endpoint:
        names = ("key_variable", "token_limit", "concurrency", "requests_per_minute", "retries", "timeout_seconds")
        return Endpoint(
            url=url,
            model=model,
            temperature=self.settings["judge_temperature"],
            max_tokens=self.settings["judge_max_tokens"],
            **{name: self.settings[name] for name in names},
        )

    def requests(self, cells: int) -> int | None:
        """Return the most requests that a run of some cells sends, None if the number of prompts is unknown."""
        most, prompts = self.settings["most_prompts"], self.settings["prompts"]
        if prompts not in {questions.HELDOUT, *questions.SETS} and Path(prompts).expanduser().is_file():
            most = len(questions.of_file(Path(prompts).expanduser(), most))
        if most is None:
            return None
        asked = sum(2 if kind == Kind.PAIRWISE else 1 for kind in judge_prompt.asked(self.settings["kinds"]))
        known = 2 * int(self.settings["known_pairs"])
        return int((cells * most * asked + known) * self.settings["repeats"] * len(self._named))

    def planned(self, cells: int, data: DataSize | None) -> str:
        """Return how many requests a run sends at most, and with about how many tokens."""
        names = " and ".join(dict.fromkeys(self._name(judge, model) for judge, model in self._named))
        count = self.requests(cells)
        if all(judge in REWARDS for judge, _ in self._named):
            return f"{names}; no requests"
        if count is None:
            return f"{names}; as many requests as there are prompts; most_prompts bounds them"
        prompt = judge_prompt.load(self.settings["pairwise_prompt"], Kind.PAIRWISE)
        answer = self.settings["max_new_tokens"] or (data.max_response_length if data else None)
        replies = count * self.settings["judge_max_tokens"] if any(is_url(judge) for judge, _ in self._named) else 0
        text = f"{names}; at most {count:,} requests"
        if answer is not None:
            each = len(prompt.system + prompt.user) // CHARACTERS + (data.prompt_tokens if data else 0) + 2 * answer
            text += f" with about {count * each:,.0f} tokens"
        return text + (f" and at most {replies:,} tokens of replies" if replies else "") + self._license

    @property
    def _license(self) -> str:
        published = questions.SETS.get(self.settings["prompts"])
        return f"; prompts: {published.repository}, {published.license}" if published else ""

    @staticmethod
    def _name(judge: str, model: str) -> str:
        if is_url(judge):
            return f"{model} at {urlsplit(judge).netloc}"
        return os.path.basename(model.rstrip("/")) if judge == LOCAL else judge.replace("_", " ")  # noqa: PTH119
