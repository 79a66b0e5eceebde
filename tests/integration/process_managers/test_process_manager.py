"""The process manager worker: each event is reacted to once whatever is repeated or lost, and one that cannot be stops nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from contracts.envelope import RecordedEvent
from contracts.message import Command
from contracts.rejections import CommandRejected
from contracts.requests.commands import TriageRequest
from contracts.requests.events import RequestCreated
from contracts.tasks.commands import RequestTask
from contracts.topics import commands_topic, events_topic, rejections_topic
from infra.errors import TransientError
from infra.event_store.base import OutcomeKind
from infra.process_managers.base import ProcessManager, Reaction
from infra.read_models import catch_up
from infra.read_models.checkpoints import Move
from infra.runtime import following_worker
from infra.runtime.process_manager_worker import ProcessManagerWorker
from infra.settings import MeshSettings
from services.requests.process import PROCESS, TRIAGE, task_of
from services.requests.process_worker import build
from services.tasks.worker import build as build_tasks
from tests.mesh import Mesh, create, header, new_id, wait_for

pytestmark = pytest.mark.integration

TRIAGED = {"category": "billing", "priority": 3, "confidence": 0.9}
INVALID = {"category": "weather", "priority": 3, "confidence": 0.9}
OWN = {"ce_source": PROCESS.source.encode()}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_worker, "WATCH_SECONDS", 0.2)
    monkeypatch.setenv("AGENTMESH_RELAY_LONGEST_IDLE_POLL_MS", "50")


def process(mesh: Mesh, manager: ProcessManager = PROCESS) -> ProcessManagerWorker:
    return ProcessManagerWorker(manager, mesh.settings, mesh.telemetry)


def tasks(mesh: Mesh) -> Any:
    return build_tasks(mesh.settings, mesh.telemetry)


async def created(mesh: Mesh, count: int = 1) -> list[str]:
    ids = [new_id() for _ in range(count)]
    for request_id in ids:
        await mesh.do("CreateRequest", request_id, create(request_id))
    return ids


async def queued(mesh: Mesh, request_id: str) -> None:
    """Wait until the triage of a request is queued, once."""
    store = mesh.store_of("tasks")

    async def look() -> bool:
        return bool(await store.read_stream(task_of(request_id, TRIAGE)))

    await wait_for(look, what=f"the triage of {request_id}")
    first, *later = [event.metadata.type_name for event in await store.read_stream(task_of(request_id, TRIAGE))]
    assert first == "agentmesh.tasks.TaskQueued.v1"
    assert first not in later  # a triage by hand calls the task off


async def stream_is(mesh: Mesh, request_id: str, *names: str) -> None:
    async def look() -> bool:
        return await mesh.stream(request_id) == list(names)

    await wait_for(look, what=f"{names} in the stream of {request_id}")


async def read_to_the_end(mesh: Mesh, topic: str) -> None:
    """Wait until the process manager's checkpoints are at the end of a topic."""
    ends = len(await mesh.records(topic))

    async def look() -> bool:
        rows = await mesh.rows(
            "SELECT coalesce(sum(next_offset), 0) FROM mesh.checkpoints WHERE projection = %(name)s AND topic = %(topic)s",
            name=PROCESS.name,
            topic=mesh.topic(topic),
        )
        return bool(rows[0][0] == ends)

    await wait_for(look, what=f"the end of {topic}")


async def delete_records(mesh: Mesh, *names: str) -> None:
    """Kafka forgets all that these topics hold."""
    admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
    await admin.start()
    every = [TopicPartition(mesh.topic(name), number) for name in names for number in range(mesh.settings.partitions)]
    await admin.delete_records({partition: RecordsToDelete(before_offset=-1) for partition in every})
    await admin.close()


async def test_an_event_that_is_delivered_twice_is_reacted_to_once(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), tasks(mesh), mesh.relay(), build(mesh.settings, mesh.telemetry))
        (request_id,) = await created(mesh)
        await queued(mesh, request_id)
        (event,) = await mesh.records(count=1)
        async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka_bootstrap) as producer:
            await producer.send_and_wait(event.topic, event.value, key=event.key, headers=list(event.headers), partition=event.partition)
        await read_to_the_end(mesh, events_topic("requests"))
        (command,) = await mesh.records(commands_topic("tasks"))
        assert command.key == task_of(request_id, TRIAGE).encode()
        assert header(command, "ce_causationid") == header(event, "ce_id")
        assert header(command, "ce_correlationid") == header(event, "ce_correlationid")
        assert (header(command, "ce_source"), header(command, "ce_authid")) == (PROCESS.source, PROCESS.name)


async def test_a_worker_that_ends_before_its_checkpoint_is_saved_only_repeats_its_commands(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, grace_seconds=1.0) as mesh:
        victim = process(mesh)
        saved: list[Move] = []

        async def never(move: Move, *_: Any) -> None:
            saved.append(move)
            raise TransientError("the database went away behind the broker's answer")

        await mesh.start(mesh.requests_worker(), mesh.relay(), victim)
        victim._writer.advance = never  # type: ignore[method-assign]
        (request_id,) = await created(mesh)

        async def published() -> bool:
            return any(move.changes for move in saved)

        await wait_for(published, what="the command published and its checkpoint not saved")
        await mesh.stop(victim)
        before = len(await mesh.records(commands_topic("tasks")))
        await mesh.start(tasks(mesh), process(mesh))
        await queued(mesh, request_id)
        await read_to_the_end(mesh, events_topic("requests"))
        commands = await mesh.records(commands_topic("tasks"))
        assert len(commands) > before >= 1
        assert len({header(command, "ce_id") for command in commands}) == 1, "repeats under one id"
        await mesh.counts(len(commands) - 1, "duplicates_absorbed_total", topic=commands_topic("tasks"), payload="same")
        await queued(mesh, request_id)


async def test_a_refused_step_fails_the_request_and_a_refusal_of_others_does_not(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), process(mesh))
        (request_id,) = await created(mesh)
        assert (await mesh.do("TriageRequest", request_id, INVALID)).kind is OutcomeKind.REJECTED
        assert (await mesh.do("CompleteRequest", request_id, {"resolution": "too early"}, headers=OWN)).kind is OutcomeKind.REJECTED
        await mesh.records(rejections_topic("requests"), count=2)
        await read_to_the_end(mesh, rejections_topic("requests"))
        assert await mesh.stream(request_id) == ["RequestCreated"]
        assert (await mesh.do("TriageRequest", request_id, INVALID, headers=OWN)).kind is OutcomeKind.REJECTED
        await stream_is(mesh, request_id, "RequestCreated", "RequestFailed")
        failed = (await mesh.store.read_stream(request_id))[-1]
        assert b"TriageRequest was refused: " in failed.data
        assert failed.metadata.auth_id == PROCESS.name


class Poison:
    """A reaction with a defect for one request, until it is mended."""

    def __init__(self, reaction: Reaction) -> None:
        self.request_id = ""
        self.reaction = reaction

    def __call__(self, recorded: RecordedEvent, event: Any) -> Sequence[Command]:
        if recorded.aggregate_id == self.request_id:
            raise KeyError("a defect")
        return self.reaction.react(recorded, event)

    @property
    def named(self) -> Reaction:
        return Reaction(self.reaction.name, self)


async def parked_are(mesh: Mesh, request_id: str, *wanted: tuple[str, str]) -> None:
    async def look() -> bool:
        rows = await mesh.rows(
            "SELECT cause, type_name FROM mesh.parked_events WHERE aggregate_id = %(id)s ORDER BY position", id=request_id
        )
        return [(cause, name.split(".")[2]) for cause, name in rows] == list(wanted)

    await wait_for(look, what=f"{wanted} parked")


async def test_an_event_whose_reaction_fails_is_parked_with_what_follows_it_and_a_requeue_applies_both(mesh_settings: MeshSettings) -> None:
    poison = Poison(PROCESS.reactions[RequestCreated][0])
    manager = replace(PROCESS, reactions={**PROCESS.reactions, RequestCreated: (poison.named,)})
    async with Mesh(mesh_settings, partitions=1) as mesh:
        await mesh.start(mesh.requests_worker(), tasks(mesh), mesh.relay(), process(mesh, manager))
        bad = poison.request_id = new_id()
        await mesh.do("CreateRequest", bad, create(bad))
        await mesh.do("TriageRequest", bad, TRIAGED)
        (good,) = await created(mesh)
        await mesh.do("TriageRequest", good, TRIAGED)
        await queued(mesh, good)
        await stream_is(mesh, good, "RequestCreated", "RequestTriaged", "ResearchStarted")
        await parked_are(mesh, bad, ("defect", "RequestCreated"), ("behind", "RequestTriaged"))
        assert await mesh.stream(bad) == ["RequestCreated", "RequestTriaged"]

        poison.request_id = ""  # the fix
        await mesh.rows("UPDATE mesh.parked_events SET status = 'requeued' RETURNING 1")
        await queued(mesh, bad)
        await stream_is(mesh, bad, "RequestCreated", "RequestTriaged", "ResearchStarted")
        await parked_are(mesh, bad)


async def test_a_rejection_whose_reaction_fails_is_parked_and_a_requeue_applies_it(mesh_settings: MeshSettings) -> None:
    """Of a context whose events the process manager does not follow."""
    poison = Poison((PROCESS.on_rejection or {})[TriageRequest.type_name])
    manager = ProcessManager(PROCESS.name, ("tasks",), {}, ("requests",), {"": poison.named})
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), process(mesh, manager))
        bad, good = await created(mesh, 2)
        poison.request_id = bad
        for request_id in (bad, good):
            await mesh.do("TriageRequest", request_id, INVALID, headers=OWN)
        await stream_is(mesh, good, "RequestCreated", "RequestFailed")
        await parked_are(mesh, bad, ("defect", "CommandRejected"))
        poison.request_id = ""
        await mesh.rows("UPDATE mesh.parked_events SET status = 'requeued' RETURNING 1")
        await stream_is(mesh, bad, "RequestCreated", "RequestFailed")
        await parked_are(mesh, bad)


async def test_what_waits_behind_an_event_that_was_discarded_meanwhile_is_not_left_waiting(mesh_settings: MeshSettings) -> None:
    poison = Poison(PROCESS.reactions[RequestCreated][0])
    manager = replace(PROCESS, reactions={**PROCESS.reactions, RequestCreated: (poison.named,)})
    async with Mesh(mesh_settings, partitions=1) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), process(mesh, manager))
        bad = poison.request_id = new_id()
        await mesh.do("CreateRequest", bad, create(bad))
        await parked_are(mesh, bad, ("defect", "RequestCreated"))
        await mesh.rows("DELETE FROM mesh.parked_events RETURNING 1")
        await mesh.do("TriageRequest", bad, TRIAGED)
        await stream_is(mesh, bad, "RequestCreated", "RequestTriaged", "ResearchStarted")
        await parked_are(mesh, bad)


async def test_a_new_process_manager_reacts_to_the_whole_history_in_the_store(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no relay, so nothing is on Kafka; pages are small, so that rejections and events lie on several."""
    monkeypatch.setattr(catch_up, "PAGE", 3)
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), tasks(mesh))
        ids = await created(mesh, 6)
        refused, left = ids[:3], ids[3:]
        for request_id in refused:
            await mesh.do("TriageRequest", request_id, INVALID, headers=OWN)
        await created(mesh, 4)
        await mesh.start(process(mesh))
        for request_id in ids:
            await queued(mesh, request_id)
        for request_id in refused:
            await stream_is(mesh, request_id, "RequestCreated", "RequestFailed")
        for request_id in left:
            assert await mesh.stream(request_id) == ["RequestCreated"]


async def test_what_is_not_waited_for_is_called_off_and_a_task_that_is_refused_fails_its_request(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), tasks(mesh), mesh.relay(), process(mesh))
        (withdrawn,) = await created(mesh)
        await queued(mesh, withdrawn)
        await mesh.do("DeleteRequest", withdrawn, {})
        triage = task_of(withdrawn, TRIAGE)

        async def called_off() -> bool:
            events = [event.metadata.type_name.split(".")[2] for event in await mesh.store_of("tasks").read_stream(triage)]
            return events == ["TaskQueued", "TaskCancelled", "TaskCompleted"]

        await wait_for(called_off, what="the task of a deleted request called off")
        late = new_id()
        taken = task_of(late, TRIAGE)
        foreign = {"tenant_id": "other-tenant", "task_id": taken, "task_type": "triage", "kind": "triage", "subject_id": "theirs"}
        assert (await mesh.do_in("tasks", "RequestTask", taken, foreign)).kind is OutcomeKind.EVENTS
        await mesh.do("CreateRequest", late, create(late))
        await stream_is(mesh, late, "RequestCreated", "RequestFailed")
        assert b"The task triage was refused: " in (await mesh.store.read_stream(late))[-1].data


async def test_events_and_rejections_that_kafka_lost_are_read_from_the_store(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        first = process(mesh)
        await mesh.start(mesh.requests_worker(), tasks(mesh), mesh.relay(), first)
        (early,) = await created(mesh)
        await queued(mesh, early)
        await mesh.do("TriageRequest", early, INVALID, headers=OWN)
        await stream_is(mesh, early, "RequestCreated", "RequestFailed")
        await mesh.stop(first)
        ids = await created(mesh, 6)
        for request_id in ids[:3]:
            await mesh.do("TriageRequest", request_id, INVALID, headers=OWN)
        await mesh.records(rejections_topic("requests"), count=4)
        await mesh.records(events_topic("requests"), count=8)
        await delete_records(mesh, events_topic("requests"), rejections_topic("requests"))
        await mesh.start(process(mesh))
        for request_id in ids:
            await queued(mesh, request_id)
        for request_id in ids[:3]:
            await stream_is(mesh, request_id, "RequestCreated", "RequestFailed")
        (late,) = await created(mesh)  # and Kafka is followed again
        await queued(mesh, late)
        sent = await mesh.records(commands_topic("tasks"))
        assert len({header(each, "ce_id") for each in sent if header(each, "ce_type") == RequestTask.type_name}) == 8


async def test_the_reaction_to_a_rejection_sees_what_was_recorded(mesh_settings: MeshSettings) -> None:
    seen: list[tuple[str, str, int]] = []

    def note(recorded: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
        seen.append((event.refused_id, event.code, recorded.position))
        return ()

    manager = ProcessManager(PROCESS.name, ("requests",), {}, ("requests",), {"": Reaction("note", note)})
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), process(mesh, manager))
        (request_id,) = await created(mesh)
        await mesh.do("CompleteRequest", request_id, {"resolution": "too early"}, headers=OWN)
        await mesh.records(rejections_topic("requests"), count=1)
        await read_to_the_end(mesh, rejections_topic("requests"))
        assert seen == [(request_id, "BUSINESS_RULE_VIOLATION", 2)]
