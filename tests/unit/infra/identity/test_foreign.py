"""Tokens of a foreign issuer: taken by its own keys and pinned algorithms alone, never by our key, and ours never by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import Key

from infra.errors import ConfigurationError, TransientError
from infra.identity.base import InvalidToken, Principal, TokenExpired
from infra.identity.foreign import ForeignTokens, Issuers
from infra.identity.foreign_settings import ForeignIssuerSettings, foreign_issuer
from infra.identity.jwks import RemoteKeys, read_keys
from infra.identity.remembered import RememberedTokens
from infra.identity.tokens import TokenIssuer
from services.gateway.worker import loaded
from tests.foreign_issuer import AUDIENCE, NAME, claims, key_set, new_key, signed, with_secret

ALGORITHMS = ("RS256", "ES256", "EdDSA")
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
KEYS = {algorithm: new_key(algorithm, algorithm.lower()) for algorithm in ALGORITHMS}
RSA, EC, ED = KEYS.values()
STRANGER = new_key("ES256", "es256")
OWN = TokenIssuer("a-key-for-tests-that-is-long-enough", issuer="agentmesh", audience=AUDIENCE)
PREFIX = "AGENTMESH_GATEWAY_FOREIGN_"


class Held:
    """The keys of a set, without a server."""

    def __init__(self, *keys: Key) -> None:
        self._keys = read_keys(key_set(*keys), ALGORITHMS)

    def find(self, kid: str, algorithm: str) -> Key | None:
        return self._keys.get(kid, {}).get(algorithm)


FOREIGN = ForeignTokens(Held(RSA, EC, ED), issuer=NAME, audience=AUDIENCE, algorithms=ALGORITHMS)
BOTH = Issuers(OWN, {NAME: FOREIGN})


def token(header: Mapping[str, Any] | None = None, key: Key = EC, algorithm: str = "ES256", **changes: Any) -> str:
    return signed(key, claims(AT, **changes), algorithm, **(header or {}))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_pinned_algorithm_is_taken(algorithm: str) -> None:
    found = BOTH.verify(token(key=KEYS[algorithm], algorithm=algorithm), NOW)
    assert found == Principal("ann", "acme", "manager", None, NOW + timedelta(seconds=600))


def test_our_own_tokens_are_taken_as_before() -> None:
    assert BOTH.verify(OWN.issue(Principal("bob", "acme", "agent"), NOW), NOW).id == "bob"


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": None},
        {"iat": AT + 20, "nbf": AT + 20},
        {"aud": ["another", AUDIENCE]},
        {"type": "access"},
        {"typ": "Bearer"},
        {"jti": "1", "scope": "x", "azp": "desk"},
    ],
)
def test_what_foreign_tokens_say_beside_is_no_fault(changes: dict[str, Any]) -> None:
    assert BOTH.verify(token(**changes), NOW).id == "ann"


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"typ": "application/at+JWT"}, {"typ": "JWT"}, {"x5t": "abc"}, {"nonce": "abc"}])
def test_what_their_headers_say_beside_is_no_fault(header: dict[str, Any]) -> None:
    assert BOTH.verify(token(header), NOW).id == "ann"


def test_role_and_customer_are_used_as_they_are_stated() -> None:
    assert BOTH.verify(token(role="root"), NOW).role == "root"
    assert BOTH.verify(token(role=None, customer_id="cust-1"), NOW) == Principal(
        "ann", "acme", "customer", "cust-1", NOW + timedelta(seconds=600)
    )


def test_a_token_that_was_good_once_has_expired_to_the_second() -> None:
    assert BOTH.verify(token(), NOW + timedelta(seconds=599))
    for seconds in (600, 615, 10_000):
        with pytest.raises(TokenExpired):
            BOTH.verify(token(), NOW + timedelta(seconds=seconds))


PUBLIC_PEM = RSA.as_pem(private=False)
NONE = {"alg": "none", "kid": "rs256"}
HS256 = {"alg": "HS256", "kid": "rs256"}
OWN_CLAIMS = claims(AT, iss="agentmesh", type="access")
HOSTILE = {
    "HS256 with the public key's PEM": with_secret(PUBLIC_PEM, claims(AT), HS256),
    "HS256 with the public key's PEM, stripped": with_secret(PUBLIC_PEM.strip(), claims(AT), HS256),
    "HS256 with the public key's DER": with_secret(RSA.as_der(private=False), claims(AT), HS256),
    "HS256 with the key set": with_secret(key_set(RSA, EC, ED), claims(AT), HS256),
    "HS256 with no secret": with_secret(b"", claims(AT), HS256),
    "HS256 with our key": with_secret(b"a-key-for-tests-that-is-long-enough", claims(AT, type="access"), HS256),
    "our issuer, HS256 with the public key's PEM": with_secret(PUBLIC_PEM, OWN_CLAIMS, HS256),
    "our issuer, signed by a foreign key": signed(EC, OWN_CLAIMS, "ES256"),
    "their issuer, signed by us": TokenIssuer("a-key-for-tests-that-is-long-enough", issuer=NAME, audience=AUDIENCE).issue(
        Principal("ann", "acme", "admin"), NOW
    ),
    "none": with_secret(b"", claims(AT), NONE).rsplit(".", 1)[0] + ".",
    "none, signed": with_secret(b"x", claims(AT), NONE),
    "an algorithm that is not pinned": signed(new_key("PS256", "rs256"), claims(AT), "PS256"),
    "a stranger's key of the same id": token(key=STRANGER),
    "another key's id": token({"kid": "rs256"}),
    "an unknown id": token({"kid": "unknown"}),
    "an empty id": token({"kid": ""}),
    "no id": token({"kid": None}),
    "cut": token()[:-3],
    "without a signature": token().rsplit(".", 1)[0] + ".",
    "claims changed": ".".join((token().split(".")[0], token(role="admin").split(".")[1], token().split(".")[2])),
    "a logout token": token({"typ": "logout+jwt"}),
    "a proof": token({"typ": "dpop+jwt"}),
    "an identity token": token(typ="ID"),
    "a refresh token": token(typ="Refresh"),
    "our refresh type": token(type="refresh"),
    "a list of types": token(type=["access"]),
    "bound to a key": token(cnf={"jkt": "x"}),
    "another issuer": token(iss=NAME + "/"),
    "a list of issuers": token(iss=[NAME]),
    "without an issuer": token(iss=None),
    "another audience": token(aud="desk"),
    "without an audience": token(aud=None),
    "without an end": token(exp=None),
    "an end as text": token(exp="2999-01-01"),
    "not valid yet": token(nbf=AT + 31),
    "issued far ahead": token(iat=AT + 31),
    "without a tenant": token(tenant_id=None),
    "an empty tenant": token(tenant_id=""),
    "a tenant with a glob": token(tenant_id="*"),
    "without a user": token(user_id=None),
    "a user as number": token(user_id=7),
    "a role as list": token(role=["admin"]),
    "own key in the header": token({"jwk": STRANGER.as_dict(private=False)}, key=STRANGER),
    "own key by URL": token({"jku": "https://evil.example/jwks"}, key=STRANGER),
    "expired and of another audience": token(aud="desk", exp=AT - 1),
    "expired and without a tenant": token(tenant_id=None, exp=AT - 1),
    "deep claims": with_secret(b"x", claims(AT), HS256).split(".")[0] + "." + "W1tb" * 1_900 + ".x",
    "huge": token(filler="x" * 9_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_invalid(name: str) -> None:
    for verifier in (BOTH, FOREIGN, OWN):
        with pytest.raises(InvalidToken, match=r"^Invalid token$"):
            verifier.verify(HOSTILE[name], NOW)


def test_an_algorithm_that_is_not_pinned_is_refused_though_the_key_would_do() -> None:
    es256_only = ForeignTokens(Held(RSA, EC, ED), issuer=NAME, audience=AUDIENCE, algorithms=("ES256",))
    good = token(key=RSA, algorithm="RS256")
    assert FOREIGN.verify(good, NOW)
    with pytest.raises(InvalidToken):
        es256_only.verify(good, NOW)


def remote(body: bytes) -> RemoteKeys:
    async def fetch() -> bytes:
        return body

    return RemoteKeys(fetch, ALGORITHMS, refresh_seconds=1, pause_seconds=1)


async def test_while_the_keys_are_not_known_nobody_can_say() -> None:
    keys = remote(key_set(EC))
    verifier = Issuers(OWN, {NAME: ForeignTokens(keys, issuer=NAME, audience=AUDIENCE, algorithms=ALGORITHMS)})
    with pytest.raises(TransientError):
        verifier.verify(token(), NOW)
    for name in ("none", "HS256 with the public key's PEM", "no id", "another issuer"):
        with pytest.raises(InvalidToken):
            verifier.verify(HOSTILE[name], NOW)
    await keys._refresh()
    assert verifier.verify(token(), NOW).id == "ann"


async def test_a_token_that_is_remembered_does_not_outlive_its_key() -> None:
    bodies = [key_set(EC), key_set(EC), key_set(RSA)]

    async def fetch() -> bytes:
        return bodies.pop(0)

    keys = RemoteKeys(fetch, ALGORITHMS, refresh_seconds=1, pause_seconds=1)
    foreign = ForeignTokens(keys, issuer=NAME, audience=AUDIENCE, algorithms=ALGORITHMS)
    remembered = RememberedTokens(Issuers(OWN, {NAME: foreign}))
    keys.when_changed(remembered.forget)
    for _ in range(2):
        await keys._refresh()
        assert remembered.verify(token(), NOW).id == "ann"
    await keys._refresh()
    with pytest.raises(InvalidToken):
        remembered.verify(token(), NOW)


GOOD = {"ISSUER": NAME, "AUDIENCE": AUDIENCE, "JWKS_URL": "https://login.example/jwks", "ALGORITHMS": "RS256, ES256"}


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GOOD, "REFRESH_SECONDS", "PAUSE_SECONDS", "TIMEOUT_SECONDS"):
        monkeypatch.delenv(PREFIX + name, raising=False)


def settings_of(monkeypatch: pytest.MonkeyPatch, **values: str) -> ForeignIssuerSettings:
    for name, value in {**GOOD, **values}.items():
        monkeypatch.setenv(PREFIX + name, value)
    return loaded(ForeignIssuerSettings)


@pytest.mark.usefixtures("_no_variables")
def test_it_is_off_by_default() -> None:
    assert foreign_issuer(loaded(ForeignIssuerSettings), "agentmesh") is None


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(
    "url", ["https://login.example/jwks?x=1", "http://127.0.0.1:8080/jwks", "http://localhost/jwks", "http://[::1]/jwks"]
)
async def test_it_is_on_by_its_settings(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, JWKS_URL=url)
    assert settings.algorithms == ("RS256", "ES256")
    issuer = foreign_issuer(settings, "agentmesh")
    assert issuer is not None
    assert issuer.name == NAME
    await issuer.close()


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        *(({"ALGORITHMS": each}, f"{PREFIX}ALGORITHMS") for each in ("HS256", "none", "RS256,HS256", "rs256", "RS512", "hunter2")),
        *(({"JWKS_URL": each}, f"{PREFIX}JWKS_URL") for each in ("http://login.example/jwks", "ftp://x", "file:///hunter2", "https://")),
        *(({"JWKS_URL": each}, f"{PREFIX}JWKS_URL") for each in ("https://u:hunter2@x/", "https://x:hunter2/", "https://x/#hunter2")),
        *(({each: ""}, "set together or not at all") for each in GOOD),
        ({"ALGORITHMS": " , "}, "set together or not at all"),
        ({"PAUSE_SECONDS": "20", "REFRESH_SECONDS": "10"}, "PAUSE_SECONDS must not be above"),
        ({"PAUSE_SECONDS": "0"}, f"{PREFIX}PAUSE_SECONDS"),
        ({"TIMEOUT_SECONDS": "hunter2"}, f"{PREFIX}TIMEOUT_SECONDS"),
    ],
)
def test_settings_that_cannot_be_safe_are_refused_by_name(values: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        settings_of(monkeypatch, **values)
    assert "hunter2" not in str(refused.value)


@pytest.mark.usefixtures("_no_variables")
def test_our_own_issuer_is_no_foreign_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="a foreign issuer needs a name of its own"):
        foreign_issuer(settings_of(monkeypatch), NAME)
