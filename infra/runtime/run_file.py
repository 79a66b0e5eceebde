"""Tells `agentmesh ps` where a process is: one small file per replica, written when it serves and removed when it ends."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson

logger = logging.getLogger(__name__)

REPLICA_VARIABLE = "AGENTMESH_REPLICA_NAME"
JOIN = "+"


def replica_name(workers: Iterable[str]) -> str:
    """The name of this process among its kind: given by its supervisor, else that of its workers."""
    name = os.environ.get(REPLICA_VARIABLE) or JOIN.join(workers)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)


class RunFile:
    """`<home>/.agentmesh/run/<name>.json` of this process: name, pid, port, started_at.

    It is a convenience for people: where it cannot be written (a read-only file system) the process runs without it.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.path = home.expanduser().resolve() / ".agentmesh" / "run" / f"{name}.json"
        self._name = name

    def write(self, port: int) -> None:
        """Write it whole or not at all, over one that a crash left."""
        content = {"name": self._name, "pid": os.getpid(), "port": port, "started_at": datetime.now(UTC).isoformat()}
        half = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(orjson.dumps(content))
            half.replace(self.path)
        except OSError as error:
            logger.warning("run file not written, `agentmesh ps` will not show this process: %s", error)

    def remove(self) -> None:
        """Remove it, unless another process has taken the name since."""
        try:
            if orjson.loads(self.path.read_bytes()).get("pid") == os.getpid():
                self.path.unlink()
        except (OSError, ValueError):
            return
