"""A server on 127.0.0.1 that speaks OpenAI's protocol, with the errors that real ones have."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Decide = Callable[[str, str], str]
"""(answer A, answer B) -> reply."""


def first(a: str, b: str) -> str:
    return "The first one is better. [[A]]"


def longer(a: str, b: str) -> str:
    return f"The longer one. [[{'A' if len(a) > len(b) else 'B' if len(b) > len(a) else 'C'}]]"


class StubJudge:
    """Counts requests, and replies as told."""

    def __init__(self, decide: Decide = longer) -> None:
        self.decide = decide
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status: Callable[[int], int] = lambda number: 200
        """Status of the reply to a request, by its number."""
        self.malformed = False
        self.html = False
        self.seconds = 0.0
        self.echo_key = False
        self.url = ""

    def reply(self, number: int, body: dict[str, Any], key: str) -> tuple[int, str, str]:
        status = self.status(number)
        if status != 200:
            return status, "application/json", json.dumps({"error": {"message": f"error {status} for {key}"}})
        if self.html:
            return 200, "text/html", "<html>a web page</html>"
        if self.malformed:
            return 200, "application/json", '{"choices": '
        text = self.decide(*_answers(body["messages"][-1]["content"]))
        if self.echo_key:
            text = f"{key} says: {text}"
        message = {"role": "assistant", "content": text}
        completion = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        }
        return 200, "application/json", json.dumps(completion)


def _answers(text: str) -> tuple[str, str]:
    a = re.search(r"\[Answer A\]\n(.*?)\n\[End of answer A\]", text, re.S)
    b = re.search(r"\[Answer B\]\n(.*?)\n\[End of answer B\]", text, re.S)
    return (a[1] if a else "", b[1] if b else "")


@contextmanager
def serving(stub: StubJudge) -> Iterator[StubJudge]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            with lock:
                number = len(stub.requests)
                stub.requests.append(body)
                stub.keys.append(key)
            time.sleep(stub.seconds)
            status, kind, text = stub.reply(number, body, key)
            status = status if self.path == "/v1/chat/completions" else 404
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Retry-After", "0.01")
            self.end_headers()
            with suppress(BrokenPipeError):  # a client that did not wait
                self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
