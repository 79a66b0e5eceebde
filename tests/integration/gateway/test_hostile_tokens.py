"""Tokens of strangers, and tokens that are odd: each gets its expected answer from a running gateway, and none gets 500."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.integration.gateway.conftest import KEY, LIST, Caller, bearer
from tests.mesh import TENANT

pytestmark = pytest.mark.integration
INVALID, EXPIRED, MISSING, SEVERAL = "Invalid token", "Token has expired", "Missing bearer token", "More than one credential"
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
ABSENT = object()


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token; ABSENT takes one away."""
    now = int(time.time())
    good = {"iss": "agentmesh", "aud": "agentmesh-api", "iat": now, "exp": now + 600, "type": "access"}
    who = {"user_id": "user-1", "tenant_id": TENANT, "role": "admin"}
    return {name: value for name, value in {**good, **who, **changes}.items() if value is not ABSENT}


def signed(header: Any = None, payload: Any = None, key: bytes = KEY.encode(), algorithm: str = "HS256") -> str:
    """A token as its maker wants it, good or not."""
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    text = f"{encoded(head)}.{encoded(claims() if payload is None else payload)}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), HASHES[algorithm]).digest())}"


def flipped(token: str, part: int) -> str:
    """The token with one character of a part changed."""
    parts = token.split(".")
    first = parts[part][0]
    parts[part] = ("A" if first != "A" else "B") + parts[part][1:]
    return ".".join(parts)


def without_a_key() -> dict[str, str]:
    """Tokens that somebody makes who does not have the key: none of them is any good."""
    good, stranger = signed(), b"a-key-of-a-stranger-that-is-long-enough"
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    rs256 = jwt.encode({"alg": "RS256"}, claims(), RSAKey.import_key(rsa_key), algorithms=["RS256"])  # type: ignore[arg-type]
    unsigned = {name: f"{encoded({'alg': name, 'typ': 'JWT'})}.{encoded(claims())}." for name in ("none", "None", "NONE", "nOnE", "")}
    traps = {
        "kid of a path": {"kid": "../../../../dev/null"},
        "kid of SQL": {"kid": "x' UNION SELECT 'a-key-of-a-stranger-that-is-long-enough' --"},
        "kid of a command": {"kid": "| cat /etc/passwd"},
        "kid of a URL": {"kid": "http://127.0.0.1:9/key"},
        "kid that is a list": {"kid": ["a"]},
        "own key in the header": {"jwk": OctKey.import_key(stranger).as_dict(private=True)},
        "jku": {"jku": "http://127.0.0.1:9/jwks.json"},
        "x5u": {"x5u": "http://127.0.0.1:9/certificate.pem"},
        "x5c": {"x5c": ["MIIB"]},
        "a very long kid": {"kid": "x" * 4_000},
    }
    return {
        **{f"alg {name!r}, unsigned": token for name, token in unsigned.items()},
        "alg none with the signature of another": unsigned["none"] + good.split(".")[2],
        "no alg": signed({"typ": "JWT"}),
        "alg that is a list": signed({"alg": ["HS256"]}),
        "alg that is null": signed({"alg": None}),
        "alg twice, the last one none": signed(b'{"alg":"HS256","alg":"none"}'),
        "HS384 with the right key": signed({"alg": "HS384"}, algorithm="HS384"),
        "HS512 with the right key": signed({"alg": "HS512"}, algorithm="HS512"),
        "RS256 in the header, signed as HS256": signed({"alg": "RS256"}),
        "RS256 by a stranger": rs256,
        "HS256 with a public RSA key as the secret": signed(key=public),
        "HS256 with an empty key": signed(key=b""),
        "HS256 with a well-known key": signed(key=b"secret"),
        **{f"{name}, by a stranger": signed({"alg": "HS256", **header}, key=stranger) for name, header in traps.items()},
        **{f"{name}, with an empty key": signed({"alg": "HS256", **header}, key=b"") for name, header in traps.items()},
        "its signature cut off": good.rsplit(".", 1)[0] + ".",
        "no signature": good.rsplit(".", 1)[0],
        "half a signature": good[:-20],
        "a longer signature": good + "AAAA",
        **{f"part {part} changed": flipped(good, part) for part in range(3)},
        "the claims of another": ".".join([good.split(".")[0], encoded(claims(role="admin", tenant_id="other")), good.split(".")[2]]),
        "five parts": good + ".a.b",
        "dots": "..",
        "padding": good + "=",
        "a space inside": good[:20] + " " + good[20:],
        "8,193 characters": good + "A" * (8_193 - len(good)),
        "20,000 characters": "A" * 20_000,
        "JSON of a token": json.dumps({"payload": encoded(claims()), "signatures": [{"signature": "x"}]}),
        "an API key as a token": "am_abcdefgh_" + "x" * 43,
        "SQL": "' OR 1=1 --",
        "null": "null",
    }


def with_a_key() -> dict[str, tuple[str, int, str]]:
    """Tokens that the right key signed: what the claims say decides, and a kid decides nothing."""
    now = int(time.time())
    wrong: dict[str, dict[str, Any]] = {
        **{f"aud {value!r}": {"aud": value} for value in ("other", "", None, 1, [], ["other"], {"agentmesh-api": 1}, ABSENT)},
        **{f"iss {value!r}": {"iss": value} for value in ("other", "", None, 1, ["agentmesh"], "agentmesh ", ABSENT)},
        **{f"type {value!r}": {"type": value} for value in ("refresh", "", None, True, ["access"], ABSENT)},
        **{f"exp {value!r}": {"exp": value} for value in ("soon", None, True, [now + 60], 10**30, 1e400, -(10**30), ABSENT)},
        "exp not a number": {"exp": float("nan")},
        **{f"nbf {value!r}": {"nbf": value} for value in (now + 300, "now")},
        **{f"iat {value!r}": {"iat": value} for value in (now + 300, "now", None, ABSENT)},
        **{f"user_id {value!r:.20}": {"user_id": value} for value in ("", None, 1, ["a"], "a b", "a\nb", "\x00", "x" * 10_000, ABSENT)},
        **{
            f"tenant_id {value!r:.20}": {"tenant_id": value}
            for value in ("", None, 1, ["a"], "A B", "*", "../x", "a\x00", "x" * 200, ABSENT)
        },
        **{f"role {value!r}": {"role": value} for value in ("", 1, ["admin"], {"admin": True}, "ad min")},
        **{f"customer_id {value!r}": {"customer_id": value} for value in ("", 1, ["a"], "a\r\nb")},
        **{f"auth_type {value!r}": {"auth_type": value} for value in ("system", "agent", "", None, ["user"])},
    }
    ended = {"an hour ago": {"exp": now - 3_600, "iat": now - 7_200}, "at the beginning of time": {"exp": 1, "iat": 0}}
    kids = ("../../../../dev/null", "x' OR 1=1 --", "", "x" * 100)
    return {
        **{name: (signed(payload=claims(**changes)), 401, INVALID) for name, changes in wrong.items()},
        **{f"expired {name}": (signed(payload=claims(**changes)), 401, EXPIRED) for name, changes in ended.items()},
        "expired and of another issuer": (signed(payload=claims(exp=1, iss="other")), 401, INVALID),
        "claims that are a list": (signed(payload=[]), 401, INVALID),
        "claims that are no JSON": (signed(payload=b"{"), 401, INVALID),
        "claims that are no UTF-8": (signed(payload=b'{"iss":"\xff"}'), 401, INVALID),
        "claims nested 3,000 deep": (signed(payload=b"[" * 3_000 + b"]" * 3_000), 401, INVALID),
        "an unknown critical extension": (signed({"alg": "HS256", "crit": ["x"], "x": 1}), 401, INVALID),
        "an unencoded payload": (signed({"alg": "HS256", "crit": ["b64"], "b64": False}), 401, INVALID),
        "a role that nobody knows": (signed(payload=claims(role="root")), 403, "The permission request:read is required."),
        **{f"kid {kid!r:.20}": (signed({"alg": "HS256", "kid": kid}), 200, "") for kid in kids},
        "a right token with a very long kid": (signed({"alg": "HS256", "kid": "x" * 4_000}), 401, INVALID),
        "aud in a list": (signed(payload=claims(aud=["other", "agentmesh-api"])), 200, ""),
        "a good token": (signed(), 200, ""),
    }


async def answered(call: Caller, headers: list[tuple[str, str]]) -> tuple[int, str]:
    answer = await call.client.get(LIST, headers=httpx2.Headers(headers))
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["error"]["message"]


async def test_every_hostile_token_gets_its_expected_answer(call: Caller) -> None:
    expected = {name: (token, 401, INVALID) for name, token in without_a_key().items()} | with_a_key()
    assert len(expected) > 120
    wrong = {}
    for name, (token, status, message) in expected.items():
        found = await answered(call, [("Authorization", f"Bearer {token}")])
        if found != (status, message):
            wrong[name] = found
    assert not wrong


async def test_headers_that_hold_a_token_oddly_get_their_expected_answer(call: Caller) -> None:
    good = bearer("admin")["Authorization"]
    token = good.removeprefix("Bearer ")
    table: list[tuple[list[tuple[str, str]], int, str]] = [
        ([], 401, MISSING),
        ([("Authorization", "")], 401, MISSING),
        ([("Authorization", "Bearer")], 401, MISSING),
        ([("Authorization", token)], 401, MISSING),
        ([("Authorization", f"Basic {token}")], 401, MISSING),
        ([("Authorization", f"Token {token}")], 401, MISSING),
        ([("Authorization", f"BearerX {token}")], 401, MISSING),
        ([("Authorization", f'Bearer "{token}"')], 401, INVALID),
        ([("Authorization", f"Bearer {token}, Bearer {token}")], 401, INVALID),
        ([("Authorization", f"Bearer Bearer {token}")], 401, INVALID),
        ([("Authorization", good), ("Authorization", good)], 401, SEVERAL),
        ([("Authorization", "Bearer x"), ("Authorization", good)], 401, SEVERAL),
        ([("Authorization", good), ("X-API-Key", "am_x")], 401, SEVERAL),
        ([("Cookie", f"access_token={token}")], 401, MISSING),
        ([("X-Authorization", good)], 401, MISSING),
        ([("Proxy-Authorization", good)], 401, MISSING),
        ([("authorization", f"bEARER   {token}")], 200, ""),
    ]
    for headers, status, message in table:
        assert await answered(call, headers) == (status, message), headers
    assert (await call.client.get(LIST, params={"access_token": token, "token": token})).status_code == 401
