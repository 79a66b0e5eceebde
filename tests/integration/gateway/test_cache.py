"""Reads through the cache on real servers: nobody reads his own change stale, events drop what changed, and Redis may die and come back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from infra.cache.keys import agent_key, customer_key, tenant_config_key
from infra.local_stack.redis import RedisServer
from infra.runtime.projection_worker import ProjectionWorker
from infra.settings import MeshSettings
from projections.agents.projection import AGENTS
from projections.customers.projection import CUSTOMERS
from projections.tenants.projection import TENANTS
from services.agents.worker import build as build_agents
from services.customers.worker import build as build_customers
from services.tenants.worker import build as build_tenants
from tests.integration.gateway.conftest import OTHERS, OWN, PATIENT, Caller, OpenCaller, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
PATH = "/api/v1/customers"
QUIET_SECONDS = 1.0
"""After so long the projection has dropped what it had noted, and what is kept from now on stays."""
TIERS = ("free", "standard", "premium", "enterprise")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server to be killed and halted."""
    server = RedisServer(tmp_path_factory.mktemp("mortal-redis"))
    yield server
    server.stop()


@pytest.fixture
async def mesh(mesh_settings: MeshSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mesh]:
    """A mesh on that Redis, whose processes notice soon that it is back."""
    monkeypatch.setenv("AGENTMESH_CACHE_PROBE_SECONDS", "0.1")
    monkeypatch.setenv("AGENTMESH_CACHE_OPERATION_SECONDS", "0.2")
    monkeypatch.setenv("AGENTMESH_CACHE_CIRCUIT_RECOVERY_SECONDS", "0.3")
    redis_server.start()
    async with Mesh(mesh_settings.model_copy(update={"redis_url": SecretStr(redis_server.endpoint())})) as found:
        yield found


@pytest.fixture
async def redis(mesh: Mesh) -> AsyncIterator[Redis]:
    """A look into the server."""
    client = Redis.from_url(mesh.settings.redis_dsn, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
async def call(mesh: Mesh, open_caller: OpenCaller) -> Caller:
    """A caller in a mesh of customers, with one customer in each of two tenants."""
    await mesh.start(build_customers(mesh.settings, mesh.telemetry), mesh.relay(), mesh.projection(CUSTOMERS))
    caller = await open_caller((await serve(mesh))._own.url)
    for tenant, customer_id in ((TENANT, OWN), ("other", OTHERS)):
        made = await caller("POST", PATH, tenant=tenant, json={"customer_id": customer_id, "tier": "standard"}, headers=PATIENT)
        assert made.status_code == 201, made.text
    await asyncio.sleep(QUIET_SECONDS)
    return caller


async def tier(call: Caller, customer_id: str = OWN, **more: Any) -> str:
    """The tier that a read shows."""
    answer = await call("GET", f"{PATH}/{customer_id}", **more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["tier"])


async def listed_tiers(call: Caller) -> list[str]:
    return [each["tier"] for each in (await call("GET", PATH)).json()["items"]]


async def change(call: Caller, wanted: str, customer_id: str = OWN) -> None:
    """A change whose outcome is told."""
    answer = await call("PUT", f"{PATH}/{customer_id}/tier", json={"tier": wanted}, headers=PATIENT)
    assert (answer.status_code, answer.json()["tier"]) == (200, wanted)


async def change_by_topic(mesh: Mesh, wanted: str, customer_id: str = OWN) -> int:
    """A change that the gateway knows nothing of; answers once the read model shows its version."""
    outcome = await mesh.do_in("customers", "ChangeCustomerTier", customer_id, {"customer_id": customer_id, "tier": wanted})

    async def shown() -> bool:
        rows = await mesh.rows("SELECT version FROM read_customers.customers WHERE customer_id = %(id)s", id=customer_id)
        return bool(rows) and rows[0][0] >= outcome.version

    await wait_for(shown, 20, "the change")
    return outcome.version


async def shows(call: Caller, wanted: str, what: str) -> None:
    async def look() -> bool:
        return await tier(call) == wanted and await listed_tiers(call) == [wanted]

    await wait_for(look, 5, what)


def in_redis(mesh: Mesh, key: str) -> str:
    return f"{mesh.settings.topic_prefix}agentmesh:cache:{key}"


def counted(mesh: Mesh, what: str, cache_type: str) -> float:
    """Hits or misses of one kind (CAC-09), of all gateways of the test."""
    return mesh.telemetry.metrics.registry.get_sample_value(f"cache_{what}_total", {"cache_type": cache_type}) or 0.0


# -- what a read shows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_events", [True, False], ids=["events drop it too", "no event drops anything"])
async def test_a_change_is_on_every_read_that_follows_its_outcome(
    mesh: Mesh, call: Caller, open_caller: OpenCaller, monkeypatch: pytest.MonkeyPatch, by_events: bool
) -> None:
    """At every gateway: the one that told the outcome has dropped what it made out of date."""
    if not by_events:
        monkeypatch.setattr(ProjectionWorker, "saved", lambda self, events: None)
    elsewhere = await open_caller((await serve(mesh))._own.url)
    for number in range(12):
        wanted = TIERS[number % 4]
        await asyncio.gather(tier(call), tier(elsewhere), listed_tiers(call), listed_tiers(elsewhere))
        await change(call, wanted)
        assert [await tier(elsewhere), await tier(call)] == [wanted] * 2
        assert [await listed_tiers(elsewhere), await listed_tiers(call)] == [[wanted]] * 2
    assert counted(mesh, "hits", "customer") >= 12
    assert counted(mesh, "hits", "list") >= 12


async def test_a_change_that_no_gateway_knows_of_is_dropped_by_its_event(mesh: Mesh, call: Caller) -> None:
    for wanted in ("premium", "free", "enterprise"):
        await asyncio.gather(tier(call), listed_tiers(call))
        await change_by_topic(mesh, wanted)
        await shows(call, wanted, "the change")


async def test_a_read_that_names_a_position_goes_past_the_cache(mesh: Mesh, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProjectionWorker, "saved", lambda self, events: None)  # so that the cache is old for as long as the test takes
    await asyncio.gather(tier(call), listed_tiers(call))
    await change_by_topic(mesh, "premium")
    position = await mesh.store_of("customers").head()
    fresh = f"min_position=customers:{position}"
    assert (await tier(call), await listed_tiers(call)) == ("standard", ["standard"])
    assert (await call("GET", f"{PATH}/{OWN}?{fresh}")).json()["tier"] == "premium"
    assert [each["tier"] for each in (await call("GET", f"{PATH}?{fresh}")).json()["items"]] == ["premium"]


async def test_reads_that_change_nothing_are_one_query(mesh: Mesh, call: Caller, redis: Redis) -> None:
    assert [await tier(call) for _ in range(10)] == ["standard"] * 10
    assert counted(mesh, "misses", "customer") == 1
    assert counted(mesh, "hits", "customer") == 9
    for _ in range(3):
        assert (await call("GET", f"{PATH}/cust-of-nobody")).status_code == 404
    assert await redis.exists(in_redis(mesh, customer_key(TENANT, "cust-of-nobody"))) == 0  # CAC-11


async def test_each_kind_lives_as_long_as_it_should(mesh: Mesh, call: Caller, redis: Redis) -> None:
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_agents, build_tenants)))
    await mesh.start(mesh.projection(AGENTS), mesh.projection(TENANTS))
    body = {"name": "First line", "capabilities": [{"name": "billing", "level": 3}]}
    agent = (await call("POST", "/api/v2/agents", json=body, headers=PATIENT)).json()
    made = await call("POST", "/api/v1/tenants", json={"name": "Acme"}, headers=PATIENT)
    assert made.status_code == 201, made.text
    await asyncio.sleep(QUIET_SECONDS)
    agent_id = agent["agent_id"]
    for path in (f"/api/v2/agents/{agent_id}", f"{PATH}/{OWN}", f"/api/v1/tenants/{TENANT}", PATH, "/api/v2/agents"):
        first, second = await call("GET", path), await call("GET", path)
        assert first.status_code == 200, first.text
        assert second.json() == first.json()
    lives = {customer_key(TENANT, OWN): 600, agent_key(TENANT, agent_id): 300, tenant_config_key(TENANT): 3_600}
    found = {key.partition(":cache:")[2]: await redis.ttl(key) async for key in redis.scan_iter(in_redis(mesh, "*"))}
    for key, life in lives.items():
        assert life - 30 < found.pop(key) <= life, key
    assert len(found) == 2
    assert all(key.startswith(f"list:{TENANT}:") and 30 < left <= 60 for key, left in found.items()), found


async def test_a_cached_thing_never_crosses_tenants(mesh: Mesh, call: Caller, redis: Redis) -> None:
    assert (await tier(call), await tier(call, OTHERS, tenant="other")) == ("standard", "standard")
    for _ in range(3):
        assert (await call("GET", f"{PATH}/{OTHERS}")).status_code == 404
        assert (await call("GET", f"{PATH}/{OWN}", tenant="other")).status_code == 404
        assert [each["customer_id"] for each in (await call("GET", PATH)).json()["items"]] == [OWN]
        assert [each["customer_id"] for each in (await call("GET", PATH, tenant="other")).json()["items"]] == [OTHERS]
    theirs = await redis.get(in_redis(mesh, customer_key("other", OTHERS)))
    assert theirs is not None
    await redis.set(in_redis(mesh, customer_key(TENANT, OTHERS)), theirs)  # whoever put it there: it is not believed
    assert (await call("GET", f"{PATH}/{OTHERS}")).status_code == 404


async def test_a_tenants_new_policy_drops_all_that_is_cached_of_the_tenant_and_of_nobody_else(
    mesh: Mesh, call: Caller, redis: Redis
) -> None:
    await mesh.start(build_tenants(mesh.settings, mesh.telemetry), mesh.projection(TENANTS))
    await mesh.do_in("tenants", "CreateTenant", TENANT, {"name": "Acme", "settings": {}})
    await wait_for(lambda: _rows(mesh), 20, "the tenant")
    await asyncio.sleep(QUIET_SECONDS)
    await asyncio.gather(tier(call), listed_tiers(call), tier(call, OTHERS, tenant="other"))
    assert await redis.exists(in_redis(mesh, customer_key(TENANT, OWN))) == 1
    await mesh.do_in("tenants", "ChangeTenantSettings", TENANT, {"four_eyes": True})

    async def gone() -> bool:
        return [key async for key in redis.scan_iter(in_redis(mesh, f"*:{TENANT}:*"))] == []

    await wait_for(gone, 10, "the end of all that was cached of the tenant")
    assert await redis.exists(in_redis(mesh, customer_key("other", OTHERS))) == 1


async def _rows(mesh: Mesh) -> bool:
    return bool(await mesh.rows("SELECT 1 FROM read_tenants.tenants"))


# -- without Redis, and with one that is back --------------------------------------------------------------------------------------


async def test_a_redis_that_is_killed_and_comes_back_costs_no_answer_and_no_truth(
    mesh: Mesh, call: Caller, redis_server: RedisServer
) -> None:
    assert await tier(call) == "standard"
    redis_server.kill()
    for wanted in ("premium", "free"):
        await change(call, wanted)
        assert (await tier(call), await listed_tiers(call)) == (wanted, [wanted])
    await change_by_topic(mesh, "enterprise")
    assert (await tier(call), await listed_tiers(call)) == ("enterprise", ["enterprise"])
    redis_server.start()
    before = counted(mesh, "hits", "customer")

    async def hit() -> bool:
        assert await tier(call) == "enterprise"
        return counted(mesh, "hits", "customer") > before

    await wait_for(hit, 10, "the use of the cache")
    await change(call, "standard")
    assert await tier(call) == "standard"


async def test_a_redis_that_was_halted_shows_nothing_of_before(mesh: Mesh, call: Caller, redis_server: RedisServer) -> None:
    assert await tier(call) == "standard"
    redis_server.kill(signal.SIGSTOP)
    try:
        await change(call, "premium")
        assert await tier(call) == "premium"
        await change_by_topic(mesh, "free")  # projections are not held up
        assert await tier(call) == "free"
    finally:
        redis_server.kill(signal.SIGCONT)
    assert await tier(call) in ("premium", "free")
    await shows(call, "free", "the last change")


async def test_a_gateway_and_projections_start_without_redis(mesh: Mesh, open_caller: OpenCaller, redis_server: RedisServer) -> None:
    redis_server.kill()
    await mesh.start(build_customers(mesh.settings, mesh.telemetry), mesh.relay(), mesh.projection(CUSTOMERS))
    call = await open_caller((await serve(mesh))._own.url)
    made = await call("POST", PATH, json={"customer_id": OWN, "tier": "standard"}, headers=PATIENT)
    assert made.status_code == 201, made.text
    await change(call, "free")
    assert (await tier(call), await listed_tiers(call)) == ("free", ["free"])
    redis_server.start()
    await change(call, "premium")
    await shows(call, "premium", "the last change")


async def test_what_a_crash_between_commit_and_deletion_left_goes_with_the_next_owner(
    mesh: Mesh, call: Caller, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    (worker,) = [each for each in mesh.workers if isinstance(each, ProjectionWorker)]
    monkeypatch.setattr(worker, "saved", lambda events: None)  # it dies after the commit and before it noted anything
    assert await tier(call) == "standard"
    await change_by_topic(mesh, "premium")
    assert await tier(call) == "standard", "an entry that nobody dropped"
    await mesh.stop(worker)
    assert await redis.exists(in_redis(mesh, customer_key(TENANT, OWN))) == 1
    await mesh.start(mesh.projection(CUSTOMERS))
    await shows(call, "premium", "the change")
