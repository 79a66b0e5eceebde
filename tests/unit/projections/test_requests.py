"""Events of a request make its row and its decisions: the status after each, what an approval was about, why it ended."""

import json
from typing import Any

import pytest

from contracts.requests.events import EVENTS
from contracts.requests.statuses import STATUS_AFTER
from contracts.requests.values import RequestStatus
from projections.requests.projection import REQUESTS
from tests.mixed_log import ENDINGS, mixed_log
from tests.unit.projections.recording import tables_after

ROWS = tables_after(REQUESTS, [mixed_log(len(ENDINGS))["requests"]])
SIMPLE, APPROVED, REJECTED, EXPIRED, FAILED, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING = (f"req-{number}" for number in range(len(ENDINGS)))


def part(request_id: str, *names: str) -> tuple[Any, ...]:
    return tuple(ROWS["requests", request_id][name] for name in names)


def decisions(request_id: str) -> list[tuple[Any, ...]]:
    rows = [row for key, row in sorted(ROWS.items(), key=str) if key[:2] == ("request_decisions", request_id)]
    return [tuple(row[name] for name in ("kind", "outcome", "confidence", "reason", "decided_by")) for row in rows]


@pytest.mark.parametrize(
    ("request_id", "status", "reason", "approved_by"),
    [
        (SIMPLE, "completed", None, None),
        (APPROVED, "completed", None, "ada"),
        (REJECTED, "rejected", "not covered", None),
        (EXPIRED, "rejected", "approval_expired", None),
        (FAILED, "failed", "triage: TIMEOUT", None),
        (DELETED, "deleted", "withdrawn", None),
        (ASKED_ANEW, "failed", "the answer could not be sent", "ada"),
        (IN_ADVANCE, "approved", None, "grace"),
        (WAITING, "awaiting_approval", None, None),
    ],
)
def test_a_row_shows_how_the_request_stands_and_why(request_id: str, status: str, reason: str | None, approved_by: str | None) -> None:
    assert part(request_id, "status", "reason", "approved_by") == (status, reason, approved_by)


def test_a_row_shows_whether_a_person_has_to_look_and_what_was_compared() -> None:
    assert [part(each, "escalated")[0] for each in (SIMPLE, APPROVED, ASKED_ANEW)] == [False, True, True]
    impact, threshold = part(ASKED_ANEW, "financial_impact", "approval_threshold")
    assert json.loads(impact) == {"amount": "900.00", "currency": "USD"}
    assert json.loads(threshold) == {"amount": "1000.00", "currency": "USD"}
    assert part(SIMPLE, "financial_impact") == (None,)
    assert json.loads(part(SIMPLE, "approval_threshold")[0]) == json.loads(threshold)


def test_every_decision_is_kept_with_who_and_why() -> None:
    triage = ("triage", "billing", 0.5, None, "requests-process")
    assert decisions(SIMPLE) == [triage, ("approval", "not_required", None, None, "requests-process")]
    assert decisions(APPROVED) == [
        triage,
        ("escalation", "vip_customer, low_confidence", None, None, "requests-process"),
        ("approval", "approved", None, "as agreed", "ada"),
    ]
    assert decisions(REJECTED) == [triage, ("approval", "rejected", None, "not covered", "grace")]
    assert decisions(EXPIRED) == [triage, ("approval", "rejected", None, "approval_expired", None)]
    advance, taken = ("approval", "approved_in_advance", None, "known", "grace"), ("approval", "approved", None, "as agreed", "grace")
    assert decisions(IN_ADVANCE) == [advance, triage, taken]


def test_a_decision_has_the_id_of_its_event() -> None:
    ids = {event.metadata.message_id: event.metadata.subject for event in mixed_log(len(ENDINGS))["requests"]}
    found = [row for key, row in ROWS.items() if key[0] == "request_decisions"]
    assert found
    assert all(ids[row["decision_id"]] == row["request_id"] for row in found)


def test_every_event_moves_the_version_of_its_row() -> None:
    assert set(REQUESTS.project) == set(EVENTS)
    histories = [key[1] for key in ROWS if key[0] == "request_history"]
    assert {key[1]: row["version"] for key, row in ROWS.items() if key[0] == "requests"} == {
        each: histories.count(each) for each in histories
    }


def test_every_status_is_reached_by_some_event() -> None:
    assert set(STATUS_AFTER.values()) == set(RequestStatus)
