"""Commands by hand over the real broker into the real workers; requests and events as the CLI shows them afterwards."""

import json
from pathlib import Path

import pytest

from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli, execute

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CASE = json.dumps({"customer_id": "cust-0042", "message": "My invoice of May is wrong", "priority": 3})


def test_a_request_from_command_to_read_model_and_history(working: None, cli: Cli) -> None:
    created = cli("publish", "CreateRequest", CASE, "--tenant", "acme", "-o", "json")
    assert created.code == exit_codes.OK, created.err
    facts = created.json
    assert (facts["outcome"], facts["version"], facts["read_model_version"]) == ("events", 1, 1)
    assert facts["events"] == ["agentmesh.requests.RequestCreated.v1"]
    request_id, command_id = facts["request_id"], facts["command_id"]

    triage = {"tenant_id": "acme", "request_id": request_id, "category": "billing", "priority": 4, "confidence": 0.9}
    assert cli("publish", "TriageRequest", json.dumps(triage)).code == exit_codes.OK

    shown = cli("requests", "show", request_id, "--tenant", "acme", "--history", "-o", "json").json
    assert (shown["status"], shown["version"], shown["priority"]) == ("triaged", 2, 4)
    assert [entry["event_type"].split(".")[-2] for entry in shown["history"]] == ["RequestCreated", "RequestTriaged"]
    assert shown["history"][0]["auth_type"] == "user"
    assert shown["history"][0]["causation_id"] == command_id

    listed = cli("requests", "list", "--tenant", "acme", "--status", "triaged", "-o", "json").json
    assert [row["request_id"] for row in listed] == [request_id]
    assert cli("requests", "list", "--tenant", "acme", "--status", "pending", "-o", "json").json == []
    assert request_id in cli("requests", "list", "--tenant", "acme").out
    assert cli("requests", "list", "--status", "odd").code == exit_codes.USAGE
    assert cli("requests", "show", request_id, "--tenant", "globex").code == exit_codes.NOT_FOUND

    history = cli("events", "show", request_id, "-o", "json").json
    assert [event["version"] for event in history["events"]] == [1, 2]
    assert [outcome["outcome"] for outcome in history["outcomes"]] == ["events", "events"]
    assert "RequestTriaged" in cli("events", "show", request_id).out
    assert cli("events", "show", "req-unknown").code == exit_codes.NOT_FOUND


def test_the_same_id_is_applied_once_and_answers_the_same_outcome(working: None, cli: Cli) -> None:
    first = cli("publish", "CreateRequest", CASE, "--id", "mine", "--key", "req-1", "-o", "json")
    again = cli("publish", "CreateRequest", CASE, "--id", "mine", "--key", "req-1", "-o", "json")
    assert (first.code, again.code) == (0, 0)
    assert {name: first.json[name] for name in ("outcome", "version", "position")} == {
        name: again.json[name] for name in ("outcome", "version", "position")
    }
    assert len(cli("events", "show", "req-1", "-o", "json").json["events"]) == 1


def test_a_refused_command_shows_code_and_reason(working: None, cli: Cli) -> None:
    bad = json.dumps({"customer_id": "x", "message": "Hello there", "request_id": "req-2"})
    refused = cli("publish", "CreateRequest", bad, "-o", "json")
    assert refused.code == exit_codes.FAILED
    assert (refused.json["outcome"], refused.json["code"]) == ("rejected", "VALIDATION_ERROR")
    assert refused.json["details"]["errors"][0]["field"] == "customer_id"
    table = cli("publish", "CompleteRequest", '{"request_id": "req-3", "resolution": "done"}')
    assert table.code == exit_codes.FAILED
    assert "RESOURCE_NOT_FOUND" in table.out
    (outcome,) = cli("events", "show", "req-2", "-o", "json").json["outcomes"]
    assert (outcome["outcome"], outcome["code"], outcome["type"]) == ("rejected", "VALIDATION_ERROR", "agentmesh.requests.CreateRequest.v1")
    assert "VALIDATION_ERROR" in cli("events", "show", "req-2").out


def test_the_log_is_shown_from_a_position_and_can_be_resumed(working: None, cli: Cli) -> None:
    for number in range(3):
        assert cli("publish", "CreateRequest", CASE, "--key", f"req-{number}").code == 0
    everything = cli("events", "tail", "--from-start", "--no-follow", "-o", "json")
    rows = [json.loads(line) for line in everything.out.splitlines()]
    assert [row["aggregate_id"] for row in rows] == ["req-0", "req-1", "req-2"]
    assert "resume with: agentmesh events tail --from-position requests:3" in everything.err

    two = cli("events", "tail", "--from-start", "--no-follow", "--limit", "2")
    assert two.out.count("RequestCreated") == 2
    position = two.err.strip().rpartition(" ")[2]
    rest = cli("events", "tail", "--from-position", position, "--no-follow", "-o", "json")
    assert [json.loads(line)["aggregate_id"] for line in rest.out.splitlines()] == ["req-2"]

    one = cli("events", "tail", "--from-start", "--no-follow", "--aggregate", "req-1", "--type", "RequestCreated", "-o", "json")
    assert len(one.out.splitlines()) == 1
    assert cli("events", "tail", "--no-follow").out == ""
    assert cli("events", "tail", "--from-start", "--from-position", "1").code == exit_codes.USAGE
    assert cli("events", "tail", "--context", "odd").code == exit_codes.USAGE


def test_without_a_worker_no_outcome_comes_and_the_command_says_so(cli: Cli) -> None:
    waited = cli("publish", "CreateRequest", CASE, "--timeout", "0.2", "--id", "mine")
    assert waited.code == exit_codes.AWAY
    assert "--id mine" in waited.err


def test_a_payload_from_a_file_without_waiting(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text(CASE)
    sent = cli("publish", "CreateRequest", f"@{file}", "--no-wait", "-o", "json")
    assert sent.code == 0
    assert sent.json["request_id"].startswith("req-")
    assert "outcome" not in sent.json


def test_a_read_model_that_does_not_follow_is_told(cli: Cli, mesh_settings: MeshSettings) -> None:
    """The outcome is there, put into the store by hand; no projection runs."""
    execute(
        mesh_settings,
        "INSERT INTO requests.inbox (aggregate_id, command_id, outcome, version, position, payload_hash) "
        "VALUES (%s, %s, 'events', 1, 1, '')",
        "req-1", "mine",
    )  # fmt: skip
    waited = cli("publish", "CreateRequest", CASE, "--key", "req-1", "--id", "mine", "--timeout", "0.5")
    assert waited.code == exit_codes.AWAY
    assert "read model" in waited.err
