"""Signing in at the gateway: grants and their forms, refusals that tell nothing, one text for all of them, and the limit of an address."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from infra.errors import BulkheadFull, TransientError
from infra.identity.accounts import reference
from infra.identity.administration import new_account
from services.gateway.bodies import FORM_TYPE
from services.gateway.token_route import PATH
from tests.conformance.accounts import PASSWORD
from tests.unit.services.gateway.arena import ISSUER, Arena

USER = {"grant_type": "password", "username": "ann@acme", "password": PASSWORD}


async def sign_in(arena: Arena, fields: Any, **more: Any) -> Any:
    return await arena.call("POST", PATH, role=None, data=fields, **more)


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def arena_with_ann(**more: Any) -> Arena:
    arena = Arena(**more)
    await arena.world.user(role="customer", customer_id="cust-0042")
    return arena


async def test_a_user_gets_a_token_of_30_minutes_that_is_its_own() -> None:
    arena = await arena_with_ann()
    answer = await sign_in(arena, USER)
    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    body = answer.json()
    assert (set(body), body["token_type"], body["expires_in"]) == ({"access_token", "token_type", "expires_in"}, "Bearer", 1800)
    found = ISSUER.verify(body["access_token"], datetime.now(UTC))
    assert (found.tenant_id, found.role, found.customer_id, found.auth_type) == ("acme", "customer", "cust-0042", "user")
    assert found.expires_at is not None
    assert timedelta(minutes=29) < found.expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    used = await arena.call("GET", "/api/v1/requests", role=None, headers={"Authorization": f"Bearer {body['access_token']}"})
    assert used.status_code == 200


async def test_a_client_signs_in_by_its_body_or_by_the_header() -> None:
    arena = Arena()
    client, secret = await arena.world.administration.add_client(new_account("acme", "shop", "agent", None), "ops")
    grant = {"grant_type": "client_credentials"}
    named = {**grant, "client_id": client.client_id}
    answers = [
        await sign_in(arena, {**named, "client_secret": secret}),
        await sign_in(arena, grant, headers=basic(client.client_id, quote(secret))),
        await sign_in(arena, named, headers=basic(client.client_id, secret)),
        await arena.call("POST", PATH, role=None, json={**named, "client_secret": secret, "scope": "all"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        found = ISSUER.verify(answer.json()["access_token"], datetime.now(UTC))
        assert (found.id, found.auth_type, found.role) == (client.client_id, "service_account", "agent")


async def test_every_refusal_is_the_same_but_for_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    arena = await arena_with_ann()
    await arena.world.user(reference("acme", "off"))
    await arena.world.accounts.users.set_disabled(reference("acme", "off"), True, "ops")
    client, _ = await arena.world.administration.add_client(new_account("acme", "shop", "agent", None), "ops")
    grants: list[dict[str, str]] = [
        {"username": "ann@acme", "password": "wrong horse battery"},
        {"username": "bob@acme", "password": PASSWORD},
        {"username": "ann@globex", "password": PASSWORD},
        {"username": "ann", "password": PASSWORD},
        {"username": "off@acme", "password": PASSWORD},
        {"username": "' OR 1=1 --@acme", "password": PASSWORD},
        {"username": "ann\x00@acme", "password": PASSWORD},
        {"username": "ann@acme", "password": "x" * 10_000},
    ]
    clients = [{"client_id": name, "client_secret": PASSWORD} for name in (client.client_id, "client-none", "\x00", "x" * 5_000)]
    calls = [{"grant_type": "password", **each} for each in grants] + [{"grant_type": "client_credentials", **each} for each in clients]
    with caplog.at_level(logging.WARNING, "services.gateway.access"):
        answers = [await sign_in(arena, each) for each in calls]
    told = {(answer.status_code, str(answer.json()["error"]), answer.headers["www-authenticate"]) for answer in answers}
    error = {"error_type": "Unauthorized", "message": "Sign-in failed", "code": "UNAUTHORIZED", "details": {}}
    assert told == {(401, str(error), "Bearer")}
    assert [record.message for record in caplog.records if record.name.endswith("access")] == ["auth_failure"] * len(calls)
    assert PASSWORD not in caplog.text


async def test_a_client_that_shows_its_secret_in_the_header_is_asked_for_it_there() -> None:
    answer = await sign_in(Arena(), {"grant_type": "client_credentials"}, headers=basic("client-none", "wrong"))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="agentmesh", charset="UTF-8"')


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "grant_type"),
        ({"grant_type": "refresh_token"}, "grant_type"),
        ({"grant_type": "password", "password": PASSWORD}, "username"),
        ({"grant_type": "password", "username": "ann@acme"}, "password"),
        ({"grant_type": "password", "username": "ann@acme", "password": ""}, "password"),
        ({"grant_type": "client_credentials", "client_secret": PASSWORD}, "client_id"),
        ({"grant_type": "client_credentials", "client_id": "client-1"}, "client_secret"),
    ],
)
@pytest.mark.parametrize("form", ["data", "json"])
async def test_what_is_missing_is_named_and_no_value_is_repeated(form: str, fields: Any, field: str) -> None:
    answer = await Arena().call("POST", PATH, role=None, **{form: fields or {"x": "1"}})
    assert (answer.status_code, answer.json()["error"]["details"]["errors"][0]["field"]) == (422, field)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"grant_type=password&grant_type=password", 422),
        (b"grant_type", 400),
        (b"\xff\xfe=1", 400),
        (b"grant_type=%ff", 400),
        (b"&".join(b"a%d=1" % each for each in range(100)), 400),
        (b"", 422),
    ],
)
async def test_a_body_that_is_no_form_is_refused(content: bytes, status: int) -> None:
    answer = await Arena().call("POST", PATH, role=None, content=content, headers={"Content-Type": FORM_TYPE})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic " + "QQ==" * 1_000, "Basic bm9jb2xvbg==", "Basic /////w=="])
async def test_a_header_that_is_no_basic_one_is_refused(value: str) -> None:
    answer = await sign_in(Arena(), {"grant_type": "client_credentials"}, headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]["details"]["errors"][0]["in"]) == (422, "header")


async def test_the_old_token_may_come_along() -> None:
    arena = await arena_with_ann()
    assert (await sign_in(arena, USER, headers={"Authorization": "Bearer old"})).status_code == 200


async def test_a_secret_in_two_places_is_refused() -> None:
    fields = {"grant_type": "client_credentials", "client_id": "client-1", "client_secret": PASSWORD}
    assert (await sign_in(Arena(), fields, headers=basic("client-1", PASSWORD))).status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
async def test_another_kind_of_body_is_415(kind: str) -> None:
    answer = await Arena().call("POST", PATH, role=None, content=b"grant_type=password", headers={"Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("error", [BulkheadFull("argon2", 2, 200), TransientError("database.internal refused")])
async def test_who_cannot_be_signed_in_now_is_told_to_come_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any) -> Any:
        raise error

    arena = Arena()
    monkeypatch.setattr(arena.world.sign_in, "user", refuse)
    answer = await sign_in(arena, USER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "internal:" not in answer.text


async def test_guesses_from_one_address_are_slowed_down_and_calls_of_others_are_not() -> None:
    arena = await arena_with_ann(calls_per_minute=3)
    statuses = [(await sign_in(arena, {**USER, "password": "wrong horse battery"})).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    refused = await sign_in(arena, USER)
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["error"]["code"]) == (429, "20", "RATE_LIMITED")
    assert (await arena.call("GET", "/api/v1/requests")).status_code == 200  # who has signed in has a bucket of its own
    arena.clock.wait(20)
    assert (await sign_in(arena, USER)).status_code == 200
