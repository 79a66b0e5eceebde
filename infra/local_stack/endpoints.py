"""Where the servers are: `Endpoints`, kept in `.agentmesh/endpoints.json` for the CLI, the workers and the tests."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from infra.settings import mask_url

FILE_NAME = "endpoints.json"


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one set of servers. URLs carry passwords, so `repr` leaves them out; print `masked()`."""

    kafka_bootstrap: str
    postgres_dsn: str = field(repr=False)
    redis_url: str = field(repr=False)
    gateway_url: str | None = None

    def to_dict(self) -> dict[str, str]:
        """What `endpoints.json` holds; the gateway is named only when one runs."""
        values = {"kafka_bootstrap": self.kafka_bootstrap, "postgres_dsn": self.postgres_dsn, "redis_url": self.redis_url}
        return values if self.gateway_url is None else {**values, "gateway_url": self.gateway_url}

    def masked(self) -> dict[str, str]:
        """The same with passwords replaced by `***`."""
        return {name: mask_url(value) for name, value in self.to_dict().items()}


def write_endpoints(state_dir: Path, endpoints: Endpoints) -> Path:
    """Write `endpoints.json` in one step, readable by its owner only; a reader sees the old file or the new one, never a half."""
    path = state_dir / FILE_NAME
    write_private(path, json.dumps(endpoints.to_dict(), indent=2) + "\n")
    return path


def read_endpoints(state_dir: Path) -> Endpoints | None:
    """The endpoints last written, or None when there are none (or the file is not ours)."""
    try:
        values = json.loads((state_dir / FILE_NAME).read_text(encoding="utf-8"))
        return Endpoints(values["kafka_bootstrap"], values["postgres_dsn"], values["redis_url"], values.get("gateway_url"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_endpoints(state_dir: Path) -> None:
    """Take the file away: the servers it names are gone."""
    (state_dir / FILE_NAME).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
