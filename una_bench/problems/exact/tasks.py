"""Tasks of the exact problem for lm-eval: choice of the best of four responses, and generation of the best response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from una_bench.problems.exact import language, optimum
from una_bench.problems.exact.truth import Truth

CHOICES, QUESTIONS_A_PROMPT = 4, 16

CHOICE_YAML = """\
# Which of four responses has the highest true reward? Held-out prompts; responses drawn from the reference policy.
task: exact_choice
custom_dataset: !function documents.choice
dataset_path: ""
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: ""
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
GENERATE_YAML = """\
# Is the greedy response the most probable one of the optimal policy? All prompts.
task: exact_generate
custom_dataset: !function documents.generate
dataset_path: ""
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{best}}"
target_delimiter: ""
num_fewshot: 0
generation_kwargs:
  until: ["."]
  do_sample: false
  max_gen_toks: 4
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
DOCUMENTS_PY = '''\
"""Reads the documents that lie beside this file, wherever the folder is."""

import json
from pathlib import Path

import datasets


def _read(name, **_):
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return datasets.DatasetDict({"test": datasets.Dataset.from_list([json.loads(line) for line in lines])})


def choice(**settings):
    return _read("exact_choice", **settings)


def generate(**settings):
    return _read("exact_generate", **settings)
'''


def choice_documents(truth: Truth, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return questions on held-out prompts: four distinct responses sampled from the reference, with the best."""
    documents = []
    for prompt in truth.rows("heldout"):
        probability = np.exp(truth.logp_reference[prompt])
        for _ in range(QUESTIONS_A_PROMPT):
            drawn = rng.choice(len(probability), CHOICES, replace=False, p=probability / probability.sum())
            choices = [language.marked(language.responses()[r]) for r in drawn]
            answer = int(truth.reward[prompt, drawn].argmax())
            documents.append({"prompt": language.prompts()[prompt], "choices": choices, "answer": answer})
    return documents


def write_tasks(folder: Path, truth: Truth, seed: int) -> None:
    """Write both tasks and their documents; the folder is lm-eval's ``--include_path``."""
    folder.mkdir()
    best = optimum.tilted(truth.logp_reference, truth.reward, truth.beta).argmax(1)
    generated = [{"prompt": p, "best": language.responses()[r]} for p, r in zip(language.prompts(), best, strict=True)]
    texts = {
        "exact_choice.yaml": CHOICE_YAML,
        "exact_generate.yaml": GENERATE_YAML,
        "documents.py": DOCUMENTS_PY,
        "exact_choice.jsonl": _lines(choice_documents(truth, np.random.default_rng([seed, 6]))),
        "exact_generate.jsonl": _lines(generated),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _lines(documents: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)
