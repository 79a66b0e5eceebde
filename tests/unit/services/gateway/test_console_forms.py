"""Whose form counts, that it is one order however often it is sent, and what is told of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.dead_letters.base import LetterDetail, ParkedItem
from infra.errors import TransientError
from infra.event_store.base import OutcomeKind
from infra.identity.accounts import reference
from services.gateway.console.dead_letters import causes_of
from tests.conformance.accounts import PASSWORD
from tests.unit.services.gateway.arena import BASE, ISSUER, TENANT, principal, view
from tests.unit.services.gateway.console_visitor import (
    FORMS,
    ROUTES,
    SESSION,
    Visitor,
    fields_of,
    furnished,
    letter,
    orders_of,
    path_of,
    with_account,
)

CROSS_SITE = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://mesh.example"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Origin": "", "Sec_Fetch_Site": ""},
)


@pytest.mark.parametrize("headers", CROSS_SITE)
async def test_a_form_of_another_site_does_nothing(headers: dict[str, str]) -> None:
    """Even with the session's cookie and the right text in the form."""
    arena = furnished()
    arena.settle(shows=view())
    visitor = Visitor(arena)
    for path in [path for method, path, _ in ROUTES if method == "POST"]:
        answer = await visitor.send(path_of(path), fields_of(path), **headers)
        assert (answer.status_code, "nothing was done" in answer.text) == (403, True), path
    assert not orders_of(arena)


async def test_a_form_without_the_sessions_text_does_nothing() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    others = arena.console._sessions.text_of(ISSUER.issue(principal("manager"), datetime.now(UTC)))
    for path in [*(path for method, path, _ in ROUTES if method == "POST"), "/console/sign-out"]:
        fields = {} if path.endswith("sign-out") else fields_of(path)
        for text in ("", "garbage", "é", others):
            answer = await visitor.post(path_of(path), {**fields, "form": text})
            assert (answer.status_code, "another sign-in" in answer.text) == (403, True), path
    assert SESSION in visitor.cookies
    assert not orders_of(arena)


async def test_signing_in_by_a_form_of_another_site_begins_no_session() -> None:
    visitor = Visitor(await with_account(), None)
    fields = {"username": f"ann@{TENANT}", "password": PASSWORD}
    assert (await visitor.post("/console/sign-in", fields)).status_code == 403
    assert (await visitor.send("/console/sign-in", fields, Origin="https://evil.example")).status_code == 403
    assert SESSION not in visitor.cookies


async def test_what_is_no_form_is_refused() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    answer = await visitor.send("/console/approvals/req-1/decide", FORMS["decide"], Content_Type="application/json")
    assert answer.status_code == 415
    twice = f"decision=approve&decision=reject&form={await visitor.form('')}"
    answer = await visitor._call(
        "POST", "/console/approvals/req-1/decide", {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE}, content=twice
    )
    assert (answer.status_code, "name each field once" in answer.text) == (422, True)
    said = {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE}
    for content in (b"form=%ff", b"form", b"form=\xff", "&".join(f"a{number}=1" for number in range(30)).encode()):
        answer = await visitor._call("POST", "/console/approvals/req-1/decide", said, content=content)
        assert (answer.status_code, "not application/x-www-form-urlencoded in UTF-8" in answer.text) == (400, True)
    assert not arena.published.commands


async def test_a_reason_that_no_database_can_hold_is_refused() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    for path in ("/console/dead-letters/requests/42/requeue", "/console/dead-letters/requests/42/discard", "/console/dead-letters/requeue"):
        answer = await visitor.send(path, {**FORMS["requeue"], "reason": "a\0b"})
        assert (answer.status_code, "reason" in answer.text) == (422, True)
    assert not arena.letters.marks


async def test_pages_of_an_origin_that_may_call_the_api_read_no_page() -> None:
    arena = furnished(cors_origins=("https://desk.example",), cors_credentials=True)
    for path, allowed in (("/console/sign-in", False), ("/api/v1/requests", True)):
        answer = await Visitor(arena).get(path, Origin="https://desk.example")
        assert ("access-control-allow-origin" in answer.headers) is allowed


async def test_a_form_that_is_sent_twice_is_one_decision_and_another_word_under_it_is_refused() -> None:
    arena = furnished()
    arena.settle(shows=view())
    visitor = Visitor(arena)
    fields = {**FORMS["decide"], "key": "key-1"}
    for _ in range(3):
        assert (await visitor.send("/console/approvals/req-1/decide", fields)).status_code == 303
    (command,) = arena.published.commands
    assert (command.metadata.type_name, command.metadata.auth_id, command.metadata.tenant_id) == (
        "agentmesh.requests.ApproveRequest.v1", "admin-1", TENANT,
    )  # fmt: skip
    other = await visitor.send("/console/approvals/req-1/decide", {**fields, "reason": "other words"})
    assert (other.status_code, "This form was sent before with other words" in other.text) == (422, True)
    assert len(arena.published.commands) == 1


async def test_another_decision_by_the_same_form_is_another_order_which_the_domain_judges() -> None:
    """It must not be told as done because the first one was."""
    arena = furnished()
    arena.settle(shows=view())
    visitor = Visitor(arena)
    fields = {**FORMS["decide"], "key": "key-1"}
    await visitor.send("/console/approvals/req-1/decide", fields)
    arena.settle(
        OutcomeKind.REJECTED, code="BUSINESS_RULE_VIOLATION", error_type="BusinessRuleViolation", message="It is decided.", details={}
    )
    answer = await visitor.send("/console/approvals/req-1/decide", {**fields, "decision": "reject"})
    assert (answer.status_code, "It is decided." in answer.text) == (422, True)


async def test_what_came_of_it_is_told_once() -> None:
    arena = furnished()
    arena.settle(shows=view())
    visitor = Visitor(arena)
    await visitor.send("/console/approvals/req-1/decide", FORMS["decide"])
    shown = [(await visitor.get("/console/approvals")).text for _ in range(2)]
    assert ["req-1 is approved." in text for text in shown] == [True, False]


async def test_an_outcome_that_is_not_known_is_not_told_as_done() -> None:
    visitor = Visitor(furnished())
    assert (await visitor.send("/console/approvals/req-1/decide", FORMS["decide"])).status_code == 303
    text = (await visitor.get("/console/approvals")).text
    assert "its outcome is not known yet" in text
    assert "is approved" not in text


async def test_what_was_told_to_another_session_or_made_up_is_not_shown() -> None:
    arena = furnished()
    arena.settle(shows=view())
    visitor, other = Visitor(arena), Visitor(arena, "manager")
    await visitor.send("/console/approvals/req-1/decide", FORMS["decide"])
    for told in (visitor.cookies[f"{SESSION}_told"], "x.y", "eHg=.eHg=", "."):
        other.cookies[f"{SESSION}_told"] = told
        assert 'role="status"' not in (await other.get("/console/approvals")).text


async def test_an_approval_is_left_to_who_has_this_login_and_to_nobody_who_is_not_there() -> None:
    """Left to an id that nobody has, it could be decided by nobody until it is escalated."""
    arena = furnished(environment="production")
    arena.settle(shows=view())
    ids = {}
    for login, role in (("bob", "manager"), ("carl", "agent"), ("dora", "manager")):
        ids[login] = await arena.world.user(reference(TENANT, login), role)
    await arena.world.accounts.users.set_disabled(reference(TENANT, "dora"), True, "tester")
    visitor = Visitor(arena)
    elsewhere = "user-6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d"
    for to, id_ in (("bob", ids["bob"]), (" Bob ", ids["bob"]), (f"bob@{TENANT}", ids["bob"]), (elsewhere, elsewhere)):
        assert (await visitor.send("/console/approvals/req-1/delegate", {"to": to})).status_code == 303
        assert json.loads(arena.published.commands.pop().value)["to"] == id_
    absent, unfit = "Should be a login of this tenant, or the id", "Should be somebody who may approve"
    for to, told in (("bbo", absent), ("bob@other", absent), ("carl", unfit), ("dora", unfit), ("", "to: Field required")):
        answer = await visitor.send("/console/approvals/req-1/delegate", {"to": to})
        assert (answer.status_code, told in answer.text) == (422, True), answer.text
    assert not arena.published.commands


async def test_who_has_no_account_is_named_by_his_id_where_such_people_sign_in() -> None:
    arena = furnished()
    arena.settle(shows=view())
    assert (await Visitor(arena).send("/console/approvals/req-1/delegate", {"to": "auth0|7"})).status_code == 303
    assert json.loads(arena.published.commands[0].value)["to"] == "auth0|7"


async def test_a_decision_that_breaks_a_rule_is_refused_with_the_rule() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({"decision": "reject"}, "A rejection should have a reason"),
        ({"decision": "reject", "reason": "  "}, "A rejection should have a reason"),
        ({"decision": "perhaps"}, "Should be approve or reject"),
        ({}, "Should be approve or reject"),
        ({"decision": "approve", "reason": "x" * 1_001}, "at most 1000 characters"),
    )
    for fields, told in cases:
        answer = await visitor.send("/console/approvals/req-1/decide", fields)
        assert (answer.status_code, told in answer.text) == (422, True), answer.text
    assert not arena.published.commands


async def test_a_refusal_of_the_domain_is_told_in_its_words() -> None:
    arena = furnished()
    arena.settle(OutcomeKind.REJECTED, code="BUSINESS_RULE_VIOLATION", error_type="BusinessRuleViolation", message="Four eyes.", details={})
    answer = await Visitor(arena).send("/console/approvals/req-1/decide", FORMS["decide"])
    assert (answer.status_code, "Four eyes." in answer.text) == (422, True)


async def test_a_broker_that_is_away_is_told_with_what_to_do() -> None:
    arena = furnished()
    arena.published.error = TransientError("away")
    answer = await Visitor(arena).send("/console/approvals/req-1/decide", FORMS["decide"])
    assert (answer.status_code, "a form that is sent twice is one order" in answer.text) == (503, True)
    assert "away" not in answer.text.replace("is away or overloaded", "")


async def test_a_cause_is_requeued_up_to_what_the_page_has_shown() -> None:
    arena = furnished()
    arena.letters.details[TENANT, "requests"] = [letter(42), letter(43)]
    visitor = Visitor(arena)
    answer = await visitor.send("/console/dead-letters/requeue", FORMS["requeue"])
    assert answer.status_code == 303
    assert arena.letters.marks == [(TENANT, "requeued", [42], "admin-1", "mended")]
    assert "1 of 1 letters of requests are marked" in (await visitor.get("/console/dead-letters")).text
    for through in ("", "-1", "x", "9" * 19):
        assert (await visitor.send("/console/dead-letters/requeue", {**FORMS["requeue"], "through": through})).status_code == 422


async def test_a_rebuild_is_ordered_once_by_one_form_and_by_who_runs_the_mesh() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    assert ">Rebuild<" in (await visitor.get("/console/projections")).text
    for _ in range(2):
        assert (await visitor.send("/console/projections/requests/rebuild", {"key": "key-1"})).status_code == 303
    (order,) = arena.rebuilds.orders.values()
    assert (order.read_model, order.ordered_by) == ("requests", "admin-1")
    assert "The rebuild of requests is waiting." in (await visitor.get("/console/projections")).text
    assert (await visitor.send("/console/projections/nope/rebuild", {})).status_code == 404
    elsewhere = furnished(environment="production")
    visitor = Visitor(elsewhere)
    assert ">Rebuild<" not in (await visitor.get("/console/projections")).text
    assert (await visitor.send("/console/projections/requests/rebuild", {})).status_code == 403
    assert not elsewhere.rebuilds.orders


def behind(position: int, **changes: Any) -> ParkedItem:
    """A letter that waits behind another, as the event store records it."""
    return letter(position, cause="behind", error_type="WaitsBehind", error_message="waits", attempts=0, **changes).item


def test_causes_are_counted_and_the_largest_comes_first() -> None:
    items = [
        letter(1).item,
        letter(2, aggregate_id="req-2", status="requeued").item,
        letter(3, context="tasks", error_type="TypeError", aggregate_id=None).item,
    ]
    first, second = causes_of(items, {("tasks", "TypeError")})
    assert (first.error_type, first.parked, first.requeued, first.behind, first.aggregates, first.through) == ("KeyError", 1, 1, 0, 2, 2)
    assert (second.context, second.aggregates) == ("tasks", 0)
    assert (first.more, second.more) == (False, True)


def test_what_waits_behind_a_letter_counts_with_its_cause_and_is_not_requeued_by_itself() -> None:
    items = [
        letter(1, error_message="the first").item,
        behind(2),
        letter(3, error_type="TypeError").item,
        behind(4),
        behind(5, aggregate_id="req-9"),  # what it waits for is not among those that were asked for
    ]
    causes = {cause.error_type: cause for cause in causes_of(items)}
    assert [(name, cause.parked, cause.behind, cause.through) for name, cause in causes.items()] == [
        ("KeyError", 1, 1, 1),
        ("TypeError", 1, 1, 3),
        ("WaitsBehind", 0, 1, 5),
    ]
    assert causes["KeyError"].example == "the first"


async def test_ten_thousand_letters_of_one_cause_hide_no_other() -> None:
    arena = furnished()
    many = [letter(number, aggregate_id=f"req-{number}") for number in range(1, 1_200)]
    arena.letters.details[TENANT, "requests"] = [
        *many, letter(2_000, error_type="ValueError"), LetterDetail(behind(2_001), "c", None, None, "t/0/1", "k", {}, {}),
    ]  # fmt: skip
    arena.letters.details[TENANT, "tasks"] = [letter(3_000, context="tasks", error_type="TypeError")]
    text = (await Visitor(arena).get("/console/dead-letters")).text
    assert re.findall(r"error_type=(\w+)", text) == ["KeyError", "ValueError", "TypeError"]
    assert re.findall(r"Requeue (\d+)", text) == ["500", "1", "1"]
    assert 'name="through" value="500"' in text
    assert '<td class="number">500+</td>' in text
