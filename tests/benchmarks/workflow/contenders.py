"""Starts a contender's processes in an arena of its own, and talks to its driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from infra.knowledge.files import documents_in
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.postgres import PostgresKnowledgeBase
from infra.postgres.pool import Database
from services.cli.fleet import DEFAULT_FLEET, GATEWAY
from tests.benchmarks.arena import Arena
from tests.benchmarks.children import ROOT, Child
from tests.benchmarks.load import request_id
from tests.benchmarks.pipelines import wait_ready
from tests.benchmarks.workflow.cases import SEED, TENANT
from tests.benchmarks.workflow.hops import Hop, hops
from tests.benchmarks.workflow.process import PROFILES

ARTICLES = ROOT / "services" / "support_agents" / "knowledge"
CELERY_PROCESSES = 2
DBOS_PROCESSES = 2


class Contest:
    """One contender in one arena: its processes run, its driver waits for work."""

    name = ""
    driver_module = ""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.workers: list[str] = []

    def start(self) -> None:
        """Start everything and wait until it is ready."""
        asyncio.run(_add_articles(self.arena))
        self.start_workers()
        self._driver = self.launch("driver", self.driver_module)
        self._driver.hear()
        self.started()

    def start_workers(self) -> None:
        """The processes that do the work."""
        raise NotImplementedError

    def started(self) -> None:
        """Whatever has to be waited for once the driver runs."""

    def do(self, what: str, **arguments: Any) -> Any:
        """Let the driver do something; answers what it says of it."""
        self._driver.say(json.dumps({"do": what, **arguments}))
        answer = self._driver.hear()
        self.arena.children.check()
        return answer

    def commands(self) -> int | None:
        """Commands handled so far, of a contender that has such."""
        return None

    def hops(self, first: int, count: int) -> list[Hop]:
        """Where the time of these requests went, of a contender whose events tell."""
        return []

    def launch(self, name: str, module: str, *arguments: str, **environment: str) -> Child:
        """Start one process and count its CPU."""
        arena = self.arena
        child = arena.children.start(name, module, arguments, {**arena.environment(), **environment}, arena.folder)
        arena.meter.watch(name, child.pid)
        return child


class Product(Contest):
    """The fleet as `agentmesh up` starts it."""

    name = "product"
    driver_module = "tests.benchmarks.workflow.product_driver"
    profiles: Path | None = None

    def start_workers(self) -> None:
        environment = {} if self.profiles is None else {PROFILES: str(self.profiles)}
        started = []
        for member in DEFAULT_FLEET:
            if member.replicas and member.name != GATEWAY:  # nobody calls it here
                started.append(self.launch(member.name, "tests.benchmarks.workflow.process", member.name, *member.arguments, **environment))
                started[-1].drain()
        for child in started:
            wait_ready(self.arena, child)

    def commands(self) -> int | None:
        with self.arena.connect() as connection:
            row = connection.execute("SELECT (SELECT count(*) FROM requests.inbox) + (SELECT count(*) FROM tasks.inbox)").fetchone()
        return int(str(row[0])) if row else None

    def hops(self, first: int, count: int) -> list[Hop]:
        with self.arena.connect() as connection:
            return hops(connection, [request_id(SEED, number) for number in range(first, first + count)])


class CeleryChain(Contest):
    """A worker with two processes, Redis as broker and for results."""

    name = "celery"
    driver_module = "tests.benchmarks.workflow.celery_driver"

    def start_workers(self) -> None:
        _flush_redis(self.arena)
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        arguments = ("-A", "tests.benchmarks.workflow.celery_app", "worker", "-P", "prefork", "-c", str(CELERY_PROCESSES), "-l", "WARNING")
        self.launch("celery", "celery", *arguments, *quiet).drain()

    def started(self) -> None:
        self.do("alone", first=0, times=1, pause=0)
        self.arena.meter.watch_children("celery")


class DbosWorkflow(Contest):
    """Two processes that take from one queue."""

    name = "dbos"
    driver_module = "tests.benchmarks.workflow.dbos_driver"

    def start_workers(self) -> None:
        for number in range(1, DBOS_PROCESSES + 1):
            # One after the other: the first makes the tables.
            child = self.launch(f"dbos-{number}", "tests.benchmarks.workflow.dbos_app", f"worker-{number}")
            child.hear()
            child.drain()


CONTESTS: dict[str, type[Contest]] = {each.name: each for each in (Product, CeleryChain, DbosWorkflow)}


@contextmanager
def contest(kind: str, arena: Arena) -> Iterator[Contest]:
    """A contender, started; the arena ends its processes."""
    made = CONTESTS[kind](arena)
    made.start()
    yield made


async def _add_articles(arena: Arena) -> None:
    database = Database(arena.settings, arena.dsn, name="bench")
    await database.open()
    try:
        await PostgresKnowledgeBase(database, LocalEmbedding()).add(TENANT, documents_in([ARTICLES]))
    finally:
        await database.close()


def _flush_redis(arena: Arena) -> None:
    for number in (1, 2):
        with redis.Redis.from_url(urlsplit(arena.settings.redis_dsn)._replace(path=f"/{number}").geturl()) as connection:
            connection.flushdb()
