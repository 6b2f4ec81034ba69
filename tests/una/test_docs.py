"""The examples of docs/una.md, run as printed with a small model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_world import tiny_policy, tiny_tokenizer

# peft 0.21 asks transformers 5.23 by a name that 6 will not have
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),  # Trainer's default, on CPU
]
PAGE = (Path(__file__).parents[2] / "docs" / "una.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}1{% endif %}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace(
        "{{ m.content }}", "{{ '0' if m.role == 'user' else '1' }}{{ m.content }}"
    )
    tokenizer.save_pretrained(tmp_path / "model")
    tiny_policy().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_page_names_its_model_once() -> None:
    assert PAGE.count(MODEL) == 1


@pytest.mark.parametrize("number", range(1, len(BLOCKS)))
def test_an_example_runs_after_the_first_block(
    number: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    code = BLOCKS[0].replace(MODEL, str(model)) + "from datasets import Dataset\n" + BLOCKS[number]
    exec(compile(code, f"docs/una.md block {number}", "exec"), names)
    assert any(tmp_path.glob("una-*/checkpoint-*"))
