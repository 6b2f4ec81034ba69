"""The prepared folder, which a problem writes once and every method reads.

    manifest.json            kind, settings, hashes, counts, lengths
    policy/                  initial policy, a transformers causal LM with its tokenizer
    reward/                  reward model, a sequence classifier with one output and its own tokenizer (optional)
    responses.parquet        judged responses to train on: first pairs, rows 2k and 2k+1 of the same prompt, then
                             responses without a partner
    responses_heldout.parquet  the same columns, for held-out preference accuracy (optional)
    responses_for_METHOD.parquet  instead of responses.parquet for one method (optional)
    responses_validation.parquet  the same, to choose settings by (optional)
    prompts.parquet          prompt, prompt_ids, split (train | heldout | validation)
    tasks/                   lm-eval task files (optional)
    anything else            the problem's own (the exact problem keeps truth.npz)

Columns of responses.parquet, one row per response:

    pair         int64        number of the pair, -1 without a partner
    prompt       string       as given to the model, with template
    completion   string
    prompt_ids   list<int64>  tokenized once for all methods
    completion_ids list<int64>  with the end token, unless truncated
    reward       float64      raw reward or raw score
    score        float64      in [0, 1], for una_score; NaN where the data gives none
    label        bool         desirable or not, for kto and una_binary; null where the data gives none
    chosen       bool         preferred response of its pair; false without a partner

The manifest's ``not_applicable`` names kinds of feedback (`una_bench.interfaces.method.Feedback`) that the data cannot
give, each with the reason; methods that learn from them are not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """Amount of the data to train on, in responses and tokens: as prepared or, before that, estimated."""

    responses: int
    prompt_tokens: float
    """Mean of a prompt."""
    response_tokens: float
    """Mean of a response."""
    max_prompt_length: int
    max_response_length: int
    estimated: bool = False


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, read lazily."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest: ``kind``, ``settings``, ``hashes``, ``counts``."""
        manifest: dict[str, Any] = json.loads((self.path / "manifest.json").read_text())
        return manifest

    @property
    def responses_to_train_on(self) -> int:
        """Number of training responses: one pass over the data."""
        import pyarrow.parquet

        return int(pyarrow.parquet.read_metadata(self.path / "responses.parquet").num_rows)

    @property
    def size(self) -> DataSize | None:
        """Amount of the data, if the manifest has the mean lengths."""
        means = self.manifest.get("mean_tokens")
        return means and DataSize(
            responses=self.responses_to_train_on,
            prompt_tokens=means["prompt"],
            response_tokens=means["response"],
            max_prompt_length=self.manifest["max_prompt_length"],
            max_response_length=self.manifest["max_new_tokens"],
        )

    @property
    def policy(self) -> Path:
        """Folder of the initial policy."""
        return self.path / "policy"

    @property
    def reward(self) -> Path | None:
        """Folder of the learned reward model, if there is one."""
        folder = self.path / "reward"
        return folder if folder.is_dir() else None

    @property
    def tasks(self) -> Path | None:
        """Folder of lm-eval task files, if the problem has its own."""
        folder = self.path / "tasks"
        return folder if folder.is_dir() else None

    def responses(self, split: str = "train", *, method: str = "", feedback: str = "") -> pd.DataFrame:
        """Return judged responses, those prepared for ``method`` only if there are any.

        ``feedback``: only those that have this kind of it (`una_bench.interfaces.method.Feedback`).
        """
        import pandas as pd

        for_method = self.path / f"responses_for_{method}.parquet"
        name = "responses.parquet" if split == "train" else f"responses_{split}.parquet"
        table = pd.read_parquet(for_method if split == "train" and for_method.is_file() else self.path / name)
        return with_feedback(table, feedback)

    def all_responses(self) -> Iterator[pd.DataFrame]:
        """Yield the judged responses of each split."""
        yield self.responses()
        for split in ("heldout", "validation"):
            if (self.path / f"responses_{split}.parquet").is_file():
                yield self.responses(split)

    def prompts(self, split: str = "train") -> pd.DataFrame:
        """Return the prompts of a split, ``train``, ``heldout`` or ``validation``."""
        import pandas as pd

        table = pd.read_parquet(self.path / "prompts.parquet")
        return table[table["split"] == split].reset_index(drop=True)


def with_feedback(table: pd.DataFrame, feedback: str) -> pd.DataFrame:
    """Return the responses that have a kind of feedback: a partner, a label, or a score; all for another kind."""
    if feedback not in {"pairwise", "binary", "score"}:
        return table
    has = table["pair"] >= 0 if feedback == "pairwise" else table[{"binary": "label"}.get(feedback, feedback)].notna()
    if has.all():
        return table
    kept = table[has].reset_index(drop=True)
    return kept.astype({"label": bool}) if feedback == "binary" else kept


def sides(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the preferred and the other response of each pair, row by row in the order of the pairs."""
    table = with_feedback(table, "pairwise")
    chosen, rejected = (
        table[table["chosen"] == side].sort_values("pair").reset_index(drop=True) for side in (True, False)
    )
    if not chosen["pair"].equals(rejected["pair"]):
        raise ValueError("responses must hold one chosen and one rejected response of each pair")
    return chosen, rejected


def pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a pair: ``prompt_ids``, ``chosen_ids``, ``rejected_ids``."""
    chosen, rejected = sides(table)
    ids = {"chosen_ids": chosen["completion_ids"], "rejected_ids": rejected["completion_ids"]}
    return chosen[["prompt_ids"]].assign(**ids)
