"""A read model is rebuilt by order: beside the projections, one at a time, with progress; taken up anew when its worker dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from infra.postgres.leader import AdvisoryLeader
from infra.rebuild_orders.base import Failure, NewOrder, OrderState, RebuildOrder
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.rebuild_orders.settings import RebuildSettings
from infra.runtime.rebuild_worker import LEADER, MOST_ATTEMPTS, RebuildWorker
from infra.settings import MeshSettings
from projections.catalogue import read_models
from projections.requests.projection import REQUESTS
from tests.mesh import Mesh, command_record, create, new_id, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[3]
FILL = 800
# A rebuild that takes seconds for few events, so that something can happen in its middle.
SLOW = RebuildSettings(page=100, share=0.03, poll_seconds=0.2)
QUICK = RebuildSettings(poll_seconds=0.2)


@pytest.fixture
async def mesh(mesh_settings: MeshSettings) -> AsyncIterator[Mesh]:
    async with Mesh(mesh_settings) as found:
        yield found


@pytest.fixture
def orders(mesh: Mesh) -> PostgresRebuildOrders:
    return PostgresRebuildOrders(mesh.database)


def order(read_model: str = "requests", **given: Any) -> NewOrder:
    return NewOrder(str(uuid.uuid4()), read_model, "ann", **given)


async def filled(mesh: Mesh, count: int = FILL) -> None:
    """The read model of so many requests, with nothing under way."""
    await mesh.start_all()
    ids = [new_id() for _ in range(count)]
    await mesh.publish_many(command_record("CreateRequest", request_id, create(request_id)) for request_id in ids)

    async def look() -> bool:
        return (await mesh.rows("SELECT count(*) FROM read_requests.requests"))[0][0] == count

    await wait_for(look, 40, f"{count} rows")


async def placed(orders: PostgresRebuildOrders, new: NewOrder) -> RebuildOrder:
    found = await orders.place(new)
    assert found is not None
    return found


async def becomes(orders: PostgresRebuildOrders, wanted: RebuildOrder, check: Callable[[RebuildOrder], bool], what: str) -> RebuildOrder:
    async def look() -> RebuildOrder | None:
        found = await orders.find(wanted.read_model, wanted.order_id)
        assert found is not None
        return found if check(found) else None

    return await wait_for(look, 40, what)


async def test_an_order_is_carried_out_beside_the_projection_and_tells_how_far_it_is(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    await filled(mesh)
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, SLOW))
    first = await placed(orders, order())
    assert (first.state, first.total, first.done, first.attempts) == (OrderState.WAITING, None, 0, 0)
    half = await becomes(orders, first, lambda found: 0 < found.done < (found.total or 0), "an order in its middle")
    assert (half.state, half.attempts, half.total, half.events) == (OrderState.RUNNING, 1, FILL, half.done)
    joined = await placed(orders, order())
    assert joined.order_id == first.order_id, "a second order joins the one that runs"
    # The projection goes on meanwhile.
    late = new_id()
    await mesh.publish("CreateRequest", late, create(late))
    await mesh.read_model_at(late, 1)
    ended = await becomes(orders, first, lambda found: found.is_over, "the end of the order")
    assert (ended.state, ended.failure, ended.message, ended.events) == (OrderState.DONE, None, None, FILL + 1)
    assert ended.done == ended.total
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.started_at < ended.finished_at
    assert (await mesh.rows("SELECT count(*) FROM read_requests.requests")) == [(FILL + 1,)]
    assert (await placed(orders, order())).order_id not in (first.order_id,), "an order that is over is not joined"


async def test_a_key_stands_for_one_order_for_ever_and_joins_the_one_that_waits(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    one = await placed(orders, order(key="k-1"))
    assert (await placed(orders, order(key="k-1"))).order_id == one.order_id
    assert (await placed(orders, order(key="k-2"))).order_id == one.order_id
    at_once = await asyncio.gather(*(placed(orders, order("tasks", key="k-3")) for _ in range(8)))
    assert len({found.order_id for found in at_once}) == 1
    assert await orders.place(order("nothing")) is None
    taken = await orders.take(["requests"], "w-1")
    assert taken is not None
    await orders.finish(taken, 10, 10)
    for key in ("k-1", "k-2"):
        again = await placed(orders, order(key=key))
        assert (again.order_id, again.state) == (one.order_id, OrderState.DONE)
    new = await placed(orders, order(key="k-4"))
    assert new.order_id != one.order_id
    assert {name: found.order_id for name, found in (await orders.latest()).items()} == {
        "requests": new.order_id,
        "tasks": at_once[0].order_id,
    }


async def test_what_a_worker_writes_counts_only_while_the_order_is_its_own(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    new = await placed(orders, order())
    names = [model.name for model in read_models()]
    dead = await orders.take(names, "w-1")
    alive = await orders.take(names, "w-2")
    assert dead is not None
    assert alive is not None
    assert (dead.order_id, alive.order_id, alive.attempts) == (new.order_id, new.order_id, 2)
    assert not await orders.tell(dead, 5, 10, 5)
    assert await orders.tell(alive, 1, 10, 1)
    await orders.finish(dead, 10, 10)
    await orders.fail(dead, Failure.REFUSED, "late")
    await orders.give_back(dead)
    found = await orders.find("requests", new.order_id)
    assert found is not None
    assert (found.state, found.done, found.attempts) == (OrderState.RUNNING, 1, 2)
    await orders.give_back(alive)
    found = await orders.find("requests", new.order_id)
    assert found is not None
    assert (found.state, found.attempts) == (OrderState.WAITING, 1)


async def test_a_rebuild_that_differs_fails_and_switches_nothing(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    await filled(mesh, 1)
    await mesh.database.execute(b"UPDATE read_requests.requests SET status = 'completed'", {})
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, QUICK))
    ended = await becomes(orders, await placed(orders, order()), lambda found: found.is_over, "the end of the order")
    assert (ended.state, ended.failure, ended.attempts) == (OrderState.FAILED, Failure.DIFFERS, 1)
    assert "--accept-differences" in (ended.message or "")
    assert (await mesh.rows("SELECT status FROM read_requests.requests")) == [("completed",)]


async def test_one_rebuild_at_a_time_in_the_whole_mesh_and_none_beside_one_of_the_cli(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    await filled(mesh, 1)
    elsewhere = AdvisoryLeader(mesh.settings.postgres_dsn, mesh.settings.topic_prefix + LEADER)
    assert await elsewhere.try_lead()
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, QUICK))
    new = await placed(orders, order())
    await asyncio.sleep(0.7)  # two looks at least
    found = await orders.find("requests", new.order_id)
    assert found is not None
    assert found.state is OrderState.WAITING, "somebody else leads"
    async with await AsyncConnection.connect(mesh.settings.postgres_dsn, autocommit=True) as cli:
        await cli.execute("SELECT pg_advisory_lock(hashtextextended('agentmesh.rebuild.requests', 0))")
        await elsewhere.release()
        await asyncio.sleep(0.7)
        found = await orders.find("requests", new.order_id)
        assert found is not None
        assert (found.state, found.attempts) == (OrderState.WAITING, 0), "a rebuild of the CLI is waited for"
    await becomes(orders, new, lambda found: found.state is OrderState.DONE, "the end of the order")


async def test_an_order_whose_workers_end_again_and_again_is_given_up(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    await filled(mesh, 1)
    new = await placed(orders, order())
    for number in range(MOST_ATTEMPTS):
        assert await orders.take(["requests"], f"dead-{number}") is not None
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, QUICK))
    ended = await becomes(orders, new, lambda found: found.is_over, "the end of the order")
    assert (ended.state, ended.failure) == (OrderState.FAILED, Failure.GIVEN_UP)


async def test_a_worker_that_stops_gives_its_order_back(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    await filled(mesh, 500)
    worker = RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, SLOW)
    await mesh.start(worker)
    new = await placed(orders, order())
    await becomes(orders, new, lambda found: found.done > 0, "an order in its middle")
    await mesh.stop(worker)
    found = await orders.find("requests", new.order_id)
    assert found is not None
    assert (found.state, found.attempts) == (OrderState.WAITING, 0)
    await mesh.start(RebuildWorker([REQUESTS], mesh.settings, mesh.telemetry, QUICK))
    await becomes(orders, new, lambda found: found.state is OrderState.DONE, "the end of the order")


# -- killed ------------------------------------------------------------------------------------------------------------------------


class Projections:
    """`agentmesh run projections requests` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    async def kill(self) -> None:
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@pytest.fixture
async def spawn(mesh: Mesh, mesh_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Callable[[], Any]]:
    """Starts processes of projections; those that still run at the end are killed."""
    running: list[Projections] = []

    async def start() -> Projections:
        log = tmp_path / f"projections-{len(running)}.log"
        variables = {"AGENTMESH_PARTITIONS": str(mesh.settings.partitions), "AGENTMESH_POOL_MIN_SIZE": "1", "AGENTMESH_HEALTH_PORT": "0"}
        slow = {f"AGENTMESH_REBUILD_{name.upper()}": str(value) for name, value in SLOW.model_dump().items()}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "services.cli.main", "run", "projections", "requests"),
                cwd=ROOT,
                env={**mesh_environment, **variables, **slow, "AGENTMESH_REPLICA_NAME": f"projections-{len(running)}"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        running.append(Projections(process, log))
        return running[-1]

    yield start
    for each in running:
        await each.kill()


async def test_killed_in_the_middle_it_is_begun_anew_by_another_and_nothing_half_built_is_shown(
    mesh: Mesh, orders: PostgresRebuildOrders, spawn: Callable[[], Any]
) -> None:
    await mesh.start(mesh.requests_worker(), mesh.relay())
    processes: list[Projections] = await asyncio.gather(spawn(), spawn())
    ids = [new_id() for _ in range(FILL)]
    await mesh.publish_many(command_record("CreateRequest", request_id, create(request_id)) for request_id in ids)

    async def rows(schema: str = "read_requests") -> int:
        return int((await mesh.rows(f"SELECT count(*) FROM {schema}.requests"))[0][0])

    async def filled_up() -> bool:
        assert all(each.process.returncode is None for each in processes), [each.log.read_text()[-2000:] for each in processes]
        return await rows() == FILL

    await wait_for(filled_up, 40, "the rows")
    new = await placed(orders, order())
    half = await becomes(orders, new, lambda found: 0 < found.done < (found.total or 0), "an order in its middle")
    (worker,) = [each for each in processes if f"-{each.process.pid}-" in (half.taken_by or "")]
    assert 0 < await rows("read_requests_next") < FILL, "it is half built"
    await worker.kill()
    assert await rows() == FILL
    again = await becomes(orders, new, lambda found: found.taken_by != half.taken_by, "another worker")
    assert (again.state, again.attempts) == (OrderState.RUNNING, 2)
    seen: set[int] = set()

    async def ended() -> RebuildOrder | None:
        seen.add(await rows())
        found = await orders.find("requests", new.order_id)
        return found if found is not None and found.is_over else None

    done = await wait_for(ended, 40, "the end of the order")
    assert (done.state, done.events, done.attempts) == (OrderState.DONE, FILL, 2)
    assert seen == {FILL}, "at every moment all rows were shown"
    assert (await mesh.rows("SELECT to_regnamespace('read_requests_next') IS NULL, to_regnamespace('read_requests_old') IS NULL")) == [
        (True, True)
    ]
