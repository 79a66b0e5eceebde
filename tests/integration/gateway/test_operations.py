"""What operators use over HTTP, on real servers: dead letters of their own tenant, analytics, how far read models are, their rebuild."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.message import Command
from contracts.requests.commands import CreateRequest, UpdateRequest
from infra.dead_letters.base import ParkedFilter
from infra.dead_letters.tenants import PostgresTenantDeadLetters
from infra.rebuild_orders.settings import RebuildSettings
from infra.runtime.base import Decide, DecisionContext
from infra.runtime.projection_worker import ProjectionWorker
from infra.runtime.rebuild_worker import RebuildWorker
from projections.analytics.projection import ANALYTICS
from projections.requests.projection import REQUESTS
from services.requests.domain import Request
from services.requests.handlers import create_request, update_request
from tests.integration.gateway.conftest import AT_ONCE, LIST, PATIENT, Caller, OpenCaller, body, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration
LETTERS = "/api/v1/dead-letters"
BROKEN = "This one meets a defect"
REASON = {"reason": "The defect is mended."}


class Defect:
    """Two decisions that fail for messages with this text, until they are mended."""

    def __init__(self) -> None:
        self.mended = False

    @property
    def decisions(self) -> dict[type[Command], Decide]:
        return {CreateRequest: self._of(create_request), UpdateRequest: self._of(update_request)}

    def _of(self, decide: Decide) -> Decide:
        def decided(request: Request | None, command: Any, context: DecisionContext) -> Any:
            if BROKEN in (command.message or "") and not self.mended:
                raise KeyError("category")
            return decide(request, command, context)

        return decided


@pytest.fixture
def defect() -> Defect:
    return Defect()


@pytest.fixture
async def call(mesh: Mesh, defect: Defect, open_caller: OpenCaller) -> Caller:
    """A caller of a gateway in a mesh whose requests worker has a defect."""
    await mesh.start(mesh.planted(defect.decisions), mesh.relay(), mesh.projection())
    return await open_caller((await serve(mesh))._own.url)


async def parked(call: Caller, tenant: str = TENANT) -> str:
    """The id of a request whose creation is going to be parked."""
    answer = await call("POST", LIST, tenant=tenant, json=body(message=BROKEN), headers=AT_ONCE)
    assert answer.status_code == 202
    return str(answer.json()["request_id"])


async def letters(call: Caller, query: str = "", *, tenant: str = TENANT) -> list[dict[str, Any]]:
    answer = await call("GET", f"{LETTERS}{query}", "manager", tenant=tenant)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_a_letter_is_read_tried_again_and_given_up(mesh: Mesh, defect: Defect, call: Caller) -> None:
    first, second = await parked(call), await parked(call)
    await mesh.letters(count=2)
    found = {each["aggregate_id"]: each for each in await letters(call)}
    assert set(found) == {first, second}
    one = f"{LETTERS}/requests/{found[first]['position']}"
    shown = (await call("GET", one)).json()
    assert (shown["error_type"], shown["status"], shown["value"]["message"]) == ("KeyError", "parked", BROKEN)
    assert shown["headers"]["ce_type"] == CreateRequest.type_name
    assert "Traceback" not in str(shown)

    defect.mended = True
    marked = await call("POST", shown["_links"]["requeue"]["href"], json=REASON)
    assert (marked.status_code, marked.json()["marked_by"], marked.json()["marked_reason"]) == (200, "admin-1", REASON["reason"])

    async def redriven() -> bool:
        return (await call("GET", one)).json()["status"] == "redriven"

    await wait_for(redriven, 30, "the redrive")
    assert await mesh.stream(first) == ["RequestCreated"]
    over = await call("POST", f"{one}/discard", json={"reason": "too late"})
    assert (over.status_code, over.json()["error"]["details"]["status"]) == (422, "redriven")

    gone = await call("POST", found[second]["_links"]["self"]["href"] + "/discard", json={"reason": "called off"})
    assert (gone.status_code, gone.json()["status"]) == (200, "discarded")
    outcome = await mesh.outcome(second, gone.json()["command_id"])
    assert outcome.code == "DISCARDED"
    again = await call("POST", found[second]["_links"]["self"]["href"] + "/discard", json={"reason": "called off"})
    assert (again.status_code, await mesh.stream(second)) == (200, [])
    assert await letters(call) == []
    assert {each["status"] for each in await letters(call, "?status=all")} == {"redriven", "discarded"}


async def test_a_letter_is_its_own_tenants_only_and_what_nobody_can_read_is_nobodys(mesh: Mesh, call: Caller) -> None:
    mine, theirs = await parked(call), await parked(call, "other")
    await mesh.send(mesh.commands_topic, b"req-x", b'{"tenant_id": "test-tenant", "broken', [("ce_type", b"\xff"), ("ce_id", b"c-x")])
    ours = await call.created()
    # A command of the other tenant about a request of ours: it would be refused, but the defect comes first.
    await mesh.publish("UpdateRequest", ours, {"tenant_id": "other", "request_id": ours, "message": BROKEN})
    stored = await mesh.letters(count=4)
    assert len(stored) == 4
    for tenant, own in ((TENANT, mine), ("other", theirs)):
        found = await letters(call, "?status=all", tenant=tenant)
        assert [each["aggregate_id"] for each in found] == [own]
        for letter in stored:
            path = f"{LETTERS}/requests/{letter.position}"
            expected = 200 if letter.aggregate_id == own else 404
            assert (await call("GET", path, tenant=tenant)).status_code == expected
            if expected == 404:
                for verb in ("requeue", "discard"):
                    assert (await call("POST", f"{path}/{verb}", tenant=tenant, json=REASON)).status_code == 404
    own_letters = PostgresTenantDeadLetters(mesh.database, TENANT, "requests")
    for but, ids in ((("ValueError",), [mine]), (("ValueError", "KeyError"), [])):
        assert [each.aggregate_id for each in await own_letters.find(ParkedFilter(but=but), 0, 10)] == ids
    refused = await call("POST", f"{LETTERS}/requeue", json={"context": "requests", "reason": "no\0text of a database"})
    assert refused.status_code == 422
    marked = await call("POST", f"{LETTERS}/requeue", json={"context": "requests", **REASON})
    assert (marked.json()["matched"], marked.json()["marked"], marked.json()["complete"]) == (1, 1, True)
    after = {letter.position: letter.status for letter in await mesh.letters()}
    untouched = [letter.position for letter in stored if letter.aggregate_id != mine]
    assert {after[position] for position in untouched} == {"parked"}
    assert all(
        mark is None
        for (mark,) in await mesh.rows("SELECT marked_by FROM requests.dead_letters WHERE aggregate_id IS DISTINCT FROM %(id)s", id=mine)
    )


async def test_read_models_say_how_far_they_are(mesh: Mesh, call: Caller) -> None:
    await call.created()

    async def complete() -> dict[str, Any] | None:
        answer = await call("GET", "/api/v1/projections", "manager")
        found = {each["name"]: each for each in answer.json()["items"]}
        return found["requests"] if found["requests"]["contexts"] and not found["requests"]["lag"] else None

    shown = await wait_for(complete, 20, "the read model at the end of its log")
    head = await mesh.store.head()
    assert shown["contexts"] == [{"context": "requests", "position": f"requests:{head}", "log_head": f"requests:{head}", "lag": 0}]
    assert (shown["state"], shown["parked"]) == ("complete", 0)
    await mesh.stop(*(worker for worker in mesh.workers if isinstance(worker, ProjectionWorker)))
    await call("POST", LIST, json=body(), headers=AT_ONCE)

    async def behind() -> bool:
        answer = await call("GET", "/api/v1/projections")
        return any(each["lag"] == 1 for each in answer.json()["items"] if each["name"] == "requests")

    await wait_for(behind, 20, "the lag of a read model that stands still")


async def test_a_read_model_is_rebuilt_by_order(mesh: Mesh, call: Caller) -> None:
    ids = [await call.created() for _ in range(3)]
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, RebuildSettings(poll_seconds=0.2)))
    built_at = {each["name"]: each["built_at"] for each in (await call("GET", "/api/v1/projections")).json()["items"]}
    key = {"Idempotency-Key": "once"}
    ordered = await call("POST", "/api/v1/projections/requests/rebuild", headers=key)
    assert (ordered.status_code, ordered.json()["state"]) == (202, "waiting")

    async def over() -> dict[str, Any] | None:
        found = (await call("GET", ordered.headers["location"], "manager")).json()
        return dict(found) if found["state"] in ("done", "failed") else None

    done = await wait_for(over, 20, "the rebuild")
    assert (done["state"], done["events"], done["done"], done["failure"]) == ("done", 3, done["total"], None)
    shown = {each["name"]: each for each in (await call("GET", "/api/v1/projections")).json()["items"]}["requests"]
    assert (shown["rebuild"]["order_id"], shown["state"]) == (done["order_id"], "complete")
    assert shown["built_at"] > built_at["requests"]
    assert {(await call("GET", f"{LIST}/{each}")).status_code for each in ids} == {200}
    again = await call("POST", "/api/v1/projections/requests/rebuild", headers=key)
    assert (again.status_code, again.json()["order_id"], again.json()["state"]) == (202, done["order_id"], "done")


async def test_analytics_count_what_the_tenant_had_in_the_period(mesh: Mesh, call: Caller) -> None:
    await mesh.start(mesh.projection(ANALYTICS))
    for tenant, number in ((TENANT, 2), ("other", 1)):
        for _ in range(number):
            await call.created(tenant=tenant)

    position = f"requests:{await mesh.store.head()}"
    for tenant, number in ((TENANT, 2), ("other", 1)):
        path = f"/api/v1/analytics?min_position={position}"
        answer = await call("GET", path, "manager", tenant=tenant, headers=PATIENT)
        assert (answer.status_code, "agentmesh-stale" in answer.headers) == (200, False)
        assert (answer.json()["requests"]["total"], answer.json()["requests"]["by_status"]) == (number, {"pending": number})
    earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    before = (await call("GET", "/api/v1/analytics", params={"until": earlier})).json()
    assert before["requests"]["total"] == 0
    assert (await call("GET", "/api/v1/analytics", "agent")).status_code == 403
