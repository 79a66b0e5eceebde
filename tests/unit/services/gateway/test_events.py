"""The route of events: who gets which, from where on, and how a stream ends."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.topics import CONTEXTS
from infra.telemetry.context import bind
from services.gateway.app import build_app
from services.gateway.resources.events import PATH, EventRoutes
from services.gateway.streams import Streams
from tests.event_stream import Received, differences, parsed
from tests.mesh import wait_for
from tests.unit.infra.event_streams.logs import CREATED, UPDATED, Logs
from tests.unit.services.gateway.arena import ISSUER, OTHERS, OWN, Arena, bearer, principal

ALL = ",".join(f"{context}:0" for context in CONTEXTS)


class Counted:
    """What streams counted."""

    def __init__(self) -> None:
        self.open = 0
        self.events = 0
        self.reasons: list[str] = []
        self.refused = 0

    def opened(self) -> None:
        self.open += 1

    def sent(self, events: int) -> None:
        self.events += events

    def closed(self, reason: str) -> None:
        self.open -= 1
        self.reasons.append(reason)

    def limited(self) -> None:
        self.refused += 1


class EventArena(Arena):
    """A gateway with streams on logs in memory; each stream ends by itself after a moment."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{"stream_longest_seconds": 0.15, **changes})
        self.logs = Logs(queue_events=self.settings.stream_queue_events)
        self.streamed = Counted()
        self.streams = Streams(self.logs.tail, self.settings, self.streamed)
        self.app = build_app([*self.routers, EventRoutes(self.access, self.streams).router()], self.settings, self.counts, bind)

    async def opened(self, count: int = 1) -> None:
        """Wait until so many streams are open."""

        async def look() -> bool:
            return self.streamed.open >= count

        await wait_for(look, 5, f"{count} streams")

    async def events(self, query: str = "", role: str = "admin", headers: dict[str, str] | None = None) -> list[Received]:
        """The events of one stream, but for its end."""
        answer = await self.call("GET", f"{PATH}{query}", role=role, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-request-id"].startswith("req-")
        found = parsed(answer.content)
        assert (found[-1].event, found[-1].data["reason"]) == ("closing", "renew")
        return found[:-1]


def of_customer(customer: str) -> bytes:
    return json.dumps({"customer_id": customer}).encode()


async def test_an_event_is_a_cloudevent_and_its_id_is_the_place_after_it() -> None:
    arena = EventArena()
    arena.logs["requests"].append(1, type_name=CREATED, data=b'{"message":"\\u00fc \\n"}')
    arena.logs["tasks"].append(1, type_name="agentmesh.tasks.TaskStarted.v1")
    first, second = await arena.events("?from=beginning")
    assert (first.event, first.id) == (CREATED, "requests:1,tasks:0,agents:0,customers:0,tenants:0")
    assert second.id == "requests:1,tasks:1,agents:0,customers:0,tenants:0"
    assert first.data == {
        "specversion": "1.0", "id": "event-requests-1", "type": CREATED, "source": "/agentmesh/requests", "subject": "req-1",
        "time": "2026-05-04T12:00:00Z", "tenantid": "test-tenant", "authtype": "user", "authid": "ann", "correlationid": "c",
        "causationid": "k", "sequence": "00000000000000000001", "position": "1", "datacontenttype": "application/json",
        "data": {"message": "ü \n"},
    }  # fmt: skip
    assert arena.streamed.events == 2


async def test_a_stream_goes_on_after_the_id_that_it_is_given_by_header_or_query() -> None:
    arena = EventArena()
    arena.logs["requests"].append(5)
    arena.logs["tasks"].append(2)
    query = "?context=requests&context=tasks&"
    by_header = await arena.events(f"{query}from=beginning", headers={"Last-Event-ID": "requests:3,tasks:1"})
    by_query = await arena.events(f"{query}last_event_id=requests:3,tasks:1")
    both = await arena.events(f"{query}last_event_id=requests:0,tasks:0", headers={"Last-Event-ID": "requests:3,tasks:1"})
    for found in (by_header, by_query, both):
        assert [each.data["id"] for each in found] == ["event-requests-4", "event-requests-5", "event-tasks-2"]


async def test_without_an_id_a_stream_begins_now() -> None:
    arena = EventArena(stream_longest_seconds=1.5)
    arena.logs["requests"].append(5)
    reading = asyncio.create_task(arena.events())
    await arena.opened()
    arena.logs["requests"].append(1)
    assert [each.data["position"] for each in await reading] == ["6"]


async def test_the_first_id_stands_before_the_first_event() -> None:
    arena = EventArena()
    arena.logs["tasks"].append(3)
    answer = await arena.call("GET", f"{PATH}?context=tasks,requests")
    assert b"id: requests:0,tasks:3\r\nretry: 1000\r\n\r\n" in answer.content


async def test_filters_leave_out_what_is_not_asked_for() -> None:
    arena = EventArena()
    arena.logs["requests"].append(2)
    arena.logs["requests"].append(1, type_name=CREATED)
    arena.logs["requests"].append(1, aggregate="req-2")
    arena.logs["tasks"].append(1)
    from_start = "?from=beginning&"
    found = {
        query: [each.data["id"] for each in await arena.events(from_start + query)]
        for query in ("context=tasks", "type=RequestCreated", f"type={CREATED},{UPDATED}&context=requests", "aggregate_id=req-2")
    }
    assert found == {
        "context=tasks": ["event-tasks-1"],
        "type=RequestCreated": ["event-requests-3"],
        f"type={CREATED},{UPDATED}&context=requests": [f"event-requests-{number}" for number in range(1, 5)],
        "aggregate_id=req-2": ["event-requests-4"],
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?context=nobody", "context"),
        ("?context=", "context"),
        ("?context=requests&context='%20OR%201=1--", "context"),
        ("?type=Nothing", "type"),
        ("?type=agentmesh.requests.CreateRequest.v1", "type"),
        ("?aggregate_id=", "aggregate_id"),
        ("?aggregate_id=a%00b", "aggregate_id"),
        ("?from=yesterday", "from"),
        ("?last_event_id=17", "last_event_id"),
        ("?last_event_id=requests:0", "last_event_id"),
        (f"?context=requests&last_event_id={ALL}", "last_event_id"),
        ("?context=requests&last_event_id=requests:9", "last_event_id"),
        ("?context=requests&last_event_id=", "last_event_id"),
        ("?type=" + ",".join(["RequestCreated"] * 101), "type"),
    ],
)
async def test_a_wrong_filter_or_id_is_422_with_the_name_of_its_field(query: str, field: str) -> None:
    arena = EventArena()
    arena.logs["requests"].append(5)
    answer = await arena.call("GET", PATH + query)
    assert answer.status_code == 422, answer.text
    (said,) = answer.json()["error"]["details"]["errors"]
    assert said["field"] == field
    assert "OR 1" not in answer.text
    assert arena.streamed.open == 0


async def test_a_wrong_header_is_422() -> None:
    answer = await EventArena().call("GET", PATH, headers={"Last-Event-ID": "\x01"})
    assert (answer.status_code, answer.json()["error"]["details"]["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_nobody_gets_an_event_of_another_tenant() -> None:
    arena = EventArena()
    for context in CONTEXTS:
        arena.logs[context].append(3, tenant="other")
        arena.logs[context].append(1)
    for role in ("admin", "manager", "agent"):
        for query in ("", "&tenant_id=other", "&context=requests", "&aggregate_id=req-1"):
            found = await arena.events(f"?from=beginning{query}", role)
            assert {each.data["tenantid"] for each in found} == {"test-tenant"}


async def test_a_role_gets_the_contexts_that_it_may_read() -> None:
    arena = EventArena()
    for context in CONTEXTS:
        arena.logs[context].append(1)
    found = {
        role: {each.data["source"].rsplit("/", 1)[1] for each in await arena.events("?from=beginning", role)} for role in ("admin", "agent")
    }
    assert found == {"admin": set(CONTEXTS), "agent": set(CONTEXTS) - {"tenants"}}
    refused = await arena.call("GET", f"{PATH}?context=tenants", role="agent")
    assert (refused.status_code, refused.json()["error"]["details"]) == (403, {"required_permission": "tenant:read"})


async def test_a_customer_gets_the_events_of_its_own_requests_only() -> None:
    arena = EventArena()
    log = arena.logs["requests"]
    for number, customer in enumerate((OWN, OTHERS, OWN)):
        log.append(1, type_name=CREATED, aggregate=f"req-{number}", data=of_customer(customer))
    for number in (1, 0, 2, 1):
        log.append(1, aggregate=f"req-{number}")
    log.append(1, aggregate="req-of-nobody-known")
    log.append(1, aggregate="req-0", tenant="other")
    for context in ("tasks", "agents", "customers", "tenants"):
        arena.logs[context].append(1, aggregate=OWN)
    assert [int(each.data["position"]) for each in await arena.events("?from=beginning", "customer")] == [1, 3, 5, 6]
    assert await arena.events("?from=beginning&aggregate_id=req-1", "customer") == []
    for context in ("tasks", "customers", "tenants"):
        assert (await arena.call("GET", f"{PATH}?context={context}", role="customer")).status_code == 403
    async with arena.client() as client:
        answer = await client.get(PATH, headers=bearer("customer", customer=None))
        assert answer.status_code == 403


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("root", 403)])
async def test_who_may_not_subscribe_is_refused(role: str | None, status: int) -> None:
    assert (await EventArena().call("GET", PATH, role=role)).status_code == status


async def test_a_stream_ends_with_the_token_and_says_so() -> None:
    arena = EventArena(stream_longest_seconds=60)
    token = ISSUER.issue(principal(), datetime.now(UTC), timedelta(seconds=2))
    async with arena.client() as client:
        answer = await client.get(PATH, headers={"Authorization": f"Bearer {token}"})
    (closing,) = parsed(answer.content)
    assert (closing.event, closing.data) == ("closing", {"reason": "token_expired", "retry_ms": 1_000})
    assert arena.streamed.reasons == ["token_expired"]


async def test_a_silent_stream_gets_heartbeats_that_move_its_place() -> None:
    arena = EventArena(stream_heartbeat_seconds=0.05, stream_longest_seconds=1.5)
    reading = asyncio.create_task(arena.call("GET", f"{PATH}?context=requests&type=RequestCreated"))
    await arena.opened()
    arena.logs["requests"].append(7)
    content = (await reading).content
    assert content.count(b": heartbeat") >= 3
    assert b": heartbeat\r\nid: requests:7\r\n\r\n" in content


async def test_a_drain_ends_streams_with_the_time_to_come_again() -> None:
    arena = EventArena(stream_longest_seconds=60)
    reading = asyncio.create_task(arena.call("GET", PATH))
    await arena.opened()
    await asyncio.sleep(0.05)
    await arena.logs.tail.close()
    answer = await reading
    assert parsed(answer.content)[-1].data == {"reason": "drained", "retry_ms": 1_000}
    assert b"retry: 1000" in answer.content
    refused = await arena.call("GET", PATH)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert (arena.streamed.open, arena.streamed.reasons) == (0, ["drained"])


async def test_too_many_streams_are_refused_by_process_and_by_tenant() -> None:
    arena = EventArena(most_streams=3, most_streams_per_tenant=2, stream_longest_seconds=3)
    reading = [asyncio.create_task(arena.call("GET", PATH)) for _ in range(2)]
    await arena.opened(2)
    of_tenant = await arena.call("GET", PATH)
    async with arena.client() as client:
        reading.append(asyncio.create_task(client.get(PATH, headers=bearer(tenant="second"))))
        await arena.opened(3)
        of_process = await client.get(PATH, headers=bearer(tenant="third"))
        assert (of_tenant.status_code, of_tenant.headers["retry-after"]) == (429, "2")
        assert (of_process.status_code, of_process.headers["retry-after"]) == (503, "2")
        assert arena.streamed.refused == 1, "a tenant that has as many as it may is limited, a process that is full is not"
        assert {each.status_code for each in await asyncio.gather(*reading)} == {200}
    assert (await arena.call("GET", PATH)).status_code == 200


async def test_a_store_that_is_away_is_503_before_a_stream_begins_and_closing_afterwards() -> None:
    arena = EventArena()
    arena.logs["requests"].away = True
    assert (await arena.call("GET", PATH)).status_code == 503
    arena.logs["requests"].away = False
    arena.logs["requests"].append(1)
    arena.logs["requests"].pause = 0.1
    reading = asyncio.create_task(arena.call("GET", f"{PATH}?from=beginning&context=tasks"))
    await asyncio.sleep(0.05)
    arena.logs["requests"].away = True
    assert parsed((await reading).content)[-1].data["reason"] == "renew"  # the tail waits, and the stream lives on


async def test_a_reader_who_takes_nothing_is_dropped() -> None:
    arena = EventArena(stream_send_seconds=0.1, stream_longest_seconds=60)
    arena.logs["requests"].append(3)
    scope = {
        "type": "http", "method": "GET", "path": PATH, "raw_path": PATH.encode(), "query_string": b"from=beginning", "scheme": "http",
        "headers": [(b"authorization", bearer()["Authorization"].encode())], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    got: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not got:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and got:
            await asyncio.sleep(60)
        got.append(message.get("body", b""))

    async with asyncio.timeout(5):
        await arena.app(scope, receive, send)
    assert arena.streamed.reasons == ["too_slow"]


async def test_a_stream_is_not_held_to_the_time_limit_of_calls_and_is_not_in_flight() -> None:
    arena = EventArena(
        request_timeout_seconds=0.3, wait_seconds=0, longest_wait_seconds=0, publish_timeout_seconds=0.1, most_in_flight=1,
        stream_longest_seconds=0.8,
    )  # fmt: skip
    reading = asyncio.create_task(arena.events())
    await arena.opened()
    await asyncio.sleep(0.05)
    assert (await arena.call("GET", "/openapi.json")).status_code == 200
    assert await reading == []
    assert arena.counts.active == 0


def test_the_judge_of_what_was_received_finds_losses_repeats_and_disorder() -> None:
    stored = {"requests": [1, 2, 4], "tasks": [1]}
    assert differences({"requests": [1, 2, 4], "tasks": [1]}, stored) == []
    for received in ([1, 4], [1, 2, 2, 4], [1, 4, 2], [1, 2, 4, 5], [1, 2], []):
        assert differences({"requests": received, "tasks": [1]}, stored)
