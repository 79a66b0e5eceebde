"""Parked records from the command line: listed, shown, requeued and taken up by the worker in order, discarded with who and why."""

import asyncio
import json
from typing import Any

import pytest

from contracts.envelope import Metadata, encode_stored
from contracts.requests.commands import CreateRequest, TriageRequest
from infra.event_store.base import AggregateAppend, AppendMode, NewDeadLetter, NewOutcome, OutcomeKind, ParkCause, SourceRecord
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.settings import MeshSettings
from services.cli import exit_codes
from services.cli.publishing import outgoing_command
from tests.integration.cli.conftest import Cli, execute, wait_for, workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CASE = {"tenant_id": "acme", "customer_id": "cust-0042", "message": "My invoice of May is wrong"}
TRIAGE = {"tenant_id": "acme", "category": "billing", "priority": 3, "confidence": 0.8}


def letter(settings: MeshSettings, offset: int, command: Any, payload: dict[str, Any], command_id: str, cause: ParkCause) -> NewDeadLetter:
    record = outgoing_command(settings, command, payload, command_id=command_id).record
    source = SourceRecord(record.topic, 0, 1_000_000 + offset, 1_767_225_600_000, record.key, record.value, tuple(record.headers))
    error = "ZeroDivisionError" if cause is ParkCause.DEFECT else "WaitsBehind"
    return NewDeadLetter(
        source, command_id, command.type_name, "agentmesh.requests", cause, error, "by zero", "Traceback: by zero", 3, "1.0.0"
    )


def park(settings: MeshSettings, *request_ids: str) -> None:
    """For each request a CreateRequest parked by a defect and a TriageRequest parked behind it, as the worker parks them."""

    async def append() -> None:
        database = Database(settings, settings.postgres_dsn)
        await database.open()
        store = PostgresEventStore(database, "requests")
        for number, request_id in enumerate(request_ids):
            for step, (command, fields, cause) in enumerate(
                [(CreateRequest, CASE, ParkCause.DEFECT), (TriageRequest, TRIAGE, ParkCause.BEHIND)]
            ):
                command_id = f"{request_id}-{step}"
                parked = letter(settings, number * 10 + step, command, {**fields, "request_id": request_id}, command_id, cause)
                outcome = NewOutcome(command_id, OutcomeKind.PARKED, None, 0, 0, 0, b"hash")
                mode = AppendMode.BEHIND if step else AppendMode.APPLY
                refused = await store.append([AggregateAppend(request_id, 0, mode, outcomes=[outcome], dead_letters=[parked])])
                assert not refused
        await database.close()

    asyncio.run(append())


def outcomes(cli: Cli, request_id: str) -> dict[str, str]:
    history = cli("events", "show", request_id, "-o", "json").json
    return {each["command_id"]: each["outcome"] for each in history["outcomes"]}


def test_parked_records_are_listed_by_a_filter_and_shown_whole(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a", "req-b")
    rows = cli("dlq", "list", "-o", "json").json
    assert [(row["aggregate_id"], row["cause"], row["status"]) for row in rows] == [
        ("req-a", "defect", "parked"), ("req-a", "behind", "parked"), ("req-b", "defect", "parked"), ("req-b", "behind", "parked"),
    ]  # fmt: skip
    assert len(cli("dlq", "list", "--aggregate", "req-b", "-o", "json").json) == 2
    assert len(cli("dlq", "list", "--error-type", "ZeroDivisionError", "-o", "json").json) == 2
    assert len(cli("dlq", "list", "--through", str(rows[0]["position"]), "-o", "json").json) == 1
    assert cli("dlq", "list", "--status", "discarded", "-o", "json").json == []
    assert cli("dlq", "list", "--status", "odd").code == exit_codes.USAGE
    assert "Nothing is parked" in cli("dlq", "list", "--aggregate", "req-c").out

    shown = cli("dlq", "show", str(rows[0]["position"]), "-o", "json").json
    assert shown["value"]["message"] == CASE["message"]
    assert shown["headers"]["ce_type"] == CreateRequest.type_name
    assert "Traceback: by zero" in cli("dlq", "show", str(rows[0]["position"])).out
    assert cli("dlq", "show", "999").code == exit_codes.NOT_FOUND


def test_a_dry_run_counts_and_changes_nothing(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a", "req-b")
    dry = cli("dlq", "requeue", "--all", "--dry-run", "-o", "json").json
    assert (dry["records"], dry["aggregates"], dry["marked"]) == (4, 2, 0)
    assert dry["error_types"] == {"ZeroDivisionError": 2, "WaitsBehind": 2}
    assert "would be marked" in cli("dlq", "requeue", "--all", "--dry-run").out
    assert {row["status"] for row in cli("dlq", "list", "-o", "json").json} == {"parked"}


def test_a_redrive_is_bounded_by_a_position_and_marks_once(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a", "req-b")
    second = cli("dlq", "list", "-o", "json").json[1]["position"]
    marked = cli("dlq", "requeue", "--through", str(second), "--rate", "100", "--who", "me", "--why", "mended", "-o", "json")
    assert (marked.code, marked.json["marked"], marked.json["complete"]) == (0, 2, True)
    rows = cli("dlq", "list", "-o", "json").json
    assert [row["status"] for row in rows] == ["requeued", "requeued", "parked", "parked"]
    shown = cli("dlq", "show", str(second), "-o", "json").json
    assert (shown["marked_by"], shown["marked_reason"]) == ("me", "mended")
    assert cli("dlq", "requeue", str(second)).code == exit_codes.FAILED
    assert cli("dlq", "requeue", "999").code == exit_codes.NOT_FOUND
    assert cli("dlq", "requeue").code == exit_codes.USAGE
    assert cli("dlq", "requeue", "1", "--all").code == exit_codes.USAGE


def test_a_record_that_waits_behind_another_says_so(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a")
    first, second = (row["position"] for row in cli("dlq", "list", "-o", "json").json)
    alone = cli("dlq", "requeue", str(second))
    assert alone.code == 0
    assert f"waits for the one at position {first}" in alone.err


def test_a_requeued_aggregate_is_applied_in_order(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a", "req-b")
    assert cli("dlq", "requeue", "--aggregate", "req-a").code == 0
    with workers(mesh_settings):
        wait_for(lambda: set(outcomes(cli, "req-a").values()) == {"events"})
        assert outcomes(cli, "req-b") == {"req-b-0": "parked", "req-b-1": "parked"}
        history = cli("events", "show", "req-a", "-o", "json").json
        assert [event["causation_id"] for event in history["events"]] == ["req-a-0", "req-a-1"]
        # The second aggregate through its head alone: what waits behind follows by itself.
        head = cli("dlq", "list", "--aggregate", "req-b", "-o", "json").json[0]["position"]
        assert cli("dlq", "requeue", str(head)).code == 0
        wait_for(lambda: set(outcomes(cli, "req-b").values()) == {"events"})
    assert {row["status"] for row in cli("dlq", "list", "--status", "all", "-o", "json").json} == {"redriven"}


def test_a_discarded_record_is_rejected_with_who_and_why_and_frees_the_rest(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a")
    first, _ = (row["position"] for row in cli("dlq", "list", "-o", "json").json)
    assert cli("dlq", "discard", str(first), "999", "--why", "x").code == exit_codes.NOT_FOUND
    assert cli("dlq", "discard", str(first), "--why", "  ").code == exit_codes.USAGE
    done = cli("dlq", "discard", str(first), "--why", "test data", "--who", "ada", "-o", "json")
    assert (done.code, done.json) == (0, [{"context": "requests", "position": first, "discarded": True}])
    again = cli("dlq", "discard", str(first), "--why", "test data")
    assert again.code == exit_codes.FAILED
    assert "was not waiting" in again.out
    rejected = next(each for each in cli("events", "show", "req-a", "-o", "json").json["outcomes"] if each["command_id"] == "req-a-0")
    assert (rejected["outcome"], rejected["code"]) == ("rejected", "DISCARDED")
    assert rejected["details"] == {"who": "ada", "why": "test data", "position": first}
    assert "ada" in rejected["message"]
    assert [row["status"] for row in cli("dlq", "list", "--status", "all", "-o", "json").json] == ["discarded", "requeued"]
    with workers(mesh_settings):  # a triage of a request that was never created
        wait_for(lambda: outcomes(cli, "req-a")["req-a-1"] == "rejected")


def test_an_undecodable_record_is_discarded_without_a_rejection(cli: Cli, mesh_settings: MeshSettings) -> None:
    async def append() -> None:
        database = Database(mesh_settings, mesh_settings.postgres_dsn)
        await database.open()
        record = SourceRecord("topic", 0, 5, 1_767_225_600_000, None, b"\xff\xfe", (("odd", b"\xff"),))
        parked = NewDeadLetter(record, None, None, "g", ParkCause.UNDECODABLE, "UnreadableEnvelope", "ce_id is missing", "", 1, "1.0.0")
        await PostgresEventStore(database, "requests").append([AggregateAppend("", 0, dead_letters=[parked])])
        await database.close()

    asyncio.run(append())
    (row,) = cli("dlq", "list", "-o", "json").json
    assert (row["aggregate_id"], row["cause"]) == (None, "undecodable")
    assert "\\xff" in cli("dlq", "show", str(row["position"])).out
    assert cli("dlq", "discard", str(row["position"]), "--why", "noise").code == 0
    assert execute(mesh_settings, "SELECT count(*) FROM requests.rejections") == [(0,)]
    assert cli("dlq", "list", "-o", "json").json == []


def test_a_record_that_is_no_command_any_more_is_discarded_by_what_its_dead_letter_tells(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, "req-a")
    execute(mesh_settings, "UPDATE requests.dead_letters SET record_headers = %s", b"[]")
    first = cli("dlq", "list", "-o", "json").json[0]["position"]
    assert cli("dlq", "discard", str(first), "--why", "old").code == 0
    rejected = next(each for each in cli("events", "show", "req-a", "-o", "json").json["outcomes"] if each["command_id"] == "req-a-0")
    assert (rejected["code"], rejected["type"]) == ("DISCARDED", CreateRequest.type_name)


# -- read models -------------------------------------------------------------------------------------------------------------------------


def park_event(settings: MeshSettings, request_id: str, position: int, status: str = "parked") -> None:
    """An event that the read model could not apply, as the projection worker parks it."""
    metadata = Metadata(
        f"event-{position}", "agentmesh.requests.RequestCreated.v1", "/agentmesh/requests", request_id, "2026-01-01T00:00:00Z", "acme",
        "user", "me", "c", "c",
    )  # fmt: skip
    data = {
        "tenant_id": "acme", "request_id": request_id, "customer_id": "cust-0042", "message": "Hello", "priority": 2, "category": None,
        "thread_id": "thread-1", "created_at": "2026-01-01T00:00:00Z", "requested_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    execute(
        settings,
        "INSERT INTO mesh.parked_events (projection, context, position, aggregate_id, sequence, type_name, state, cause, error_type, "
        "error_message, stack, attempts, status) "
        "VALUES ('requests', 'requests', %s, %s, 1, %s, %s, 'defect', 'KeyError', 'x', 'Stack', 3, %s)",
        position, request_id, metadata.type_name, encode_stored(metadata, json.dumps(data).encode()), status,
    )  # fmt: skip


def test_parked_events_of_a_read_model_are_listed_and_applied_again(cli: Cli, mesh_settings: MeshSettings) -> None:
    park_event(mesh_settings, "req-p", 7)
    (row,) = cli("dlq", "list", "--projection", "requests", "-o", "json").json
    assert (row["position"], row["aggregate_id"], row["error_type"]) == (7, "req-p", "KeyError")
    assert cli("dlq", "show", "7", "--projection", "requests", "-o", "json").json["value"]["message"] == "Hello"
    assert cli("dlq", "show", "8", "--projection", "requests").code == exit_codes.NOT_FOUND
    assert cli("dlq", "list", "--projection", "odd").code == exit_codes.USAGE
    state = next(each for each in cli("projections", "list", "-o", "json").json if each["name"] == "requests")
    assert (state["parked"], state["state"]) == (1, "incomplete (1 parked)")

    assert cli("dlq", "requeue", "--all", "--projection", "requests", "--why", "mended", "-o", "json").json["marked"] == 1
    with workers(mesh_settings):
        wait_for(lambda: cli("dlq", "list", "--projection", "requests", "-o", "json").json == [])
        assert cli("requests", "show", "req-p", "--tenant", "acme", "-o", "json").json["message"] == "Hello"
    state = next(each for each in cli("projections", "list", "-o", "json").json if each["name"] == "requests")
    assert state["state"] == "complete"
