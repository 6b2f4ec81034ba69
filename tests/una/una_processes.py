"""Script for `test_processes`: trains UNA on its processes and writes the results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

from tiny_world import tiny_policy, tiny_responses, tiny_tokenizer

from una_bench import OnlineUNAConfig, OnlineUNATrainer, UNAConfig, UNATrainer
from una_bench.una import prompt_sharing


def train(out: str, batch: int, kind: str, offset: str) -> None:
    shared: dict[str, Any] = {
        "output_dir": f"{out}/{kind}-{offset}-{batch}",
        "per_device_train_batch_size": batch,
        "max_steps": 4,
        "learning_rate": 0.02,
        "optim": "sgd",  # Adam would magnify the last bit
        "max_grad_norm": 0.0,
        "beta": 0.5,
        "offset": offset,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if kind == "packed":
        prompt_sharing.LEAST_TOKENS = prompt_sharing.LEAST_GROUP = 0
    table = tiny_responses()
    model, tokenizer = tiny_policy(), tiny_tokenizer()
    trainer: UNATrainer
    if kind == "online":
        args = OnlineUNAConfig(
            **shared, responses_per_rollout=16, num_generations=4, num_iterations=1, max_completion_length=4
        )
        trainer = OnlineUNATrainer(
            model,
            lambda _, completions: [2.0 * text.count("a") - 1.0 for text in completions],
            args,
            train_dataset=[{"prompt": prompt} for prompt in table["prompt"].unique()],
            processing_class=tokenizer,
        )
    else:
        rows = table[["prompt_ids", "completion_ids", "score"]].to_dict("records")
        args = UNAConfig(**shared, reference="precomputed", reference_cache=f"{shared['output_dir']}/reference")
        trainer = UNATrainer(model, args, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    if trainer.accelerator.is_main_process:
        policy = trainer.accelerator.unwrap_model(trainer.model)
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        names = ("loss", "kl", "offset", "rewards/implicit", "completions/mean_length")
        result = {
            "processes": trainer.accelerator.num_processes,
            "logs": [{name: entry[name] for name in names} for entry in logs],
            "weights": [float(p.detach().double().sum()) for p in policy.parameters()],
        }
        Path(out, f"{kind}-{offset}-{trainer.accelerator.num_processes}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    for case in sys.argv[3:]:
        train(sys.argv[1], int(sys.argv[2]), *case.split("-"))
