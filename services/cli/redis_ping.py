"""Asks a Redis server whether it answers, over a plain socket; one question of `doctor`, for which no client is worth its import."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

SECONDS = 3.0
DEFAULT_PORT = 6379


def ping(url: str) -> str | None:
    """None when a Redis answers, else what went wrong. A server that wants a password answers too."""
    parts = urlsplit(url)
    try:
        with _connect(url) as connection:
            if parts.scheme == "rediss":
                return None  # it listens; what it says is inside TLS
            connection.sendall(b"PING\r\n")
            answer = connection.recv(128)
    except (OSError, ValueError) as error:
        return str(error)
    return None if answer.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM")) else f"answers {answer[:40]!r}"


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(parts.path)
        return connection
    return socket.create_connection((parts.hostname or "localhost", parts.port or DEFAULT_PORT), timeout=SECONDS)
