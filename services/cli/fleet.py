"""Which workers `agentmesh up` runs and how: names with counts in, replica specs out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.runtime.run_file import REPLICA_VARIABLE
from infra.settings import MeshSettings
from infra.supervisor.replica import ReplicaSpec
from services.cli.errors import WrongUsage
from services.cli.gateway_place import gateway_variables

MAX_REPLICAS = 64
GATEWAY = "gateway"


class Member(NamedTuple):
    """A kind of process of the fleet: its name, what follows `agentmesh run`, and how many of it run by default."""

    name: str
    arguments: tuple[str, ...]
    replicas: int


BUILT_IN_AGENTS = tuple(f"services.support_agents.agents:{name}" for name in ("TriageAgent", "ResearchAgent", "ResolutionAgent"))

DEFAULT_FLEET = (
    Member("requests", ("requests",), 1),
    Member("tasks", ("tasks",), 1),
    # The small contexts share a process; each can have its own: agentmesh run customers.
    Member("directory", ("agents", "customers", "tenants"), 1),
    Member("workflow", ("requests-process", "dispatcher", "scheduler", "monitor"), 1),
    Member("agent-host", ("agent-host", *BUILT_IN_AGENTS), 1),
    Member("relay", ("relay",), 1),
    Member("projections", ("projections",), 1),
    Member(GATEWAY, (GATEWAY,), 1),
)


def replica_counts(given: Sequence[str]) -> dict[str, int]:
    """How many of each member run, from texts like `requests=2` or `requests=2,relay=0`. Raises WrongUsage."""
    counts = {member.name: member.replicas for member in DEFAULT_FLEET}
    for text in (part.strip() for each in given for part in each.split(",") if part.strip()):
        name, _, number = text.partition("=")
        if name not in counts:
            raise WrongUsage(f"--replicas {text}: there is no {name!r} in the fleet. Choose of: {', '.join(counts)}.")
        if not number.isascii() or not number.isdigit() or int(number) > MAX_REPLICAS:
            raise WrongUsage(f"--replicas {text}: write NAME=NUMBER with a number from 0 to {MAX_REPLICAS}.")
        counts[name] = int(number)
    if not any(counts.values()):
        raise WrongUsage("--replicas leaves no worker to run.")
    return counts


def replica_specs(counts: Mapping[str, int], settings: MeshSettings) -> list[ReplicaSpec]:
    """The processes of the fleet, numbered from 1."""
    environment = worker_environment(settings)
    return [
        ReplicaSpec(
            f"{member.name}-{number}",
            (sys.executable, "-m", "services.cli.main", "run", *member.arguments),
            {**environment, REPLICA_VARIABLE: f"{member.name}-{number}", **_own_variables(settings, member.name, number)},
        )
        for member in DEFAULT_FLEET
        for number in range(1, counts[member.name] + 1)
    ]


def _own_variables(settings: MeshSettings, member: str, number: int) -> dict[str, str]:
    return gateway_variables(settings, f"{member}-{number}") if member == GATEWAY else {}


def worker_environment(settings: MeshSettings) -> dict[str, str]:
    """The environment of this process with the servers that it uses. Each worker takes a free port of its own."""
    return {
        **os.environ,
        "DATABASE_URL": settings.postgres_dsn,
        "REDIS_URL": settings.redis_dsn,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap,
        "AGENTMESH_HOME": str(settings.home.expanduser().resolve()),
        "AGENTMESH_HEALTH_PORT": "0",
        "PYTHONUNBUFFERED": "1",
    }
