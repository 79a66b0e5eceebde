"""`agentmesh doctor` judges what it has seen: each fault has its verdict, its cause in words and what to do about it."""

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import exceptions

from infra.diagnosis import kafka, postgres, redis
from infra.diagnosis.base import Fault, explain_connection
from infra.diagnosis.kafka import Broker, GroupState, ask_kafka
from infra.diagnosis.postgres import PostgresFacts, ask_postgres
from infra.diagnosis.redis import ask_redis
from infra.errors import ConfigurationError, TransientError
from infra.settings import load_settings
from projections.catalogue import KEPT_BY_SERVICES
from services.cli import worker_metrics
from services.cli.doctor import machine
from services.cli.doctor.broker import judge_kafka
from services.cli.doctor.database import judge_clock, judge_connections, judge_newest, judge_postgres
from services.cli.doctor.findings import Finding, Verdict, asked, well
from services.cli.doctor.flow import (
    KEEPERS,
    Followed,
    FollowerLook,
    GroupLook,
    HostsLook,
    RelayLook,
    Still,
    judge_follower,
    judge_group,
    judge_hosts,
    judge_leaders,
    judge_relay,
)
from services.cli.doctor.machine import MIB, judge_disk, judge_missing_key, open_files, ports
from services.cli.doctor.outside import judge_answer, outside
from services.cli.doctor.workers import judge_workers

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
DSN = "postgresql://mesh:hunter2@db.example:5432/mesh"
FACTS = PostgresFacts(180_004, "18.4", 200, 12, False, True, "", 0.002, 0.001)
SETTINGS = load_settings(database_url=DSN)

# What libpq 18 and PostgreSQL 18 said where these faults were planted.
SAID = {
    "wrong password": 'connection to server at "127.0.0.1", port 1 failed: FATAL:  password authentication failed for user "mesh"',
    "no such database": 'connection to server at "::1", port 1 failed: FATAL:  database "mesh" does not exist',
    "no such user": 'connection to server at "127.0.0.1", port 1 failed: FATAL:  role "mesh" does not exist',
    "not permitted": 'FATAL:  permission denied for database "mesh"\nDETAIL:  User does not have CONNECT privilege.',
    "not let in": 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "mesh", database "mesh", no encryption',
    "full": "FATAL:  sorry, too many clients already",
    "not ready": "FATAL:  the database system is starting up",
    "refused": 'connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs the server running on that host?',
    "no such host": "failed to resolve host 'db.example': [Errno -2] Name or service not known",
    "no answer": "connection timeout expired",
    "encryption": "server does not support SSL, but SSL was required",
    "no postgres": "received invalid response to SSL negotiation: H",
    "not reached": "something that nobody thought of",
}


@pytest.mark.parametrize(("cause", "message"), SAID.items())
def test_why_a_database_cannot_be_used_is_told_apart_and_never_shows_the_password(cause: str, message: str) -> None:
    fault = postgres.explain(message, DSN)
    assert fault.cause == cause
    assert fault.advice
    assert "hunter2" not in f"{fault}"
    (finding,) = judge_postgres(fault, SETTINGS, 0)
    assert (finding.what, finding.verdict) == ("postgres", FAIL)


def test_advice_names_the_variable_that_was_set() -> None:
    for message in SAID.values():
        assert "DATABASE_URL" not in postgres.explain(message, DSN, "READS_FROM").advice


def test_a_dsn_that_is_none_is_explained_too() -> None:
    assert postgres.explain("anything", "postgresql://[broken").cause == "not reached"


@pytest.mark.parametrize(
    ("changes", "what", "verdict"),
    [
        ({}, "postgres", OK),
        ({"version_number": 140_009}, "postgres", FAIL),
        ({"read_only": True}, "postgres", FAIL),
        ({"closed_schemas": "mesh, requests"}, "postgres", FAIL),
        ({"skew_seconds": -2.5}, "clock", WARN),
        ({"skew_seconds": 3600.0}, "clock", FAIL),
        ({"skew_seconds": 2.5, "skew_error_seconds": 2.0}, "clock", OK),
        ({"connections": 190}, "connections", FAIL),
        ({"max_connections": 50}, "connections", WARN),
        ({"max_connections": 10}, "connections", FAIL),
    ],
)
def test_what_a_database_tells_of_itself_is_judged(changes: dict[str, Any], what: str, verdict: Verdict) -> None:
    found = {finding.what: finding for finding in judge_postgres(FACTS._replace(**changes), SETTINGS, 0)}
    assert found[what].verdict is verdict
    assert bool(found[what].advice) is (verdict is not OK)


def test_which_clock_is_behind_is_said() -> None:
    assert "behind the database" in judge_clock(FACTS._replace(skew_seconds=5.0)).found
    assert "ahead of the database" in judge_clock(FACTS._replace(skew_seconds=-5.0)).found


def test_pools_that_could_ask_for_more_than_there_are_warn_once_three_quarters_are_taken() -> None:
    assert judge_connections(FACTS._replace(connections=150), 20, 27).verdict is OK
    warned = judge_connections(FACTS._replace(connections=151), 20, 27)
    assert (warned.verdict, "540" in warned.found) == (WARN, True)
    assert judge_connections(FACTS._replace(connections=151), 5, 27).verdict is OK
    assert judge_connections(FACTS._replace(connections=180), 5, 27).verdict is OK
    assert judge_connections(FACTS._replace(connections=181), 5, 27).verdict is FAIL


def test_an_event_from_the_future_means_a_workers_clock_is_ahead() -> None:
    assert judge_newest([100.0, 90.0], 100.0).verdict is OK
    assert judge_newest([], 100.0).verdict is OK
    assert judge_newest([107.5], 100.0).verdict is WARN


# -- broker ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no such host"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused"),
        (TimeoutError(), "no answer"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "not reached"),
    ],
)
def test_why_no_connection_comes_to_be(error: OSError, cause: str) -> None:
    assert explain_connection(error, "kafka:9092", "Kafka").cause == cause


def test_a_broker_that_sends_its_clients_elsewhere_has_a_wrong_listener() -> None:
    lost = Broker("broker-1.internal:9092", Fault("no such host", "the name of broker-1.internal:9092 is not known", "check the name"))
    finding = judge_kafka([Broker("127.0.0.1:9092", None), lost], "127.0.0.1:9092")
    assert finding.verdict is FAIL
    assert "broker-1.internal:9092" in finding.found
    assert "advertised.listeners" in finding.advice
    assert judge_kafka([Broker("127.0.0.1:9092", None)], "127.0.0.1:9092").verdict is OK


async def test_brokers_that_do_not_answer_are_tried_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them one after the other took so long that nothing of what the doctor had found was told."""
    trying = asyncio.Barrier(3)

    async def advertised(bootstrap: str, seconds: float) -> list[str]:
        return ["one:9092", "two:9092", "three:9092"]

    async def nobody(place: str, server: str, seconds: float) -> Fault | None:
        if place == "bootstrap:9092":
            return None
        async with asyncio.timeout(5):
            await trying.wait()
        return explain_connection(TimeoutError(), place, server)

    monkeypatch.setattr(kafka, "_advertised", advertised)
    monkeypatch.setattr(kafka, "try_place", nobody)
    found = await ask_kafka("bootstrap:9092")
    assert not isinstance(found, Fault)
    finding = judge_kafka(found, "bootstrap:9092")
    assert (finding.verdict, "one:9092, two:9092, three:9092" in finding.found) == (FAIL, True)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (exceptions.AuthenticationError("Authentication required."), "wrong password"),
        (exceptions.AuthenticationError("invalid username-password pair or user is disabled."), "wrong password"),
        (exceptions.ResponseError("WRONGPASS invalid username-password pair"), "wrong password"),
        (exceptions.NoPermissionError("this user has no permissions"), "not permitted"),
        (exceptions.BusyLoadingError("loading"), "not ready"),
        (exceptions.InvalidResponse("Protocol Error"), "no redis"),
        (exceptions.TimeoutError("Timeout reading"), "no answer"),
        (exceptions.ConnectionError("Connection closed by server."), "not reached"),
    ],
)
def test_why_a_redis_cannot_be_used(error: Exception, cause: str) -> None:
    assert redis.explain(error, "cache:6379").cause == cause


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a connection and says nothing."""
    await reader.read()
    writer.close()


async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of another kind."""
    await reader.read(16)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_a_listener_that_says_nothing_and_one_of_another_kind_are_told_apart_and_take_no_longer_than_they_may() -> None:
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as mute, await asyncio.start_server(other, "127.0.0.1", 0) as foreign:
        places = [server.sockets[0].getsockname()[1] for server in (mute, foreign)]
        began = time.monotonic()
        found = await asyncio.gather(
            *(ask_postgres(f"postgresql://u:hunter2@127.0.0.1:{port}/d", 2.0) for port in places),
            *(ask_redis(f"redis://127.0.0.1:{port}/0", 1.0) for port in places),
            *(ask_kafka(f"127.0.0.1:{port}", 1.0) for port in places),
        )
        assert time.monotonic() - began < 12
        causes = [each.cause for each in found if isinstance(each, Fault)]
        assert causes == ["no answer", "no postgres", "no answer", "no redis", "no answer", "no kafka"]


# -- what flows --------------------------------------------------------------------------------------------------------------------------


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "state": "running", "ready": True, "restarts": 0, "message": None, **changes}


DEAD = row("tasks-1", state="waiting", ready=False, message="killed by SIGKILL")


@pytest.mark.parametrize(
    ("look", "rows", "verdict", "found"),
    [
        (GroupLook("tasks", Followed(9, False), GroupState("Empty", 0)), [], FAIL, "no fleet runs here"),
        (GroupLook("tasks", Followed(9, False), GroupState("Empty", 0)), [DEAD], FAIL, "tasks-1 is waiting, killed by SIGKILL"),
        (GroupLook("tasks", Followed(9, False), GroupState("Dead", 0)), [row("requests-1")], FAIL, "the fleet here has no tasks"),
        (
            GroupLook("agents", Followed(9, False), GroupState("Empty", 0)),
            [row("directory-1", state="starting", ready=False)],
            FAIL,
            "directory-1 is starting",
        ),
        (GroupLook("tasks", Followed(9, False), GroupState("PreparingRebalance", 2)), [row("tasks-1")], WARN, "PreparingRebalance"),
        (GroupLook("tasks", Followed(9, False), GroupState("Stable", 1)), [row("tasks-1")], WARN, "did not get on"),
    ],
)
def test_a_consumer_that_does_not_get_on_is_found_and_why(look: GroupLook, rows: list[Any], verdict: Verdict, found: str) -> None:
    finding = judge_group(look, rows)
    assert finding is not None
    assert (finding.verdict, found in finding.found, "9 commands wait" in finding.found) == (verdict, True, True)
    assert finding.advice


def test_a_consumer_at_the_end_or_on_its_way_is_well() -> None:
    assert judge_group(GroupLook("tasks", Followed(0, False), GroupState("Empty", 0)), []) is None
    assert judge_group(GroupLook("tasks", Followed(9, True), GroupState("Stable", 1)), []) is None
    assert judge_group(GroupLook("tasks", Followed(9, True, Still((3,), 2.0)), GroupState("Stable", 3)), []) is None


def test_a_member_that_stands_still_is_not_hidden_by_those_that_get_on() -> None:
    finding = judge_group(GroupLook("tasks", Followed(9, True, Still((3, 7), 95.0)), GroupState("Stable", 3)), [])
    assert finding is not None
    assert (finding.verdict, "partitions 3, 7 did not get on" in finding.found, "waited 95 s" in finding.found) == (WARN, True, True)


def test_hosts_of_agents_are_missed_where_there_is_work_for_them() -> None:
    assert judge_hosts(HostsLook("triage", 0, 0), []) is None
    assert judge_hosts(HostsLook("triage", 9, 1), []) is None, "what a host has in work it has not committed"
    missed = judge_hosts(HostsLook("triage", 9, 0), [row("agent-host-1", ready=False, state="waiting", message="killed by SIGKILL")])
    assert missed is not None
    assert (missed.what, missed.verdict, "agent-host-1 is waiting, killed by SIGKILL" in missed.found) == ("agents triage", WARN, True)


def test_a_relay_that_nobody_leads_or_that_stands_still_is_found() -> None:
    assert judge_relay(RelayLook("tasks", 10, 10, False, 0.0)) is None
    assert judge_relay(RelayLook("tasks", 10, 4, True, 1.0)) is None
    unled, still = judge_relay(RelayLook("tasks", 10, 4, False, 0.0)), judge_relay(RelayLook("tasks", 10, 4, True, 99.0))
    assert unled is not None
    assert (unled.verdict, "no relay leads" in unled.found) == (FAIL, True)
    assert still is not None
    assert (still.verdict, "waited 99 s" in still.found) == (FAIL, True)


@pytest.mark.parametrize(
    ("led", "tasks_wait", "verdict", "found"),
    [
        ({"dispatcher", "scheduler", "monitor", "requests"}, True, OK, "dispatcher, scheduler, monitor lead"),
        ({"dispatcher", "monitor"}, True, WARN, "no scheduler leads: deadlines are not kept"),
        ({"scheduler", "monitor"}, False, WARN, "no dispatcher leads"),
        ({"scheduler", "monitor"}, True, FAIL, "tasks wait; no dispatcher leads"),
        (set(), False, WARN, "no monitor leads: lag is not told"),
    ],
)
def test_who_does_not_lead_is_missed(led: set[str], tasks_wait: bool, verdict: Verdict, found: str) -> None:
    finding = judge_leaders(led, tasks_wait=tasks_wait)
    assert (finding.verdict, found in finding.found) == (verdict, True)


MODEL = FollowerLook("timeline", 3, 3, 0, False, 0)
PROCESS = FollowerLook("requests-process", None, None, 0, False, 0)


@pytest.mark.parametrize(
    ("look", "what", "verdict", "advice"),
    [
        (MODEL._replace(version=None), "projection timeline", FAIL, "agentmesh migrate"),
        (MODEL._replace(version=2), "projection timeline", FAIL, "agentmesh projections rebuild timeline"),
        (MODEL._replace(lag=7), "projection timeline", FAIL, "agentmesh run projections"),
        (MODEL._replace(name="request_reference", lag=7), "projection request_reference", FAIL, "agentmesh run requests"),
        (MODEL._replace(parked=2), "projection timeline", WARN, "agentmesh projections rebuild timeline"),
        (PROCESS._replace(lag=7), "process requests-process", FAIL, "agentmesh run requests-process"),
        (PROCESS._replace(parked=2), "process requests-process", WARN, "agentmesh dlq requeue --projection requests-process"),
    ],
)
def test_who_does_not_get_to_the_end_of_its_topics_is_found(look: FollowerLook, what: str, verdict: Verdict, advice: str) -> None:
    finding = judge_follower(look, [])
    assert finding is not None
    assert (finding.what, finding.verdict, advice in finding.advice) == (what, verdict, True)


def test_who_is_at_the_end_or_on_its_way_is_well() -> None:
    for look in (MODEL, PROCESS):
        assert judge_follower(look, []) is None
        assert judge_follower(look._replace(lag=7, moved=True), []) is None


def test_each_read_model_that_a_service_keeps_itself_is_known() -> None:
    assert {model.name for model in KEPT_BY_SERVICES} == set(KEEPERS)


def test_workers_that_do_not_answer_are_asked_side_by_side(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_metrics, "POOLS_SECONDS", 0.2)
    began = time.monotonic()
    assert worker_metrics.pools_of([taken] * 20 + [None]) == 0
    assert time.monotonic() - began < 2, "one after the other they took all the time that the doctor has"


# -- machine, workers, outside -----------------------------------------------------------------------------------------------------------


def test_room_on_the_disk_is_judged() -> None:
    assert [judge_disk(mib * MIB, "x").verdict for mib in (100, 1000, 5000)] == [FAIL, WARN, OK]


def test_open_files_are_judged() -> None:
    assert [open_files(limit).verdict for limit in (100, 512, 1024, -1)] == [FAIL, WARN, OK, OK]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_port_that_another_program_has_is_found_unless_the_fleet_runs(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "HEALTH_SECONDS", 0.1)
    settings = load_settings(health_port=taken)
    (finding,) = ports(settings, {}, fleet_runs=False)
    assert (finding.verdict, f":{taken}" in finding.advice) == (FAIL, True)
    assert ports(settings, {}, fleet_runs=True) == []
    assert ports(load_settings(), {"AGENTMESH_GATEWAY_PORT": "odd"}, fleet_runs=False) == []
    (gateway,) = ports(load_settings(), {"AGENTMESH_GATEWAY_PORT": str(taken)}, fleet_runs=False)
    assert gateway.verdict is FAIL


async def test_a_port_that_a_worker_has_is_its_own() -> None:
    """So it is within a container, where the fleet of this folder is not seen."""

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(healthy, "127.0.0.1", 0) as worker:
        settings = load_settings(health_port=worker.sockets[0].getsockname()[1])
        (finding,) = await asyncio.to_thread(ports, settings, {}, fleet_runs=False)
    assert (finding.verdict, "a worker has it" in finding.found) == (OK, True)


def test_a_key_is_missing_only_where_none_is_made() -> None:
    assert judge_missing_key("development").verdict is OK
    missing = judge_missing_key("production")
    assert (missing.verdict, "JWT_SECRET_KEY" in missing.advice) == (FAIL, True)


@pytest.mark.parametrize(
    ("rows", "supervised", "verdict", "found"),
    [
        ([], False, WARN, "no fleet"),
        ([row("a-1"), DEAD], True, FAIL, "tasks-1 killed by SIGKILL"),
        ([row("a-1", ready=False)], True, FAIL, "a-1 runs, but does not say that it is ready"),
        ([row("a-1")], False, WARN, "their supervisor does not"),
        ([row("a-1", restarts=9)], True, WARN, "a-1 (9 times)"),
        ([row("a-1", restarts=1)], True, OK, "1 ready"),
    ],
)
def test_workers_are_judged(rows: list[Any], supervised: bool, verdict: Verdict, found: str) -> None:
    finding = judge_workers(rows, supervised=supervised)
    assert (finding.verdict, found in finding.found) == (verdict, True)


@pytest.mark.parametrize(
    ("status", "has_key", "verdict"),
    [(200, True, OK), (404, True, OK), (401, True, FAIL), (403, True, FAIL), (401, False, FAIL), (503, True, WARN), (429, False, WARN)],
)
def test_what_a_service_outside_answers_is_judged(status: int, has_key: bool, verdict: Verdict) -> None:
    assert judge_answer("models", status, has_key=has_key, variable="AGENTMESH_MODEL_KEY").verdict is verdict


async def test_services_outside_are_asked_with_our_key_for_what_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        status = b"401 Unauthorized" if b"wrong" in heard[-1] else b"404 Not Found"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = load_settings(
            model_url=f"{url}/v1", model_name="m", model_key="wrong-key", model_fallback_name="n", model_fallback_url=url,
            payments_url=url, payments_token="right-token",
        )  # fmt: skip
        found = {finding.what: finding for finding in await outside(settings)}
    assert {what: finding.verdict for what, finding in found.items()} == {"models": FAIL, "fallback models": FAIL, "payments": OK}
    assert all(request.startswith(b"GET ") for request in heard)
    assert "wrong-key" not in str(found)
    away = await outside(load_settings(payments_url="http://127.0.0.1:1"))
    assert [finding.verdict for finding in away] == [FAIL]
    assert await outside(load_settings()) == []


async def test_a_check_that_fails_or_takes_too_long_is_a_finding() -> None:
    async def refused() -> Finding:
        raise ConfigurationError("run agentmesh migrate")

    async def away() -> Finding:
        raise TransientError("gone")

    async def slow() -> Finding:
        await asyncio.sleep(30)
        return well("x", "y")

    async def fine() -> Finding:
        return well("x", "y")

    async def many() -> list[Finding]:
        return [well("x", "y"), well("z", "y")]

    assert await asked("x", "advice", refused) == [Finding("x", FAIL, "run agentmesh migrate")]
    assert await asked("x", "advice", away) == [Finding("x", FAIL, "gone", "advice")]
    assert await asked("x", "advice", slow, 0.05) == [Finding("x", FAIL, "not answered within 0.05 s", "advice")]
    assert await asked("x", "advice", fine) == [well("x", "y")]
    assert len(await asked("x", "advice", many)) == 2
