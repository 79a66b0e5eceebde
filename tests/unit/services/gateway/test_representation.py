"""What callers read of a request, with links that its state and the caller's role allow; cursors; waits that callers prefer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

import pytest

from contracts.requests.values import RequestStatus
from infra.identity.permissions import permits
from services.gateway.cursors import after_of, cursor_of
from services.gateway.errors import ApiError
from services.gateway.orders import preferred_wait
from services.gateway.resources.request_representation import links_of, represent
from tests.unit.services.gateway.arena import BASE, NOW, principal, view

FINAL = {"rejected", "completed", "failed", "deleted"}


def links(status: str, role: str) -> set[str]:
    return set(links_of(BASE, view(status=status), partial(permits, principal(role))))


@pytest.mark.parametrize("role", ["admin", "manager", "agent", "customer", "root"])
@pytest.mark.parametrize("status", [status.value for status in RequestStatus])
def test_links_offer_what_state_and_role_allow_and_nothing_else(status: str, role: str) -> None:
    wanted = {"self"}
    if role in ("admin", "manager", "agent") and status not in FINAL:
        wanted.add("update")
    if role in ("admin", "manager") and status in ("pending", "awaiting_approval"):
        wanted.add("approve")
    if status == "completed":
        wanted.add("history")
    assert links(status, role) == wanted


def test_a_link_says_where_how_and_what_for() -> None:
    found = links_of(BASE, view(), partial(permits, principal()))
    assert {name: (link.rel, link.method, link.href) for name, link in found.items()} == {
        "self": ("self", "GET", f"{BASE}/api/v1/requests/req-1"),
        "update": ("update", "PATCH", f"{BASE}/api/v1/requests/req-1"),
        "approve": ("approve", "POST", f"{BASE}/api/v1/requests/req-1/approve"),
    }
    assert all(link.description for link in found.values())


def test_links_are_in_the_json_under_their_name_with_an_underscore() -> None:
    body = json.loads(represent(BASE, view(), partial(permits, principal())).to_json())
    assert {"request_id", "status", "message", "created_at", "_links"} <= set(body)
    assert "links" not in body
    assert body["_links"]["self"]["method"] == "GET"
    assert (body["version"], body["position"]) == (1, "requests:7")
    assert not {"tenant_id", "confidence", "approval_threshold"} & set(body)


def test_a_cursor_leads_back_to_its_row() -> None:
    after = (NOW, "req-4f1c/ü")
    assert after_of(cursor_of(after)) == after
    assert after_of(None) is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "ü", "a" * 601, "bnVsbA", "W10", "WzEsMl0", cursor_of((datetime(2026, 1, 1), "req-1")), cursor_of((NOW, "")),
     cursor_of((NOW, "\x00")), cursor_of((NOW, "r" * 201)), "W" * 600, cursor_of((NOW, "a"))[:-3] + "!!!"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ApiError) as refused:
        after_of(cursor)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("wait=0", 0),
        ("respond-async, wait=10", 10),
        ("respond-async; wait=10", 10),
        ("Wait = 3", 3),
        ('wait="3"', 3),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=x", None),
        ("await=5", None),
        ("wait=99999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_a_preferred_wait_is_read_as_the_standard_has_it(prefer: str | None, seconds: int | None) -> None:
    assert preferred_wait(prefer) == seconds


def test_the_moment_of_a_cursor_keeps_its_microseconds() -> None:
    moment = datetime(2026, 5, 4, 12, 0, 0, 123_456, tzinfo=UTC)
    assert after_of(cursor_of((moment, "req-1"))) == (moment, "req-1")
