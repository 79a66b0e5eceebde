"""Starts, stops and describes the servers of one root folder together; called by the CLI, `make demo` and the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from infra.local_stack.endpoints import Endpoints, read_endpoints, remove_endpoints, write_endpoints
from infra.local_stack.errors import LocalStackError
from infra.local_stack.kafka import KafkaServer
from infra.local_stack.lock import file_lock
from infra.local_stack.postgres import PostgresServer
from infra.local_stack.progress import Progress, silent
from infra.local_stack.redis import RedisServer
from infra.local_stack.server import LocalServer

SERVERS: Mapping[str, Callable[[Path, Progress], LocalServer]] = {
    "postgres": PostgresServer,
    "kafka": KafkaServer,
    "redis": RedisServer,
}

_FIELDS = {"postgres": "postgres_dsn", "kafka": "kafka_bootstrap", "redis": "redis_url"}


@dataclass(frozen=True)
class ServerStatus:
    """What one server is doing. `endpoint` carries no password."""

    name: str
    state: Literal["running", "not answering", "stopped"]
    pid: int | None
    endpoint: str


def state_dir_of(root: Path) -> Path:
    """Where the stack of a root folder keeps everything."""
    return root.expanduser().resolve() / ".agentmesh"


def server(root: Path, name: str, progress: Progress = silent) -> LocalServer:
    """One server of a stack, to start, stop or kill alone."""
    if name not in SERVERS:
        raise LocalStackError(f"There is no server {name!r}: choose one of {', '.join(SERVERS)}.")
    return SERVERS[name](state_dir_of(root), progress)


def postgres(root: Path) -> PostgresServer:
    """The stack's PostgreSQL, with its own ways to stop."""
    return PostgresServer(state_dir_of(root))


def start_stack(root: Path, progress: Progress = silent) -> Endpoints:
    """Start every server side by side, or reuse those that run, and write `endpoints.json`.

    Safe to call twice, at the same time too. When one server cannot be started, those that this call started are stopped again.
    """
    return start_servers(root, SERVERS, {}, progress)


def start_servers(root: Path, names: Iterable[str], given: Mapping[str, str], progress: Progress = silent) -> Endpoints:
    """Like `start_stack`, for the named servers only; `given` holds the addresses of the others, which run elsewhere."""
    state_dir = state_dir_of(root)
    with _exclusively(state_dir, progress):
        servers = [server(root, name, progress) for name in names]
        ran_before = [each.name for each in servers if each.is_running()]
        faults = _side_by_side(servers, lambda each: each.start())
        if faults:
            _side_by_side([each for each in servers if each.name not in ran_before], lambda each: each.stop())
            raise LocalStackError("\n".join(str(fault) for fault in faults)) from faults[0]
        addresses = {**{each.name: each.endpoint() for each in servers}, **given}
        endpoints = Endpoints(addresses["kafka"], addresses["postgres"], addresses["redis"], _noted_gateway(state_dir))
        write_endpoints(state_dir, endpoints)
        return endpoints


def stop_stack(root: Path, progress: Progress = silent) -> None:
    """Stop every server of the stack and take `endpoints.json` away; the data stays."""
    state_dir = state_dir_of(root)
    if not state_dir.exists():
        return
    with _exclusively(state_dir, progress):
        remove_endpoints(state_dir)
        running = [each for each in (server(root, name, progress) for name in SERVERS) if each.is_running()]
        faults = _side_by_side(running, lambda each: each.stop())
        if faults:
            raise LocalStackError("\n".join(str(fault) for fault in faults)) from faults[0]
        for each in running:
            progress(f"{each.name} stopped")


def restart_server(root: Path, name: str, progress: Progress = silent) -> None:
    """Stop and start one server, on the same port when it is still free; `endpoints.json` follows when it is not."""
    state_dir = state_dir_of(root)
    with _exclusively(state_dir, progress):
        chosen = server(root, name, progress)
        chosen.restart()
        noted = read_endpoints(state_dir)
        if noted is not None:
            write_endpoints(state_dir, replace(noted, **{_FIELDS[name]: chosen.endpoint()}))


def local_endpoints(root: Path) -> Endpoints:
    """The addresses of this stack's own servers as of their last start, whether they run or not."""
    addresses = {name: server(root, name).endpoint() for name in SERVERS}
    return Endpoints(addresses["kafka"], addresses["postgres"], addresses["redis"])


def _exclusively(state_dir: Path, progress: Progress) -> AbstractContextManager[None]:
    return file_lock(state_dir / "stack.lock", "starting or stopping these servers", progress)


def _noted_gateway(state_dir: Path) -> str | None:
    noted = read_endpoints(state_dir)
    return None if noted is None else noted.gateway_url


def status(root: Path) -> list[ServerStatus]:
    """Each server with its pid and whether it answers."""
    found = []
    for name in SERVERS:
        each = server(root, name)
        pid = each.pid
        state: Literal["running", "not answering", "stopped"] = "stopped"
        if pid is not None:
            state = "running" if each.answers() else "not answering"
        found.append(ServerStatus(name, state, pid, each.public_endpoint()))
    return found


def is_running(root: Path) -> bool:
    """Whether every server's process is alive (they may still be starting)."""
    return all(server(root, name).is_running() for name in SERVERS)


def _side_by_side(servers: list[LocalServer], action: Callable[[LocalServer], None]) -> list[Exception]:
    """Do one thing with all servers at the same time; answers what went wrong."""
    if not servers:
        return []
    with ThreadPoolExecutor(len(servers), thread_name_prefix="server") as pool:
        results = [pool.submit(action, each) for each in servers]
    return [fault for result in results if isinstance(fault := result.exception(), Exception)]
