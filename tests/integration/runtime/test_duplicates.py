"""A command that is delivered again changes nothing: its recorded outcome stands, whatever comes with it."""

from __future__ import annotations

import logging

import pytest

from contracts.topics import commands_topic
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from tests.mesh import TENANT, Mesh, command_record, create, new_id

pytestmark = pytest.mark.integration
TOPIC = commands_topic("requests")


def triage(request_id: str) -> dict[str, object]:
    return {"tenant_id": TENANT, "request_id": request_id, "category": "billing", "priority": 3, "confidence": 0.9}


async def test_a_repeated_command_is_absorbed_and_its_first_outcome_stands(
    mesh_settings: MeshSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        request = new_id()
        first = await mesh.outcome(request, await mesh.publish("CreateRequest", request, create(request), command_id="c1"))
        caplog.clear()
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        await mesh.all_committed(2)
        await mesh.counts(1, "duplicates_absorbed_total", topic=TOPIC, payload="same")
        assert "c1" not in caplog.text
        await mesh.publish("CreateRequest", request, create(request, message="Another text"), command_id="c1")
        await mesh.all_committed(3)
        await mesh.counts(1, "duplicates_absorbed_total", topic=TOPIC, payload="different")
        warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING and "another payload" in entry.getMessage()]
        assert len(warnings) == 1
        assert "c1" in warnings[0].getMessage()
        assert (await mesh.store.outcomes([(request, "c1")]))[request, "c1"] == first
        (event,) = await mesh.store.read_stream(request)
        assert b"My invoice" in event.data
        assert await mesh.store.head() == 1


async def test_a_redelivered_command_and_a_new_one_in_one_batch_are_told_apart(mesh_settings: MeshSettings) -> None:
    """c8 comes again together with c9 of the same aggregate: c9 is decided on the state after c8, as it was recorded."""
    async with Mesh(mesh_settings) as mesh:
        request, refused = new_id(), new_id()
        worker = mesh.requests_worker()
        await mesh.start(worker)
        c8 = command_record("CreateRequest", request, create(request), command_id="c8")
        r8 = command_record("TriageRequest", refused, triage(refused), command_id="r8")
        await mesh.publish_many([c8, r8])
        assert (await mesh.outcome(refused, "r8")).code == "RESOURCE_NOT_FOUND"
        await mesh.outcome(request, "c8")
        await mesh.stop(worker)
        batch = [
            c8,
            command_record("TriageRequest", request, triage(request), command_id="c9"),
            command_record("TriageRequest", request, triage(request), command_id="c9"),
            r8,
            command_record("CreateRequest", refused, create(refused), command_id="r9"),
            c8,
        ]
        await mesh.publish_many(batch)
        await mesh.start(mesh.requests_worker())
        assert (await mesh.outcome(request, "c9")).kind is OutcomeKind.EVENTS
        assert (await mesh.outcome(refused, "r9")).kind is OutcomeKind.EVENTS
        await mesh.all_committed(8)
        assert await mesh.stream(request) == ["RequestCreated", "RequestTriaged"]
        assert await mesh.stream(refused) == ["RequestCreated"]
        assert (await mesh.store.outcomes([(refused, "r8")]))[refused, "r8"].kind is OutcomeKind.REJECTED
        await mesh.counts(4, "duplicates_absorbed_total", topic=TOPIC, payload="same")
        assert await mesh.store.head() == 4


async def test_a_command_id_of_one_aggregate_does_not_swallow_that_of_another(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        mine, yours = new_id(), new_id()
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="same") for each in (mine, yours)])
        assert (await mesh.outcome(mine, "same")).kind is OutcomeKind.EVENTS
        assert (await mesh.outcome(yours, "same")).kind is OutcomeKind.EVENTS
