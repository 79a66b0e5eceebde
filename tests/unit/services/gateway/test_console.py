"""Who may open the console's pages and send its forms, and how operators sign in and out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
from fastapi.routing import APIRoute

from infra.identity.base import Permission
from infra.identity.permissions import permits
from services.gateway.access import requirement_of
from services.gateway.console.session import PREFIX
from services.gateway.console.sign_in import within
from tests.conformance.accounts import PASSWORD
from tests.unit.services.gateway.arena import BASE, ISSUER, TENANT, Arena, principal, view
from tests.unit.services.gateway.console_visitor import (
    EVERY_ROLE,
    FORMS,
    OPEN,
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

# --- who may ---


def test_each_page_asks_for_the_permission_of_what_it_shows() -> None:
    routes = [route for route in Arena().console.router().routes if isinstance(route, APIRoute)]
    guarded = {(*route.methods, route.path, found.permission.value) for route in routes if (found := requirement_of(route)) is not None}  # type: ignore[misc]
    assert guarded == set(ROUTES)
    assert {(*route.methods, route.path) for route in routes if requirement_of(route) is None} == OPEN
    assert not [route.path for route in routes if route.include_in_schema]


@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
async def test_without_a_session_every_page_leads_to_signing_in_and_every_form_does_nothing(
    method: str, path: str, permission: str
) -> None:
    arena = furnished()
    visitor = Visitor(arena, None)
    answer = await (visitor.get(path_of(path)) if method == "GET" else visitor.post(path_of(path), fields_of(path)))
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/sign-in")
    assert not orders_of(arena)
    assert not arena.reads.asked


@pytest.mark.parametrize("role", EVERY_ROLE)
async def test_each_role_opens_and_sends_what_its_permissions_allow(role: str) -> None:
    arena = furnished()
    arena.settle(shows=view())
    visitor = Visitor(arena, role)
    for method, path, permission in ROUTES:
        arena.letters.details[TENANT, "requests"] = [letter()]
        before, asked = orders_of(arena), len(arena.reads.asked)
        answer = await (visitor.get(path_of(path)) if method == "GET" else visitor.send(path_of(path), fields_of(path)))
        done = orders_of(arena) - before
        if not permits(principal(role), Permission(permission)):
            assert (answer.status_code, done, len(arena.reads.asked)) == (403, 0, asked), path
            assert f"The permission {permission} is required." in answer.text
        elif method == "GET":
            assert answer.status_code == 200, path
        else:
            assert (answer.status_code, done, answer.headers["location"].startswith(f"{PREFIX}/")) == (303, 1, True), path


@pytest.mark.parametrize("role", EVERY_ROLE)
async def test_nobody_is_offered_what_he_may_not_do(role: str) -> None:
    visitor = Visitor(furnished(), role)
    needed = {(method, path_of(path)): permission for method, path, permission in ROUTES}
    offered = set()
    for (method, path), permission in needed.items():
        if method == "GET" and permits(principal(role), Permission(permission)):
            shown = (await visitor.get(path)).text
            offered |= {("POST", target) for target in re.findall(r'method="post" action="([^"]+)"', shown)}
            offered |= {("GET", target) for target in re.findall(r'<li><a href="([^"]+)"', shown)}
    offered.discard(("POST", "/console/sign-out"))
    assert offered == {each for each, permission in needed.items() if each in offered and permits(principal(role), Permission(permission))}
    if role == "admin":
        assert offered >= {(method, path) for method, path in needed if method == "POST"}


async def test_the_first_page_is_the_first_that_the_role_may_open() -> None:
    arena = furnished()
    for role, first in (("admin", "/console/fleet"), ("agent", "/console/fleet"), ("customer", "/console/requests")):
        answer = await Visitor(arena, role).get("/console")
        assert (answer.status_code, answer.headers["location"]) == (303, first)
    answer = await Visitor(arena, "root").get("/console")
    assert (answer.status_code, "The role root opens no page of the console." in answer.text) == (403, True)


async def test_a_token_opens_no_page_by_the_apis_header_and_a_session_nothing_of_the_api() -> None:
    arena = furnished()
    assert (await arena.call("GET", "/console/fleet", role="admin")).status_code == 303
    assert (await Visitor(arena).get("/api/v1/requests")).status_code == 401


async def test_another_tenants_request_and_letter_are_not_there() -> None:
    visitor = Visitor(furnished(), "admin", "other")
    for path in ("/console/requests/req-1", "/console/dead-letters/requests/42"):
        assert (await visitor.get(path)).status_code == 404
    assert "req-1" not in (await visitor.get("/console/dead-letters")).text


# --- signing in ---


async def test_signing_in_begins_a_session_that_ends_with_its_token() -> None:
    visitor = Visitor(await with_account(), None)
    answer = await visitor.send(
        "/console/sign-in", {"username": f"ann@{TENANT}", "password": PASSWORD, "to": "/console/requests?status=failed"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/requests?status=failed")
    (line,) = [each for each in answer.headers.get_list("set-cookie") if "agentmesh_console=" in each]
    (morsel,) = SimpleCookie(line).values()
    assert (morsel["path"], morsel["samesite"], morsel["httponly"], morsel["secure"]) == ("/", "lax", True, True)
    assert morsel.key == SESSION  # __Host-: a neighbour of the host cannot plant it
    assert not morsel["domain"]
    assert 1_700 < int(morsel["max-age"]) <= 1_800
    assert (await visitor.get("/console/requests")).status_code == 200
    ended = await visitor.send("/console/sign-out", {})
    assert (ended.status_code, ended.headers["location"]) == (303, "/console/sign-in")
    assert SESSION not in visitor.cookies


async def test_whoever_does_not_sign_in_is_told_the_same() -> None:
    visitor = Visitor(await with_account(), None)
    told = set()
    for username, password in ((f"ann@{TENANT}", "wrong"), (f"nobody@{TENANT}", PASSWORD), ("ann", PASSWORD), ("", "")):
        answer = await visitor.send("/console/sign-in", {"username": username, "password": password})
        assert (answer.status_code, SESSION in visitor.cookies) == (401, False)
        told |= set(re.findall(r'role="alert"[^>]*>(.*?)</p>', answer.text))
    assert len(told) == 1


async def test_a_token_signs_in_in_development_only() -> None:
    token = ISSUER.issue(principal("manager"), datetime.now(UTC))
    visitor = Visitor(await with_account(), None)
    assert (await visitor.send("/console/sign-in", {"token": f" {token}\n"})).status_code == 303
    assert visitor.cookies[SESSION] == token
    refused = await Visitor(await with_account(), None).send("/console/sign-in", {"token": "garbage"})
    assert (refused.status_code, "This token does not sign in" in refused.text) == (401, True)
    production = Visitor(await with_account("production"), None)
    assert (await production.send("/console/sign-in", {"token": token})).status_code == 401
    assert "Access token" not in (await production.get("/console/sign-in")).text


async def test_a_session_that_has_ended_leads_to_signing_in_and_back() -> None:
    visitor = Visitor(furnished())
    visitor.cookies[SESSION] = ISSUER.issue(principal(), datetime.now(UTC) - timedelta(days=1))
    answer = await visitor.get("/console/requests?status=failed")
    assert answer.headers["location"] == "/console/sign-in?to=%2Fconsole%2Frequests%3Fstatus%3Dfailed&why=ended"
    assert "Your session has ended" in (await visitor.get(answer.headers["location"])).text
    back = await visitor.get("/console/requests/a%2520b")
    assert back.headers["location"].startswith("/console/sign-in?to=%2Fconsole%2Frequests%2Fa%252520b&")


@pytest.mark.parametrize("kept", [True, False])
async def test_whoever_sends_a_form_too_late_is_told_that_it_did_nothing(kept: bool) -> None:
    """Also where the browser has dropped the cookie with its session, which is the rule."""
    arena = furnished()
    visitor = Visitor(arena, None)
    if kept:
        visitor.cookies[SESSION] = ISSUER.issue(principal(), datetime.now(UTC) - timedelta(days=1))
    sent = await visitor.send("/console/approvals/req-1/decide", FORMS["decide"], Referer=f"{BASE}/console/approvals/req-1?x=1")
    assert sent.headers["location"] == "/console/sign-in?to=%2Fconsole%2Fapprovals%2Freq-1&why=unsent"
    assert "what you sent was not carried out" in (await visitor.get(sent.headers["location"])).text
    assert not orders_of(arena)


@pytest.mark.parametrize("hostile", ["http://[", "http://a]b", "\xe9://\xff", "//", ":"])
async def test_where_a_form_comes_from_may_be_any_text(hostile: str) -> None:
    arena = furnished()
    sent = {"Origin": hostile.encode("latin-1"), "Referer": hostile.encode("latin-1")}
    answer = await Visitor(arena, None).post("/console/approvals/req-1/decide", {}, **sent)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?why=unsent")
    answer = await Visitor(arena).post("/console/approvals/req-1/decide", {}, **sent)  # type: ignore[arg-type]
    assert (answer.status_code, "nothing was done" in answer.text) == (403, True)
    assert {status for _, _, status in arena.counts.ended_calls} == {303, 403}


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/console/../x\\y",
        "/api/v1/requests",
        "/consolex",
        "javascript:alert(1)",
        "/console/sign-out",
        "/console//x",
    ],
)
def test_signing_in_leads_nowhere_but_to_a_page_of_the_console(to: str) -> None:
    assert within(to) == PREFIX


async def test_guesses_are_slowed_down_by_their_address() -> None:
    arena = Arena(calls_per_minute=3)
    visitor = Visitor(arena, None)
    answers = [await visitor.send("/console/sign-in", {"username": "a@b", "password": "x"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert "Too many calls" in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) > 0
