"""The database goes away: the worker keeps its place, says so, and goes on by itself when it is back. Nothing is parked for it."""

from __future__ import annotations

import time

import pytest

from infra.event_store.base import OutcomeKind
from infra.health import postgres
from infra.health.base import HealthStatus
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from tests.mesh import Mesh, command_record, create, new_id, wait_for
from tests.proxy import Proxy, behind, postgres_proxy

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _short_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ACQUIRE_SECONDS", 0.3)


def far(mesh: Mesh, proxy: Proxy, **changes: object) -> MeshSettings:
    """The mesh's settings with the database behind the proxy."""
    return mesh.settings.with_endpoints(
        postgres_dsn=behind(mesh.settings.postgres_dsn, proxy),
        redis_url=mesh.settings.redis_dsn,
        kafka_bootstrap=mesh.settings.kafka_bootstrap,
    ).model_copy(update={"pool_acquire_timeout_seconds": 0.3, **changes})


async def status_of(worker: CommandWorker, name: str) -> HealthStatus:
    (check,) = [check for check in worker.health_checks() if check.name == name]
    return (await check.check()).status


async def test_the_worker_keeps_its_place_and_resumes_without_a_restart(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh, postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        # An outage longer than the broker's patience with a member that does not poll.
        worker = mesh.planted({}, far(mesh, proxy, kafka_max_poll_interval_ms=1_000))
        await mesh.start(worker)
        first = new_id()
        await mesh.do("CreateRequest", first, create(first))
        await mesh.all_committed(1)
        assert await status_of(worker, "database") is HealthStatus.HEALTHY
        proxy.cut()
        requests = [new_id() for _ in range(50)]
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in requests])

        async def tried_often() -> bool:
            return mesh.metric("retries_total", name="append") + mesh.metric("retries_total", name="load") >= 3

        await wait_for(tried_often, 20, "three failed tries")
        assert await status_of(worker, "database") is HealthStatus.UNHEALTHY
        before = worker.last_attempt()

        async def tries_again() -> bool:
            return worker.last_attempt() > before

        await wait_for(tries_again, 20, "another attempt: liveness is judged by it")
        assert time.monotonic() - worker.last_attempt() < 20
        assert sum((await mesh.committed()).values()) == 1
        proxy.mend()
        await mesh.all_committed(51)
        found = await mesh.store.outcomes([(each, "c1") for each in requests])
        assert {outcome.kind for outcome in found.values()} == {OutcomeKind.EVENTS}
        assert len(found) == 50
        assert await mesh.store.head() == 51
        assert await mesh.letters() == []
        assert await status_of(worker, "database") is HealthStatus.HEALTHY


async def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh, postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        proxy.cut()
        worker = mesh.planted({}, far(mesh, proxy))
        await mesh.start(worker)

        async def tried() -> bool:
            return mesh.metric("retries_total", name="schema") >= 2

        await wait_for(tried, 20, "two tries to look at the schema")
        assert await status_of(worker, "database") is HealthStatus.UNHEALTHY
        request = new_id()
        command = await mesh.publish("CreateRequest", request, create(request))
        proxy.mend()
        assert (await mesh.outcome(request, command)).kind is OutcomeKind.EVENTS


async def test_a_worker_stops_in_time_while_the_database_is_away(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, grace_seconds=2.0) as mesh, postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        worker = mesh.planted({}, far(mesh, proxy, pool_acquire_timeout_seconds=30.0))
        await mesh.start(worker)
        first, second = new_id(), new_id()
        await mesh.do("CreateRequest", first, create(first))
        await mesh.all_committed(1)
        proxy.cut()
        await mesh.publish("CreateRequest", second, create(second), command_id="c1")

        async def at_work() -> bool:
            return not worker._idle.is_set()

        await wait_for(at_work, 10, "a batch that waits for the database")
        started = time.monotonic()
        await mesh.stop(worker)
        assert time.monotonic() - started < 15
        assert sum((await mesh.committed()).values()) == 1
        await mesh.start(mesh.requests_worker())
        assert (await mesh.outcome(second, "c1")).kind is OutcomeKind.EVENTS
