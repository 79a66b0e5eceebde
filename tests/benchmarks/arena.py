"""The ground of one round: servers of the benchmark's own stack, a fresh database, fresh topics, a folder for logs and run files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from contracts.topics import topics
from infra.kafka.topics import create_topics
from infra.local_stack import Endpoints, resolve_endpoints, server, stop_stack
from infra.migrations.runner import migrate
from infra.settings import MeshSettings, load_settings
from projections.catalogue import read_models
from tests.benchmarks.children import ROOT, Children
from tests.benchmarks.measure import Meter

BENCH_ROOT = ROOT / ".agentmesh" / "bench"
PARTITIONS = 12
MARK = "bench_"


class AnotherRun(Exception):
    """Two benchmarks at once would measure each other."""


@dataclass(slots=True)
class Servers:
    """Where the servers are, and their pids where they are ours."""

    endpoints: Endpoints
    postgres_pid: int | None
    kafka_pid: int | None


@contextmanager
def servers(say: Callable[[str], None], *, keep: bool) -> Iterator[Servers]:
    """The servers of the variables, or a local stack of the benchmark's own, stopped at the end unless it is to be kept."""
    BENCH_ROOT.mkdir(parents=True, exist_ok=True)
    lock = os.open(BENCH_ROOT / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AnotherRun("Another benchmark is running on this machine: wait for it to end.") from None
    settings = load_settings(home=BENCH_ROOT)
    try:
        found = resolve_endpoints(settings, start=True, progress=say)
        pids = {name: server(BENCH_ROOT, name).pid for name in ("postgres", "kafka")}
        _clear(found)
        shutil.rmtree(BENCH_ROOT / "runs", ignore_errors=True)
        yield Servers(
            found, None if settings.database_url else pids["postgres"], None if settings.kafka_bootstrap_servers else pids["kafka"]
        )
    finally:
        if not keep:
            stop_stack(BENCH_ROOT)
        os.close(lock)


def _clear(found: Endpoints) -> None:
    """Remove what a killed run left."""
    with psycopg.connect(found.postgres_dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (MARK,)).fetchall()
    for (name,) in rows:
        _drop(found.postgres_dsn, name)
    asyncio.run(_delete_topics(found.kafka_bootstrap, "b-"))


class Arena:
    """One round's ground. Use as a context manager: it ends the round's processes and drops what it made."""

    def __init__(self, found: Servers, name: str, *, partitions: int = PARTITIONS, **environment: str) -> None:
        self._servers = found
        self._token = uuid.uuid4().hex[:10]
        self._database = f"{MARK}{self._token}"
        self.prefix = f"b-{self._token}."
        self.partitions = partitions
        self.folder = BENCH_ROOT / "runs" / f"{name}-{self._token}"
        self.children = Children()
        self.meter = Meter(found.postgres_pid, found.kafka_pid)
        self._more = environment
        dsn = urlsplit(found.endpoints.postgres_dsn)._replace(path=f"/{self._database}").geturl()
        self.dsn = dsn
        self.bootstrap = found.endpoints.kafka_bootstrap
        self.settings: MeshSettings = load_settings(
            home=self.folder, topic_prefix=self.prefix, partitions=partitions, environment="benchmark"
        ).with_endpoints(postgres_dsn=dsn, redis_url=found.endpoints.redis_url, kafka_bootstrap=self.bootstrap)

    def __enter__(self) -> Arena:
        self.folder.mkdir(parents=True, exist_ok=True)
        with psycopg.connect(self._servers.endpoints.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._database)))
        migrate(self.dsn, read_models())
        asyncio.run(create_topics(self.bootstrap, topics(self.partitions), self.prefix))
        self.checkpoint()
        return self

    def __exit__(self, *_: object) -> None:
        self.children.stop()
        _drop(self._servers.endpoints.postgres_dsn, self._database)
        asyncio.run(_delete_topics(self.bootstrap, self.prefix))

    def checkpoint(self) -> None:
        """Let Postgres write out what earlier rounds left, so that it does not do so during this one."""
        with psycopg.connect(self.dsn, autocommit=True) as connection, suppress(psycopg.Error):
            connection.execute("CHECKPOINT")

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the benchmark's own."""
        return psycopg.connect(self.dsn, autocommit=True)

    def environment(self) -> dict[str, str]:
        """The environment of the round's processes."""
        settings = self.settings
        return {
            **os.environ,
            "ENVIRONMENT": "benchmark",
            "LOG_LEVEL": "WARNING",
            "DATABASE_URL": settings.postgres_dsn,
            "REDIS_URL": settings.redis_dsn,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap,
            "AGENTMESH_HOME": str(settings.home),
            "AGENTMESH_TOPIC_PREFIX": settings.topic_prefix,
            "AGENTMESH_PARTITIONS": str(settings.partitions),
            "PYTHONUNBUFFERED": "1",
            **self._more,
        }


def _drop(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def _delete_topics(bootstrap: str, prefix: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
    with suppress(KafkaError, OSError):
        await admin.start()
        if names := [name for name in await admin.list_topics() if name.startswith(prefix)]:
            await admin.delete_topics(names)
    await admin.close()
