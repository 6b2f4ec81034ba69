"""Verdicts from an endpoint: kept by content, read or counted as unreadable, and without the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_judge import StubJudge, first, longer, serving

from una_bench.errors import UserError
from una_bench.evaluation.judge import comparison, figures, judge_prompt, measurements
from una_bench.evaluation.judge.answers import given
from una_bench.evaluation.judge.comparison import Compared
from una_bench.evaluation.judge.endpoint import Endpoint
from una_bench.evaluation.judge.judge_prompt import Kind
from una_bench.evaluation.judge.questions import Question
from una_bench.evaluation.judge.requests import Asked

pytest.importorskip("openai")
KEY = "sk-very-secret-key-123"
QUESTIONS = [Question(id=str(i), turns=(f"question {i}",)) for i in range(6)]
OURS = [given("a" * (i + 1)) for i in range(6)]
THEIRS = [given("b" * (6 - i)) for i in range(6)]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def stub() -> Iterator[StubJudge]:
    with serving(StubJudge()) as stub:
        yield stub


def endpoint(stub: StubJudge, **changed: object) -> Endpoint:
    return Endpoint(**{"url": stub.url, "model": "stub", "retries": 1, "timeout_seconds": 5.0} | changed)  # type: ignore[arg-type]


def compare(judge: Endpoint, repeats: int = 1) -> tuple[list[Compared], Asked]:
    prompt = judge_prompt.load("", Kind.PAIRWISE)
    return comparison.compare(judge, prompt, QUESTIONS, (OURS, THEIRS), repeats)


def texts_of_cache(tmp_path: Path) -> str:
    return "".join(file.read_text() for file in (tmp_path / "cache").rglob("*") if file.is_file())


def test_a_judge_without_position_bias_gives_the_same_verdict_in_both_orders(stub: StubJudge) -> None:
    compared, asked = compare(endpoint(stub))
    assert [one.score for one in compared] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert figures.position_bias(compared)[0] == [0.0] * 6
    assert (asked.sent, asked.tokens_in, asked.tokens_out) == (12, 120, 24)


def test_a_judge_that_always_prefers_the_first_answer_has_position_bias_1(stub: StubJudge) -> None:
    stub.decide = first
    compared, asked = compare(endpoint(stub))
    shares, firsts, seconds = figures.position_bias(compared)
    assert (set(shares), firsts, seconds) == ({1.0}, 6, 0)
    context = measurements.Context(prompts="heldout", judge="stub")
    by_name = {m.metric: m.value for m in measurements.of_comparison(context, compared, asked)}
    assert by_name["judge.position_bias.heldout"] == 1.0
    assert by_name["judge.win_rate.heldout"] == 0.5


def test_nothing_is_judged_twice(stub: StubJudge) -> None:
    before, _ = compare(endpoint(stub))
    after, asked = compare(endpoint(stub))
    assert (before, asked.sent, len(stub.requests)) == (after, 0, 12)


@pytest.mark.parametrize("changed", [{"model": "other"}, {"temperature": 0.5}, {"max_tokens": 9}])
def test_another_judge_or_other_settings_are_asked_again(stub: StubJudge, changed: dict[str, object]) -> None:
    compare(endpoint(stub))
    assert compare(endpoint(stub, **changed))[1].sent == 12


def test_equal_answers_tie_without_being_sent(stub: StubJudge) -> None:
    prompt = judge_prompt.load("", Kind.PAIRWISE)
    compared, _ = comparison.compare(endpoint(stub), prompt, QUESTIONS, (OURS, OURS), 1)
    assert [one.score for one in compared] == [0.5] * 6
    assert not stub.requests


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_error_is_retried(stub: StubJudge, status: int) -> None:
    stub.status = lambda number: status if number == 0 else 200
    compared, asked = compare(endpoint(stub))
    assert asked.missing == 0
    assert len(stub.requests) == 13
    assert None not in [one.score for one in compared]


def test_a_judge_that_goes_away_leaves_what_it_gave_and_goes_on_later(stub: StubJudge) -> None:
    stub.status = lambda number: 200 if number < 5 else 503
    judge = endpoint(stub, concurrency=1)
    compared, asked = compare(judge)
    assert asked.missing == 7
    context = measurements.Context(prompts="heldout", judge="stub")
    (measured,) = measurements.of_comparison(context, compared, asked)
    assert not measured.samples
    assert measured.how.startswith("not run: 5 of 12 verdicts; ")
    assert "503" in measured.how
    stub.status = lambda number: 200
    _, asked = compare(judge)
    assert (asked.missing, asked.sent) == (0, 7)


def test_a_verdict_that_cannot_be_read_is_counted_and_no_loss(stub: StubJudge) -> None:
    stub.decide = lambda a, b: "I cannot decide." if a == "aaaa" else longer(a, b)
    compared, asked = compare(endpoint(stub))
    assert [one.score for one in compared] == [0.0, 0.0, 0.0, None, 1.0, 1.0]
    context = measurements.Context(prompts="heldout", judge="stub")
    by_name = {m.metric: m for m in measurements.of_comparison(context, compared, asked)}
    assert by_name["judge.unreadable.heldout"].value == 1 / 12
    assert by_name["judge.win_rate.heldout"].value == 0.4
    assert "1 of 12 verdicts cannot be read, which leaves 5 prompts" in by_name["judge.win_rate.heldout"].how
    assert "between 0.417 and 0.500" in by_name["judge.win_rate.heldout"].how


def test_a_malformed_reply_is_unreadable_and_asked_again_later(stub: StubJudge) -> None:
    stub.malformed = True
    compared, asked = compare(endpoint(stub))
    assert (asked.missing, {one.score for one in compared}) == (0, {None})
    stub.malformed = False
    assert compare(endpoint(stub))[1].sent == 12


def test_a_slow_judge_is_gone_after_its_time(stub: StubJudge) -> None:
    stub.seconds = 1.0
    _, asked = compare(endpoint(stub, timeout_seconds=0.1, retries=0, concurrency=2))
    assert asked.missing == 12
    assert "did not reply within 0.1 s" in asked.gone


def test_the_key_is_sent_and_kept_nowhere(stub: StubJudge, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stub.echo_key = True
    compared, _ = compare(endpoint(stub))
    stub.status = lambda number: 401
    _, asked = compare(endpoint(stub, model="other"))
    assert set(stub.keys) == {KEY}
    for text in (texts_of_cache(tmp_path), repr(compared), asked.gone, caplog.text, repr(endpoint(stub))):
        assert KEY not in text
    assert "[key] says" in texts_of_cache(tmp_path)


def test_the_rate_is_bounded(stub: StubJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("una_bench.evaluation.judge.endpoint.time.sleep", waits.append)
    compare(endpoint(stub, requests_per_minute=60.0, concurrency=1))
    assert max(waits) > 5.0  # the twelfth of twelve requests at one a second, none of which really waited


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "Check the key in OPENAI_API_KEY."),
        (404, "Check the URL, which often ends in /v1, and the model stub."),
        (400, "benchmarks.judge.judge_temperature"),
    ],
)
def test_an_endpoint_that_refuses_is_refused_before_the_run(stub: StubJudge, status: int, message: str) -> None:
    stub.status = lambda number: status
    with pytest.raises(UserError) as error:
        endpoint(stub).check(connect=True)
    assert message in str(error.value)
    assert KEY not in str(error.value)


def test_an_endpoint_that_speaks_something_else_is_refused(stub: StubJudge) -> None:
    stub.html = True
    with pytest.raises(UserError, match="does not speak OpenAI's protocol"):
        endpoint(stub).check(connect=True)


def test_an_endpoint_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1 cannot be reached"):
        Endpoint(url="http://127.0.0.1:9/v1", model="stub", retries=0).check(connect=True)


def test_a_missing_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="needs a key in the environment variable OPENAI_API_KEY, which is not set"):
        Endpoint(url="http://127.0.0.1:9/v1", model="stub").check(connect=False)


def test_without_connect_nothing_is_sent(stub: StubJudge) -> None:
    endpoint(stub).check(connect=False)
    assert not stub.requests
