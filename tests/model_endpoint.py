"""A small HTTP server that plays an OpenAI-compatible endpoint: replies as scripted, errors and cut-off bodies included, and counts calls.

Model calls are off in every test (`pydantic_ai.models.ALLOW_MODEL_REQUESTS` is False, set in conftest.py). `allowed(endpoint)` lets
them through for a block, and first asserts that they go to this machine.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """What the endpoint answers to one call."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    """Seconds before the first byte."""
    stall_after: int | None = None
    """Send so many bytes of the body, then nothing for `stall` seconds, then hang up."""
    stall: float = 0.0


def structured(arguments: Any, tokens: tuple[int, int] = (40, 12)) -> Callable[[dict[str, Any]], Reply]:
    """The model calls the output tool that it was given; `arguments` is an object, or the very text that it says."""

    def reply(asked: dict[str, Any]) -> Reply:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        name = next(tool["function"]["name"] for tool in asked["tools"] if tool["function"]["name"].startswith("final_result"))
        return completion(asked, [{"id": "call-1", "type": "function", "function": {"name": name, "arguments": text}}], tokens)

    return reply


def tool_call(name: str, arguments: Any) -> Callable[[dict[str, Any]], Reply]:
    """The model calls one of the agent's own tools."""
    call = {"id": "call-tool", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return lambda asked: completion(asked, [call], (30, 5))


def completion(asked: dict[str, Any], calls: list[dict[str, Any]], tokens: tuple[int, int], finish: str = "tool_calls") -> Reply:
    """A chat completion with tool calls."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked["model"],
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": None, "tool_calls": calls}},
        ],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }
    return Reply(body=json.dumps(body).encode())


def streamed(arguments: Any, parts: int = 4, *, cut_after: int | None = None) -> Callable[[dict[str, Any]], Reply]:
    """The model calls the output tool and writes its answer in so many parts, as a stream; `cut_after` parts it breaks off."""

    def reply(asked: dict[str, Any]) -> Reply:
        assert asked["stream"] is True
        text = json.dumps(arguments)
        name = next(tool["function"]["name"] for tool in asked["tools"] if tool["function"]["name"].startswith("final_result"))
        size = -(-len(text) // parts)
        first = {"index": 0, "id": "call-1", "type": "function", "function": {"name": name, "arguments": ""}}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": [first]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": text[at : at + size]}}]} for at in range(0, len(text), size)]
        chunks: list[dict[str, Any]] = [_chunk(asked, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        if cut_after is not None:
            return _events(chunks[: cut_after + 1], done=False)
        chunks.append(_chunk(asked, [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]))
        usage = {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52}
        return _events([*chunks, {**_chunk(asked, []), "usage": usage}], done=True)

    return reply


def _chunk(asked: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"], "choices": choices}


def _events(chunks: list[dict[str, Any]], *, done: bool) -> Reply:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + (["data: [DONE]\n\n"] if done else [])
    return Reply(body="".join(lines).encode(), headers={"content-type": "text/event-stream"})


def failing(status: int, message: str = "no", **headers: str) -> Callable[[dict[str, Any]], Reply]:
    """An error with its headers; underscores stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"error": {"message": message, "type": "server_error", "code": None}}).encode()
    return lambda asked: Reply(status, body, named)


class ModelEndpoint:
    """The server. `script` is used up reply by reply; after it comes `then`."""

    def __init__(self) -> None:
        self.script: list[Callable[[dict[str, Any]], Reply]] = []
        self.then: Callable[[dict[str, Any]], Reply] = failing(500, "nothing is scripted")
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="model endpoint", daemon=True).start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        """How many requests came."""
        return len(self.asked)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def next_reply(self, asked: dict[str, Any], key: str) -> Reply:
        """Take the call down, and the next reply off the script."""
        with self._lock:
            self.asked.append(asked)
            self.keys.append(key)
            reply = self.script.pop(0) if self.script else self.then
        return reply(asked)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                endpoint.connections += 1

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                reply = endpoint.next_reply(asked, self.headers.get("authorization", ""))
                time.sleep(reply.wait)
                try:
                    self._send(reply)
                except OSError:
                    self.close_connection = True  # the caller has hung up

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: reply.stall_after])
                self.wfile.flush()
                if reply.stall_after is not None:
                    time.sleep(reply.stall)
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler


@contextmanager
def model_endpoint() -> Iterator[ModelEndpoint]:
    """A server, and model calls allowed to it."""
    endpoint = ModelEndpoint()
    try:
        with allowed(endpoint.url):
            yield endpoint
    finally:
        endpoint.close()


@contextmanager
def allowed(url: str) -> Iterator[None]:
    """Model calls are let through, because they go to this machine."""
    from pydantic_ai.models import override_allow_model_requests

    assert urlsplit(url).hostname == "127.0.0.1", f"a test would ask a real model at {url}"
    with override_allow_model_requests(True):
        yield
