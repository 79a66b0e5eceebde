"""Chooses free TCP ports for the local servers and remembers them, so that a restarted server is found where it was."""

from __future__ import annotations

import json
import random
import socket
import time
from pathlib import Path
from typing import ClassVar

from infra.local_stack.endpoints import write_private
from infra.local_stack.errors import LocalStackError

HOST = "127.0.0.1"

# Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections: a client that keeps dialling
# a stopped server could else be given the server's own port, connect to itself and keep the server from coming back.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


class PortBook:
    """The ports of one server, by role, in a file beside its data."""

    # The threads of a killed server hold its port for a moment after the process counts as dead.
    patience_seconds: ClassVar[float] = 2.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def remembered(self) -> dict[str, int]:
        """The ports chosen at the last start; empty before the first."""
        try:
            ports = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(role): int(port) for role, port in ports.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def choose(self, *roles: str) -> dict[str, int]:
        """A free port for each role: the remembered one when it is still free, else a new one, which is remembered."""
        before = self.remembered()
        ports: dict[str, int] = {}
        for role in roles:
            port = before.get(role, 0)
            ports[role] = port if port and self._is_soon_free(port) else free_port(exclude={*ports.values(), *before.values()})
        if ports != before:
            write_private(self._path, json.dumps(ports) + "\n")
        return ports

    def _is_soon_free(self, port: int) -> bool:
        deadline = time.monotonic() + self.patience_seconds
        while not is_free(port):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True


def free_port(exclude: set[int]) -> int:
    """A port that nobody listens on now and that is not in `exclude`."""
    for _ in range(1000):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret: spreads two stacks that start at the same time
        if port not in exclude and is_free(port):
            return port
    raise LocalStackError(f"No free TCP port between {_FIRST} and {_LAST} on {HOST}.")
