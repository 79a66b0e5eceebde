"""A small HTTP server that plays a payment service: pays each key once, counts what it paid, and fails as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "secret-token"


class PaymentServer:
    """`failures` are used up order by order: a status to answer instead, or `after_paying` to pay and then hang up."""

    after_paying = 0

    def __init__(self) -> None:
        self.paid: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.failures: list[int] = []
        self.headers: dict[str, str] = {}
        self.wait = 0.0
        self.garble = False
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="payments", daemon=True).start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def refund(self, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Pay, or answer what was paid."""
        with self._lock:
            known = self.paid.get(key)
            if known is None:
                number = len(self.paid) + 1
                amount = {"amount": body["amount"], "currency": body["currency"]}
                known = self.paid[key] = {"payment_id": f"pay-{number}", "idempotency_key": key, "body": body, **amount}
            elif known["body"] != body:
                return 422, {"error": "this key stands for another refund"}
            return 201, {name: value for name, value in known.items() if name != "body"}

    def _failure(self) -> int | None:
        with self._lock:
            return self.failures.pop(0) if self.failures else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer("POST", lambda: server.refund(self.headers["idempotency-key"], body))

            def do_GET(self) -> None:
                key = unquote(self.path.removeprefix("/refunds/"))
                found = server.paid.get(key)
                answer = None if found is None else {name: value for name, value in found.items() if name != "body"}
                self._answer("GET", lambda: (404, {}) if answer is None else (200, answer))

            def _answer(self, method: str, make: Callable[[], tuple[int, Any]]) -> None:
                server.requests.append((method, self.path))
                server.tokens.add(self.headers.get("authorization", ""))
                failure = server._failure() if method == "POST" else None
                time.sleep(server.wait)
                if failure == server.after_paying:
                    make()
                    self.close_connection = True
                    return
                status, body = (failure, {"error": "told to"}) if failure else make()
                try:
                    self._send(status, b"<html>" if server.garble else json.dumps(body).encode())
                except OSError:
                    self.close_connection = True  # the caller has hung up

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **server.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler


@contextmanager
def payment_server() -> Iterator[PaymentServer]:
    """A server for a block."""
    server = PaymentServer()
    try:
        yield server
    finally:
        server.close()
