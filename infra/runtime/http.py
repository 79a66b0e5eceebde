"""Serves HTTP inside a process: health and metrics, asked by supervisors and Prometheus, run by `run_process`; and the gateway's API."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

import orjson
import uvicorn
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from infra.errors import ConfigurationError
from infra.health.base import HealthStatus, SystemHealth
from infra.runtime.connections import BoundedProtocol, ConnectionLimits, Refusal, plain_refusal

JSON = {"content-type": "application/json", "cache-control": "no-store"}
BACKLOG = 64

Scope = dict[str, Any]
Application = Callable[..., Awaitable[None]]
"""An ASGI 3 application."""
AskHealth = Callable[[], Awaitable[SystemHealth]]


def build_app(
    health: AskHealth, not_ready: Callable[[], str | None], not_live: Callable[[], str | None], registry: CollectorRegistry
) -> AsgiFastStream:
    """The four routes of every worker.

    `not_ready` and `not_live` answer a reason or None. Liveness asks no server: a database that is away must not restart workers.
    """

    @get(description="Every component, with the time it took; 503 when the whole is unhealthy.")
    async def full(scope: Scope) -> AsgiResponse:
        state = await health()
        return AsgiResponse(state.model_dump_json().encode(), _code(state.overall_status), JSON)

    @get(description="200 while the process answers and every worker makes attempts.")
    async def live(scope: Scope) -> AsgiResponse:
        return _answer(not_live(), "live")

    @get(description="200 while the process can work; 503 when a dependency is away, while starting and while draining.")
    async def ready(scope: Scope) -> AsgiResponse:
        reason = not_ready()
        if reason is None:
            status = (await health()).overall_status
            reason = not_ready() or ("unhealthy" if status is HealthStatus.UNHEALTHY else None)
        return _answer(reason, "ready")

    @get(description="OpenMetrics or Prometheus text, by the Accept header.")
    async def metrics(scope: Scope) -> AsgiResponse:
        encode, content_type = choose_encoder(_header(scope, b"accept"))
        # In a thread: with thousands of agents it is a second of work, in which the loop has to go on.
        return AsgiResponse(await asyncio.to_thread(encode, registry), 200, {"content-type": content_type})

    routes = [("/health", full), ("/health/live", live), ("/health/ready", ready), ("/metrics", metrics)]
    return AsgiFastStream(asgi_routes=routes)


def _code(status: HealthStatus) -> int:
    return 503 if status is HealthStatus.UNHEALTHY else 200


def _answer(reason: str | None, good: str) -> AsgiResponse:
    body = {"status": good} if reason is None else {"status": f"not {good}", "reason": reason}
    return AsgiResponse(orjson.dumps(body), 200 if reason is None else 503, JSON)


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides what a signal means."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Listens from `start` to `stop`; `port` is the real one where 0 was asked for."""

    def __init__(
        self,
        app: Application,
        host: str,
        port: int,
        *,
        what: str = "Health and metrics",
        variable: str = "AGENTMESH_HEALTH_PORT",
        backlog: int = BACKLOG,
        drain_seconds: float = 1.0,
        keep_alive_seconds: int = 5,
        tls: ssl.SSLContext | None = None,
        limits: ConnectionLimits | None = None,
        refusal: Refusal = plain_refusal,
    ) -> None:
        bounds = limits or ConnectionLimits()
        self._socket = _listen(host, port, what, variable, backlog)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            lifespan="off",  # the worker starts and stops what the application needs
            log_config=None,  # its loggers go the way of all others
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,  # who calls is what the connection says
            ws="none",
            http=cast(Any, partial(BoundedProtocol, bounds, refusal)),
            h11_max_incomplete_event_size=bounds.header_bytes,
            ssl_context_factory=None if tls is None else lambda *_: tls,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are answered."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Answer what is under way and close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


def _listen(host: str, port: int, what: str, variable: str, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise ConfigurationError(
            f"{what} cannot be served on {host}:{port} ({error.strerror or error}): set {variable} to a free port, or to 0 for any."
        ) from error
