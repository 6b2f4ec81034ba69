"""A language model and preference data that somebody else made, from a hub or from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from una_bench.interfaces.problem import Problem
from una_bench.interfaces.settings import Settings
from una_bench.problems.preference.judged_response import HELPSTEER_WEIGHTS
from una_bench.problems.preference.sources import Source

if TYPE_CHECKING:
    pass


class RewardModel(Settings):
    """Where the reward model comes from: trained on the pairs, or named."""

    name: str = ""
    """A reward model to use as it is: folder, hub name or carried model. Nothing is trained then."""
    init: str = ""
    """What a trained one starts from; empty: the policy."""
    revision: str = ""
    """Of ``name`` or ``init`` on the hub."""
    own_tokenizer: bool = False
    """Allow a reward model whose tokenizer is not the policy's; it then gets text, and tokenizes that itself."""
    own_template: bool = False
    """Write prompts and responses in the reward model's chat template instead of the policy's."""
    reads: Literal["text", "policy_tokens"] = "text"
    """``policy_tokens``: a named one gets the policy's token ids whatever they mean to it, as in the code released with
    UNA. Its rewards are not meaningful then."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps of training."""
    batch: int = Field(default=8, ge=1)
    """Pairs per step."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak."""
    seed: int = Field(default=0, ge=0)
    fingerprint: str = ""
    """Tells versions of a local model apart; filled in."""

    @model_validator(mode="after")
    def _checked(self) -> RewardModel:
        if self.name and self.init:
            raise ValueError("reward_model has a name and an init: name one to use, or one to start from")
        if self.own_template and not (self.name and self.own_tokenizer):
            raise ValueError("own_template is for a named reward model with its own tokenizer; leave it out")
        if self.reads == "policy_tokens" and (not self.name or self.own_template):
            raise ValueError("policy_tokens is for a named reward model without own_template; leave it out")
        return self


class PreferenceSettings(Problem):
    """Settings of a problem made of a language model and preference data."""

    about: ClassVar[str] = "your language model and your preferences: pairs, labels and scores of the same responses"

    later: ClassVar[dict[str, Any]] = {"turns": "split", "max_length": None, "reward_model.reads": "text"}

    kind: Literal["preference"] = "preference"
    policy: str
    """Folder, ``.gguf`` file, hub name, or a model that `una-bench models list` names; where every method starts."""
    policy_revision: str = ""
    """Branch, tag or commit on the hub."""
    policy_fingerprint: str = ""
    """Tells versions of a local policy apart; filled in."""
    trust_remote_code: str = ""
    """Name of the policy or reward model whose own code may run; empty: none."""
    template: Literal["chat", "plain"] = "chat"
    """``chat``: the policy's chat template; ``plain``: prompts and responses as they are."""
    chat_template: str = ""
    """A chat template (Jinja), or the file that holds one, to use instead of the policy's own."""
    dataset: Source
    """Judged responses to train on."""
    heldout: Source | None = None
    """Judged responses to measure preference accuracy with; none: a share of the prompts of ``dataset``."""
    heldout_share: float = Field(default=0.1, gt=0, lt=1)
    """Part of the prompts set aside where ``heldout`` names no data."""
    score_weights: dict[str, float] = Field(default_factory=lambda: dict(HELPSTEER_WEIGHTS))
    """Weights of attributes (0 to 4), divided by their sum times 4; the default is the paper's for HelpSteer2."""
    score_range: tuple[float, float] | None = None
    """Judgments that mean 0 and 1; none: 1 to 10 for UltraFeedback and scored pairs, 0 to 1 for scores."""
    turns: Literal["split", "one"] = "split"
    """HelpSteer2's prompts of several turns: ``split`` into messages, or ``one`` message of the user, turn marks and
    all, as the authors of UNA have it."""
    ties: Literal["leave_out", "keep"] = "leave_out"
    """Pairs with equal scores. ``keep``: the second response counts as preferred, as the authors of UNA have it."""
    label_threshold: float | None = None
    """Score from which a response is desirable; none: the preferred one of each pair is."""
    max_prompt_length: int = Field(default=512, ge=1)
    """Tokens, template included; pairs with a longer prompt are left out for every method alike."""
    max_response_length: int = Field(default=512, ge=2)
    """Tokens, end token included; pairs with a longer response are left out. Generation stops there too."""
    max_length: int | None = Field(default=None, ge=2)
    """Tokens of prompt and response together; none: no limit beside the two."""
    heldout_max_prompt_length: int | None = Field(default=None, ge=1)
    """Of held-out pairs, which are only judged; none: as for training."""
    heldout_max_response_length: int | None = Field(default=None, ge=2)
    """Of held-out pairs; none: as for training."""
    pairs: int | None = Field(default=None, ge=1)
    """Training pairs at most, chosen by the seed."""
    heldout_pairs: int | None = Field(default=None, ge=1)
    """Held-out pairs at most, chosen by the seed."""
    seed: int = Field(default=0, ge=0)
    """Of the choice of pairs and of the split."""
    reward_model: RewardModel | None = RewardModel()
    """None: no reward model, so that no method can learn from generated responses."""
    sft: Literal[False] = False
    """Supervised fine-tuning beforehand is not offered: the policy is the reference as it comes."""

    @model_validator(mode="before")
    @classmethod
    def _note_versions(cls, given: Any) -> Any:
        """Note what local models are now: the same settings must mean the same models."""
        from una_bench.models import catalog

        if not isinstance(given, dict):
            return given
        values = dict(given)
        if isinstance(values.get("policy"), str) and not values.get("policy_fingerprint"):
            values["policy_fingerprint"] = catalog.fingerprint(values["policy"])
        reward = values.get("reward_model")
        if isinstance(reward, dict) and not reward.get("fingerprint"):
            name = reward.get("name") or reward.get("init") or ""
            values["reward_model"] = {**reward, "fingerprint": catalog.fingerprint(name) if name else ""}
        return values

    @field_validator("chat_template")
    @classmethod
    def _read_template(cls, given: str) -> str:
        """Put the file's content in its place, so that it is part of the settings."""
        if not given or "{{" in given:
            return given
        try:
            return Path(given).read_text(encoding="utf-8")
        except OSError:
            raise ValueError("there is no such file, and it is no template; give one of the two") from None

    @field_validator("score_weights")
    @classmethod
    def _weighty(cls, weights: dict[str, float]) -> dict[str, float]:
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise ValueError("weights must not be negative, and their sum must be above 0")
        return weights

    @field_validator("score_range")
    @classmethod
    def _upward(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits and limits[0] >= limits[1]:
            raise ValueError("the first number must be below the second")
        return limits
