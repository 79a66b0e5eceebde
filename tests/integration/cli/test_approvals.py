"""Approvals from the command line over the real broker: asked back, delegated, refused to those who may not, approved, rejected."""

import json
from typing import Any

import pytest

from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.integration.cli.conftest import Answer, Cli, execute, wait_for, workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

ACME = ("--tenant", "acme", "-o", "json")


def publish(cli: Cli, type_name: str, request_id: str, **fields: Any) -> None:
    answer = cli("publish", type_name, json.dumps({"tenant_id": "acme", "request_id": request_id, **fields}), "-o", "json")
    assert answer.code == exit_codes.OK, answer.out + answer.err


def create(cli: Cli, request_id: str) -> None:
    metadata = {"amount": "2500.00"}
    publish(cli, "CreateRequest", request_id, customer_id="cust-0042", message="My invoice of May is wrong", metadata=metadata)


def until_it_waits(cli: Cli, request_id: str) -> None:
    """The workflow by hand, up to the question to a person."""
    create(cli, request_id)
    publish(cli, "TriageRequest", request_id, category="billing", priority=2, confidence=0.9)
    publish(cli, "StartResearch", request_id)
    publish(cli, "RequireApproval", request_id, findings={"answer": "see article 7"})
    wait_for(lambda: shown(cli, request_id).code == exit_codes.OK)


def shown(cli: Cli, request_id: str) -> Answer:
    return cli("approvals", "show", request_id, *ACME)


def decide(cli: Cli, verb: str, request_id: str, who: str, *more: str) -> Answer:
    return cli("approvals", verb, request_id, *more, "--as", who, *ACME)


def refused(answer: Answer) -> dict[str, Any]:
    assert answer.code == exit_codes.FAILED
    assert "agentmesh approvals show" in answer.err
    facts: dict[str, Any] = answer.json
    return facts


def test_people_decide_on_what_waits_for_them(cli: Cli, mesh_settings: MeshSettings) -> None:
    with workers(mesh_settings, ("requests", "tenants", "relay", "projections")):
        assert cli("tenants", "create", "acme", "--name", "Acme", "--approver", "ada", "--approver", "grace").code == exit_codes.OK
        wait_for(lambda: execute(mesh_settings, "SELECT 1 FROM read_request_reference.tenants") != [])
        until_it_waits(cli, "req-1")
        approved_after_questions(cli)
        rejected(cli)
        approved_in_advance(cli)


def approved_after_questions(cli: Cli) -> None:
    assert [row["request_id"] for row in cli("approvals", "list", *ACME).json] == ["req-1"]
    stranger = refused(decide(cli, "approve", "req-1", "mallory"))
    assert (stranger["code"], stranger["details"]["status"]) == ("BUSINESS_RULE_VIOLATION", "awaiting_approval")
    for verb, who, more in (
        ("ask", "ada", ("Which invoice?",)),
        ("answer", "bob", ("That of May",)),
        ("delegate", "ada", ("--to", "grace", "--reason", "on leave")),
    ):
        done = decide(cli, verb, "req-1", who, *more)
        assert (done.code, done.json["outcome"]) == (exit_codes.OK, "events"), done.out
    assert refused(decide(cli, "approve", "req-1", "ada"))["details"]["status"] == "awaiting_approval"
    other = refused(decide(cli, "approve", "req-1", "grace", "--amount", "25.00"))
    assert other["details"]["rule"] == "approval_must_be_of_the_impact"
    done = decide(cli, "approve", "req-1", "grace", "--amount", "2500.00", "--reason", "as agreed")
    assert (done.code, done.json["events"]) == (exit_codes.OK, ["agentmesh.requests.RequestApproved.v1"])
    assert decide(cli, "approve", "req-1", "grace").json["outcome"] == "unchanged"
    wait_for(lambda: shown(cli, "req-1").json["status"] == "approved")
    approval = shown(cli, "req-1").json
    assert (approval["decided_by"], approval["reason"], approval["delegated_to"]) == ("grace", "as agreed", "grace")
    assert (approval["question"], approval["answer"], approval["answered_by"]) == ("Which invoice?", "That of May", "bob")
    assert (approval["reasons"], approval["approvers"]) == (["amount_above_threshold"], ["ada", "grace"])
    request = cli("requests", "show", "req-1", *ACME).json
    assert (request["status"], request["approved_by"], request["decisions"][-1]["decided_by"]) == ("approved", "grace", "grace")
    wait_for(lambda: "waited for a person" in cli("requests", "timeline", "req-1", "--tenant", "acme").out)


def rejected(cli: Cli) -> None:
    until_it_waits(cli, "req-2")
    done = decide(cli, "reject", "req-2", "ada", "--reason", "not covered")
    assert (done.code, done.json["events"]) == (exit_codes.OK, ["agentmesh.requests.RequestRejected.v1"])
    request = cli("requests", "show", "req-2", *ACME).json
    assert (request["status"], request["reason"]) == ("rejected", "not covered")
    assert refused(decide(cli, "approve", "req-2", "grace"))["details"]["status"] == "rejected"
    unknown = refused(decide(cli, "approve", "req-unknown", "ada"))
    assert unknown["code"] == "RESOURCE_NOT_FOUND"


def approved_in_advance(cli: Cli) -> None:
    create(cli, "req-3")
    done = decide(cli, "approve", "req-3", "ada")
    assert (done.code, done.json["events"]) == (exit_codes.OK, ["agentmesh.requests.ApprovedInAdvance.v1"])
    request = cli("requests", "show", "req-3", *ACME).json
    assert (request["status"], request["decisions"][0]["outcome"]) == ("pending", "approved_in_advance")
