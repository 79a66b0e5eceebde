"""Events of a request that waits for a person make the row of its approval: what is asked, who may decide, what became of it."""

import json
from typing import Any

import pytest

from contracts.requests.events import RequestUpdated
from contracts.requests.values import Category, Priority
from projections.approvals.projection import APPROVALS
from tests.mixed_log import BEGAN, ENDINGS, mixed_log
from tests.unit.projections.recording import recorded, row_after, tables_after

LOGS = mixed_log(len(ENDINGS))
ROWS = tables_after(APPROVALS, [LOGS["requests"]])
SIMPLE, APPROVED, REJECTED, EXPIRED, FAILED, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING = (f"req-{number}" for number in range(len(ENDINGS)))


def part(request_id: str, *names: str) -> tuple[Any, ...]:
    row = ROWS["approvals", request_id]
    return tuple(row[name] for name in names)


def test_only_requests_that_were_asked_about_have_a_row() -> None:
    assert {key[1] for key in ROWS} == {APPROVED, REJECTED, EXPIRED, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING}


def test_a_waiting_approval_shows_what_a_person_needs_to_decide() -> None:
    assert part(WAITING, "decision", "over_at", "decided_by", "delegated_to") == (None, None, None, None)
    assert part(WAITING, "customer_tier", "priority", "category", "four_eyes") == ("enterprise", 3, "billing", True)
    texts = part(WAITING, "reasons", "escalation_reasons", "financial_impact", "approval_threshold", "approvers", "findings")
    assert [json.loads(text) for text in texts] == [
        ["amount_above_threshold", "escalated"],
        ["vip_customer"],
        {"amount": "2500.00", "currency": "USD"},
        {"amount": "1000.00", "currency": "USD"},
        ["ada", "grace"],
        {"answer": "see article 7"},
    ]
    requested, remind, escalate, expires = part(WAITING, "requested_at", "remind_at", "escalate_at", "expires_at")
    assert requested < remind < escalate < expires
    assert part(WAITING, "question", "asked_by", "answer", "answered_by") == ("Since when?", "grace", None, None)


@pytest.mark.parametrize(
    ("request_id", "decision", "decided_by", "reason"),
    [
        (APPROVED, "approved", "ada", "as agreed"),
        (REJECTED, "rejected", "grace", "not covered"),
        (EXPIRED, "expired", None, "approval_expired"),
        (DELETED, None, None, None),
        (IN_ADVANCE, "approved", "grace", "as agreed"),
    ],
)
def test_a_row_shows_the_decision_who_took_it_and_why(
    request_id: str, decision: str | None, decided_by: str | None, reason: str | None
) -> None:
    assert part(request_id, "decision", "decided_by", "reason") == (decision, decided_by, reason)


def test_questions_delegation_and_reminders_are_shown() -> None:
    assert part(APPROVED, "question", "answer", "answered_by") == ("Which invoice?", "That of May", "bob")
    assert part(REJECTED, "delegated_to", "delegated_by") == ("grace", "ada")
    reminded, escalated, decided = part(REJECTED, "reminded_at", "escalated_at", "decided_at")
    assert reminded < escalated < decided


def test_asking_anew_replaces_what_was_asked_and_a_decision_stands_whatever_ends_the_request() -> None:
    assert part(ASKED_ANEW, "decision", "question", "reason") == ("approved", None, None)
    assert json.loads(part(ASKED_ANEW, "financial_impact")[0])["amount"] == "900.00"
    assert part(ASKED_ANEW, "over_at") != (None,)


def test_what_is_asked_about_follows_changes_of_the_request_and_what_was_approved_is_told() -> None:
    asked = next(
        event.event() for event in LOGS["requests"] if event.aggregate_id == WAITING and "ApprovalRequested" in event.metadata.type_name
    )
    about = {"tenant_id": asked.tenant_id, "request_id": WAITING}
    changes = {"message": "Both invoices", "priority": Priority.CRITICAL, "category": Category.REFUND, "metadata": {"amount": "3000.00"}}
    updated = RequestUpdated(**about, **changes, updated_at=BEGAN)
    row = row_after(APPROVALS, recorded([asked, updated]))
    assert (row["message"], row["priority"], row["category"], row["version"]) == ("Both invoices", 4, "refund", 2)
    assert json.loads(row["financial_impact"]) == {"amount": "3000.00", "currency": "USD"}
    only = RequestUpdated(**about, message="Both", updated_at=BEGAN)
    assert json.loads(row_after(APPROVALS, recorded([asked, only]))["financial_impact"])["amount"] == "2500.00"
    for metadata in ({}, {"amount": "a lot"}):
        without = RequestUpdated(**about, metadata=metadata, updated_at=BEGAN)
        assert row_after(APPROVALS, recorded([asked, without]))["financial_impact"] is None
    approved = next(event.event() for event in LOGS["requests"] if "RequestApproved" in event.metadata.type_name)
    done = row_after(APPROVALS, recorded([asked, updated, approved.model_copy(update={"request_id": WAITING})]))
    assert json.loads(done["financial_impact"])["amount"] == "2500.00"


def test_a_request_that_ends_while_it_waits_leaves_no_decision() -> None:
    assert part(DELETED, "decision", "decided_at") == (None, None)
    assert part(DELETED, "over_at") != (None,)
