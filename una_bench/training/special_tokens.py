"""What the code released with UNA does to prepared tokens: special tokens that stand twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.errors import UserError
from una_bench.models import weight_files

if TYPE_CHECKING:
    import pandas as pd


def doubled_ends(table: pd.DataFrame, prepared: Path, *, bos: bool = False, eos: bool = False) -> pd.DataFrame:
    """Return prepared responses with one more first token in each prompt, one more end token in each response, or both.

    The released trainers put both around texts whose template has them already (trl 0.8.6, ``tokenize_row``).

    Args:
        table: As `una_bench.interfaces.prepared` describes responses.
        prepared: Folder with the policy's tokenizer.
        bos: Whether to double what prompts begin with.
        eos: Whether to double what responses end with.

    Raises:
        UserError: The policy's tokenizer has no first token.
    """
    if not (bos or eos):
        return table
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(prepared / "policy", **weight_files.loading(prepared / "policy"))
    if bos and tokenizer.bos_token_id is None:
        raise UserError("doubled_bos: the policy's tokenizer has no first token. Leave it out.")
    before = [int(tokenizer.bos_token_id)] if bos else []
    after = [int(tokenizer.eos_token_id)] if eos else []
    doubled = table.copy()
    doubled["prompt_ids"] = [[*before, *map(int, ids)] for ids in table["prompt_ids"]]
    doubled["completion_ids"] = [[*map(int, ids), *after] for ids in table["completion_ids"]]
    return doubled
