"""Checks of what flows: does each consumer group, relay and read model get on, and where one does not, why. Two looks, a moment apart."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from contracts.topics import CONTEXTS, commands_topic
from infra.diagnosis.kafka import GroupState, group_states
from infra.diagnosis.postgres import held_locks
from infra.errors import TransientError
from infra.lags.base import Partition
from infra.lags.kafka import KafkaTopics
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.settings import MeshSettings
from services.cli.doctor.findings import Finding, Verdict, well
from services.cli.mesh import Mesh
from services.cli.projections import states

BETWEEN_LOOKS_SECONDS = 1.5
STILL_SECONDS = 30.0
# Which member of the fleet carries a context's worker.
MEMBERS = {"agents": "directory", "customers": "directory", "tenants": "directory"}
Rows = Sequence[Mapping[str, Any]]
"""Of `ps`."""


class GroupLook(NamedTuple):
    """A consumer group between two looks: what it has not handled, whether it got on, and who is in it."""

    context: str
    lag: int
    moved: bool
    state: GroupState


async def consumers(settings: MeshSettings, rows: Rows) -> list[Finding]:
    """The groups of the contexts."""
    groups = {f"{settings.topic_prefix}agentmesh.{context}": context for context in CONTEXTS}
    wanted = {context: _partitions(settings, context) for context in CONTEXTS}
    every = [partition for partitions in wanted.values() for partition in partitions]
    kafka = KafkaTopics(settings, "agentmesh-doctor")
    try:
        before, members = await asyncio.gather(kafka.committed(groups), group_states(settings.kafka_bootstrap, groups))
        ends = await kafka.ends(every)
        beginnings = await kafka.beginnings(every)

        def lag(committed: Mapping[str, Mapping[Partition, int]], group: str) -> int:
            return sum(max(0, ends[each] - committed.get(group, {}).get(each, beginnings[each])) for each in wanted[groups[group]])

        after = before
        if any(lag(before, group) for group in groups):
            await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
            after = await kafka.committed(groups)
    finally:
        await kafka.close()
    looks = [
        GroupLook(
            context,
            lag(after, group),
            before.get(group) != after.get(group),
            members.get(group, GroupState("Dead", 0)),
        )
        for group, context in groups.items()
    ]
    return [finding for look in looks if (finding := judge_group(look, rows)) is not None] or [_all_well(looks)]


def _partitions(settings: MeshSettings, context: str) -> list[Partition]:
    return [Partition(settings.topic_prefix + commands_topic(context), number) for number in range(settings.partitions)]


def _all_well(looks: Sequence[GroupLook]) -> Finding:
    behind = [f"{look.context} works on {look.lag}" for look in looks if look.lag]
    return well("consumers", ", ".join(behind) or f"{len(looks)} groups, all at the end of their topics")


def judge_group(look: GroupLook, rows: Rows) -> Finding | None:
    """Why a group that has something to do does not do it; None for one that is well."""
    if look.lag == 0 or look.moved:
        return None
    what, waits = f"consumer {look.context}", f"{look.lag} commands wait"
    worker = MEMBERS.get(look.context, look.context)
    if look.state.members == 0:
        return Finding(what, Verdict.FAIL, f"{waits} and nobody is in the group: {_why(worker, rows)}", _start(worker, look.context, rows))
    if look.state.state != "Stable":
        found = f"{waits} while the group gives out its partitions anew ({look.state.state}, {look.state.members} members)"
        return Finding(what, Verdict.WARN, found, "ask again in a minute; if it stays so, members come and go: agentmesh ps")
    found = f"{waits} and the {look.state.members} members of the group did not get on within {BETWEEN_LOOKS_SECONDS:g} s"
    return Finding(what, Verdict.WARN, found, f"agentmesh logs --worker {worker} --level warning --since 10min")


def _why(worker: str, rows: Rows) -> str:
    mine = [row for row in rows if row["name"].rpartition("-")[0] == worker]
    if not rows:
        return "no fleet runs here"
    if not mine:
        return f"the fleet here has no {worker}"
    dead = [f"{row['name']} is {row['state']}" + (f", {row['message']}" if row["message"] else "") for row in mine if not row["ready"]]
    return "; ".join(dead) or f"{', '.join(row['name'] for row in mine)} is ready, but reads elsewhere or has just begun"


def _start(worker: str, context: str, rows: Rows) -> str:
    if any(row["name"].rpartition("-")[0] == worker for row in rows):
        return f"agentmesh logs --worker {worker} --level warning"
    return f"agentmesh run {context}, or agentmesh up -d"


# -- relay -------------------------------------------------------------------------------------------------------------------------------


class RelayLook(NamedTuple):
    """A context's log and its relay."""

    context: str
    head: int
    position: int
    led: bool
    still_seconds: float | None
    """How long the position has not moved; None where it never was."""


async def relay(database: Database, settings: MeshSettings) -> list[Finding]:
    """Whether every log is relayed."""
    moved = {
        context: (position, at)
        for context, _, position, at in await database.fetch(read_sql("services.cli.sql", "relay_positions.sql"), {})
    }
    names = {f"agentmesh.relay.{context}": context for context in CONTEXTS}
    try:
        held = await held_locks(settings.postgres_dsn, list(names))
    except Exception as error:
        raise TransientError(f"who leads the relays cannot be asked: {type(error).__name__}") from error
    now = datetime.now(UTC)
    looks = []
    for name, context in names.items():
        head = await database.fetch_one(read_sql("infra.event_store.sql", "head.sql", context), {})
        position, at = moved.get(context, (0, None))
        still = None if at is None else (now - at).total_seconds()
        looks.append(RelayLook(context, 0 if head is None else head[0], position, name in held, still))
    return [finding for look in looks if (finding := judge_relay(look)) is not None] or [
        well("relay", ", ".join(f"{look.context} at {look.position}" for look in looks))
    ]


def judge_relay(look: RelayLook) -> Finding | None:
    """Why a log is not relayed to its end; None where it is, or gets there."""
    behind = look.head - look.position
    if behind <= 0:
        return None
    what, found = f"relay {look.context}", f"{behind} of {look.head} entries of the log are not in Kafka"
    if not look.led:
        return Finding(what, Verdict.FAIL, f"{found} and no relay leads", "agentmesh ps; agentmesh run relay, or agentmesh up -d")
    if look.still_seconds is not None and look.still_seconds > STILL_SECONDS:
        found = f"{found}; a relay leads, but got on last {look.still_seconds:.0f} s ago"
        return Finding(what, Verdict.FAIL, found, "agentmesh logs --worker relay --level warning --since 10min")
    return None


# -- read models -------------------------------------------------------------------------------------------------------------------------


async def projections(mesh: Mesh, rows: Rows) -> list[Finding]:
    """Whether every read model gets to the end of its logs, in the version of this release."""
    before = await states(mesh)
    if any(state["lag"] for state in before):
        await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
    after = await states(mesh) if any(state["lag"] for state in before) else before
    known = {state["name"]: _positions(state) for state in before}
    found = [
        finding for state in after if (finding := judge_projection(state, known[state["name"]] != _positions(state), rows)) is not None
    ]
    return found or [well("projections", f"{len(after)} read models, {_behind(after)}")]


def _positions(state: Mapping[str, Any]) -> Collection[Any]:
    return [each["position"] for context in state["contexts"] for each in context["checkpoints"]]


def _behind(found: Sequence[Mapping[str, Any]]) -> str:
    behind = [f"{state['name']} works on {state['lag']}" for state in found if state["lag"]]
    return ", ".join(behind) or "all at the end of their logs"


def judge_projection(state: Mapping[str, Any], moved: bool, rows: Rows) -> Finding | None:
    """What keeps a read model from showing everything; None for one that is well."""
    name, what = state["name"], f"projection {state['name']}"
    if state["version"] is None:
        return Finding(what, Verdict.FAIL, "its tables are missing", "agentmesh migrate")
    if state["version"] != state["needed_version"]:
        found = f"its tables are of version {state['version']}, this release needs {state['needed_version']}"
        return Finding(what, Verdict.FAIL, found, f"agentmesh projections rebuild {name}")
    if state["lag"] and not moved:
        least = "at least " if state["lag_is_at_least"] else ""
        found = f"{least}{state['lag']} events behind and does not get on: {_why('projections', rows)}"
        return Finding(what, Verdict.FAIL, found, _start("projections", "projections", rows))
    if state["parked"]:
        found = f"incomplete: {state['parked']} events that it could not apply are parked"
        return Finding(
            what, Verdict.WARN, found, f"agentmesh logs --worker projections --level warning, then agentmesh projections rebuild {name}"
        )
    return None
