"""Signing in on real accounts: tokens that work, refusals that take the same time, keys that are revoked; and limits that two gateways
share on Redis and keep without it."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from infra.identity.accounts import Kind, reference
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.passwords import SecretHasher
from infra.local_stack.ports import free_port
from infra.local_stack.stack import server
from projections.tenants.projection import TENANTS
from services.gateway.token_route import PATH
from services.tenants.worker import build as build_tenants
from tests.conformance.accounts import PASSWORD
from tests.integration.gateway.conftest import LIST, PATIENT, Caller, OpenCaller, bearer, body, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration
ANN = reference(TENANT, "ann")
USER = {"grant_type": "password", "username": f"ann@{TENANT}", "password": PASSWORD}


@pytest.fixture
async def accounts(mesh: Mesh) -> AccountAdministration:
    """Administration of the mesh's accounts, of which `ann` is one."""
    found = AccountAdministration(PostgresAccounts(mesh.database), SecretHasher())
    await found.add_user(new_account(TENANT, "ann", "admin", None), PASSWORD, "tester")
    return found


async def with_key(call: Caller, text: str) -> int:
    return (await call.client.get(LIST, headers={"X-API-Key": text})).status_code


async def test_a_user_and_a_client_sign_in_and_act_under_their_own_names(mesh: Mesh, accounts: AccountAdministration, call: Caller) -> None:
    answer = await call.client.post(PATH, data=USER)
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 1800)
    signed = {"Authorization": f"Bearer {answer.json()['access_token']}", **PATIENT}
    created = await call.client.post(LIST, json=body(), headers=signed)
    assert created.status_code == 201, created.text
    made = await accounts.add_client(new_account(TENANT, "shop", "agent", None), "tester")
    grant = {"grant_type": "client_credentials", "client_id": made.client.client_id, "client_secret": made.secret}
    answer = await call.client.post(PATH, data=grant)
    signed = {"Authorization": f"Bearer {answer.json()['access_token']}", **PATIENT}
    assert (await call.client.post(LIST, json=body(), headers=signed)).status_code == 201
    rows = await mesh.rows("SELECT DISTINCT auth_type FROM read_requests.request_history WHERE auth_type <> 'system' ORDER BY 1")
    assert [row[0] for row in rows] == ["service_account", "user"]


async def test_an_unknown_login_and_a_wrong_password_are_told_apart_by_nothing(accounts: AccountAdministration, call: Caller) -> None:
    wrong, unknown = {**USER, "password": "wrong horse battery"}, {**USER, "username": f"bob@{TENANT}"}
    await call.client.post(PATH, data=wrong)  # the first verification of a process makes the hash of nobody
    seconds: dict[str, list[float]] = {"wrong": [], "unknown": []}
    answers = []
    for _ in range(7):
        for name, fields in (("wrong", wrong), ("unknown", unknown)):
            began = time.perf_counter()
            answers.append(await call.client.post(PATH, data=fields))
            seconds[name].append(time.perf_counter() - began)
    assert {(answer.status_code, str(answer.json()["error"]), answer.headers["www-authenticate"]) for answer in answers} == {
        (401, str(answers[0].json()["error"]), "Bearer")
    }
    slow, quick = sorted((statistics.median(each) for each in seconds.values()), reverse=True)
    assert slow < 2 * quick, seconds


async def test_a_key_works_until_it_is_revoked(mesh: Mesh, accounts: AccountAdministration, open_caller: OpenCaller) -> None:
    await mesh.start_all()
    call = await open_caller((await serve(mesh, api_key_seconds=0.2))._own.url)
    key = await accounts.add_key(Kind.USER, ANN, "laptop", None, "tester")
    assert [await with_key(call, key.text) for _ in range(3)] == [200] * 3
    assert await with_key(call, key.text[:-1] + ("a" if key.text[-1] != "a" else "b")) == 401
    await accounts.revoke_key(TENANT, key.text, "tester")

    async def ended() -> bool:
        return await with_key(call, key.text) == 401

    await wait_for(ended, 5, "the end of the key")


async def test_two_gateways_share_the_limit_of_a_tenants_setting(mesh: Mesh, open_caller: OpenCaller) -> None:
    await mesh.start(build_tenants(mesh.settings, mesh.telemetry), mesh.relay(), mesh.projection(TENANTS))
    first, second = [await open_caller((await serve(mesh, tenant_limit_seconds=0.1))._own.url) for _ in range(2)]
    created = await first("POST", "/api/v1/tenants", json={"name": "Acme", "settings": {"requests_per_minute": 5}}, headers=PATIENT)
    assert created.status_code == 201, created.text

    async def set_() -> bool:
        policies = {(await each("GET", LIST, "manager")).headers["ratelimit-policy"] for each in (first, second)}
        return policies == {'"tenant";q=5;w=60'}

    await wait_for(set_, 10, "the tenant's own limit")
    answers = [await (first, second)[each % 2]("GET", LIST) for each in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    assert answers[-1].json()["error"]["code"] == "RATE_LIMITED"
    other = await first("GET", LIST, tenant="other")
    assert other.status_code == 200


@pytest.mark.alone
async def test_without_redis_calls_are_answered_and_still_limited(
    mesh: Mesh, open_caller: OpenCaller, stack_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMESH_RATE_LIMIT_REQUESTS", "4")
    monkeypatch.setenv("AGENTMESH_RATE_LIMIT_OPERATION_SECONDS", "0.1")
    await mesh.start_all()
    call = await open_caller((await serve(mesh))._own.url)
    redis = server(stack_root, "redis").pid
    assert redis is not None
    os.kill(redis, signal.SIGSTOP)
    try:
        answers = [await call("GET", LIST) for _ in range(6)]
    finally:
        os.kill(redis, signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2


async def test_a_gateway_starts_and_serves_with_redis_away(mesh: Mesh, open_caller: OpenCaller) -> None:
    await mesh.start_all()
    far = mesh.settings.with_endpoints(
        postgres_dsn=mesh.settings.postgres_dsn,
        redis_url=f"redis://127.0.0.1:{free_port(set())}/0",
        kafka_bootstrap=mesh.settings.kafka_bootstrap,
    )
    worker: Any = await serve(mesh, settings=far)
    call = await open_caller(worker._own.url)
    answers = await asyncio.gather(*(call.client.get(LIST, headers=bearer("admin")) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" in answers[0].headers
