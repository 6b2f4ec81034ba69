"""Adapters in folders of their own: merged onto their base model, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from text_models import byte_tokenizer, write_model, write_reward_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from una_bench.errors import UserError
from una_bench.models import catalog
from una_bench.models.model import Model

# peft asks by a name that transformers renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return write_model(tmp_path / "base")


def write_adapter(folder: Path, model: Any, **settings: Any) -> torch.Tensor:
    """Write an adapter that changes the model, and return the adapted model's logits."""
    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, **settings)).eval()
    adapted.save_pretrained(folder)
    with torch.no_grad():
        logits: torch.Tensor = adapted(IDS).logits
    return logits


def causal_adapter(folder: Path, base: Path, **settings: Any) -> torch.Tensor:
    return write_adapter(folder, AutoModelForCausalLM.from_pretrained(base), task_type="CAUSAL_LM", **settings)


def resolve(name: str) -> Model:
    return catalog.resolve(name, say=lambda _: None)


def logits_of(folder: Path, kind: Any = AutoModelForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = kind.from_pretrained(folder).eval()(IDS).logits
    return logits


def test_an_adapter_is_merged_onto_its_base(base: Path) -> None:
    expected = causal_adapter(Path("adapter"), base)
    model = resolve("adapter")
    assert torch.allclose(logits_of(model.folder), expected, atol=1e-5)
    assert not torch.allclose(logits_of(base), expected, atol=1e-3)
    assert model.notes == (f"adapter is an adapter; it is merged into its base model {base}, in float32.",)
    assert model.source == "adapter (local folder) merged onto its base (local folder)"


def test_a_merged_adapter_has_the_bases_tokenizer_where_it_has_none(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    assert AutoTokenizer.from_pretrained(resolve("adapter").folder).chat_template == byte_tokenizer().chat_template


def test_a_merged_adapter_has_its_own_tokenizer(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    byte_tokenizer("{{ 'own' }}").save_pretrained("adapter")
    assert AutoTokenizer.from_pretrained(resolve("adapter").folder).chat_template == "{{ 'own' }}"


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning")
def test_an_adapter_with_more_embeddings_than_its_base_is_merged(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(270, mean_resizing=False)
    whole = ["embed_tokens", "lm_head"]
    expected = write_adapter(Path("adapter"), model, task_type="CAUSAL_LM", modules_to_save=whole)
    assert torch.allclose(logits_of(resolve("adapter").folder), expected, atol=1e-5)


def test_a_reward_models_adapter_is_merged_with_its_head() -> None:
    base = write_reward_model(Path("reward"))
    model = AutoModelForSequenceClassification.from_pretrained(base)
    expected = write_adapter(Path("adapter"), model, task_type="SEQ_CLS")
    merged = logits_of(resolve("adapter").folder, AutoModelForSequenceClassification)
    assert merged.shape == (1, 1) and torch.allclose(merged, expected, atol=1e-5)


def test_an_adapter_of_an_adapter_is_merged_twice(base: Path) -> None:
    causal_adapter(Path("first"), base)
    expected = causal_adapter(Path("second"), resolve("first").folder)
    renamed(Path("second"), "first")
    assert torch.allclose(logits_of(resolve("second").folder), expected, atol=1e-5)


def test_merging_is_done_once(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    lines: list[str] = []
    folders = {catalog.resolve("adapter", say=lines.append).folder for _ in range(2)}
    assert (len(folders), lines) == (1, [f"merging the adapter onto {base}, once"])


def test_another_adapter_or_base_is_another_version(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    seen = {catalog.fingerprint("adapter")}
    causal_adapter(Path("adapter"), base, lora_alpha=1)
    seen.add(catalog.fingerprint("adapter"))
    write_model(base, hidden_size=32)
    seen.add(catalog.fingerprint("adapter"))
    assert len(seen) == 3 and "" not in seen


def renamed(adapter: Path, base: str) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        resolve(name)
    return str(caught.value)


def test_an_adapter_whose_base_is_not_here_says_how_to_get_it(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    renamed(Path("adapter"), "nobody/base")
    assert refusal("adapter") == (
        "adapter is an adapter, and its base model nobody/base (base_model_name_or_path in its adapter_config.json) "
        "cannot be used: The model nobody/base is not on this machine, and connections are off. Download it on a "
        "machine with network access: hf download nobody/base"
    )


def test_an_adapter_whose_base_was_a_folder_elsewhere_says_so(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    renamed(Path("adapter"), "/home/else/base")
    assert refusal("adapter") == (
        "adapter is an adapter, and its base model /home/else/base (base_model_name_or_path in its "
        "adapter_config.json) cannot be used: There is no model '/home/else/base'. It is neither a folder nor a file "
        "on this machine, nor a name on the hub (owner/name)."
    )


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            "",
            "adapter/adapter_config.json names no base model. Write its folder or name there as "
            "base_model_name_or_path.",
        ),
        (
            "adapter",
            "adapter/adapter_config.json names its own folder as the base model. Write the base's folder or name there "
            "as base_model_name_or_path.",
        ),
    ],
)
def test_an_adapter_without_a_base_is_refused(named: str, message: str, base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    renamed(Path("adapter"), named)
    assert refusal("adapter") == message


def test_an_adapter_of_another_model_is_refused(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    write_model(base, hidden_size=32)
    assert refusal("adapter").startswith(f"The adapter adapter does not fit its base model {base}: Error(s) in loading")
    assert refusal("adapter").endswith(
        ". Name the model that it was trained on as base_model_name_or_path in its adapter_config.json."
    )


def test_an_adapter_that_lacks_weights_for_its_base_is_refused(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    write_model(base, num_hidden_layers=3)
    assert "does not fit its base model" in refusal("adapter")


def test_an_adapter_that_is_no_change_of_weights_is_refused(base: Path) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained("adapter")
    assert refusal("adapter") == (
        "adapter is an adapter of the kind PROMPT_TUNING, which cannot be merged into a model. Choose one that changes "
        "weights, as LoRA."
    )


def test_an_adapter_as_pickle_is_refused(base: Path) -> None:
    causal_adapter(Path("adapter"), base)
    Path("adapter/adapter_model.safetensors").rename("adapter/adapter_model.bin")
    assert refusal("adapter") == (
        "adapter has no adapter_model.safetensors. Other formats can run code when loaded; save the adapter as "
        "safetensors."
    )
