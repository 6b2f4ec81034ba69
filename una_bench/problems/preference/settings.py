"""Settings of a preference problem: a language model and preference data, from a hub or local files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from una_bench.errors import nearest
from una_bench.interfaces import registry
from una_bench.interfaces.method import Lora
from una_bench.interfaces.problem import Problem
from una_bench.interfaces.settings import Settings
from una_bench.problems.preference.judged_response import HELPSTEER_WEIGHTS
from una_bench.problems.preference.sources import Source


def read_template(given: str) -> str:
    """Return a chat template, given as such or as a file, by its content, so that it is part of the settings."""
    if not given or "{{" in given:
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError:
        raise ValueError("it is neither an existing file nor a Jinja template") from None


class RewardModel(Settings):
    """Settings of the reward model, which is trained on the pairs or given."""

    name: str = ""
    """Reward model to use without training: folder, hub name or packaged model."""
    init: str = ""
    """Model to start training from; empty: the policy, fine-tuned if ``sft`` is set."""
    revision: str = ""
    """Hub revision of ``name`` or ``init``."""
    own_tokenizer: bool = False
    """Allow a reward model with another tokenizer than the policy's; it then tokenizes the text itself."""
    own_template: bool | None = False
    """Format prompts and responses with the reward model's chat template instead of the policy's. None: where it has
    one and another tokenizer."""
    reads: Literal["text", "policy_tokens"] = "text"
    """``policy_tokens``: a given reward model with another tokenizer receives the policy's token ids, as in the code
    released with UNA; its rewards are then meaningless."""
    steps: int | None = Field(default=100, ge=1)
    """Optimizer steps of training. None: one pass over the pairs; more overfit."""
    batch: int = Field(default=8, ge=1)
    """Pairs per step."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak learning rate."""
    seed: int = Field(default=0, ge=0)
    """Seed of the new head and of the order of pairs."""
    fingerprint: str = ""
    """Tells versions of a local model apart; filled in."""

    @model_validator(mode="after")
    def _checked(self) -> RewardModel:
        if self.name and self.init:
            raise ValueError("set either name (a model to use) or init (a model to start training from), not both")
        if self.own_template and not (self.name and self.own_tokenizer):
            raise ValueError("own_template needs a reward model with name and own_tokenizer; leave it out")
        if self.reads == "policy_tokens" and (not self.name or self.own_template):
            raise ValueError("policy_tokens needs a reward model with name and without own_template; leave it out")
        return self


class Sft(Settings):
    """Settings of supervised fine-tuning.

    Learning rate and epochs are Zephyr's (arXiv:2310.16944), the batch is InstructGPT's (arXiv:2203.02155).
    """

    responses: Literal["chosen", "desirable", "all"] = "chosen"
    """Training responses to learn: the preferred one of each pair, those with a desirable label, or all; each once."""
    epochs: int = Field(default=1, ge=1)
    """Passes over these responses."""
    batch: int = Field(default=32, ge=1)
    """Responses per step."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak learning rate."""
    seed: int = Field(default=0, ge=0)
    lora: Lora | None = None
    """Adapters to train and merge, for models too large to train whole; none: all weights."""


class PreferenceSettings(Problem):
    """Settings of a preference problem."""

    about: ClassVar[str] = "your language model and your preferences: pairs, labels and scores of the same responses"

    validation: ClassVar[Mapping[str, Any]] = {"validation_share": 0.1}

    kind: Literal["preference"] = "preference"
    """Kind of problem."""
    policy: str
    """Initial policy of every method: folder, ``.gguf`` file, hub name, or a model in `una-bench models list`."""
    policy_revision: str = ""
    """Branch, tag or commit on the hub."""
    policy_fingerprint: str = ""
    """Tells versions of a local policy apart; filled in."""
    trust_remote_code: str = ""
    """Name of the policy or reward model whose custom code may run; empty: none."""
    template: Literal["chat", "plain"] = "chat"
    """``chat``: the policy's chat template; ``plain``: prompts and responses as they are."""
    chat_template: str = ""
    """Chat template (Jinja) or a file with one, to use instead of the policy's."""
    dataset: Source
    """Judged responses to train on."""
    heldout: Source | None = None
    """Held-out judged responses for preference accuracy; none: a share of the prompts of ``dataset``."""
    heldout_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts held out without ``heldout``."""
    validation_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the other prompts of ``dataset`` that are not trained on, to choose settings by; tuning sets it to
    0.1."""
    score_weights: dict[str, float] = Field(default_factory=lambda: dict(HELPSTEER_WEIGHTS))
    """Weights of attributes (0 to 4), divided by their sum times 4; the default is the paper's for HelpSteer2."""
    columns: dict[str, str] = Field(default_factory=dict)
    """What a column holds -> its name in the data, where that is another: ``{prompt: question, chosen: good}``."""
    scores: Literal["use", "ignore"] = "use"
    """``ignore``: pairs are judged by their sides alone, whatever scores stand beside them."""
    score_range: tuple[float, float] | None = None
    """Scores that mean 0 and 1; none: 1 to 10 for UltraFeedback as published, 0 to 4 for HelpSteer2, 0 to 1 for a
    column ``score``; other scores need it."""
    pairing: Literal["consecutive", "all", "best_worst"] = "consecutive"
    """Which responses to a prompt are pairs where the data has none: first with second, third with fourth; each with
    each; or the best with the worst."""
    unpaired: Literal["use", "leave_out"] = "use"
    """Responses without a partner. ``use``: methods that learn from labels or scores see more responses than those
    that learn from pairs; ``leave_out``: all methods see the same."""
    turns: Literal["split", "one"] = "split"
    """HelpSteer2's multi-turn prompts: ``split`` into messages, or ``one`` user message including the markers of turns,
    as in the UNA authors' code."""
    ties: Literal["leave_out", "keep"] = "leave_out"
    """Pairs with equal scores. ``keep``: the second response counts as preferred, as in the UNA authors' code."""
    doubled_ends: dict[str, tuple[Literal["bos", "eos"], ...]] = Field(default_factory=dict)
    """Methods whose prompts begin with the tokenizer's first token (``bos``) or whose responses end with its end token
    (``eos``) twice, as in the UNA authors' code."""
    label_threshold: float | None = None
    """Score from which a response is desirable; none: the data's labels, else the preferred one of each pair."""
    max_prompt_length: int | None = Field(default=None, ge=1)
    """Tokens including the template; pairs with a longer prompt are dropped for all methods. None: the 95th percentile
    of the data."""
    max_response_length: int | None = Field(default=None, ge=2)
    """Tokens including the end token; pairs with a longer response are dropped. Also the limit of generation. None: the
    95th percentile of the data."""
    max_length: int | None = Field(default=None, ge=2)
    """Tokens of prompt and response together; none: no further limit."""
    heldout_max_prompt_length: int | None = Field(default=None, ge=1)
    """``max_prompt_length`` of held-out pairs; none: as for training, or more where the data decides."""
    heldout_max_response_length: int | None = Field(default=None, ge=2)
    """``max_response_length`` of held-out pairs; none: as for training, or more where the data decides."""
    pairs: int | None = Field(default=None, ge=1)
    """Largest number of training pairs and responses without a partner together, chosen by the seed."""
    heldout_pairs: int | None = Field(default=None, ge=1)
    """The same of held-out ones."""
    seed: int = Field(default=0, ge=0)
    """Seed of the choice of pairs and of the split."""
    reward_model: RewardModel | None = RewardModel()
    """None: no reward model, so that online methods cannot run."""
    sft: Sft | None = None
    """Supervised fine-tuning of the policy before any method; the result is policy and reference of all. None: no
    fine-tuning."""

    @model_validator(mode="before")
    @classmethod
    def _note_versions(cls, given: Any) -> Any:
        """Fill in fingerprints of local models: equal settings must mean equal models."""
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

    @field_validator("sft", mode="before")
    @classmethod
    def _on_or_off(cls, given: Any) -> Any:
        """Take true for the defaults; false stands in recipes that are older than these settings."""
        return {True: {}, False: None}[given] if isinstance(given, bool) else given

    @field_validator("chat_template")
    @classmethod
    def _read_template(cls, given: str) -> str:
        return read_template(given)

    @field_validator("score_weights")
    @classmethod
    def _weighty(cls, weights: dict[str, float]) -> dict[str, float]:
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise ValueError("weights must not be negative, and their sum must be above 0")
        return weights

    @field_validator("doubled_ends")
    @classmethod
    def _of_methods(cls, ends: dict[str, Any]) -> dict[str, Any]:
        for name in ends:
            if name not in registry.method_names():
                raise ValueError(f"there is no method {name!r}.{nearest(name, registry.method_names())}")
        return ends

    @field_validator("score_range")
    @classmethod
    def _upward(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits and limits[0] >= limits[1]:
            raise ValueError("the first number must be below the second")
        return limits
