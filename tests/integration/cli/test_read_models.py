"""Requests, approvals, timeline and analytics from the command line, out of a recorded log in a real database; no worker runs."""

import asyncio

import pytest

from infra.postgres.pool import Database
from infra.settings import MeshSettings
from projections.catalogue import read_models
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli
from tests.mixed_log import ENDINGS, mixed_log
from tests.recorded import keep, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TENANT = ("--tenant", "test-tenant")
JSON = (*TENANT, "-o", "json")
PERIOD = ("--since", "2026-05-04", "--until", "2026-05-05")
SIMPLE, APPROVED, REJECTED, EXPIRED, OTHERS, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING = (f"req-{number}" for number in range(len(ENDINGS)))


async def fill(settings: MeshSettings) -> None:
    database = Database(settings.model_copy(update={"pool_min_size": 1}), settings.postgres_dsn, name="test")
    await database.open()
    await record(database, mixed_log(len(ENDINGS)))
    for model in read_models():
        await keep(database, model)
    await database.close()


@pytest.fixture
def told(bare_cli: Cli, mesh_settings: MeshSettings) -> Cli:
    """The command line of a mesh whose read models show the recorded log."""
    asyncio.run(fill(mesh_settings))
    return bare_cli


def test_what_waits_for_a_person_and_what_was_decided_is_shown(told: Cli) -> None:
    assert [row["request_id"] for row in told("approvals", "list", *JSON).json] == [WAITING]
    rejected = told("approvals", "list", "--status", "rejected", *JSON).json
    assert [(row["request_id"], row["decided_by"]) for row in rejected] == [(REJECTED, "grace")]
    assert len(told("approvals", "list", "--status", "all", *JSON).json) == 7
    table = told("approvals", "list", *TENANT).out
    assert "amount_above_threshold, escalated" in table
    assert "USD 2,500.00" in table
    assert "ada, grace" in table
    assert told("approvals", "list").out == "Tenant default has no approval that is waiting.\n"

    shown = told("approvals", "show", WAITING, *JSON).json
    assert (shown["status"], shown["approval_threshold"], shown["question"]) == (
        "waiting",
        {"amount": "1000.00", "currency": "USD"},
        "Since when?",
    )
    assert f"agentmesh approvals approve {WAITING}" in told("approvals", "show", WAITING, *TENANT).out
    assert "decide with" not in told("approvals", "show", APPROVED, *TENANT).out
    missing = told("approvals", "show", SIMPLE, *TENANT)
    assert (missing.code, f"agentmesh requests show {SIMPLE}" in missing.err) == (exit_codes.NOT_FOUND, True)
    assert told("approvals", "show", WAITING).code == exit_codes.NOT_FOUND

    request = told("requests", "show", APPROVED, *JSON).json
    assert [decision["kind"] for decision in request["decisions"]] == ["triage", "escalation", "approval"]
    assert "history" not in request
    table = told("requests", "show", APPROVED, *TENANT).out
    assert "as agreed" in table
    assert "vip_customer, low_confidence" in table
    assert [row["request_id"] for row in told("requests", "list", "--escalated", *JSON).json] == [ASKED_ANEW, APPROVED]
    assert "decisions" not in told("requests", "list", *JSON).json[0]


def test_a_request_is_told_as_a_tree_and_a_tenant_in_numbers(told: Cli) -> None:
    tree = told("requests", "timeline", APPROVED, *TENANT).out
    for text in ("waited for an agent", "research-2 · small · 120+15 tokens", "waited for a person 3 s", "RequestCompleted"):
        assert text in tree
    timeline = told("requests", "timeline", APPROVED, *JSON).json
    assert [part["name"] for part in timeline["parts"]] == ["triage", "research", "approval", "resolution"]
    assert timeline["totals"]["waiting_for_person_seconds"] == 3.0
    assert told("requests", "timeline", APPROVED).code == exit_codes.NOT_FOUND

    counted = told("analytics", *PERIOD, *JSON).json
    assert (counted["requests"]["total"], counted["requests"]["by_status"]["completed"]) == (8, 2)
    table = told("analytics", *PERIOD, *TENANT).out
    for text in ("completed 2", "triage", "small", "$"):
        assert text in table
    assert told("analytics", "--since", "7d", *JSON).json["requests"]["total"] == 0
    assert "No model was used." in told("analytics").out
