"""The chaos stack: servers in a folder of their own, so that killing them disturbs no other test; and the form of the run.

Short by default. `AGENTMESH_CHAOS=long`, or `make chaos ARGS="--rounds 40"`, runs the form of the acceptance: 40 rounds of 500 commands.
The run through the whole workflow has 5,000 requests in its long form; `--requests` and `--request-seconds` choose others.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local_stack.endpoints import Endpoints
from infra.local_stack.stack import start_servers, stop_stack
from tests.chaos.arena import Arena, clear_leftovers, drop_arena, make_arena
from tests.chaos.fleet import Fleet

CHAOS_ROOT = Path(__file__).resolve().parents[2] / ".agentmesh" / "chaos"
SHORT_ROUNDS, LONG_ROUNDS = 10, 40
SHORT_AWAY, LONG_AWAY = 15.0, 60.0
SHORT_REQUESTS, LONG_REQUESTS = 150, 5_000
SHORT_SECONDS, LONG_SECONDS = 25.0, 400.0


@dataclass(frozen=True)
class Form:
    """How much of it. A round is 500 commands and one fault."""

    rounds: int
    away_seconds: float
    seed: int
    requests: int
    """Of the run through the whole workflow."""
    request_seconds: float
    """How long these are published, and members of the fleet killed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known when this folder is named on the command line, as `make chaos` does."""
    group = parser.getgroup("chaos")
    group.addoption("--rounds", type=int, default=None, help=f"rounds of 500 commands and one fault (default {SHORT_ROUNDS})")
    group.addoption("--away", type=float, default=None, help=f"seconds that a server stays away (default {SHORT_AWAY:g})")
    group.addoption("--requests", type=int, default=None, help=f"requests through the whole workflow (default {SHORT_REQUESTS})")
    group.addoption("--request-seconds", type=float, default=None, help=f"for how long, with kills (default {SHORT_SECONDS:g})")
    group.addoption("--seed", type=int, default=None, help="of commands and faults (default 2026)")


@pytest.fixture(scope="session")
def form(request: pytest.FixtureRequest) -> Form:
    """The size of this run, by option, else by AGENTMESH_CHAOS (`long`) and AGENTMESH_CHAOS_SEED."""
    long = os.environ.get("AGENTMESH_CHAOS") == "long"

    def option(name: str, otherwise: float) -> float:
        value = getattr(request.config.option, name, None)
        return otherwise if value is None else float(value)

    return Form(
        rounds=int(option("rounds", LONG_ROUNDS if long else SHORT_ROUNDS)),
        away_seconds=option("away", LONG_AWAY if long else SHORT_AWAY),
        seed=int(option("seed", int(os.environ.get("AGENTMESH_CHAOS_SEED", "2026")))),
        requests=int(option("requests", LONG_REQUESTS if long else SHORT_REQUESTS)),
        request_seconds=option("request_seconds", LONG_SECONDS if long else SHORT_SECONDS),
    )


@pytest.fixture(scope="session")
def chaos_stack() -> Iterator[Endpoints]:
    """Postgres and Kafka of this folder's own; one run at a time."""
    CHAOS_ROOT.mkdir(parents=True, exist_ok=True)
    lock = os.open(CHAOS_ROOT / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        found = start_servers(CHAOS_ROOT, ["postgres", "kafka"], {"redis": "redis://127.0.0.1:1/0"})
        clear_leftovers(found)
        yield found
        stop_stack(CHAOS_ROOT)
    finally:
        os.close(lock)


@pytest.fixture
async def arena(chaos_stack: Endpoints, tmp_path: Path) -> AsyncIterator[Arena]:
    """A mesh of this test alone on the chaos stack, whose servers run when the test begins, whatever the last one left."""
    found = start_servers(CHAOS_ROOT, ["postgres", "kafka"], {"redis": chaos_stack.redis_url})
    made = await make_arena(CHAOS_ROOT, found.postgres_dsn, found.kafka_bootstrap, tmp_path / "home")
    yield made
    start_servers(CHAOS_ROOT, ["postgres", "kafka"], {"redis": chaos_stack.redis_url})
    await drop_arena(made, found.postgres_dsn)


@pytest.fixture
async def fleet(arena: Arena, tmp_path: Path) -> AsyncIterator[Fleet]:
    """The worker processes of this test."""
    async with Fleet(arena.environment, tmp_path / "logs") as made:
        yield made


@pytest.fixture(autouse=True)
def quiet_clients(caplog: pytest.LogCaptureFixture) -> None:
    """The test's own Kafka clients meet dead brokers all the time; their complaints would bury the report."""
    caplog.set_level(logging.CRITICAL, "aiokafka")


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print past the capture: the figures of a run belong into CI's log."""
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

    def write(text: str) -> None:
        if reporter is not None:
            with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(text)

    return write
