"""A judge behind an endpoint that speaks OpenAI's protocol for chat completions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from una_bench.errors import UserError
from una_bench.evaluation.judge.requests import JudgeGoneError, Reply, Request
from una_bench.machine import stop_request
from una_bench.models import offline
from una_bench.record import storage
from una_bench.record.hashes import content_hash

LEAST_SECRET = 8
"""Keys with fewer characters are placeholders of local servers, and no secret to take out of texts."""
PROBE = [{"role": "user", "content": "Reply with OK."}]
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """A model behind a URL; the key comes from an environment variable and is never written anywhere."""

    url: str
    model: str
    key_variable: str | None = "OPENAI_API_KEY"
    """Environment variable with the key; None: the server takes none."""
    temperature: float | None = 0.0
    max_tokens: int = 512
    token_limit: str = "max_tokens"
    concurrency: int = 8
    requests_per_minute: float | None = None
    retries: int = 4
    timeout_seconds: float = 60.0
    _client: Any = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """Model and host."""
        return f"{self.model} at {urlsplit(self.url).netloc}"

    def identity(self) -> Mapping[str, Any]:
        """Return URL, model and settings of its replies."""
        return {"url": self.url, "model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def check(self, *, connect: bool) -> None:
        """Refuse a missing key or package and, with ``connect``, an endpoint that does not reply as it should."""
        if self.key_variable and not os.environ.get(self.key_variable):
            raise UserError(
                f"The judge {self.url} needs a key in the environment variable {self.key_variable}, which is not set. "
                "Export it, or use --set benchmarks.judge.key_variable=null for a server that takes none."
            )
        if offline.is_on() and urlsplit(self.url).hostname not in LOCAL:
            raise UserError(f"The judge {self.url} cannot be asked: connections are off. Leave out --offline.")
        try:
            import openai
        except ImportError:
            raise UserError(
                "A judge behind a URL needs the package openai. Install it: pip install 'una-bench[judge]'."
            ) from None
        if not connect:
            return
        try:
            reply = self._create(PROBE)
        except openai.OpenAIError as error:
            raise UserError(f"The judge cannot be used: {self._why(error)} {self._advice(error)}") from None
        except ValueError:
            reply = None
        if reply is None or not getattr(reply, "choices", None):
            raise UserError(
                f"{self.url} does not speak OpenAI's protocol for chat completions: its reply has no choices. "
                "Give the base URL of the API, which often ends in /v1."
            )

    def ask(self, requests: Sequence[Request], keep: Callable[[int, Reply], None]) -> None:
        """Send the requests, several at a time; after the first one that fails for good no other is sent."""
        gone: Exception | None = None
        with ThreadPoolExecutor(self.concurrency) as pool:
            futures: dict[Future[Reply], int] = {pool.submit(self._one, r): i for i, r in enumerate(requests)}
            try:
                for future in as_completed(futures):
                    stop_request.check()
                    try:
                        if not future.cancelled():
                            keep(futures[future], future.result())
                    except JudgeGoneError as error:
                        gone = gone or error
                        self._cancel(futures)
            except BaseException:
                self._cancel(futures)
                raise
        if gone:
            raise gone

    @staticmethod
    def _cancel(futures: Mapping[Future[Reply], int]) -> None:
        for future in futures:
            future.cancel()

    def _one(self, request: Request) -> Reply:
        import openai

        self._wait()
        try:
            reply = self._create(request.messages)
            choice = reply.choices[0]
            text = self._plain(choice.message.content or "")
            usage = getattr(reply, "usage", None)
            return Reply(
                text=text or f"(empty reply: {choice.finish_reason})",
                tokens_in=int(getattr(usage, "prompt_tokens", 0) or 0),
                tokens_out=int(getattr(usage, "completion_tokens", 0) or 0),
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Reply(refused=f"refused: {self._why(error)}")
        except openai.OpenAIError as error:
            raise JudgeGoneError(self._why(error)) from None
        except (ValueError, AttributeError, IndexError, TypeError):
            return Reply(refused="malformed reply: no chat completion")

    def _create(self, messages: Sequence[Mapping[str, str]]) -> Any:
        import openai

        if self._client is None:
            key = os.environ.get(self.key_variable, "") if self.key_variable else ""
            self._client = openai.OpenAI(
                base_url=self.url, api_key=key or "none", max_retries=self.retries, timeout=self.timeout_seconds
            )
        sampling: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        return self._client.chat.completions.create(
            model=self.model, messages=list(messages), **{self.token_limit: self.max_tokens}, **sampling
        )

    def _wait(self) -> None:
        """Wait for this request's turn, if there is a bound on the rate: one for all processes on this machine."""
        if not self.requests_per_minute:
            return
        file = storage.cache_folder() / "judge" / "rate" / f"{content_hash(self.url)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            now = time.time()
            turn = max(now, float((storage.read_json(file) or {}).get("next", 0.0)))
            storage.write_json(file, {"next": turn + 60 / self.requests_per_minute})
        time.sleep(turn - now)

    def _plain(self, text: str) -> str:
        """Take the key out of what a server sends back."""
        key = os.environ.get(self.key_variable, "") if self.key_variable else ""
        return text.replace(key, "[key]") if len(key) >= LEAST_SECRET else text

    def _why(self, error: Exception) -> str:
        """Describe an error of the client on one line, without the key."""
        import openai

        status = getattr(error, "status_code", None)
        text = self._plain(" ".join(str(error).split()))[:200].rstrip(".")
        if isinstance(error, openai.APITimeoutError):
            return f"{self.url} did not reply within {self.timeout_seconds:g} s, {self.retries} retries included."
        if isinstance(error, openai.APIConnectionError):
            cause = self._plain(str(error.__cause__ or error))
            return f"{self.url} cannot be reached ({cause})."
        return f"{self.url} replied with status {status}: {text}." if status else f"{self.url}: {text}."

    def _advice(self, error: Exception) -> str:
        import openai

        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"Check the key in {self.key_variable or 'key_variable'}."
        if isinstance(error, openai.NotFoundError):
            return f"Check the URL, which often ends in /v1, and the model {self.model}."
        if isinstance(error, openai.BadRequestError):
            return "Change benchmarks.judge.judge_temperature (null: not sent) or benchmarks.judge.token_limit."
        if isinstance(error, openai.RateLimitError):
            return "Wait, or lower benchmarks.judge.requests_per_minute."
        return "Start the server or check the URL, which often ends in /v1; then run the same command again."
