"""The checks against real Postgres, Kafka and Redis, including their absence."""

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import BlockingConnectionPool, Redis

from contracts.topics import HEALTH_TOPIC, TopicSpec
from infra.health.base import HealthCheck, HealthStatus, check_all
from infra.health.event_store import EventStoreHealthCheck
from infra.health.kafka import KafkaHealthCheck
from infra.health.postgres import PostgresHealthCheck
from infra.health.redis import RedisHealthCheck
from infra.kafka.topics import create_topics
from infra.local_stack import Endpoints, server

pytestmark = pytest.mark.integration
WELL = (HealthStatus.HEALTHY, HealthStatus.DEGRADED)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def recovered(check: HealthCheck, seconds: float) -> bool:
    """Whether the check answers well again in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (await check.check()).status in WELL:
            return True
        await asyncio.sleep(0.05)
    return False


class Proxy:
    """A TCP proxy to one server, which can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()
            self._writers.discard(writer)


@pytest_asyncio.fixture
async def kafka(endpoints: Endpoints, mesh_prefix: str) -> AsyncIterator[KafkaHealthCheck]:
    await create_topics(endpoints.kafka_bootstrap, [TopicSpec(HEALTH_TOPIC, 3, 3_600_000, "delete")], mesh_prefix)
    check = KafkaHealthCheck(SimpleNamespace(kafka_bootstrap=endpoints.kafka_bootstrap, topic_prefix=mesh_prefix))
    yield check
    await check.close()


async def test_a_message_of_our_own_comes_back_from_the_broker(kafka: KafkaHealthCheck, mesh_prefix: str) -> None:
    first, second = await kafka.check(), await kafka.check()
    assert first.status in WELL
    assert second.status in WELL
    assert second.details["topic"] == mesh_prefix + HEALTH_TOPIC
    assert 0 < second.details["round_trip_ms"] < 5_000
    assert second.response_time_ms == second.details["round_trip_ms"]


async def test_checks_at_the_same_time_share_one_consumer_and_each_gets_its_own_message(kafka: KafkaHealthCheck) -> None:
    answers = await asyncio.gather(*(kafka.check() for _ in range(20)))
    assert {answer.status for answer in answers} <= set(WELL)
    clients = kafka._clients
    await kafka.check()
    assert kafka._clients is clients


async def test_a_probe_that_gives_up_does_not_disturb_the_others(kafka: KafkaHealthCheck) -> None:
    await kafka.check()
    clients = kafka._clients
    probes = [asyncio.create_task(kafka.check()) for _ in range(3)]
    await asyncio.sleep(0)
    probes[0].cancel()
    answers = await asyncio.gather(*probes, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [getattr(answer, "status", None) in WELL for answer in answers[1:]] == [True, True]
    assert kafka._clients is clients


async def test_strange_messages_on_the_topic_are_no_arrival(kafka: KafkaHealthCheck, endpoints: Endpoints, mesh_prefix: str) -> None:
    await kafka.check()
    producer = AIOKafkaProducer(bootstrap_servers=endpoints.kafka_bootstrap)
    await producer.start()
    await producer.send_and_wait(mesh_prefix + HEALTH_TOPIC, None, key=b"tombstone")
    await producer.send_and_wait(mesh_prefix + HEALTH_TOPIC, uuid.uuid4().bytes)
    await producer.stop()
    assert (await kafka.check()).status in WELL


async def test_the_check_connects_again_after_its_consumer_broke(kafka: KafkaHealthCheck) -> None:
    await kafka.check()
    broken = kafka._clients
    assert broken is not None
    await broken.close()
    answers = [await kafka.check() for _ in range(2)]
    assert answers[-1].status in WELL
    assert kafka._clients is not broken


async def test_a_missing_topic_says_which_command_creates_it(endpoints: Endpoints, mesh_prefix: str) -> None:
    check = KafkaHealthCheck(SimpleNamespace(kafka_bootstrap=endpoints.kafka_bootstrap, topic_prefix=mesh_prefix))
    answer = await check.check()
    assert answer.status is HealthStatus.UNHEALTHY
    assert "agentmesh migrate" in answer.details["error"]
    await check.close()


async def test_a_broker_that_is_away_is_unhealthy_within_five_seconds_and_the_check_can_be_closed() -> None:
    check = KafkaHealthCheck(SimpleNamespace(kafka_bootstrap=f"127.0.0.1:{unused_port()}", topic_prefix=""))
    answers = await asyncio.gather(check.check(), check.check())
    assert {answer.status for answer in answers} == {HealthStatus.UNHEALTHY}
    assert max(answer.response_time_ms for answer in answers) < 5_500
    async with asyncio.timeout(6):
        await check.close()
    assert (await check.check()).details["error"] == "NoArrival: the check is closed"


@pytest.mark.alone
async def test_a_broker_that_accepts_and_never_answers_is_unhealthy_after_five_seconds() -> None:
    silent: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: silent.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    check = KafkaHealthCheck(SimpleNamespace(kafka_bootstrap=f"127.0.0.1:{port}", topic_prefix=""))
    answer = await check.check()
    assert answer.status is HealthStatus.UNHEALTHY
    assert 4_000 < answer.response_time_ms < 5_600
    async with asyncio.timeout(10):
        await check.close()
    for writer in silent:
        writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(180)
async def test_the_check_recovers_from_the_death_of_its_broker_and_reports_it_meanwhile(tmp_path: Path) -> None:
    broker = server(tmp_path, "kafka")  # a broker of this test alone
    try:
        await asyncio.to_thread(broker.start)
        await create_topics(broker.endpoint(), [TopicSpec(HEALTH_TOPIC, 1, 3_600_000, "delete")])
        check = KafkaHealthCheck(SimpleNamespace(kafka_bootstrap=broker.endpoint(), topic_prefix=""))
        assert (await check.check()).status in WELL
        await asyncio.to_thread(broker.kill)
        answers = await asyncio.gather(*(check.check() for _ in range(3)))
        assert {answer.status for answer in answers} == {HealthStatus.UNHEALTHY}
        assert max(answer.response_time_ms for answer in answers) < 5_600
        await asyncio.to_thread(broker.start)
        assert await recovered(check, 30)
        await check.close()
    finally:
        await asyncio.to_thread(broker.stop)


async def test_postgres_and_event_store_answer_and_are_unhealthy_when_cut_off(endpoints: Endpoints) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(endpoints.postgres_dsn)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    await proxy.mend()
    dsn = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}").geturl()
    pool = AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False, reconnect_timeout=1)
    await pool.open(wait=True)
    check = PostgresHealthCheck(pool)

    class Store:
        async def head(self) -> int:
            async with pool.connection(timeout=2) as connection:
                row = await (await connection.execute("SELECT 7")).fetchone()
                return int(row[0]) if row else -1

    answer = await check.check()
    assert answer.status in WELL
    assert answer.details.keys() == {"query_time_ms"}
    assert (await EventStoreHealthCheck(Store()).check()).details["position"] == 7
    await proxy.cut()
    state = await check_all([check, EventStoreHealthCheck(Store())])
    assert state.overall_status is HealthStatus.UNHEALTHY
    assert all("error" in component.details for component in state.components)
    await proxy.mend()
    assert await recovered(check, 15)
    await pool.close()
    await proxy.cut()


@pytest.mark.parametrize("decode", [True, False])
async def test_redis_takes_gives_back_and_forgets_a_value(endpoints: Endpoints, decode: bool) -> None:
    client = Redis.from_pool(BlockingConnectionPool.from_url(endpoints.redis_url, decode_responses=decode))
    answer = await RedisHealthCheck(client).check()
    assert answer.status is HealthStatus.HEALTHY
    assert [key async for key in client.scan_iter("health-check-*")] == []
    await client.aclose()


async def test_the_loss_of_redis_only_degrades() -> None:
    client = Redis(host="127.0.0.1", port=unused_port(), socket_connect_timeout=1)
    state = await check_all([RedisHealthCheck(client)])
    assert state.overall_status is HealthStatus.DEGRADED
    assert state.dependencies == {"cache": HealthStatus.UNHEALTHY}
    await client.aclose()
