"""Given the events of a tenant, when a command comes, then these events follow or this rule refuses it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.errors import BusinessRuleViolation, DomainError, ResourceNotFound
from contracts.message import Command
from contracts.money import Money
from contracts.tenants.commands import COMMANDS, ChangeTenantSettings, CreateTenant
from contracts.tenants.events import EVENTS, TenantCreated, TenantEvent, TenantSettingsChanged
from contracts.tenants.values import TenantSettings
from infra.runtime.base import DecisionContext
from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry
from services.tenants.domain import Tenant, UnexpectedEvent, evolve
from services.tenants.handlers import DECISIONS
from services.tenants.settings import TenantsSettings
from services.tenants.worker import build

NOWHERE = {"postgres_dsn": "postgresql://localhost:1/none", "redis_url": "redis://localhost:1", "kafka_bootstrap": "localhost:1"}
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CONTEXT = DecisionContext(NOW, NOW, "test-tenant", "user", "u-1", "c-1")
TENANT: dict[str, Any] = {"tenant_id": "test-tenant"}
DEFAULTS = dict(TenantSettings())

CREATE = CreateTenant(**TENANT, name="Acme")
CHANGE = ChangeTenantSettings(**TENANT, approval_threshold=Money(250, "EUR"), four_eyes=True)


def decide(tenant: Tenant | None, command: Command) -> tuple[TenantEvent, ...]:
    return DECISIONS[type(command)](tenant, command, CONTEXT)  # type: ignore[return-value]


def given(*commands: Command) -> Tenant:
    """The state after commands that must succeed; each event is stored and read again."""
    tenant: Tenant | None = None
    for command in commands:
        for event in decide(tenant, command):
            assert event.aggregate_id == event.tenant_id == command.tenant_id
            tenant = evolve(tenant, type(event).from_json(event.to_json()))
    assert tenant is not None
    return tenant


def refused(tenant: Tenant | None, command: Command) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(tenant, command)
    return caught.value


def test_every_command_of_the_context_has_its_decision() -> None:
    assert set(DECISIONS) == set(COMMANDS)


# --- create -----------------------------------------------------------------------------------------------------------


def test_creating_raises_exactly_one_event_that_holds_every_setting() -> None:
    assert decide(None, CREATE) == (TenantCreated(**TENANT, name="Acme", **DEFAULTS, created_at=NOW),)
    assert given(CREATE) == Tenant(**TENANT, name="Acme", **DEFAULTS, created_at=NOW)


def test_a_setting_that_is_given_takes_the_place_of_its_default() -> None:
    tenant = given(CreateTenant(**TENANT, name="Acme", settings=TenantSettings(requests_per_minute=5)))
    assert tenant == given(CREATE).model_copy(update={"requests_per_minute": 5})


def test_the_same_creation_again_changes_nothing() -> None:
    assert decide(given(CREATE), CREATE) == ()


@pytest.mark.parametrize("other", [{"name": "Other"}, {"settings": TenantSettings(four_eyes=True)}])
def test_an_id_is_used_once(other: dict[str, Any]) -> None:
    error = refused(given(CREATE), CREATE.model_copy(update=other))
    assert isinstance(error, BusinessRuleViolation)
    assert (error.code, error.rule) == ("BUSINESS_RULE_VIOLATION", "tenant_must_not_exist")


def test_a_creation_does_not_undo_later_changes() -> None:
    assert isinstance(refused(given(CREATE, CHANGE), CREATE), BusinessRuleViolation)


# --- change -----------------------------------------------------------------------------------------------------------


def test_only_given_settings_change() -> None:
    before = given(CREATE)
    (changed,) = decide(before, CHANGE)
    assert changed == TenantSettingsChanged(**TENANT, approval_threshold=Money(250, "EUR"), four_eyes=True, changed_at=NOW)
    assert set(json.loads(changed.to_json())) == {"tenant_id", "approval_threshold", "four_eyes", "changed_at"}
    assert given(CREATE, CHANGE) == before.model_copy(update={"approval_threshold": Money(250, "EUR"), "four_eyes": True})


def test_a_setting_can_be_taken_back_to_false_and_to_zero() -> None:
    back = ChangeTenantSettings(**TENANT, approval_threshold=Money(0), four_eyes=False)
    tenant = given(CREATE, CHANGE, back)
    assert (tenant.approval_threshold, tenant.four_eyes) == (Money(0), False)


def test_only_what_differs_is_recorded() -> None:
    command = ChangeTenantSettings(**TENANT, approval_threshold=Money("1000"), approval_time_limit_hours=24)
    assert decide(given(CREATE), command) == (TenantSettingsChanged(**TENANT, approval_time_limit_hours=24, changed_at=NOW),)


def test_a_repeated_change_changes_nothing() -> None:
    assert decide(given(CREATE, CHANGE), CHANGE) == ()


def test_the_same_amount_in_another_currency_is_a_change() -> None:
    assert decide(given(CREATE), ChangeTenantSettings(**TENANT, approval_threshold=Money("1000.00", "EUR")))


def test_a_tenant_that_does_not_exist_is_not_found() -> None:
    error = refused(None, CHANGE)
    assert isinstance(error, ResourceNotFound)
    assert error.code == "RESOURCE_NOT_FOUND"
    assert error.details == {"resource_type": "Tenant", "resource_id": "test-tenant"}


# --- the state itself -------------------------------------------------------------------------------------------------


def test_a_tenant_is_a_value_that_cannot_be_changed_in_place() -> None:
    tenant = given(CREATE)
    assert hash(tenant) == hash(given(CREATE))
    with pytest.raises(ValueError, match="frozen"):
        tenant.four_eyes = True  # type: ignore[misc]


def test_the_state_holds_every_setting() -> None:
    for message in (Tenant, TenantCreated, TenantSettingsChanged, ChangeTenantSettings):
        assert set(TenantSettings.model_fields) <= set(message.model_fields)


def test_an_event_out_of_order_is_a_defect_and_no_refusal() -> None:
    (created,) = decide(None, CREATE)
    (changed,) = decide(given(CREATE), CHANGE)
    assert {type(created), type(changed)} == set(EVENTS)
    with pytest.raises(UnexpectedEvent, match="first event"):
        evolve(None, changed)
    with pytest.raises(UnexpectedEvent, match="cannot follow"):
        evolve(given(CREATE), created)


# --- the worker -------------------------------------------------------------------------------------------------------


async def test_the_worker_is_named_after_its_context_and_reads_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_TENANTS_CACHED_AGGREGATES", "7")
    assert TenantsSettings().cached_aggregates == 7
    worker = build(load_settings().with_endpoints(**NOWHERE), Telemetry.for_tests())
    assert worker.name == "tenants"
    assert len(worker.required_topics()) == 1
