"""Starts the three processes of a pipeline, raw or product, in an arena, and knows how to see what they have done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from tests.benchmarks import raw_pipeline
from tests.benchmarks.arena import Arena
from tests.benchmarks.children import Child

READY_SECONDS = 60.0
POLL_SECONDS = 0.02


class TooSlow(Exception):
    """What was waited for did not come in time."""


class Pipeline:
    """Three stages, each a process. Tables tell how far it is: the last command of each partition is visible, so all of them are."""

    name = ""
    stages: tuple[str, ...] = ()
    stored = ""
    visible = ""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.children: dict[str, Child] = {}
        self._connection = arena.connect()

    def start(self, *stages: str) -> None:
        """Start these stages, or all, and wait until they work."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the pipeline needs in the arena's database."""

    def stop(self) -> None:
        """End the processes."""
        if self.children:
            self.arena.children.stop(*self.children.values())
        self.children = {}
        self._connection.close()

    def wait_for(self, table: str, ids: Sequence[str], seconds: float) -> float:
        """Wait until all these requests are in the table; answers when that was."""
        column = "originator_id" if table == self.stored else "request_id"
        query = f"SELECT count(*) FROM {table} WHERE {column} = ANY (%s)"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            row = self._connection.execute(query, (list(ids),)).fetchone()
            if row is not None and row[0] == len(ids):
                return time.monotonic()
            self.arena.children.check(*self.children.values())
            time.sleep(POLL_SECONDS)
        raise TooSlow(f"{self.name}: after {seconds:.0f} s not all commands are in {table}; logs are in {self.arena.folder}")

    def count(self, table: str) -> int:
        """The rows of a table."""
        row = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(str(row[0])) if row else 0

    def _launch(self, name: str, module: str, arguments: Sequence[str]) -> Child:
        child = self.arena.children.start(name, module, arguments, self.arena.environment(), self.arena.folder)
        self.children[name] = child
        self.arena.meter.watch(name, child.pid)
        return child


class Product(Pipeline):
    """The product's own workers."""

    name = "product"
    stages = ("requests", "relay", "projections")
    stored = "requests.stored_events"
    visible = "read_requests.requests"

    def start(self, *stages: str) -> None:
        chosen = stages or self.stages
        for stage in chosen:
            self._launch(stage, "tests.benchmarks.launch", [stage]).drain()
        for stage in chosen:
            wait_ready(self.arena, self.children[stage])


def wait_ready(arena: Arena, child: Child) -> None:
    """Wait until a worker of the product says that it is ready."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        child.check()
        if (port := _port(arena, child.pid)) and _answers(port):
            return
        time.sleep(0.05)
    raise TooSlow(f"{child.name} was not ready after {READY_SECONDS:.0f} s; its log is {child.log}")


def _port(arena: Arena, pid: int) -> int | None:
    for path in (arena.folder / ".agentmesh" / "run").glob("*.json"):
        noted = json.loads(path.read_bytes())
        if noted["pid"] == pid:
            return int(noted["port"])
    return None


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Raw(Pipeline):
    """The reference."""

    name = "raw"
    stages = ("insert", "tail", "upsert")
    stored = "raw.stored_events"
    visible = f"{raw_pipeline.SCHEMA}.requests"
    arguments: tuple[str, ...] = ()

    def prepare(self) -> None:
        raw_pipeline.make_tables(self._connection)

    def start(self, *stages: str) -> None:
        chosen = stages or self.stages
        for stage in chosen:
            self._launch(stage, "tests.benchmarks.raw_pipeline", [stage, *self.arguments])
        for stage in chosen:
            self.children[stage].hear()
            self.children[stage].drain()


class RawWithHistory(Raw):
    """The reference, which also writes the history row."""

    name = "raw+history"
    arguments = ("--history",)


PIPELINES: dict[str, Callable[[Arena], Pipeline]] = {each.name: each for each in (Raw, Product, RawWithHistory)}


@contextmanager
def running(kind: str, arena: Arena, *stages: str) -> Iterator[Pipeline]:
    """A pipeline of this kind, prepared and started."""
    pipeline = PIPELINES[kind](arena)
    try:
        pipeline.prepare()
        pipeline.start(*stages)
        yield pipeline
    finally:
        pipeline.stop()


def publisher(arena: Arena, mode: str, **arguments: Any) -> Child:
    """The publisher process; it waits for the word `go`."""
    given = [text for name, value in arguments.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    return arena.children.start(f"load-{arguments['seed']}", "tests.benchmarks.load", [mode, *given], arena.environment(), arena.folder)
