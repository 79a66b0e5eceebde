"""What every test may ask for: the servers in use, a fresh migrated database, a topic prefix of its own, settings made of them.

The servers are those of the environment variables, containers when `AGENTMESH_SERVERS=docker` asks for them, else the local stack
in `.agentmesh/tests`, started before the first test that needs it and stopped at the end. Several runs at a time share one stack.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pydantic_ai.models
import pytest
from psycopg import sql

from infra.local_stack import Endpoints, LocalStackError, resolve_endpoints, source_of, stop_stack
from infra.local_stack.kafka import KafkaServer
from infra.settings import MeshSettings, SettingsError, load_settings

# No test asks a real model; tests/model_endpoint.py lets calls to a server of its own through.
pydantic_ai.models.ALLOW_MODEL_REQUESTS = False

TEST_ROOT = Path(__file__).resolve().parent.parent / ".agentmesh" / "tests"
TOPIC_MARK = "t-"
DATABASE_MARK = "test_"


class TestServers:
    """The servers of one test run, and the run's share in the local stack: the last run to end stops it."""

    __test__ = False

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._share = -1
        self._found: Endpoints | LocalStackError | None = None

    def endpoints(self) -> Endpoints:
        """Start or find the servers, at the first call; a failure is remembered and raised again."""
        if self._found is None:
            try:
                self._found = self._start()
            except LocalStackError as error:
                self._found = error
        if isinstance(self._found, LocalStackError):
            raise self._found
        return self._found

    def _start(self) -> Endpoints:
        settings = load_settings(home=TEST_ROOT)
        self._say(source_of(settings))
        alone = self._take_share()
        found = resolve_endpoints(settings, start=True, progress=lambda message: self._say(f"  {message}"))
        if alone and settings.kafka_bootstrap_servers is None and settings.database_url is None:
            clear_leftovers(found)
        fcntl.flock(self._share, fcntl.LOCK_SH)
        return found

    def _take_share(self) -> bool:
        """Take part in the use of the stack; whether nobody else does now."""
        TEST_ROOT.mkdir(parents=True, exist_ok=True)
        self._share = os.open(TEST_ROOT / "runs.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._share, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._share, fcntl.LOCK_SH)
            return False
        return True

    def stop(self) -> None:
        """Stop the local stack, unless another run still uses it or it was never started."""
        if self._share < 0:
            return
        with suppress(BlockingIOError):
            fcntl.flock(self._share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stop_stack(TEST_ROOT)
        os.close(self._share)
        self._share = -1


SERVERS_KEY = pytest.StashKey[TestServers]()


def pytest_configure(config: pytest.Config) -> None:
    # A broker that lives for minutes never earns back what Java's second compiler costs: a third of the processor time of its start.
    KafkaServer.java_options = (*KafkaServer.java_options, "-XX:TieredStopAtLevel=1")

    # Nor does a worker process that a test starts: whatever model or payment service this shell is set up for is not the tests'.
    for name in [name for name in os.environ if name.startswith(("AGENTMESH_MODEL_", "AGENTMESH_PAYMENTS_"))]:
        del os.environ[name]

    def say(message: str) -> None:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(message)

    config.stash[SERVERS_KEY] = TestServers(say)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what never runs side by side with others, so that a run chooses by one mark."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("chaos", "e2e")):
            item.add_marker(pytest.mark.alone)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A run in several processes starts the servers before its processes, which cannot show progress, unless it names unit tests only."""
    config = session.config
    leads = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if leads and not config.option.collectonly and not all("unit" in Path(argument).parts for argument in config.args):
        with suppress(LocalStackError, SettingsError):
            config.stash[SERVERS_KEY].endpoints()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the servers before the first test, outside its time limit: the very first start downloads Kafka."""
    needed = any("endpoints" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly:
        with suppress(LocalStackError, SettingsError):
            session.config.stash[SERVERS_KEY].endpoints()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS_KEY].stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured text that is not UTF-8 goes escaped into the report, for a run in several processes sends it from one to another."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def endpoints(request: pytest.FixtureRequest) -> Endpoints:
    """The real servers of this run; which ones is printed at its start."""
    return request.config.stash[SERVERS_KEY].endpoints()


@pytest.fixture(scope="session")
def stack_root(endpoints: Endpoints) -> Path:
    """The root of the local stack in use, for tests that kill its servers; skipped where the servers are somebody else's."""
    settings = load_settings(home=TEST_ROOT)
    if settings.servers == "docker" or settings.database_url or settings.kafka_bootstrap_servers or settings.redis_url:
        pytest.skip("kills servers of the local stack, but others are in use: unset DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, REDIS_URL")
    return TEST_ROOT


@pytest.fixture(scope="session")
def database_template(endpoints: Endpoints) -> Iterator[str]:
    """The name of a migrated database that others are copied from."""
    from infra.migrations.runner import migrate
    from projections.catalogue import read_models

    name = f"{DATABASE_MARK}template_{uuid.uuid4().hex[:12]}"
    _in_database(endpoints.postgres_dsn, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        migrate(with_database(endpoints.postgres_dsn, name), read_models())
        yield name
    finally:
        drop_database(endpoints.postgres_dsn, name)


@pytest.fixture
def database(endpoints: Endpoints, database_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database of this test alone."""
    yield from copied_database(endpoints, database_template)


@pytest.fixture(scope="module")
def shared_database(endpoints: Endpoints, database_template: str) -> Iterator[str]:
    """One database for the tests of a module: a copy of the template for each would take longer than they do."""
    yield from copied_database(endpoints, database_template)


def copied_database(endpoints: Endpoints, template: str) -> Iterator[str]:
    """The URL of a copy of the template; dropped when it is not needed any more."""
    name = f"{DATABASE_MARK}{uuid.uuid4().hex[:12]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    _in_database(endpoints.postgres_dsn, copy)
    yield with_database(endpoints.postgres_dsn, name)
    drop_database(endpoints.postgres_dsn, name)


@pytest.fixture
def mesh_prefix(endpoints: Endpoints) -> Iterator[str]:
    """A prefix for topics and groups of this test alone; topics that carry it are deleted afterwards."""
    prefix = f"{TOPIC_MARK}{uuid.uuid4().hex[:12]}."
    yield prefix
    in_thread(delete_topics(endpoints.kafka_bootstrap, prefix))


@pytest.fixture
def mesh_settings(endpoints: Endpoints, database: str, mesh_prefix: str, tmp_path: Path) -> MeshSettings:
    """Settings of a mesh of this test alone: own database, own topics, own home folder."""
    settings = load_settings(environment="test", home=tmp_path, topic_prefix=mesh_prefix)
    return settings.with_endpoints(postgres_dsn=database, redis_url=endpoints.redis_url, kafka_bootstrap=endpoints.kafka_bootstrap)


@pytest.fixture
def mesh_environment(mesh_settings: MeshSettings) -> dict[str, str]:
    """The environment of a child process that belongs to the same mesh as `mesh_settings`."""
    return {
        **os.environ,
        "ENVIRONMENT": mesh_settings.environment,
        "DATABASE_URL": mesh_settings.postgres_dsn,
        "REDIS_URL": mesh_settings.redis_dsn,
        "KAFKA_BOOTSTRAP_SERVERS": mesh_settings.kafka_bootstrap,
        "AGENTMESH_HOME": str(mesh_settings.home),
        "AGENTMESH_TOPIC_PREFIX": mesh_settings.topic_prefix,
    }


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


def drop_database(dsn: str, name: str) -> None:
    """Drop a test's database, whoever is still connected to it."""
    _in_database(dsn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def clear_leftovers(found: Endpoints) -> None:
    """Remove databases and topics of earlier runs that were killed; only called when no other run shares the servers."""
    with psycopg.connect(found.postgres_dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (DATABASE_MARK,)).fetchall()
    for (name,) in rows:
        drop_database(found.postgres_dsn, name)
    in_thread(delete_topics(found.kafka_bootstrap, TOPIC_MARK))


async def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic whose name starts with `prefix`."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    with suppress(KafkaError, OSError):  # a test may have left the broker dead; its topics go with the next run
        await admin.start()
        if topics := [name for name in await admin.list_topics() if name.startswith(prefix)]:
            await admin.delete_topics(topics)
    await admin.close()


def in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run async work from a plain fixture without touching the loop that pytest-asyncio keeps in this thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _in_database(dsn: str, statement: sql.Composed) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)
