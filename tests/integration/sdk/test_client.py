"""Both clients against the running gateway on real servers: create, wait, read, list, stream, retry and sign in, as a program would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from agentmesh_client import Accepted, AgentMesh, AsyncAgentMesh, BusinessRuleViolation, Forbidden, NotFound, Unauthorized, ValidationError
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.passwords import SecretHasher
from infra.local_stack.ports import free_port
from tests.conformance.accounts import PASSWORD
from tests.integration.gateway.conftest import OWN, Spawn, bearer, serve
from tests.integration.gateway.following import new_stream
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration


def token(role: str = "admin") -> str:
    return bearer(role)["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def url(mesh: Mesh) -> str:
    """A gateway in a mesh where requests are decided, relayed and shown."""
    await mesh.start_all()
    return (await serve(mesh))._own.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncAgentMesh]:
    async with AsyncAgentMesh(url, token=token()) as found:
        yield found


async def created(client: AsyncAgentMesh, **given: Any) -> str:
    return (await client.settled(await client.create_request(OWN, "My invoice of May is wrong", category="billing", **given))).request_id


async def test_a_request_is_created_changed_read_listed_rejected_and_waited_for(mesh: Mesh, client: AsyncAgentMesh) -> None:
    found = await client.create_request(OWN, "My invoice of May is wrong", category="billing", metadata={"order_id": "o-1"}, wait=10)
    assert not isinstance(found, Accepted)
    assert (found.status, found.metadata, found.links["self"].rel) == ("pending", {"order_id": "o-1"}, "self")
    changed = await client.settled(await client.update_request(found.request_id, priority=4))
    read = await client.get_request(found.request_id, min_position=changed.position)
    assert (read.priority, read.stale, read.version) == (4, False, 2)
    others = {await created(client) for _ in range(4)}
    listed = [each.request_id async for each in client.all_requests(customer_id=OWN, sort="oldest", limit=2)]
    assert (listed[0], set(listed[1:]), len(listed)) == (found.request_id, others, 5)
    triage = {"category": "refund", "priority": 4, "confidence": 0.9}
    for name, payload in (("TriageRequest", triage), ("StartResearch", {}), ("RequireApproval", {"findings": {}})):
        await mesh.do(name, found.request_id, payload)
    await client.wait_for(found.request_id, until={"awaiting_approval"}, timeout=30)
    waiting = asyncio.create_task(client.wait_for(found.request_id, until={"rejected"}, timeout=30))
    await client.reject_request(found.request_id, "not ours")
    assert (await waiting).reason == "not ours"
    events = client.request_events(found.request_id)
    assert (await anext(events)).type.endswith("RequestCreated.v1")  # type: ignore[union-attr]
    await events.aclose()
    history = await client.request_history(found.request_id, min_position=(await waiting).position)
    assert [each.event_type.split(".")[2] for each in history.items][:2] == ["RequestCreated", "RequestUpdated"]
    assert (await client.request_decisions(found.request_id)).items[-1].outcome == "rejected"


async def test_the_same_without_an_event_loop(url: str) -> None:
    def program() -> tuple[list[str], list[str]]:
        with AgentMesh(url, token=token()) as mesh:
            ids = [mesh.settled(mesh.create_request(OWN, f"Case {number}", category="billing")).request_id for number in range(3)]
            mesh.settled(mesh.delete_request(ids[0]))
            with pytest.raises(NotFound):
                mesh.get_request(ids[0])
            listed = [each.request_id for each in mesh.all_requests(limit=1, sort="oldest")]
            stream = mesh.events(contexts=["requests"], types=["RequestCreated"], begin="beginning")
            told = [next(stream).subject for _ in ids]
            stream.close()
            assert told == ids
            return ids, listed

    ids, listed = await asyncio.to_thread(program)
    assert listed == ids[1:]


async def test_what_is_accepted_is_settled_and_a_refusal_is_an_error(client: AsyncAgentMesh) -> None:
    accepted = await client.create_request(OWN, "My invoice of May is wrong", category="billing", wait=0)
    assert isinstance(accepted, Accepted)
    request = await client.settled(accepted)
    assert accepted.location.endswith(request.request_id)
    assert [each.request_id async for each in client.all_requests()] == [request.request_id]
    refused = await client.reject_request(request.request_id, "nobody waits for a decision", wait=0)
    assert isinstance(refused, Accepted)
    with pytest.raises(BusinessRuleViolation) as caught:
        await client.settled(refused)
    assert (caught.value.status, caught.value.code) == (422, "BUSINESS_RULE_VIOLATION")


async def test_errors_are_typed_and_carry_the_callers_correlation_id(url: str, client: AsyncAgentMesh) -> None:
    with pytest.raises(ValidationError) as caught:
        await client.create_request("nobody", "x", correlation_id="order-17")
    assert caught.value.details["errors"][0]["field"] == "customer_id"
    assert caught.value.correlation_id == "order-17"
    async with AsyncAgentMesh(url, token="no token") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.get_request("req-1")
        with pytest.raises(Unauthorized):
            await anext(stranger.events())
    async with AsyncAgentMesh(url, token=token("customer")) as customer:
        with pytest.raises(Forbidden):
            await customer.list_dead_letters()
        with pytest.raises(Forbidden):
            await anext(customer.events(contexts=["agents"]))


async def test_operators_read_how_far_everything_is(client: AsyncAgentMesh) -> None:
    await created(client)
    assert (await client.list_dead_letters()).items == ()
    assert "requests" in {each.name for each in (await client.list_projections()).items}


class LosesTheFirstAnswers(httpx2.AsyncHTTPTransport):
    """Breaks the connection when a command has been answered, so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times
        self.lost: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        if request.method == "POST" and self.left:
            self.left -= 1
            await answer.aread()
            self.lost.append(answer.status_code)
            await answer.aclose()
            raise httpx2.RemoteProtocolError("cut", request=request)
        return answer


async def test_a_command_whose_answer_was_lost_is_repeated_and_done_once(mesh: Mesh, url: str) -> None:
    transport = LosesTheFirstAnswers(2)
    async with httpx2.AsyncClient(transport=transport) as http:
        client = AsyncAgentMesh(url, token=token(), http=http)
        request_id = await created(client)
        assert transport.lost == [201, 201]
        again = [await client.create_request(OWN, "Once", category="billing", idempotency_key="k-1", wait=10) for _ in range(2)]
        assert again[0] == again[1]
        assert {each.request_id async for each in client.all_requests()} == {request_id, again[0].request_id}  # type: ignore[union-attr]
    assert [each.metadata.type_name.split(".")[2] for each in await mesh.store.read_stream(request_id)].count("RequestCreated") == 1


async def test_a_user_a_client_and_a_key_sign_in_and_a_token_is_renewed(mesh: Mesh, url: str) -> None:
    accounts = AccountAdministration(PostgresAccounts(mesh.database), SecretHasher())
    await accounts.add_user(new_account(TENANT, "ann", "admin", None), PASSWORD, "tester")
    made = await accounts.add_client(new_account(TENANT, "shop", "agent", None), "tester")
    async with AsyncAgentMesh(url, client_id=made.client.client_id, client_secret=made.secret) as shop:
        request_id = await created(shop)
    async with AsyncAgentMesh(url, login=f"ann@{TENANT}", password=PASSWORD) as ann:
        assert (await ann.get_request(request_id)).request_id == request_id
        signer = ann._course.signer
        signer.token = "e30.e30.c2ln"  # the gateway refuses it; the client does not know
        assert (await ann.get_request(request_id)).request_id == request_id
        assert signer.token != "e30.e30.c2ln"
        signer.token = "e30.e30.c2ln"
        events = ann.events(contexts=["requests"], begin="beginning")
        assert (await anext(events)).subject == request_id
        await events.aclose()
    async with AsyncAgentMesh(url, login=f"ann@{TENANT}", password="wrong horse") as wrong:
        with pytest.raises(Unauthorized):
            await wrong.get_request(request_id)


async def test_a_stream_goes_on_after_the_gateway_was_killed_and_started_again(mesh: Mesh, spawn: Spawn) -> None:
    port = free_port(set())
    gateway = await spawn(port)
    received: list[int] = []
    async with AsyncAgentMesh(gateway.url, token=token()) as client:

        async def read() -> None:
            async for event in client.events(contexts=["tasks"], begin="beginning", patience=60):
                received.append(event.position)

        reading = asyncio.create_task(read())

        async def has(count: int) -> bool:
            assert not reading.done(), reading.result()
            return len(received) >= count

        await mesh.store_of("tasks").append([new_stream("tasks", 5)])
        await wait_for(lambda: has(5), 30, "the events before the kill")
        await gateway.kill()
        await mesh.store_of("tasks").append([new_stream("tasks", 5)])
        await spawn(port)
        await wait_for(lambda: has(10), 30, "the events of meanwhile")
        await mesh.store_of("tasks").append([new_stream("tasks", 5)])
        await wait_for(lambda: has(15), 30, "the events after")
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert received == list(range(1, 16))


async def test_a_stream_is_taken_up_by_another_client_at_its_place(mesh: Mesh, url: str) -> None:
    await mesh.store_of("tasks").append([new_stream("tasks", 6)])
    found = []
    place = None
    for _ in range(3):
        async with AsyncAgentMesh(url, token=token()) as client:
            events = client.events(contexts=["tasks"], begin="beginning", last_event_id=place)
            for _ in range(2):
                event = await anext(events)
                found.append(event.position)
                place = event.place
            await events.aclose()
    assert found == [1, 2, 3, 4, 5, 6]
