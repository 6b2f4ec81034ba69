"""Reward functions: found by name, and refused with the row where they do not keep to their bounds."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from text_models import write_reward_model

from una_bench import bounded
from una_bench.errors import UserError
from una_bench.problems.generated import rewards
from una_bench.problems.generated.rewards import Reward


def returning(make: Callable[[Any, Any], Any], **changed: Any) -> Reward:
    return Reward(name="mine", function=make, lowest=0.0, highest=1.0, **changed)


def call(make: Callable[[Any, Any], Any], texts: int = 3, **changed: Any) -> list[float]:
    return returning(make, **changed)(["p"] * texts, [f"text {i}" for i in range(texts)])


def _raise(prompts: Any, completions: Any) -> list[float]:
    if "text 70" in completions:
        raise KeyError("lost")
    return [0.0] * len(completions)


REFUSED = {
    "nan": (lambda p, c: [0.5, math.nan, 0.5], r"row 2 \('text 1'\): returned nan. Return finite numbers."),
    "above": (lambda p, c: [0.5, 0.5, 1.5], r"row 3 \('text 2'\): returned 1.5, outside of its bounds \[0, 1\]."),
    "below": (lambda p, c: [-0.1, 0.5, 0.5], r"row 1 \('text 0'\): returned -0.1, outside"),
    "short": (lambda p, c: [0.5, 0.5], r"returned 2 values for 3 completions \(from row 1\). Return one number each."),
    "word": (lambda p, c: ["good"] * 3, r"row 1 \('text 0'\): returned 'good', which is no number."),
    "nothing": (lambda p, c: None, r"row 1 \('text 0'\): raised TypeError"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_reward_is_refused_with_its_row(case: str) -> None:
    function, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        call(function)


def test_a_function_that_raises_is_refused_with_the_row_it_raises_for() -> None:
    with pytest.raises(UserError, match=r"The reward mine, row 71 \('text 70'\): raised KeyError: 'lost'. Fix the"):
        call(_raise, texts=100)


def test_a_slow_function_is_interrupted_and_refused() -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"took longer than 0.3 s for rows 1 to 3, which is problem.reward_seconds=0.1"):
        call(lambda p, c: time.sleep(20), seconds=0.1)
    assert time.monotonic() - started < 10


def test_the_timer_of_somebody_else_goes_on() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 500.0)
    try:
        call(lambda p, c: [0.0] * 3)
        assert 400 < signal.getitimer(signal.ITIMER_REAL)[0] <= 500
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_values_are_checked_before_they_are_scaled() -> None:
    reward = returning(lambda p, c: [1.0, 0.5], scale=3.0)
    assert reward(["p"] * 2, ["a", "b"]) == [3.0, 1.5]
    assert reward.bounds == (0.0, 3.0)


def test_rewards_keep_their_order_over_several_calls() -> None:
    values = call(lambda p, c: [int(text.split()[1]) / 1000 for text in c], texts=150)
    assert values == [i / 1000 for i in range(150)]


BUILT_IN = {
    "sentiment": (["The day was", "The day was"], [" wonderful!", " terrible."], [True, False]),
    "length": (["p"] * 2, ["one two " * 30, "one"], [1.0, 0.02]),
    "valid_json": (["p"] * 4, ['{"a": [1]}', "[]", "{", "3"], [1.0, 1.0, 0.0, 0.0]),
    "boxed": (["p"] * 4, [r"so \boxed{42}", r"\boxed{ }", "42", r"\boxed{x"], [1.0, 0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", [n for n in BUILT_IN if n != "sentiment"])
def test_built_in_rewards_give(name: str) -> None:
    prompts, completions, expected = BUILT_IN[name]
    assert rewards.find(name)(prompts, completions) == expected


def test_sentiment_is_that_of_the_whole_sentence() -> None:
    prompts, completions, positive = BUILT_IN["sentiment"]
    assert [value > 0 for value in rewards.find("sentiment")(prompts, completions)] == positive
    assert rewards.find("sentiment")(["Not"], [" good"])[0] < 0
    assert rewards.find("sentiment").bounds == (-1.0, 1.0)


SOURCE = """
from una_bench import bounded

@bounded(0, 2)
def twos(prompts, completions):
    return [2.0 for _ in prompts]
"""


def test_a_function_of_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    assert rewards.find(f"{tmp_path / 'mine.py'}:twos")(["p"], ["c"]) == [2.0]


def test_a_function_of_a_module_beside_the_caller_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reward_beside_caller.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    assert rewards.find("reward_beside_caller:twos").bounds == (0.0, 2.0)


def test_an_entry_point_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    point = EntryPoint("twos", f"{tmp_path / 'mine.py'}:twos", rewards.GROUP)
    monkeypatch.setattr(rewards, "entry_points", lambda group: [point])
    assert rewards.find("twos")(["p"], ["c"]) == [2.0]


def test_the_fingerprint_is_that_of_the_functions_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    before = rewards.fingerprint(f"{file}:twos")
    file.write_text(SOURCE + "\n# other\n")
    assert before and rewards.fingerprint(f"{file}:twos") != before
    assert rewards.fingerprint("sentiment") == ""


def test_a_reward_model_is_bounded_by_a_sigmoid(tmp_path: Path) -> None:
    write_reward_model(tmp_path / "judge")
    reward = rewards.find(f"model:{tmp_path / 'judge'}")
    assert all(0 < value < 1 for value in reward(["a", "b"], ["yes", "no"])) and reward.bounds == (0.0, 1.0)


UNFOUND = {
    "sentimint": "There is no reward 'sentimint'. Did you mean 'sentiment'\\?",
    "no_such_module:f": "The reward no_such_module:f cannot be imported: ModuleNotFoundError",
    "missing.py:f": "There is no file missing.py with a reward function",
    "math:sqrtt": "math has no function 'sqrtt'. Did you mean 'sqrt'\\?",
    "math:sqrt": "must state its bounds as finite numbers, lowest below highest, not None and None",
    "model:nowhere/none/at/all": "The reward model nowhere/none/at/all cannot be loaded",
}


@pytest.mark.parametrize("name", UNFOUND)
def test_a_reward_that_cannot_be_had_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=UNFOUND[name]):
        rewards.find(name)


@pytest.mark.parametrize("limits", [(1, 0), (0, 0), (0, math.inf), (math.nan, 1)])
def test_bounds_that_are_none_are_refused(limits: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rewards.BUILT_IN, "odd", bounded(*limits)(lambda p, c: [0.0]))
    with pytest.raises(UserError, match="must state its bounds"):
        rewards.find("odd")
