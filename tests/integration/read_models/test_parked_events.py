"""An event that breaks a read model parks its aggregate in that model; the others go on, and a requeue applies the rest in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.requests.events import RequestTriaged
from infra.settings import MeshSettings
from projections.requests.projection import REQUESTS
from tests.mesh import Mesh, create, new_id, wait_for

pytestmark = pytest.mark.integration

TRIAGE = {"category": "billing", "priority": 3, "confidence": 0.9}


class Poison:
    """A projection function with a defect for one request, until it is mended."""

    def __init__(self) -> None:
        self.request_id = ""

    def __call__(self, recorded: Any, event: RequestTriaged) -> Any:
        if event.request_id == self.request_id:
            raise KeyError("a defect")
        return REQUESTS.project[RequestTriaged](recorded, event)


async def test_a_poison_event_parks_its_aggregate_and_a_requeue_applies_the_rest_in_order(mesh_settings: MeshSettings) -> None:
    poison = Poison()
    model = replace(REQUESTS, project={**REQUESTS.project, RequestTriaged: poison})
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), mesh.projection(model))
        bad, good = new_id(), new_id()
        poison.request_id = bad
        for request_id in (bad, good):
            await mesh.do("CreateRequest", request_id, create(request_id))
            await mesh.do("TriageRequest", request_id, TRIAGE)
            await mesh.do("StartResearch", request_id, {})
        await mesh.read_model_at(good, 3)

        async def both_parked() -> bool:
            rows = await mesh.rows("SELECT cause, sequence FROM mesh.parked_events WHERE aggregate_id = %(id)s ORDER BY position", id=bad)
            return list(rows) == [("defect", 2), ("behind", 3)]

        await wait_for(both_parked, what="the poison event and the one behind it")
        status = await mesh.rows("SELECT status, version FROM read_requests.requests WHERE request_id = %(id)s", id=bad)
        assert list(status) == [("pending", 1)]

        poison.request_id = ""  # the fix
        await mesh.database.execute(b"UPDATE mesh.parked_events SET status = 'requeued'", {})
        await mesh.read_model_at(bad, 3)
        rows = await mesh.rows("SELECT status FROM read_requests.requests WHERE request_id = %(id)s", id=bad)
        assert rows[0][0] == "in_progress"

        async def none_parked() -> bool:
            return (await mesh.rows("SELECT count(*) FROM mesh.parked_events"))[0][0] == 0

        await wait_for(none_parked, what="no parked event")
        await mesh.counts(2, "dlq_requeued_total", topic="projection:requests")
        await mesh.do("CompleteRequest", bad, {"resolution": "done"})
        await mesh.read_model_at(bad, 4)
