"""A gateway's process takes the tokens of a foreign issuer by the keys that a real HTTP server tells, and follows them as they change."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from infra.local_stack.ports import free_port
from tests.foreign_issuer import AUDIENCE, NAME, JwksServer, claims, key_set, new_key, served, signed, with_secret
from tests.integration.gateway.conftest import LIST, Spawn, bearer
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration
PREFIX = "AGENTMESH_GATEWAY_FOREIGN_"


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    with served() as found:
        yield found


async def test_foreign_tokens_are_taken_by_keys_that_rotate(mesh: Mesh, spawn: Spawn, issuer: JwksServer) -> None:
    old, new = new_key("ES256", "old"), new_key("RS256", "new")
    issuer.status = 500
    await mesh.start_all()
    gateway = await spawn(
        free_port(set()),
        **{
            f"{PREFIX}ISSUER": NAME,
            f"{PREFIX}AUDIENCE": AUDIENCE,
            f"{PREFIX}JWKS_URL": issuer.url,
            f"{PREFIX}ALGORITHMS": "ES256,RS256",
            f"{PREFIX}REFRESH_SECONDS": "1",
            f"{PREFIX}PAUSE_SECONDS": "0.5",
        },
    )
    said = claims(tenant_id=TENANT)
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=60) as client:

        async def listed(token: str) -> httpx2.Response:
            return await client.get(LIST, headers={"Authorization": f"Bearer {token}"})

        async def status(token: str) -> int:
            return (await listed(token)).status_code

        async def until(token: str, expected: int) -> None:
            async def look() -> bool:
                return await status(token) == expected

            await wait_for(look, 20, f"an answer {expected}")

        by_old, by_new = signed(old, said, "ES256"), signed(new, said, "RS256")
        # The issuer is away: nobody can say of its tokens; ours are taken.
        answer = await listed(by_old)
        assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (503, True)
        assert (await client.get(LIST, headers=bearer("manager"))).status_code == 200
        # It comes: its tokens are taken, others are not.
        issuer.answers(key_set(old))
        issuer.status = 200
        await until(by_old, 200)
        request = {"customer_id": "cust-0042", "message": "My invoice is wrong", "category": "billing"}
        made = await client.post(
            LIST,
            json=request,
            headers={"Authorization": f"Bearer {signed(old, {**said, 'role': 'agent'}, 'ES256')}", "Prefer": "wait=10"},
        )
        assert made.status_code == 201, made.text
        assert await status(by_new) == 401
        assert await status(signed(old, {**said, "role": "root"}, "ES256")) == 403
        assert await status(with_secret(old.as_pem(private=False), said, {"alg": "HS256", "kid": "old"})) == 401
        assert await status(signed(old, {**said, "iss": "agentmesh", "type": "access"}, "ES256")) == 401
        assert await status(signed(old, {**said, "exp": said["iat"] - 1}, "ES256")) == 401
        # Rotation with overlap, then without the old key: a token that was taken a moment ago is taken no more.
        issuer.answers(key_set(old, new))
        await until(by_new, 200)
        assert await status(by_old) == 200
        issuer.answers(key_set(new))
        await until(by_old, 401)
        assert await status(by_new) == 200
        # Away again: the keys that are known hold on.
        issuer.status = 500
        asked = issuer.asked

        async def twice() -> bool:
            return issuer.asked >= asked + 2

        await wait_for(twice, 20, "two more fetches")
        assert await status(by_new) == 200
        assert await status(by_old) == 401


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ALGORITHMS": "HS256"}, f"{PREFIX}ALGORITHMS"),
        ({"ALGORITHMS": "none"}, f"{PREFIX}ALGORITHMS"),
        ({"ISSUER": "agentmesh"}, f"{PREFIX}ISSUER is AGENTMESH_GATEWAY_ISSUER"),
    ],
)
async def test_a_foreign_issuer_that_is_not_safe_is_refused_at_the_start(variables: dict[str, str], said: str, spawn: Spawn) -> None:
    good = {"ISSUER": NAME, "AUDIENCE": AUDIENCE, "JWKS_URL": "https://login.example/jwks", "ALGORITHMS": "RS256"}
    gateway = await spawn(free_port(set()), ready=False, **{PREFIX + name: value for name, value in {**good, **variables}.items()})
    assert await gateway.ended() == 78
    text = gateway.log.read_text()
    assert said in text
    assert "Traceback" not in text
