"""Tokens: what is issued is verified, and a corpus of hostile ones is refused with the exact texts of SEC-03."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwk, jwt

from infra.errors import ConfigurationError
from infra.identity.base import LIFETIME, InvalidToken, Principal, TokenExpired
from infra.identity.tokens import TokenIssuer

KEY = "k" * 32
OLD_KEY = "o" * 48
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ISSUER = TokenIssuer(KEY, issuer="agentmesh", audience="agentmesh-api")
PRINCIPAL = Principal("user-1", "acme", "customer", "cust-1234")
GOOD: dict[str, Any] = {
    "iss": "agentmesh",
    "aud": "agentmesh-api",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
    "type": "access",
    "user_id": "user-1",
    "tenant_id": "acme",
    "role": "agent",
}


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(claims: object, *, header: Mapping[str, Any] | None = None, key: str = KEY, digest: str = "sha256") -> str:
    """A token made by hand, so that it can be as wrong as no library would make it."""
    message = f"{part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{message}.{part(hmac.new(key.encode(), message.encode(), digest).digest())}"


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


def test_what_is_issued_is_verified() -> None:
    found = ISSUER.verify(ISSUER.issue(PRINCIPAL, NOW), NOW)
    assert found == Principal("user-1", "acme", "customer", "cust-1234", NOW + LIFETIME)
    assert timedelta(minutes=30) == LIFETIME


def test_a_service_keeps_its_kind() -> None:
    client = Principal("client-7", "acme", "agent", auth_type="service_account")
    assert ISSUER.verify(ISSUER.issue(client, NOW), NOW).auth_type == "service_account"


def test_the_claims_of_an_issued_token_are_those_of_the_requirements() -> None:
    token = jwt.decode(ISSUER.issue(PRINCIPAL, NOW, timedelta(minutes=5)), jwk.OctKey.import_key(KEY), algorithms=["HS256"])
    assert token.header == {"alg": "HS256", "typ": "JWT"}
    assert token.claims == {
        "iss": "agentmesh",
        "aud": "agentmesh-api",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 300,
        "type": "access",
        "user_id": "user-1",
        "tenant_id": "acme",
        "role": "customer",
        "auth_type": "user",
        "customer_id": "cust-1234",
    }


def test_the_token_made_by_hand_is_good() -> None:
    assert ISSUER.verify(signed(GOOD), NOW).id == "user-1"


def test_a_token_without_a_role_is_a_customers() -> None:
    assert ISSUER.verify(signed(without("role")), NOW).is_customer


def test_an_unknown_role_is_told_as_it_is() -> None:
    assert ISSUER.verify(signed(GOOD | {"role": "root"}), NOW).role == "root"


@pytest.mark.parametrize("after", [timedelta(seconds=60), timedelta(days=3000)])
def test_an_expired_token_says_so(after: timedelta) -> None:
    with pytest.raises(TokenExpired, match=r"^Token has expired$"):
        ISSUER.verify(signed(GOOD), NOW + after)


def test_a_token_lives_to_its_last_second() -> None:
    assert ISSUER.verify(signed(GOOD), NOW + timedelta(seconds=59))


@pytest.mark.parametrize("wrong", [{"aud": "other"}, {"iss": "other"}, {"type": "refresh"}, {"user_id": 7}, {"tenant_id": "a b"}])
def test_a_token_that_was_never_good_is_invalid_and_not_expired(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        ISSUER.verify(signed(GOOD | wrong), NOW + timedelta(days=1))


RSA = jwk.RSAKey.generate_key(2048)
HOSTILE = {
    "empty": "",
    "garbage": "garbage",
    "dots": "..",
    "four parts": signed(GOOD) + ".x",
    "five parts, as encrypted": "a.b.c.d.e",
    "not ASCII": "ü.ü.ü",
    "huge": "a" * 9_000,
    "spaces": " " + signed(GOOD),
    "alg none": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "alg None": f"{part({'alg': 'None'})}.{part(GOOD)}.",
    "alg NONE, signed": signed(GOOD, header={"alg": "NONE"}),
    "no alg": signed(GOOD, header={"typ": "JWT"}),
    "alg is a list": signed(GOOD, header={"alg": ["HS256"]}),
    "alg is null": signed(GOOD, header={"alg": None}),
    "HS512": signed(GOOD, header={"alg": "HS512"}, digest="sha512"),
    "HS384": signed(GOOD, header={"alg": "HS384"}, digest="sha384"),
    "lower-case alg": signed(GOOD, header={"alg": "hs256"}),
    "RS256": jwt.encode({"alg": "RS256"}, dict(GOOD), RSA, algorithms=["RS256"]),
    "key confusion: HS256 with a public key": signed(GOOD, key=RSA.as_pem(private=False).decode()),
    "header is a list": f"{part(['HS256'])}.{part(GOOD)}.x",
    "header is deep": signed(GOOD, header={"alg": "HS256", "x": {"y": {"z": 1}}}),
    "critical header": signed(GOOD, header={"alg": "HS256", "crit": ["b64"], "b64": False}),
    "own key in header": signed(GOOD, header={"alg": "HS256", "jwk": {"kty": "oct", "k": part(b"z" * 32)}}, key="z" * 32),
    "own key by URL": signed(GOOD, header={"alg": "HS256", "jku": "https://evil.example/keys"}, key="z" * 32),
    "kid names a file": signed(GOOD, header={"alg": "HS256", "kid": "../../../../dev/null"}, key=""),
    "kid is SQL": signed(GOOD, header={"alg": "HS256", "kid": "x' UNION SELECT 'z"}, key="z"),
    "kid is a number": signed(GOOD, header={"alg": "HS256", "kid": 0}, key="z" * 32),
    "wrong key": signed(GOOD, key="x" * 32),
    "empty key": signed(GOOD, key=""),
    "no signature": signed(GOOD).rsplit(".", 1)[0] + ".",
    "cut signature": signed(GOOD)[:-4],
    "claims changed": signed(GOOD).split(".")[0] + "." + part(GOOD | {"role": "admin"}) + "." + signed(GOOD).split(".")[2],
    "claims are a list": signed([GOOD]),
    "claims are text": signed("claims"),
    "claims are no JSON": signed(b"{"),
    "claims are not UTF-8": signed(b'{"iss":"\xff"}'),
    "claims are deep": signed(b"[" * 6_000),
    "wrong audience": signed(GOOD | {"aud": "others"}),
    "audience in another case": signed(GOOD | {"aud": "AgentMesh-API"}),
    "audience is a number": signed(GOOD | {"aud": 7}),
    "audience is empty": signed(GOOD | {"aud": []}),
    "wrong issuer": signed(GOOD | {"iss": "agentmesh.evil"}),
    "issuer is a list": signed(GOOD | {"iss": ["agentmesh"]}),
    "type refresh": signed(GOOD | {"type": "refresh"}),
    "type is a list": signed(GOOD | {"type": ["refresh"]}),
    "expires as text": signed(GOOD | {"exp": "2999-01-01"}),
    "expires as boolean": signed(GOOD | {"exp": True}),
    "expires never": signed(json.dumps(GOOD).replace(str(GOOD["exp"]), "Infinity").encode()),
    "expires at NaN": signed(json.dumps(GOOD).replace(str(GOOD["exp"]), "NaN").encode()),
    "expires beyond the calendar": signed(GOOD | {"exp": 10**30}),
    "issued in the future": signed(GOOD | {"iat": GOOD["iat"] + 30}),
    "not valid yet": signed(GOOD | {"nbf": GOOD["iat"] + 30}),
    "user is empty": signed(GOOD | {"user_id": ""}),
    "user is a number": signed(GOOD | {"user_id": 1}),
    "user breaks a header": signed(GOOD | {"user_id": "a\r\nx: y"}),
    "user is a surrogate": signed(GOOD | {"user_id": "\ud800"}),
    "user is endless": signed(GOOD | {"user_id": "u" * 201}),
    "tenant is empty": signed(GOOD | {"tenant_id": ""}),
    "tenant is a list": signed(GOOD | {"tenant_id": ["acme"]}),
    "tenant has a glob": signed(GOOD | {"tenant_id": "*"}),
    "tenant is endless": signed(GOOD | {"tenant_id": "t" * 101}),
    "role is a list": signed(GOOD | {"role": ["admin"]}),
    "role is a number": signed(GOOD | {"role": 0}),
    "customer is an object": signed(GOOD | {"customer_id": {}}),
    "kind of credential is unknown": signed(GOOD | {"auth_type": "system"}),
    "kind of credential is a list": signed(GOOD | {"auth_type": []}),
    **{f"{name} is missing": signed(without(name)) for name in ("iss", "aud", "exp", "iat", "type", "user_id", "tenant_id")},
    **{f"{name} is null": signed(GOOD | {name: None}) for name in ("iss", "aud", "exp", "iat", "type", "user_id", "tenant_id")},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_invalid(name: str) -> None:
    with pytest.raises(InvalidToken, match=r"^Invalid token$"):
        ISSUER.verify(HOSTILE[name], NOW)


def test_an_older_key_still_verifies_and_signs_no_more() -> None:
    old = TokenIssuer(OLD_KEY, issuer="agentmesh", audience="agentmesh-api").issue(PRINCIPAL, NOW)
    rotated = TokenIssuer(KEY, issuer="agentmesh", audience="agentmesh-api", previous_keys=[OLD_KEY])
    assert rotated.verify(old, NOW).id == "user-1"
    assert ISSUER.verify(rotated.issue(PRINCIPAL, NOW), NOW).id == "user-1"
    with pytest.raises(InvalidToken):
        ISSUER.verify(old, NOW)


@pytest.mark.parametrize(("key", "previous"), [("k" * 31, ()), ("", ()), (KEY, ("short",))])
def test_a_short_key_is_refused(key: str, previous: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes"):
        TokenIssuer(key, issuer="i", audience="a", previous_keys=previous)


def test_the_length_of_a_key_counts_in_bytes() -> None:
    assert TokenIssuer("ü" * 16, issuer="i", audience="a")
