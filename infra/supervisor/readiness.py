"""Asks a worker over its own port: is it ready, how is it, what does it count; used by the supervisor and by the CLI."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

SECONDS = 2.0
HOST = "127.0.0.1"


def is_ready(port: int, host: str = HOST, timeout: float = SECONDS) -> bool:
    """Whether `/health/ready` answers 200 in time. Blocks; never raises."""
    return _get(port, "/health/ready", host, timeout)[0] == http.client.OK


def health_of(port: int, host: str = HOST, timeout: float = 8.0) -> dict[str, Any] | None:
    """The body of `/health`, or None when nobody answers."""
    _, body = _get(port, "/health", host, timeout)
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def metrics_of(port: int, host: str = HOST, timeout: float = 8.0) -> str | None:
    """The text of `/metrics`, or None when nobody answers."""
    status, body = _get(port, "/metrics", host, timeout)
    return body.decode("utf-8", "replace") if status == http.client.OK else None


def _get(port: int, path: str, host: str, timeout: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def port_of(state_dir: Path, name: str, pid: int) -> int | None:
    """The port that this process wrote into its run file; None before it serves."""
    try:
        content = json.loads((state_dir / "run" / f"{name}.json").read_text(encoding="utf-8"))
        return int(content["port"]) if content["pid"] == pid else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
