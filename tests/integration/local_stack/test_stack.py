"""One real stack of its own is started, used, crashed, found again and stopped; the tests run in this order, each on the last."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.local_stack import (
    Endpoints,
    LocalStackError,
    read_endpoints,
    resolve_endpoints,
    restart_server,
    server,
    start_stack,
    status,
    stop_stack,
    with_servers,
)
from infra.local_stack.errors import ServerFailedToStart
from infra.local_stack.ports import PortBook
from infra.local_stack.redis import RedisServer
from infra.local_stack.stack import SERVERS, postgres, state_dir_of
from infra.settings import MeshSettings, load_settings
from tests.conftest import TEST_ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

REPOSITORY = Path(__file__).resolve().parents[3]
TOPIC = "survivor"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Below the repository: other test runs change the rights of the folders of pytest, which Postgres must pass."""
    root = TEST_ROOT / f"stack-{uuid.uuid4().hex[:8]}"
    leftover = state_dir_of(root) / "servers" / "postgres" / "data.new-1"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("an initdb that was killed")
    yield root
    stop_stack(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def started(root: Path) -> Endpoints:
    return start_stack(root)


def pids(root: Path) -> dict[str, int | None]:
    return {name: server(root, name).pid for name in SERVERS}


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AGENTMESH_HOME": str(root)}
    line = [sys.executable, "-m", "infra.local_stack", *arguments]
    return subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def topics(bootstrap: str, *, create: bool = False) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if create:
            await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        return list(await admin.list_topics())
    finally:
        await admin.close()


def test_the_servers_answer_and_their_endpoints_are_written_for_their_owner_only(root: Path, started: Endpoints) -> None:
    assert [each.state for each in status(root)] == ["running"] * 3
    path = state_dir_of(root) / "endpoints.json"
    assert json.loads(path.read_text()) == started.to_dict()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_endpoints(state_dir_of(root)) == started
    assert not list((state_dir_of(root) / "servers" / "postgres").glob("data.new*"))


def test_postgres_is_durable_and_has_pgvector_and_an_ordinary_user(started: Endpoints) -> None:
    with psycopg.connect(started.postgres_dsn) as connection:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "max_connections": "300",
        }.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,4]'::vector").fetchone() == (2.0,)
        assert connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone() == (
            False,
            True,
        )
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("agentmesh", "agentmesh")


def test_postgres_refuses_a_wrong_password(started: Endpoints) -> None:
    dsn = started.postgres_dsn.replace("agentmesh:", "agentmesh:not-", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn, connect_timeout=5)


def test_no_password_is_shown(root: Path, started: Endpoints) -> None:
    password = started.postgres_dsn.split("@")[0].rsplit(":", 1)[1]
    shown = command(root, "start")
    assert shown.returncode == 0, shown.stderr
    assert password not in shown.stdout + shown.stderr + repr(started) + str(started.masked()) + repr(status(root))
    logs = [(state_dir_of(root) / "servers" / name / "server.log").read_text() for name in SERVERS]
    assert password not in "".join(logs)


def test_a_topic_is_never_made_by_accident(started: Endpoints) -> None:
    assert TOPIC not in asyncio.run(topics(started.kafka_bootstrap))
    assert TOPIC in asyncio.run(topics(started.kafka_bootstrap, create=True))


def test_a_second_start_reuses_the_running_servers(root: Path, started: Endpoints) -> None:
    before = pids(root)
    began = time.monotonic()
    assert start_stack(root) == started
    assert pids(root) == before
    assert time.monotonic() - began < 20


def test_settings_without_endpoints_find_the_running_stack(root: Path, started: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bare_settings(root, monkeypatch)
    assert resolve_endpoints(settings) == started
    assert with_servers(settings).postgres_dsn == started.postgres_dsn
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/0")
    partly = resolve_endpoints(load_settings(home=root))
    assert (partly.redis_url, partly.kafka_bootstrap) == ("redis://elsewhere:6379/0", started.kafka_bootstrap)


def test_after_kill_9_two_starts_at_once_bring_back_the_same_ports_and_data(
    root: Path, started: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(started.postgres_dsn) as connection:
        connection.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
    for name in SERVERS:
        server(root, name).kill(signal.SIGKILL)
    assert set(pids(root).values()) == {None}
    assert (state_dir_of(root) / "servers" / "postgres" / "data" / "postmaster.pid").exists()
    with pytest.raises(LocalStackError, match="No postgres and no kafka and no redis runs here"):
        resolve_endpoints(bare_settings(root, monkeypatch))

    with ThreadPoolExecutor(2) as pool:
        found = [each.result() for each in [pool.submit(start_stack, root), pool.submit(start_stack, root)]]

    assert found == [started, started]
    with psycopg.connect(started.postgres_dsn) as connection:
        assert connection.execute("SELECT answer FROM survivor").fetchone() == (42,)
    assert TOPIC in asyncio.run(topics(started.kafka_bootstrap))


def test_a_stale_postmaster_pid_with_a_pid_used_again_does_not_keep_postgres_from_starting(root: Path, started: Endpoints) -> None:
    database = postgres(root)
    database.stop("immediate")
    lock = database.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{database.data}\n")
    database.start()
    with psycopg.connect(started.postgres_dsn) as connection:
        assert connection.execute("SELECT answer FROM survivor").fetchone() == (42,)


def test_a_postgres_that_lost_its_record_is_found_by_its_own_lock_file(root: Path, started: Endpoints) -> None:
    database = postgres(root)
    first = database.pid
    database.record.clear()
    assert not database.is_running()
    database.start()
    assert database.pid not in (None, first)
    assert database.endpoint() == started.postgres_dsn


def test_a_server_that_hangs_is_replaced(root: Path, started: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisServer, "answer_seconds", 0.2)
    monkeypatch.setattr(RedisServer, "stop_seconds", 0.2)
    redis = server(root, "redis")
    hanging = redis.pid
    redis.kill(signal.SIGSTOP)
    assert not redis.answers()
    redis.start()
    assert redis.answers()
    assert redis.pid != hanging
    assert redis.endpoint() == started.redis_url


def test_a_taken_port_is_given_up_for_a_new_one_which_endpoints_json_tells(
    root: Path, started: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PortBook, "patience_seconds", 0.05)
    redis = server(root, "redis")
    redis.stop()
    port = redis.ports.remembered()["redis"]
    taker = RedisServer(root / "taker")
    taker.ports.choose("redis")
    (root / "taker" / "servers" / "redis" / "ports.json").write_text(json.dumps({"redis": port}))
    taker.start()
    try:
        restart_server(root, "redis")
        noted = read_endpoints(state_dir_of(root))
        assert noted is not None
        assert noted.redis_url == redis.endpoint() != started.redis_url
        assert noted.postgres_dsn == started.postgres_dsn
    finally:
        taker.stop()


def test_a_failed_start_shows_the_end_of_the_servers_log_and_keeps_the_others(root: Path, started: Endpoints) -> None:
    redis = server(root, "redis")
    redis.stop()
    rotten = redis.data / "dump.rdb"
    rotten.write_bytes(b"this is no dump")
    with pytest.raises(ServerFailedToStart, match=r"redis ended while starting(?s:.*)Wrong signature"):
        redis.start()
    with pytest.raises(LocalStackError, match="Wrong signature"):
        start_stack(root)
    assert [each.state for each in status(root)] == ["running", "running", "stopped"]
    rotten.unlink()
    start_stack(root)
    assert [each.state for each in status(root)] == ["running"] * 3


def test_an_unknown_server_is_refused(root: Path) -> None:
    answer = command(root, "restart", "oracle")
    assert answer.returncode == 1
    assert "choose one of postgres, kafka, redis" in answer.stderr


def test_stop_ends_every_process_and_says_so(root: Path, started: Endpoints) -> None:
    assert command(root, "status").returncode == 0
    assert command(root, "stop").returncode == 0
    assert set(pids(root).values()) == {None}
    assert read_endpoints(state_dir_of(root)) is None
    shown = command(root, "status", "-o", "json")
    assert shown.returncode == 3
    assert {each["state"] for each in json.loads(shown.stdout)} == {"stopped"}
    stop_stack(root)


def bare_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> MeshSettings:
    for name in ("DATABASE_URL", "POSTGRES_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "AGENTMESH_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    return load_settings(home=root)
