"""`agentmesh doctor` against real servers in which faults are planted: each is found, told apart from others, and explained."""

import asyncio
import json
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from redis import Redis

from contracts.envelope import Metadata, encode_stored
from contracts.partitioning import partition_for
from contracts.topics import TopicSpec, events_topic, work_topic_spec
from infra.diagnosis.base import Fault
from infra.diagnosis.kafka import ask_kafka
from infra.diagnosis.postgres import PostgresFacts, ask_postgres
from infra.diagnosis.redis import ask_redis
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.kafka.topics import create_topics
from infra.lags.base import Partition
from infra.lags.kafka import KafkaTopics
from infra.local_stack.ports import free_port
from infra.settings import MeshSettings
from projections.timeline.projection import TIMELINE
from services.cli.doctor import flow, run
from services.cli.doctor.broker import judge_kafka
from services.cli.doctor.findings import Verdict
from tests.integration.cli.conftest import PARTITIONS, Cli, execute
from tests.proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Found = dict[str, dict[str, Any]]
CASE = json.dumps({"customer_id": "cust-0042", "message": "My invoice of May is wrong"})


def findings(cli: Cli) -> tuple[int, Found]:
    answer = cli("doctor", "-o", "json")
    return answer.code, {each["what"]: each for each in answer.json}


def failed(found: Found) -> set[str]:
    return {what for what, each in found.items() if each["verdict"] == "fail"}


def test_it_finds_nothing_where_all_is_well(cli: Cli) -> None:
    code, found = findings(cli)
    assert (code, failed(found)) == (0, set()), found
    assert {what for what, each in found.items() if each["verdict"] == "warn"} <= {
        "workers",
        "leaders",
        "disk",
        "connections",
        "open files",
    }
    assert set(found) >= {
        "python", "packages", "disk", "open files", "signing key", "endpoints", "postgres", "clock", "connections", "schema", "relay",
        "leaders", "projections", "dead letters", "clock of workers", "kafka", "topics", "consumers", "redis", "workers",
    }  # fmt: skip
    text = cli("doctor").out
    assert "no fleet runs here" in text
    assert "0 fail" in text


def test_it_finds_missing_topics_and_those_of_another_size(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found = findings(bare_cli)
    assert (code, failed(found)) == (1, {"topics"})
    assert "agentmesh migrate" in bare_cli("doctor").out
    assert bare_cli("migrate").code == 0
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "4")
    _, found = findings(bare_cli)
    assert "has 3 partitions, 4 are configured" in found["topics"]["found"]


def test_it_finds_a_schema_that_is_missing_behind_or_ahead(cli: Cli, mesh_settings: MeshSettings) -> None:
    execute(mesh_settings, "UPDATE public.schema_version SET version_num = '0001'")
    _, behind = findings(cli)
    execute(mesh_settings, "UPDATE public.schema_version SET version_num = '9999'")
    _, ahead = findings(cli)
    execute(mesh_settings, "DROP TABLE public.schema_version")
    code, missing = findings(cli)
    assert (code, failed(behind), failed(ahead), failed(missing)) == (1, {"schema"}, {"schema"}, {"schema"})
    assert "agentmesh migrate" in behind["schema"]["found"]
    assert "newer than this release" in ahead["schema"]["found"]
    assert "no schema" in missing["schema"]["found"]


def test_it_finds_servers_that_are_away_within_its_time_and_shows_no_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:hunter2hunter2@127.0.0.1:1/none")
    monkeypatch.setenv("AGENTMESH_READER_DATABASE_URL", "postgresql://reader:hunter2hunter2@127.0.0.1:1/none")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2hunter2@127.0.0.1:1/0")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    monkeypatch.delenv("JWT_SECRET_KEY_FILE", raising=False)
    with socket.create_server(("127.0.0.1", free_port(set()))) as taken:
        monkeypatch.setenv("AGENTMESH_HEALTH_PORT", str(taken.getsockname()[1]))
        began = time.monotonic()
        code, found = findings(cli)
    assert code == 1
    assert time.monotonic() - began < 15
    assert failed(found) >= {"postgres", "postgres reader", "kafka", "signing key"}
    assert "AGENTMESH_READER_DATABASE_URL" in found["postgres reader"]["advice"]
    assert any(what.startswith("port ") for what in failed(found))
    assert found["redis"]["verdict"] == "warn"
    assert all("nothing listens at 127.0.0.1:1" in found[what]["found"] for what in ("postgres", "kafka", "redis"))
    assert "hunter2" not in cli("doctor").out


def test_what_was_found_before_the_time_was_up_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ALL_SECONDS", 0.0)
    code, found = findings(cli)
    assert (code, failed(found)) == (1, {"servers"})
    assert {found[what]["verdict"] for what in ("postgres", "kafka", "redis")} == {"ok"}


def test_it_finds_work_that_nobody_does_and_says_why(cli: Cli, mesh_settings: MeshSettings) -> None:
    """A command without a worker, a log without a relay, a read model without its projection or of a release before, a process manager
    that stands still, a task without a host, a clock that is ahead."""
    assert cli("publish", "CreateRequest", CASE, "--no-wait").code == 0
    asyncio.run(put_behind(mesh_settings))
    execute(mesh_settings, "UPDATE mesh.read_models SET version = version - 1 WHERE projection = 'timeline'")
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    plant_event(mesh_settings, later)
    code, found = findings(cli)
    assert code == 1
    assert failed(found) >= {"consumer requests", "relay requests", "projection requests"}
    assert "1 commands wait and nobody is in the group: no fleet runs here" in found["consumer requests"]["found"]
    assert "agentmesh run requests" in found["consumer requests"]["advice"]
    assert "no relay leads" in found["relay requests"]["found"]
    assert "1 events behind and does not get on: no fleet runs here" in found["projection requests"]["found"]
    assert (
        f"its tables are of version {TIMELINE.version - 1}, this release needs {TIMELINE.version}" in found["projection timeline"]["found"]
    )
    assert "agentmesh projections rebuild timeline" in found["projection timeline"]["advice"]
    assert "1 events behind" in found["process requests-process"]["found"]
    assert "agentmesh run requests-process" in found["process requests-process"]["advice"]
    assert (found["agents greeter"]["verdict"], "no host reads them" in found["agents greeter"]["found"]) == ("warn", True)
    assert "no dispatcher leads" in found["leaders"]["found"]
    assert found["clock of workers"]["verdict"] == "warn"


async def test_a_partition_that_stands_still_while_others_get_on_is_seen_with_the_age_of_what_waits_there(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "BETWEEN_LOOKS_SECONDS", 0.0)
    topic = TopicSpec("agentmesh.still.commands.v1", 2, 3_600_000, "delete", {})
    await create_topics(mesh_settings.kafka_bootstrap, [topic], mesh_settings.topic_prefix)
    keys = {partition_for(key, 2): key for key in (b"a", b"b", b"c", b"d")}
    old = int((time.time() - 95) * 1000)
    publisher = PagePublisher(mesh_settings, mesh_settings.kafka_bootstrap, "test")
    await publisher.publish([OutgoingRecord(mesh_settings.topic_prefix + topic.name, keys[each], b"{}", [], old) for each in (0, 1, 1)])
    await publisher.close()
    stands, moves = (Partition(mesh_settings.topic_prefix + topic.name, each) for each in (0, 1))
    places = iter([{"group": {stands: 0, moves: 0}}, {"group": {stands: 0, moves: 1}}])

    async def where() -> flow.Places:
        return next(places)

    kafka = KafkaTopics(mesh_settings, "test")
    try:
        found = await flow._look_twice(kafka, {"group": [stands, moves]}, where)
    finally:
        await kafka.close()
    assert (found["group"].lag, found["group"].moved, found["group"].still.partitions) == (2, True, (0,))
    assert 95 <= found["group"].still.seconds < 95 + 30


async def put_behind(settings: MeshSettings) -> None:
    """An event that no read model and no process manager has applied, and a task that no host has read."""
    events, work = settings.topic_prefix + events_topic("requests"), work_topic_spec("greeter", int(PARTITIONS))
    await create_topics(settings.kafka_bootstrap, [work], settings.topic_prefix)
    publisher = PagePublisher(settings, settings.kafka_bootstrap, "test")
    await publisher.publish([OutgoingRecord(topic, b"req-1", b"{}", []) for topic in (events, settings.topic_prefix + work.name)])
    await publisher.close()
    execute(
        settings, "INSERT INTO mesh.checkpoints VALUES ('requests-process', %s, %s, 0, 0)", events, partition_for(b"req-1", int(PARTITIONS))
    )


def plant_event(settings: MeshSettings, time_text: str) -> None:
    """One event of a request, recorded by a worker whose clock says this."""
    type_name = "agentmesh.requests.RequestDeleted.v1"
    metadata = Metadata(str(uuid.uuid4()), type_name, "/agentmesh/requests", "req-1", time_text, "default", "user", "ann", "c-1", "c-1")
    execute(
        settings,
        "INSERT INTO requests.stored_events (originator_id, originator_version, topic, state, notification_id) VALUES (%s, 1, %s, %s, 1)",
        "req-1", type_name, encode_stored(metadata, b"{}"),
    )  # fmt: skip
    execute(settings, "UPDATE requests.log_head SET position = 1")


# -- who may what ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(mesh_settings: MeshSettings) -> Iterator[str]:
    """The URL of a user of this database who may log in and nothing else."""
    name, password = f"doctor_{uuid.uuid4().hex[:8]}", "right-password"
    with psycopg.connect(mesh_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
    parts = urlsplit(mesh_settings.postgres_dsn)
    yield parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl()
    with psycopg.connect(mesh_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def test_why_a_real_database_lets_nobody_in_is_told_apart(mesh_settings: MeshSettings, stranger: str) -> None:
    parts = urlsplit(stranger)
    name = parts.username or ""
    planted = {
        "wrong password": parts._replace(netloc=parts.netloc.replace("right", "wrong")).geturl(),
        "no such database": parts._replace(path="/no_such_database").geturl(),
        "refused": parts._replace(netloc=f"{name}:x@127.0.0.1:1").geturl(),
        "no such host": parts._replace(netloc=f"{name}:x@no-such-host.invalid:{parts.port}").geturl(),
    }
    for cause, dsn in planted.items():
        fault = await ask_postgres(dsn)
        assert isinstance(fault, Fault), cause
        assert (fault.cause, "-password" in f"{fault}") == (cause, False)
    # PostgreSQL tells a user that does not exist from a wrong password to nobody.
    unknown = await ask_postgres(parts._replace(netloc=f"nobody_at_all:x@{parts.hostname}:{parts.port}").geturl())
    assert isinstance(unknown, Fault)
    assert unknown.cause == "wrong password"

    facts = await ask_postgres(stranger)
    assert isinstance(facts, PostgresFacts)
    assert "requests" in facts.closed_schemas
    assert abs(facts.skew_seconds) < 1  # the same machine
    database = sql.Identifier(urlsplit(mesh_settings.postgres_dsn).path.strip("/"))
    with psycopg.connect(mesh_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
    refused = await ask_postgres(stranger)
    assert isinstance(refused, Fault)
    assert (refused.cause, refused.advice.startswith("psql: GRANT CONNECT")) == ("not permitted", True)


async def test_a_real_kafka_that_sends_its_clients_where_nobody_listens_is_found(mesh_settings: MeshSettings) -> None:
    host, _, port = mesh_settings.kafka_bootstrap.rpartition(":")
    async with Proxy(host, int(port), lambda answer: answer.replace(b"127.0.0.1", b"127.0.0.9")) as proxy:
        finding = judge_kafka(await ask_kafka(f"127.0.0.1:{proxy.port}"), "the proxy")
    assert finding.verdict is Verdict.FAIL
    assert f"the proxy answers, but sends clients to 127.0.0.9:{port}, which cannot be reached from here" in finding.found
    assert "advertised.listeners" in finding.advice


async def test_why_a_real_redis_lets_nobody_in_is_told_apart(mesh_settings: MeshSettings) -> None:
    place = urlsplit(mesh_settings.redis_dsn).netloc.rpartition("@")[2]
    user = f"doctor-{uuid.uuid4().hex[:8]}"
    with Redis.from_url(mesh_settings.redis_dsn) as admin:
        admin.execute_command("ACL", "SETUSER", user, "on", ">right-password", "~*", "-@all", "+ping")
        try:
            wrong = await ask_redis(f"redis://{user}:wrong-password@{place}/0")
            narrow = await ask_redis(f"redis://{user}:right-password@{place}/0")
        finally:
            admin.execute_command("ACL", "DELUSER", user)
    assert isinstance(wrong, Fault)
    assert isinstance(narrow, Fault)
    assert (wrong.cause, narrow.cause) == ("wrong password", "not permitted")
    assert not isinstance(await ask_redis(mesh_settings.redis_dsn), Fault)
