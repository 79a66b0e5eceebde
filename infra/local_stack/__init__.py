"""Real PostgreSQL, Kafka and Redis on this machine, without Docker: started from Python packages by the CLI and the tests."""

from __future__ import annotations

from infra.local_stack.endpoints import Endpoints, read_endpoints, write_endpoints
from infra.local_stack.errors import LocalStackError
from infra.local_stack.resolve import resolve_endpoints, source_of, with_servers
from infra.local_stack.stack import ServerStatus, restart_server, server, start_stack, status, stop_stack

__all__ = [
    "Endpoints",
    "LocalStackError",
    "ServerStatus",
    "read_endpoints",
    "resolve_endpoints",
    "restart_server",
    "server",
    "source_of",
    "start_stack",
    "status",
    "stop_stack",
    "with_servers",
    "write_endpoints",
]
