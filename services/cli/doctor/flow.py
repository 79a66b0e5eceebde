"""Checks of what flows: does each consumer group, relay, leader, read model and process manager get on, and where one does not, why.

Who follows topics is looked at twice, a moment apart: who has something to do and did not get on meanwhile stands still.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from contracts.topics import CONTEXTS, commands_topic, events_topic, work_topic
from infra.diagnosis.kafka import GroupState, group_states
from infra.diagnosis.postgres import held_locks
from infra.lags.base import Partition, Place
from infra.lags.kafka import KafkaTopics
from infra.lags.postgres import PostgresLogs
from infra.postgres.sql_files import read_sql
from infra.settings import MeshSettings
from projections.catalogue import read_models
from projections.tasks.queries import tasks_not_started
from services.cli.doctor.findings import Finding, Verdict, well
from services.cli.mesh import Mesh

BETWEEN_LOOKS_SECONDS = 1.5
STILL_SECONDS = 30.0
CLIENT = "agentmesh-doctor"
WORK_PREFIX, _, WORK_SUFFIX = work_topic("*").partition("*")
PROCESS_SUFFIX = "-process"
PROJECTIONS, WORKFLOW, AGENT_HOST = "projections", "workflow", "agent-host"
MOST_COUNTED = 10_000
# Which member of the fleet carries a context's worker.
MEMBERS = {"agents": "directory", "customers": "directory", "tenants": "directory"}
# Which service keeps a read model itself.
KEEPERS = {"request_reference": "requests"}
# What does not happen while nobody leads.
LEADERS = {"dispatcher": "tasks get no agent", "scheduler": "deadlines are not kept", "monitor": "lag is not told"}
Rows = Sequence[Mapping[str, Any]]
"""Of `ps`."""
Places = Mapping[str, Mapping[Partition, int]]
"""The next offset of each partition, by follower."""


class Still(NamedTuple):
    """Partitions in which a follower did not get on, although it did in others; how long the oldest record there has waited."""

    partitions: tuple[int, ...] = ()
    seconds: float = 0.0


class Followed(NamedTuple):
    """A follower of topics between two looks: what it has not handled, and whether it got on."""

    lag: int
    moved: bool
    still: Still = Still()


async def _look_twice(
    kafka: KafkaTopics, wanted: Mapping[str, Sequence[Partition]], where: Callable[[], Awaitable[Places]]
) -> dict[str, Followed]:
    """Those who follow `wanted` partitions, and whose places `where` tells. Who never read begins at the first record that is left."""
    every = [partition for partitions in wanted.values() for partition in partitions]
    before = await where()
    ends, beginnings = await kafka.ends(every), await kafka.beginnings(every)

    def waiting(places: Places, name: str) -> dict[Partition, int]:
        """The offset at which each partition stands that is not read to its end."""
        offsets = {each: max(places.get(name, {}).get(each, 0), beginnings[each]) for each in wanted[name]}
        return {each: offset for each, offset in offsets.items() if offset < ends[each]}

    first = {name: waiting(before, name) for name in wanted}
    if not any(first.values()):
        return dict.fromkeys(wanted, Followed(0, False))
    await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
    after = await where()
    second = {name: waiting(after, name) for name in wanted}
    moved = {name: before.get(name) != after.get(name) for name in wanted}
    still = {name: [Place(*each) for each in second[name].items() if each in first[name].items()] for name in wanted if moved[name]}
    times = await kafka.times({place for places in still.values() for place in places})
    return {
        name: Followed(sum(ends[each] - offset for each, offset in second[name].items()), moved[name], _still(still.get(name, ()), times))
        for name in wanted
    }


def _still(places: Sequence[Place], times: Mapping[Place, float]) -> Still:
    known = [times[place] for place in places if place in times]
    return Still(tuple(sorted(place.partition.number for place in places)), max(0.0, time.time() - min(known))) if known else Still()


def _partitions(settings: MeshSettings, topic: str) -> list[Partition]:
    return [Partition(settings.topic_prefix + topic, number) for number in range(settings.partitions)]


# -- consumer groups ---------------------------------------------------------------------------------------------------------------------


class GroupLook(NamedTuple):
    """The consumer group of a context between two looks: what it has not handled, whether it got on, and who is in it."""

    context: str
    followed: Followed
    state: GroupState


class HostsLook(NamedTuple):
    """The consumer group of the hosts of a kind of agents. It commits a task when that has ended, so what it holds may be in work."""

    kind: str
    lag: int
    members: int


async def consumers(settings: MeshSettings, rows: Rows) -> list[Finding]:
    """The groups of the contexts, and those of the hosts of agents."""
    kafka = KafkaTopics(settings, CLIENT)
    try:
        start = settings.topic_prefix + WORK_PREFIX
        kinds = [topic.removeprefix(start).removesuffix(WORK_SUFFIX) for topic in sorted(await kafka.topics()) if topic.startswith(start)]
        contexts = {f"{settings.topic_prefix}agentmesh.{context}": context for context in CONTEXTS}
        hosts = {f"{settings.topic_prefix}agentmesh.agents.{kind}": kind for kind in kinds}
        wanted = {group: _partitions(settings, commands_topic(context)) for group, context in contexts.items()}
        wanted |= {group: _partitions(settings, work_topic(kind)) for group, kind in hosts.items()}
        members, followed = await asyncio.gather(
            group_states(settings.kafka_bootstrap, wanted), _look_twice(kafka, wanted, lambda: kafka.committed(wanted))
        )
    finally:
        await kafka.close()
    states = {group: members.get(group, GroupState("Dead", 0)) for group in wanted}
    looks = [GroupLook(context, followed[group], states[group]) for group, context in contexts.items()]
    found = [judge_group(look, rows) for look in looks]
    found += [judge_hosts(HostsLook(kind, followed[group].lag, states[group].members), rows) for group, kind in hosts.items()]
    return [finding for finding in found if finding is not None] or [_all_well(looks)]


def _all_well(looks: Sequence[GroupLook]) -> Finding:
    behind = [f"{look.context} works on {look.followed.lag}" for look in looks if look.followed.lag]
    return well("consumers", ", ".join(behind) or f"{len(looks)} groups, all at the end of their topics")


def judge_group(look: GroupLook, rows: Rows) -> Finding | None:
    """Why a group that has something to do does not do it; None for one that is well."""
    lag, moved, still = look.followed
    what, waits = f"consumer {look.context}", f"{lag} commands wait"
    worker = MEMBERS.get(look.context, look.context)
    logs = f"agentmesh logs --worker {worker} --level warning --since 10min"
    if lag and moved and still.seconds > STILL_SECONDS:
        some = ", ".join(map(str, still.partitions))
        found = f"{waits}; partitions {some} did not get on within {BETWEEN_LOOKS_SECONDS:g} s while others did"
        advice = f"ask again; if they are the same, one of the members stands still: agentmesh ps; {logs}"
        return Finding(what, Verdict.WARN, f"{found}, and the oldest there has waited {still.seconds:.0f} s", advice)
    if lag == 0 or moved:
        return None
    if look.state.members == 0:
        return Finding(what, Verdict.FAIL, f"{waits} and nobody is in the group: {_why(worker, rows)}", _start(worker, look.context, rows))
    if look.state.state != "Stable":
        found = f"{waits} while the group gives out its partitions anew ({look.state.state}, {look.state.members} members)"
        return Finding(what, Verdict.WARN, found, "ask again in a minute; if it stays so, members come and go: agentmesh ps")
    found = f"{waits} and the {look.state.members} members of the group did not get on within {BETWEEN_LOOKS_SECONDS:g} s"
    return Finding(what, Verdict.WARN, found, logs)


def judge_hosts(look: HostsLook, rows: Rows) -> Finding | None:
    """Whether there is work for a kind of agents and no host. Only a warning: what a kind that is given up has left over is no fault."""
    if look.lag == 0 or look.members:
        return None
    found = f"{look.lag} records are left for agents of this kind and no host reads them: {_why(AGENT_HOST, rows)}"
    advice = "agentmesh agents hosts; agentmesh up -d, or agentmesh agents run MODULE:CLASS"
    return Finding(f"agents {look.kind}", Verdict.WARN, found, advice)


def _why(worker: str, rows: Rows) -> str:
    mine = [row for row in rows if row["name"].rpartition("-")[0] == worker]
    if not rows:
        return "no fleet runs here"
    if not mine:
        return f"the fleet here has no {worker}"
    dead = [f"{row['name']} is {row['state']}" + (f", {row['message']}" if row["message"] else "") for row in mine if not row["ready"]]
    return "; ".join(dead) or f"{', '.join(row['name'] for row in mine)} is ready, but reads elsewhere or has just begun"


def _start(worker: str, run: str, rows: Rows) -> str:
    if any(row["name"].rpartition("-")[0] == worker for row in rows):
        return f"agentmesh logs --worker {worker} --level warning"
    return f"agentmesh run {run}, or agentmesh up -d"


# -- relay and leaders -------------------------------------------------------------------------------------------------------------------


class RelayLook(NamedTuple):
    """A context's log and its relay."""

    context: str
    head: int
    relayed: int
    led: bool
    waiting_seconds: float
    """Since the first entry that is not in Kafka was recorded."""


async def leaders(mesh: Mesh, skew_seconds: float) -> list[Finding]:
    """Whether every log is relayed, and whether somebody dispatches, keeps deadlines and monitors. `skew_seconds` is the database's clock
    less ours: what this machine thinks of the time says nothing about a relay."""
    relays = {f"agentmesh.relay.{context}": context for context in CONTEXTS}
    others = {f"agentmesh.leader.{mesh.settings.topic_prefix}{name}": name for name in LEADERS}
    held, logs, tasks = await asyncio.gather(
        held_locks(mesh.database, [*relays, *others]),
        PostgresLogs(mesh.database, mesh.stores).relayed(),
        tasks_not_started(mesh.database, 1),
    )
    led = {name for lock, name in (relays | others).items() if lock in held}
    now = datetime.now(UTC) + timedelta(seconds=skew_seconds)
    looks = [
        RelayLook(log.context, log.head, log.relayed, log.context in led, (now - (log.waiting_since or now)).total_seconds())
        for log in logs
    ]
    relay = [finding for look in looks if (finding := judge_relay(look)) is not None]
    at_end = well("relay", ", ".join(f"{look.context} at {look.relayed}" for look in looks))
    return [*(relay or [at_end]), judge_leaders(led, tasks_wait=tasks.count > 0)]


def judge_relay(look: RelayLook) -> Finding | None:
    """Why a log is not relayed to its end; None where it is, or gets there."""
    behind = look.head - look.relayed
    if behind <= 0:
        return None
    what, found = f"relay {look.context}", f"{behind} of {look.head} entries of the log are not in Kafka"
    if not look.led:
        return Finding(what, Verdict.FAIL, f"{found} and no relay leads", "agentmesh ps; agentmesh run relay, or agentmesh up -d")
    if look.waiting_seconds > STILL_SECONDS:
        found = f"{found}; a relay leads, but the oldest of them has waited {look.waiting_seconds:.0f} s"
        return Finding(what, Verdict.FAIL, found, "agentmesh logs --worker relay --level warning --since 10min")
    return None


def judge_leaders(led: Collection[str], *, tasks_wait: bool) -> Finding:
    """The verdict on who of the workers of which one is active leads, on whatever machine."""
    missing = [name for name in LEADERS if name not in led]
    if not missing:
        return well("leaders", f"{', '.join(LEADERS)} lead")
    found = "; ".join(f"no {name} leads: {LEADERS[name]}" for name in missing)
    verdict = Verdict.FAIL if tasks_wait and "dispatcher" in missing else Verdict.WARN
    return Finding("leaders", verdict, f"tasks wait; {found}" if verdict is Verdict.FAIL else found, "agentmesh ps; agentmesh up -d")


# -- read models and process managers ----------------------------------------------------------------------------------------------------


class FollowerLook(NamedTuple):
    """A read model, or a process manager, which has no tables and so no versions; what it has not applied, and what is parked of it."""

    name: str
    version: int | None
    needed_version: int | None
    lag: int
    moved: bool
    parked: int


async def followers(mesh: Mesh, rows: Rows, *, topics_answer: bool) -> list[Finding]:
    """Whether every read model and process manager gets to the end of its topics, and has the tables of this release. How far one is can
    be said only where topics can be asked."""
    logs = PostgresLogs(mesh.database, mesh.stores)
    built = {name: version for name, version, *_ in await mesh.database.fetch(read_sql("services.cli.sql", "projection_states.sql"), {})}
    needed = {model.name: model.version for model in read_models()}
    parked = {each.name: each.records for each in await logs.parked(MOST_COUNTED)}
    followed = await _followed(mesh.settings, logs) if topics_answer else dict.fromkeys(needed, Followed(0, False))
    looks = [
        FollowerLook(name, built.get(name), needed.get(name), each.lag, each.moved, parked.get(f"projection:{name}", 0))
        for name, each in followed.items()
    ]
    found = [finding for look in looks if (finding := judge_follower(look, rows)) is not None]
    behind = [f"{look.name} works on {look.lag}" for look in looks if look.lag]
    at_end = "all at the end of their topics" if topics_answer else "how far they are is not known without their topics"
    return found or [well("projections", f"{len(needed)} read models, {', '.join(behind) or at_end}")]


async def _followed(settings: MeshSettings, logs: PostgresLogs) -> dict[str, Followed]:
    """Every read model, and each process manager that ever ran."""
    wanted = {
        model.name: [each for context in model.contexts for each in _partitions(settings, events_topic(context))] for model in read_models()
    }
    events = {partition for context in CONTEXTS for partition in _partitions(settings, events_topic(context))}
    for name, places in (await logs.checkpoints()).items():
        if name.endswith(PROCESS_SUFFIX):
            wanted[name] = [partition for partition in places if partition in events]
    kafka = KafkaTopics(settings, CLIENT)
    try:
        return await _look_twice(kafka, wanted, logs.checkpoints)
    finally:
        await kafka.close()


def judge_follower(look: FollowerLook, rows: Rows) -> Finding | None:
    """What keeps a follower of events from the end of its topics; None for one that is well."""
    name, is_process = look.name, look.needed_version is None
    what = f"process {name}" if is_process else f"projection {name}"
    if not is_process and look.version is None:
        return Finding(what, Verdict.FAIL, "its tables are missing", "agentmesh migrate")
    if look.version != look.needed_version:
        found = f"its tables are of version {look.version}, this release needs {look.needed_version}"
        return Finding(what, Verdict.FAIL, found, f"agentmesh projections rebuild {name}")
    worker = WORKFLOW if is_process else KEEPERS.get(name, PROJECTIONS)
    if look.lag and not look.moved:
        found = f"{look.lag} events behind and does not get on: {_why(worker, rows)}"
        return Finding(what, Verdict.FAIL, found, _start(worker, name if is_process else worker, rows))
    if look.parked:
        found = f"incomplete: {look.parked} events that it could not apply are parked"
        mend = f"agentmesh dlq requeue --projection {name}" if is_process else f"agentmesh projections rebuild {name}"
        return Finding(what, Verdict.WARN, found, f"agentmesh dlq list --projection {name}, then {mend}")
    return None


# -- dead letters ------------------------------------------------------------------------------------------------------------------------


async def dead_letters(mesh: Mesh) -> Finding:
    """What is parked of each context, counted up to a bound."""
    parked = [
        each for each in await PostgresLogs(mesh.database, mesh.stores).parked(MOST_COUNTED) if each.name in CONTEXTS and each.records
    ]
    if parked:
        found = ", ".join(f"{'at least ' * (each.records >= MOST_COUNTED)}{each.records} of {each.name} wait" for each in parked)
        return Finding("dead letters", Verdict.WARN, found, "agentmesh dlq list, then agentmesh dlq requeue or discard")
    return well("dead letters", "none waits")
