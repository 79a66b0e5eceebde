"""Watches how the fleet carries a demo's requests: until all have come to rest, with a host killed on the way and an approval granted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.requests.values import FINAL_STATUSES, RequestStatus
from infra.postgres.sql_files import read_sql
from infra.supervisor.fleet_file import ReplicaRecord, read_fleet
from services.cli import exit_codes
from services.cli.demo.plan import Plan
from services.cli.errors import NoAnswer
from services.cli.mesh import Mesh
from services.cli.output import tell

LOOK_SECONDS = 0.05
WAIT_SECONDS = 120.0
APPROVER = "paula"
ENDED = frozenset(status.value for status in FINAL_STATUSES)
WAITING = RequestStatus.AWAITING_APPROVAL.value


@dataclass(slots=True)
class Carried:
    """What the fleet made of the requests."""

    statuses: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """From publishing to rest, of each request; those that a person decided on count until the question."""
    killed: str | None = None
    """The host process that was killed."""
    approved: bool = False

    def count(self) -> Counter[str]:
        """How many requests stand where."""
        return Counter(self.statuses.values())

    def at_rest(self) -> int:
        """How many have ended, or wait for a person."""
        return sum(status in ENDED or status == WAITING for status in self.statuses.values())


async def watch_requests(mesh: Mesh, plan: Plan, carried: Carried, published_at: Callable[[str], float | None]) -> None:
    """Ask the read model again and again, until all requests are at rest."""
    sql = read_sql("services.cli.sql", "demo_rows.sql")
    while carried.at_rest() < len(plan.requests):
        now = time.monotonic()
        for request_id, _, status in await mesh.database.fetch(sql, {"ids": plan.requests}):
            carried.statuses[request_id] = status
            began = published_at(request_id)
            if began is not None and (status in ENDED or status == WAITING):
                carried.seconds.setdefault(request_id, now - began)
        await asyncio.sleep(LOOK_SECONDS)


async def wait_for_rest(watching: asyncio.Task[None], carried: Carried, plan: Plan, progress: Callable[[int], None]) -> None:
    """Wait for the watch. Raises NoAnswer when requests stand still."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not watching.done():
        progress(carried.at_rest())
        if time.monotonic() > deadline:
            left = len(plan.requests) - carried.at_rest()
            raise NoAnswer(f"{left} requests are not at rest after {WAIT_SECONDS:g} s. See: agentmesh ps, agentmesh tasks list")
        await asyncio.wait({watching}, timeout=LOOK_SECONDS)
    await watching
    progress(carried.at_rest())


def kill_host(state_dir: Path) -> str | None:
    """SIGKILL one of several host processes, as a crash would; its supervisor starts another. Its name; None where there is one only."""
    hosts = hosts_of(state_dir)
    if len(hosts) < 2 or hosts[-1].pid is None:
        return None
    os.kill(hosts[-1].pid, signal.SIGKILL)
    return hosts[-1].name


def hosts_of(state_dir: Path) -> list[ReplicaRecord]:
    """The host processes that run."""
    record = read_fleet(state_dir)
    return [] if record is None else [each for each in record.replicas if each.name.startswith("agent-host") and each.alive()]


async def approve(plan: Plan) -> bool:
    """Grant the shown request's approval by the command that a person types; answers whether it was taken."""
    arguments = ("approvals", "approve", plan.shown_request, "--tenant", plan.shown_tenant, "--as", APPROVER, "--reason", "goods came back")
    tell(f"  agentmesh {' '.join(arguments[:-1])} '{arguments[-1]}'")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != exit_codes.OK:
        tell(f"  {output.decode(errors='replace').strip()}")
    return process.returncode == exit_codes.OK


async def wait_until_completed(mesh: Mesh, plan: Plan, carried: Carried) -> None:
    """Wait until the shown request has its end. Raises NoAnswer."""
    sql = read_sql("services.cli.sql", "demo_rows.sql")
    deadline = time.monotonic() + WAIT_SECONDS
    while carried.statuses.get(plan.shown_request) not in ENDED:
        if time.monotonic() > deadline:
            raise NoAnswer(f"The approved request has no end after {WAIT_SECONDS:g} s. See: agentmesh ps, agentmesh tasks list")
        for request_id, _, status in await mesh.database.fetch(sql, {"ids": [plan.shown_request]}):
            carried.statuses[request_id] = status
        await asyncio.sleep(LOOK_SECONDS)
