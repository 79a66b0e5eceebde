"""The settings of tokens: from variables or a file, refused with the variable's name and never with the key."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.errors import ConfigurationError
from infra.identity.base import Principal
from infra.identity.settings import load_token_settings, token_issuer
from infra.identity.tokens import TokenIssuer

KEY = "a-key-for-tests-that-is-long-enough"
NOW = datetime(2026, 5, 4, tzinfo=UTC)
VARIABLES = ("JWT_SECRET_KEY", "JWT_SECRET_KEY_FILE", "JWT_PREVIOUS_SECRET_KEYS", "AGENTMESH_GATEWAY_ISSUER", "AGENTMESH_GATEWAY_AUDIENCE")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def issued_by(key: str, issuer: str = "agentmesh", audience: str = "agentmesh-api") -> str:
    return TokenIssuer(key, issuer=issuer, audience=audience).issue(Principal("user-1", "acme", "agent"), NOW)


def test_the_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    assert token_issuer(load_token_settings()).verify(issued_by(KEY), NOW)


def test_the_key_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    monkeypatch.setenv("JWT_SECRET_KEY_FILE", str(file))
    assert token_issuer(load_token_settings()).verify(issued_by(KEY), NOW)


def test_older_keys_issuer_and_audience_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    old = "an-older-key-for-tests-that-is-long-enough"
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", f"{old}, {old}2")
    monkeypatch.setenv("AGENTMESH_GATEWAY_ISSUER", "me")
    monkeypatch.setenv("AGENTMESH_GATEWAY_AUDIENCE", "you")
    issuer = token_issuer(load_token_settings())
    assert all(issuer.verify(issued_by(key, "me", "you"), NOW) for key in (KEY, old, old + "2"))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "JWT_SECRET_KEY is not set"),
        ({"JWT_SECRET_KEY": "hunter2"}, "A key in JWT_SECRET_KEY has 7 bytes: it needs at least 32"),
        ({"JWT_SECRET_KEY": KEY, "JWT_PREVIOUS_SECRET_KEYS": "hunter2"}, "A key in JWT_PREVIOUS_SECRET_KEYS has 7 bytes"),
        ({"JWT_SECRET_KEY_FILE": "missing-file"}, "The file that JWT_SECRET_KEY_FILE names cannot be read"),
    ],
)
def test_a_fault_names_the_variable_and_never_the_key(variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said) as refused:
        token_issuer(load_token_settings())
    assert "hunter2" not in str(refused.value)


def test_a_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", KEY)
    assert KEY not in repr(load_token_settings())


def test_what_is_no_text_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_GATEWAY_ISSUER", "hunter2\udcff")
    with pytest.raises(ConfigurationError, match="AGENTMESH_GATEWAY_ISSUER") as refused:
        load_token_settings()
    assert "hunter2" not in str(refused.value)
