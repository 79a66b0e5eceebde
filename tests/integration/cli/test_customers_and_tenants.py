"""Customers and tenants from the command line over the real broker: made known, changed, refused, shown."""

import pytest

from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli, workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ACME = ("--tenant", "acme", "-o", "json")
JSON = ("-o", "json")


def test_customers_and_tenants_are_made_known_changed_and_shown(cli: Cli, mesh_settings: MeshSettings) -> None:
    with workers(mesh_settings, ("customers", "tenants", "relay", "projections")):
        customers(cli)
        tenants(cli)


def customers(cli: Cli) -> None:
    register = ("customers", "register", "--id", "cust-0042", "--name", "Ada", "--email", "Ada@example.org", "--tier", "premium")
    made = cli(*register, "--as", "ann", *ACME)
    assert (made.code, made.json["outcome"], made.json["read_model_version"]) == (exit_codes.OK, "events", 1), made.err
    assert cli(*register, *ACME).json["outcome"] == "unchanged"
    moved = cli("customers", "tier", "cust-0042", "enterprise", *ACME)
    assert (moved.code, moved.json["version"]) == (exit_codes.OK, 2)
    shown = cli("customers", "show", "cust-0042", *ACME).json
    assert (shown["tier"], shown["email"], shown["name"], shown["version"]) == ("enterprise", "ada@example.org", "Ada", 2)
    assert [row["customer_id"] for row in cli("customers", "list", "--tier", "enterprise", *ACME).json] == ["cust-0042"]
    assert "enterprise" in cli("customers", "list", "--tenant", "acme").out
    assert cli("customers", "list").out == "No customer of tenant default matches.\n"
    assert cli("customers", "show", "cust-0042").code == exit_codes.NOT_FOUND
    refused = cli("customers", "tier", "cust-0042", "gold", *ACME)
    assert (refused.code, refused.json["code"]) == (exit_codes.FAILED, "VALIDATION_ERROR")
    history = cli("events", "show", "cust-0042", *JSON).json
    assert history["events"][0]["auth_id"] == "ann"


def tenants(cli: Cli) -> None:
    missing = cli("tenants", "show", "acme")
    assert (missing.code, "agentmesh tenants create acme" in missing.err) == (exit_codes.NOT_FOUND, True)
    made = cli("tenants", "create", "acme", "--name", "Acme", "--four-eyes", "--approver", "ada", *JSON)
    assert (made.code, made.json["outcome"], made.json["read_model_version"]) == (exit_codes.OK, "events", 1), made.err
    threshold = ("--approval-threshold", "250.00", "--currency", "EUR")
    changed = cli("tenants", "set", "acme", *threshold, "--no-four-eyes", "--no-approvers", *JSON)
    assert (changed.code, changed.json["outcome"]) == (exit_codes.OK, "events"), changed.out
    shown = cli("tenants", "show", "acme", *JSON).json
    assert (shown["approval_threshold"], shown["four_eyes"], shown["approvers"]) == ({"amount": "250.00", "currency": "EUR"}, False, [])
    table = cli("tenants", "show", "acme").out
    assert "EUR 250.00" in table
    assert "everybody who may" in table
    assert [row["tenant_id"] for row in cli("tenants", "list", *JSON).json] == ["acme"]
    refused = cli("tenants", "set", "globex", "--four-eyes", *JSON)
    assert (refused.code, refused.json["code"]) == (exit_codes.FAILED, "RESOURCE_NOT_FOUND")
