"""Every read model of the catalogue, kept from a recorded log of every context in a real database: its queries, and a rebuild that
ends equal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.partitioning import partition_for
from contracts.topics import CONTEXTS
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.read_models.base import ReadModel
from infra.read_models.rebuild import Rebuild, RebuildDiffers
from infra.settings import MeshSettings
from projections.analytics.queries import GetAnalytics, get_analytics
from projections.approvals.queries import ApprovalStatus, GetApproval, ListApprovals, get_approval, list_approvals
from projections.catalogue import read_models
from projections.customers.queries import GetCustomer, ListCustomers, get_customer, list_customers
from projections.requests.queries import GetRequest, ListRequests, find_by_customer, get_request, list_requests
from projections.tenants.queries import GetTenant, ListTenants, get_tenant, list_tenants
from projections.timeline.queries import GetTimeline, request_timeline
from tests.mixed_log import BEGAN, ENDINGS, mixed_log
from tests.recorded import PARTITIONS, keep, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TENANT, OTHER = "test-tenant", "other-tenant"
LOGS = mixed_log(len(ENDINGS))
SIMPLE, APPROVED, REJECTED, EXPIRED, OTHERS, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING = (f"req-{number}" for number in range(len(ENDINGS)))


@pytest.fixture
async def database(mesh_settings: MeshSettings) -> AsyncIterator[Database]:
    """A database that holds the log; no read model has seen it."""
    database = Database(mesh_settings.model_copy(update={"pool_min_size": 1}), mesh_settings.postgres_dsn, name="test")
    await database.open()
    await record(database, LOGS)
    yield database
    await database.close()


def rebuild(database: Database, model: ReadModel) -> Rebuild:
    stores = {context: PostgresEventStore(database, context) for context in model.contexts}
    return Rebuild(database, model, stores, PARTITIONS)


async def test_each_read_model_rebuilt_equals_the_one_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.read_models.rebuild.PAGE", 3)  # rows are changed, and replaced, in a later page than they were made
    for model in read_models():
        await keep(database, model)
        report = await rebuild(database, model).run(lambda done, of: None)
        events = sum(len(LOGS[context]) for context in model.contexts)
        assert (report.compared, report.parked, report.events) == (True, 0, events), model.name
        assert report.rows > 0


async def test_a_rebuild_covers_what_the_checkpoints_cover_and_nothing_else(database: Database) -> None:
    assert {context for model in read_models() for context in model.contexts} == set(CONTEXTS)
    for model in read_models():
        await keep(database, model, behind=1)
        seen = [
            event
            for context in model.contexts
            for event in LOGS[context]
            if partition_for(event.aggregate_id.encode(), PARTITIONS) < PARTITIONS - 1
        ]
        report = await rebuild(database, model).run(lambda done, of: None)
        assert (report.compared, report.events) == (True, len(seen)), model.name


async def test_a_request_is_answered_with_decisions_and_on_demand_with_its_history(database: Database) -> None:
    await keep(database, model("requests"))
    found = await get_request(database, GetRequest(tenant_id=TENANT, request_id=APPROVED))
    assert found is not None
    assert found.history is None
    assert found.decisions is not None
    assert [(each.kind, each.outcome) for each in found.decisions] == [
        ("triage", "billing"),
        ("escalation", "vip_customer, low_confidence"),
        ("approval", "approved"),
    ]
    assert (found.escalated, found.escalation_reasons) == (True, ("vip_customer", "low_confidence"))
    assert (str(found.financial_impact), str(found.approval_threshold), found.approved_by) == ("USD 2,500.00", "USD 1,000.00", "ada")

    query = GetRequest(tenant_id=TENANT, request_id=SIMPLE, include_history=True, include_decisions=False)
    found = await get_request(database, query)
    assert found is not None
    assert found.decisions is None
    assert found.history is not None
    assert [entry.version for entry in found.history] == list(range(1, found.version + 1))
    assert (found.escalated, found.escalation_reasons, found.financial_impact) == (False, (), None)
    assert await get_request(database, GetRequest(tenant_id=OTHER, request_id=SIMPLE)) is None


async def test_requests_are_found_by_status_customer_and_escalation(database: Database) -> None:
    await keep(database, model("requests"))

    async def ids(**filters: Any) -> list[str]:
        return [view.request_id for view in await list_requests(database, ListRequests(tenant_id=TENANT, **filters))]

    assert await ids(status="completed") == [APPROVED, SIMPLE]
    assert await ids(escalated=True) == [ASKED_ANEW, APPROVED]
    assert await ids(escalated=False, status="rejected") == [EXPIRED, REJECTED]
    assert [view.request_id for view in await find_by_customer(database, TENANT, "cust-0000")] == [IN_ADVANCE, SIMPLE]
    found = await get_request(database, GetRequest(tenant_id=TENANT, request_id=SIMPLE))
    assert found is not None
    assert SIMPLE in await ids(text=found.message[2:-2].upper())
    assert await ids(text=found.message, customer_id="cust-of-nobody") == []
    for wild in ("%", "_", "\\", "' OR 1=1 --"):  # they mean themselves
        assert await ids(text=wild) == []
    assert await find_by_customer(database, OTHER, "cust-0000") == []


async def test_approvals_are_found_with_how_long_they_were_waited_for(database: Database) -> None:
    await keep(database, model("approvals"))

    async def ids(status: ApprovalStatus | None = None, **filters: Any) -> list[str]:
        query = ListApprovals(**{"tenant_id": TENANT, "status": status, **filters})
        return [view.request_id for view in await list_approvals(database, query)]

    everything = [WAITING, IN_ADVANCE, ASKED_ANEW, DELETED, EXPIRED, REJECTED, APPROVED]
    assert await ids() == everything
    assert await ids(ApprovalStatus.WAITING) == [WAITING]
    assert await ids(ApprovalStatus.APPROVED) == [IN_ADVANCE, ASKED_ANEW, APPROVED]
    assert await ids(ApprovalStatus.REJECTED) == [REJECTED]
    assert await ids(ApprovalStatus.EXPIRED) == [EXPIRED]
    assert await ids(ApprovalStatus.OBSOLETE) == [DELETED]
    assert await ids(delegated_to="grace") == [REJECTED]
    assert await ids(tenant_id=OTHER) == []

    first, second = await list_approvals(database, ListApprovals(tenant_id=TENANT, limit=2))
    rest = await ids(after=(second.requested_at, second.request_id))
    assert [first.request_id, second.request_id, *rest] == everything

    approved = await get_approval(database, GetApproval(tenant_id=TENANT, request_id=APPROVED))
    assert approved is not None
    assert (approved.waited_seconds, approved.status, approved.approvers) == (3.0, "approved", ("ada", "grace"))
    waiting = await get_approval(database, GetApproval(tenant_id=TENANT, request_id=WAITING))
    assert waiting is not None
    assert waiting.waited_seconds > 60
    assert await get_approval(database, GetApproval(tenant_id=OTHER, request_id=WAITING)) is None


async def test_customers_and_tenants_are_found(database: Database) -> None:
    await keep(database, model("customers"))
    await keep(database, model("tenants"))
    customer = await get_customer(database, GetCustomer(tenant_id=TENANT, customer_id=f"cust-of-{TENANT}"))
    assert customer is not None
    assert (customer.tier, customer.email, customer.version) == ("enterprise", "ada.byron@example.org", 3)
    assert await get_customer(database, GetCustomer(tenant_id=OTHER, customer_id=customer.customer_id)) is None
    assert [view.customer_id for view in await list_customers(database, ListCustomers(tenant_id=OTHER, tier="enterprise"))] == [
        f"cust-of-{OTHER}"
    ]
    assert await list_customers(database, ListCustomers(tenant_id=TENANT, tier="free")) == []

    tenant = await get_tenant(database, GetTenant(tenant_id=TENANT))
    assert tenant is not None
    assert (str(tenant.approval_threshold), tenant.four_eyes, tenant.approvers) == ("EUR 250.00", True, ("ada", "grace"))
    assert await get_tenant(database, GetTenant(tenant_id="nobody")) is None
    assert [view.tenant_id for view in await list_tenants(database, ListTenants())] == [TENANT, OTHER]


async def test_a_timeline_tells_waits_and_work_apart(database: Database) -> None:
    await keep(database, model("timeline"))
    found = await request_timeline(database, GetTimeline(tenant_id=TENANT, request_id=APPROVED))
    assert found is not None
    assert [part.name for part in found.parts] == ["triage", "research", "approval", "resolution"]
    assert found.ended_at == found.entries[-1].at
    assert [entry.at for entry in found.entries] == sorted(entry.at for entry in found.entries)
    assert (found.totals.attempts, found.totals.input_tokens, found.totals.cost) == (4, 480, Decimal("0.048"))
    assert found.totals.waiting_for_person_seconds == 3.0
    waiting = await request_timeline(database, GetTimeline(tenant_id=TENANT, request_id=WAITING))
    assert waiting is not None
    assert (waiting.ended_at, waiting.parts[-1].steps[0].ended_at) == (None, None)
    assert await request_timeline(database, GetTimeline(tenant_id=OTHER, request_id=APPROVED)) is None


async def test_what_a_tenant_had_in_a_period_is_counted(database: Database) -> None:
    await keep(database, model("analytics"))
    ends = {event.aggregate_id: datetime.fromisoformat(event.metadata.time) for event in LOGS["requests"]}
    period = {"since": BEGAN, "until": BEGAN + timedelta(days=1)}
    found = await get_analytics(database, GetAnalytics(tenant_id=TENANT, **period))
    assert (found.requests.total, found.requests.escalated, found.requests.by_category) == (8, 2, {"billing": 8})
    statuses = {"approved": 1, "awaiting_approval": 1, "completed": 2, "deleted": 1, "failed": 1, "rejected": 2}
    assert found.requests.by_status == statuses
    seconds = [(ends[each] - BEGAN).total_seconds() - 10 * number - 1 for number, each in enumerate((SIMPLE, APPROVED))]
    assert found.requests.mean_seconds_to_completion == sum(seconds) / 2
    (triage,) = (counts for counts in found.tasks if counts.kind == "triage")
    assert (triage.total, triage.open, triage.by_outcome, triage.attempts, triage.mean_work_ms) == (8, 0, {"SUCCESS": 8}, 8, 41.0)
    (small,) = found.models
    assert (small.model, small.calls, small.cost) == ("small", 2 * small.input_tokens // 120, Decimal("0.0001") * small.input_tokens)

    nothing = await get_analytics(database, GetAnalytics(tenant_id=TENANT, since=BEGAN - timedelta(days=1), until=BEGAN))
    assert (nothing.requests.total, nothing.requests.by_status, nothing.tasks, nothing.models) == (0, {}, (), ())
    other = await get_analytics(database, GetAnalytics(tenant_id=OTHER, **period))
    assert (other.requests.total, other.requests.by_status) == (1, {"failed": 1})
    assert {counts.kind: counts.by_outcome for counts in other.tasks} == {"triage": {"TIMEOUT": 1}}


async def test_a_rebuild_that_differs_from_a_kept_approval_switches_nothing(database: Database) -> None:
    await keep(database, model("approvals"))
    await database.execute(b"UPDATE read_approvals.approvals SET decision = 'approved' WHERE request_id = %(id)s", {"id": WAITING})
    with pytest.raises(RebuildDiffers, match=WAITING):
        await rebuild(database, model("approvals")).run(lambda done, of: None)


def model(name: str) -> ReadModel:
    return next(each for each in read_models() if each.name == name)
