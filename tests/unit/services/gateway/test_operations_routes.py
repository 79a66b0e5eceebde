"""The routes that operators use: analytics, dead letters, read models."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.dead_letters.base import LetterDetail, ParkedItem
from infra.positions.base import ContextState, ReadModelState
from infra.rebuild_orders.base import Failure, OrderState
from services.gateway.errors import ApiError
from services.gateway.resources.analytics import period
from services.gateway.resources.projections import SAID
from tests.unit.services.gateway.arena import BASE, NOW, TENANT, Arena

ANALYTICS, LETTERS, PROJECTIONS = "/api/v1/analytics", "/api/v1/dead-letters", "/api/v1/projections"
REASON = {"reason": "mended"}


# --- analytics --------------------------------------------------------------------------------------------------------


def test_the_period_is_the_last_day_unless_it_is_named() -> None:
    day = timedelta(days=1)
    assert period(None, None, NOW) == (NOW - day, NOW)
    assert period(None, NOW - day, NOW) == (NOW - 2 * day, NOW - day)
    assert period(NOW - 366 * day, None, NOW) == (NOW - 366 * day, NOW)


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [
        (NOW, NOW, "since"),
        (NOW + timedelta(days=1), None, "since"),
        (NOW - timedelta(days=367), None, "since"),
        (None, datetime(1, 1, 1, tzinfo=UTC), "until"),
        (datetime(1, 1, 1, tzinfo=datetime.fromisoformat("2026-01-01T00:00:00+05:00").tzinfo), None, "since"),
    ],
)
def test_a_period_that_cannot_be_is_refused(since: datetime | None, until: datetime | None, field: str) -> None:
    with pytest.raises(ApiError) as raised:
        period(since, until, NOW)
    assert (raised.value.status, raised.value.details["errors"][0]["field"]) == (422, field)


async def test_counts_are_those_of_the_callers_tenant_and_the_period() -> None:
    arena = Arena()
    arena.reads.canned[b"read_analytics.requests"] = [
        ("completed", None, None, 2, 4.5, 0, 1, 1),
        (None, "billing", None, 2, None, 1, 0, 1),
        (None, None, True, 1, None, 1, 1, 0),
        (None, None, None, 2, None, 1, 1, 1),
    ]
    arena.reads.canned[b"read_analytics.tasks"] = [("triage", "SUCCESS", 3, 4, 12.5)]
    arena.reads.canned[b"read_analytics.model_usage"] = []
    answer = await arena.call(
        "GET", ANALYTICS, params={"since": "2026-05-01T00:00:00Z", "until": "2026-05-02T02:00:00+02:00"}, role="manager"
    )
    told = answer.json()
    assert (answer.status_code, told["requests"]["by_status"], told["requests"]["escalated"]) == (200, {"completed": 2}, 1)
    assert told["tasks"][0]["by_outcome"] == {"SUCCESS": 3}
    bounds = {"tenant": TENANT, "since": datetime(2026, 5, 1, tzinfo=UTC), "until": datetime(2026, 5, 2, tzinfo=UTC)}
    assert arena.reads.asked == [bounds] * 3
    again = await arena.call("GET", told["_links"]["self"]["href"].removeprefix(BASE))
    assert (again.status_code, again.json()["until"]) == (200, "2026-05-02T00:00:00Z")


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2026-05-01T00:00:00", "until=", "since=2026-05-02T00:00:00Z&until=2026-05-01T00:00:00Z"]
)
async def test_a_time_of_another_form_is_422(query: str) -> None:
    arena = Arena()
    answer = await arena.call("GET", f"{ANALYTICS}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert not arena.reads.asked


# --- dead letters -----------------------------------------------------------------------------------------------------


def letter(position: int, status: str = "parked", context: str = "requests", error_type: str = "KeyError") -> LetterDetail:
    type_name = f"agentmesh.{context}.TriageRequest.v1"
    item = ParkedItem(
        context, position, f"req-{position}", type_name, "defect", error_type, "'category'", 3, status, NOW.isoformat()
    )  # fmt: skip
    return LetterDetail(item, "c-1", None, None, "topic/1/7", f"req-{position}", {"ce_id": "c-1"}, {"tenant_id": TENANT})


def with_letters(*letters: LetterDetail) -> Arena:
    arena = Arena()
    for each in letters:
        arena.letters.details.setdefault((TENANT, each.item.context), []).append(each)
    arena.letters.details[("other", "requests")] = [letter(500)]
    return arena


async def test_letters_are_listed_by_context_and_position_page_by_page() -> None:
    arena = with_letters(letter(9), letter(3), letter(5, context="tasks"), letter(7, "discarded"), letter(11, "requeued"))
    arena.letters.details[(TENANT, "requests")].sort(key=lambda each: each.item.position)
    seen, path, pages = [], f"{LETTERS}?limit=2", 0
    while path:
        answer = await arena.call("GET", path, role="manager")
        told = answer.json()
        assert answer.status_code == 200, answer.text
        seen += [f"{each['context']}:{each['position']}" for each in told["items"]]
        path = told["_links"]["next"]["href"].removeprefix(BASE) if told["next_cursor"] else ""
        pages += 1
    assert (seen, pages) == (["requests:3", "requests:9", "requests:11", "tasks:5"], 2)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=all", [3, 7, 5]),
        ("status=discarded", [7]),
        ("context=tasks", [5]),
        ("context=agents", []),
        ("error_type=KeyError", [3]),
        ("aggregate_id=req-3", [3]),
        ("aggregate_id=req-500", []),
    ],
)
async def test_letters_are_filtered(query: str, found: list[int]) -> None:
    arena = with_letters(letter(3), letter(7, "discarded"), letter(5, context="tasks", error_type="ValueError"))
    answer = await arena.call("GET", f"{LETTERS}?{query}")
    assert [each["position"] for each in answer.json()["items"]] == found


@pytest.mark.parametrize(
    "query", ["context=nothing", "status=gone", "cursor=5", "cursor=nothing:5", "cursor=requests:-1", "limit=0", "error_type="]
)
async def test_a_query_about_letters_that_breaks_its_rule_is_422(query: str) -> None:
    assert (await with_letters().call("GET", f"{LETTERS}?{query}")).status_code == 422


async def test_one_letter_is_shown_with_its_record_and_the_links_of_its_status_and_the_role() -> None:
    arena = with_letters(letter(3), letter(7, "requeued"), letter(8, "discarded"))
    told = (await arena.call("GET", f"{LETTERS}/requests/3")).json()
    assert (told["error_type"], told["value"], told["record"], "stack" in told) == ("KeyError", {"tenant_id": TENANT}, "topic/1/7", False)
    links = [set((await arena.call("GET", f"{LETTERS}/requests/{each}")).json()["_links"]) for each in (3, 7, 8)]
    assert links == [{"self", "requeue", "discard"}, {"self", "discard"}, {"self"}]
    assert set((await arena.call("GET", f"{LETTERS}/requests/3", role="manager")).json()["_links"]) == {"self"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "requests/4", 404),
        ("GET", "requests/500", 404),
        ("GET", "tasks/3", 404),
        ("GET", "nothing/3", 422),
        ("GET", "requests/0", 422),
        ("GET", "requests/x", 422),
        ("GET", "requests/9999999999999999999999", 422),
        ("POST", "requests/500/requeue", 404),
        ("POST", "requests/500/discard", 404),
    ],
)
async def test_what_is_not_there_or_anothers_is_404(method: str, path: str, status: int) -> None:
    arena = with_letters(letter(3))
    answer = await arena.call(method, f"{LETTERS}/{path}", **({"json": REASON} if method == "POST" else {}))
    assert answer.status_code == status
    assert not arena.letters.marks


async def test_a_mark_carries_who_and_why_and_twice_changes_nothing() -> None:
    arena = with_letters(letter(3))
    for _ in range(2):
        answer = await arena.call("POST", f"{LETTERS}/requests/3/requeue", json=REASON)
        assert (answer.status_code, answer.json()["status"], answer.json()["marked_by"]) == (200, "requeued", "admin-1")
    for _ in range(2):
        answer = await arena.call("POST", f"{LETTERS}/requests/3/discard", json={"reason": "called off"})
        assert (answer.status_code, answer.json()["status"], answer.json()["marked_reason"]) == (200, "discarded", "called off")
    over = await arena.call("POST", f"{LETTERS}/requests/3/requeue", json=REASON)
    assert (over.status_code, over.json()["error"]["details"]) == (422, {"rule": "dead_letter_must_wait", "status": "discarded"})
    assert {mark[3] for mark in arena.letters.marks} == {"admin-1"}


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 1001}, {"reason": "x", "by": "me"}])
async def test_a_mark_needs_a_reason(body: dict[str, Any]) -> None:
    arena = with_letters(letter(3))
    for verb in ("requeue", "discard"):
        assert (await arena.call("POST", f"{LETTERS}/requests/3/{verb}", json=body)).status_code == 422
    assert not arena.letters.marks


async def test_by_filter_all_that_it_means_up_to_the_bound_is_marked_and_nothing_else() -> None:
    arena = with_letters(*(letter(number, error_type="KeyError" if number % 2 else "ValueError") for number in range(1, 301)))
    body = {"context": "requests", "reason": "mended", "error_type": "KeyError", "through": 250}
    dry = (await arena.call("POST", f"{LETTERS}/requeue", json={**body, "dry_run": True})).json()
    assert dry == {"context": "requests", "matched": 125, "marked": 0, "through": 250, "after": 249, "complete": True}
    assert not arena.letters.marks
    done = (await arena.call("POST", f"{LETTERS}/requeue", json=body)).json()
    assert (done["matched"], done["marked"], done["complete"]) == (125, 125, True)
    marked = {each.item.position for each in arena.letters.details[(TENANT, "requests")] if each.item.status == "requeued"}
    assert marked == set(range(1, 251, 2))


async def test_a_call_marks_so_many_and_says_where_to_go_on() -> None:
    arena = with_letters(*(letter(number) for number in range(1, 1_401)))
    body: dict[str, Any] = {"context": "requests", "reason": "mended", "through": 1_400}
    first = (await arena.call("POST", f"{LETTERS}/requeue", json=body)).json()
    assert first == {"context": "requests", "matched": 1_000, "marked": 1_000, "through": 1_400, "after": 1_000, "complete": False}
    rest = (await arena.call("POST", f"{LETTERS}/requeue", json={**body, "after": first["after"]})).json()
    assert (rest["marked"], rest["complete"]) == (400, True)


async def test_a_rate_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("services.gateway.resources.dead_letters.asyncio.sleep", sleep)
    arena = with_letters(*(letter(number) for number in range(1, 6)))
    done = (await arena.call("POST", f"{LETTERS}/requeue", json={"context": "requests", "reason": "mended", "rate": 2})).json()
    assert (done["marked"], done["through"], [each for each in pauses if each]) == (5, 1_000, [1.0, 1.0])


@pytest.mark.parametrize(
    "changes", [{"context": "nothing"}, {"through": 0}, {"rate": 0}, {"after": -1}, {"tenant_id": "other"}, {"reason": ""}]
)
async def test_a_filter_that_breaks_its_rule_is_422(changes: dict[str, Any]) -> None:
    answer = await with_letters().call("POST", f"{LETTERS}/requeue", json={"context": "requests", **REASON, **changes})
    assert (answer.status_code, answer.json()["error"]["details"]["errors"][0]["pointer"]) == (422, f"/{next(iter(changes))}")


# --- read models ------------------------------------------------------------------------------------------------------


async def test_read_models_tell_how_far_they_are() -> None:
    arena = Arena()
    contexts = (ContextState("requests", 40, 45, 5), ContextState("tasks", 12, 12, 0))
    arena.states.found = [ReadModelState("timeline", 3, NOW, 2, contexts), ReadModelState("tenants", 1, NOW, 0, ())]
    arena.states.found.append(ReadModelState("tasks", 1, NOW, 0, (ContextState("tasks", 0, 7, None), ContextState("agents", 1, 1, 0))))
    first, second, third = (await arena.call("GET", PROJECTIONS, role="manager")).json()["items"]
    assert (first["state"], first["parked"], first["lag"]) == ("incomplete", 2, 5)
    assert first["contexts"][0] == {"context": "requests", "position": "requests:40", "log_head": "requests:45", "lag": 5}
    assert (second["state"], second["contexts"], second["lag"]) == ("complete", [], None)
    assert (third["lag"], [each["lag"] for each in third["contexts"]]) == (None, [None, 0])


# --- rebuilds ---------------------------------------------------------------------------------------------------------

REBUILD = f"{PROJECTIONS}/requests/rebuild"


async def test_a_rebuild_is_ordered_and_followed_at_its_location() -> None:
    arena = Arena()
    answer = await arena.call("POST", REBUILD)
    told = answer.json()
    assert (answer.status_code, told["state"], told["projection"], told["ordered_by"]) == (202, "waiting", "requests", "admin-1")
    assert answer.headers["location"] == told["_links"]["self"]["href"] == f"{BASE}{PROJECTIONS}/requests/rebuilds/{told['order_id']}"
    arena.rebuilds.become(told["order_id"], state=OrderState.RUNNING, started_at=NOW, attempts=1, done=5, total=9, events=4)
    shown = (await arena.call("GET", answer.headers["location"].removeprefix(BASE), role="manager")).json()
    assert (shown["state"], shown["done"], shown["total"], shown["events"], shown["failure"]) == ("running", 5, 9, 4, None)
    arena.states.found = [ReadModelState("requests", 3, NOW, 0, ()), ReadModelState("tasks", 1, NOW, 0, ())]
    first, second = (await arena.call("GET", PROJECTIONS)).json()["items"]
    assert (first["rebuild"]["order_id"], second["rebuild"]) == (told["order_id"], None)
    assert second["_links"]["rebuild"]["href"] == f"{BASE}{PROJECTIONS}/tasks/rebuild"
    assert (await arena.call("GET", PROJECTIONS, role="manager")).json()["items"][1]["_links"] == {}


async def test_a_second_order_is_answered_with_the_one_that_is_not_over_and_a_key_with_its_own() -> None:
    arena = Arena()
    keyed = {"Idempotency-Key": "k-1"}
    first = (await arena.call("POST", REBUILD, headers=keyed)).json()
    assert (await arena.call("POST", REBUILD)).json()["order_id"] == first["order_id"]
    arena.rebuilds.become(first["order_id"], state=OrderState.DONE, finished_at=NOW)
    again = await arena.call("POST", REBUILD, headers=keyed)
    assert (again.status_code, again.json()["order_id"], again.json()["state"]) == (202, first["order_id"], "done")
    assert (await arena.call("POST", REBUILD)).json()["order_id"] != first["order_id"]


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        ("nothing/rebuild", {}, 404, "RESOURCE_NOT_FOUND"),
        ("Requests/rebuild", {}, 422, "VALIDATION_ERROR"),
        ("requests/rebuild", {"json": {"accept_differences": True}}, 422, "VALIDATION_ERROR"),
        ("requests/rebuild", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "VALIDATION_ERROR"),
        ("requests/rebuild", {"headers": {"Idempotency-Key": " "}}, 422, "VALIDATION_ERROR"),
    ],
)
async def test_an_order_that_cannot_be_is_refused(path: str, sent: dict[str, Any], status: int, code: str) -> None:
    arena = Arena()
    answer = await arena.call("POST", f"{PROJECTIONS}/{path}", **sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not arena.rebuilds.orders


async def test_what_failed_is_told_without_naming_rows_of_any_tenant_and_not_by_whom_elsewhere() -> None:
    arena = Arena()
    order_id = (await arena.call("POST", REBUILD)).json()["order_id"]
    failed = {"state": OrderState.FAILED, "failure": Failure.DIFFERS, "message": "differs, first at req-of-another", "finished_at": NOW}
    arena.rebuilds.become(order_id, **failed, tenant_id="other", ordered_by="eve")
    answer = await arena.call("GET", f"{PROJECTIONS}/requests/rebuilds/{order_id}")
    told = answer.json()
    assert (told["failure"]["code"], told["ordered_by"]) == ("differs", None)
    assert not {"req-of-another", "eve", "other"} & set(re.findall(r"[\w-]+", answer.text))
    assert (await arena.call("GET", f"{PROJECTIONS}/tasks/rebuilds/{order_id}")).status_code == 404
    assert set(SAID) == set(Failure)


@pytest.mark.parametrize(
    ("environment", "tenants", "may"),
    [
        ("development", "", True),
        ("test", "", True),
        ("production", "", False),
        ("production", f"operators, {TENANT}", True),
        ("production", "operators", False),
        ("development", "operators", False),
    ],
)
async def test_only_the_admins_of_a_tenant_that_runs_the_mesh_may_order_a_rebuild(environment: str, tenants: str, may: bool) -> None:
    arena = Arena(environment=environment, operator_tenants=tenants)
    arena.states.found = [ReadModelState("requests", 3, NOW, 0, ())]
    answer = await arena.call("POST", REBUILD)
    assert (answer.status_code, bool(arena.rebuilds.orders)) == ((202, True) if may else (403, False))
    if not may:
        assert answer.json()["error"]["details"] == {"required_permission": "projection:rebuild"}
    (item,) = (await arena.call("GET", PROJECTIONS)).json()["items"]
    assert ("rebuild" in item["_links"]) is may
    for role in ("manager", "agent", "customer", "root"):
        assert (await arena.call("POST", REBUILD, role=role)).status_code == 403
