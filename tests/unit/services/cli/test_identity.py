"""Accounts from the command line before a server is asked: refused arguments, where a password comes from, what a key's state is."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.identity.accounts import AccountExists, AccountInvalid, AccountUnknown, ApiKey, Kind, LastAdmin
from services.cli import exit_codes, main, password_input
from services.cli.api_keys import state_of
from services.cli.errors import CommandError, NotFound, Refused, WrongUsage
from services.cli.identity import told_apart
from services.cli.password_input import MAX_STDIN_BYTES, read_password

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
PASSWORD = "correct horse battery"


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "list", "--tenant", "a b"),
        ("users", "list", "--after", "a b"),
        ("users", "show", "a b"),
        ("users", "add", "ann", "--role", "root", "--generate"),
        ("users", "add", "ann", "--role", "customer", "--generate"),
        ("users", "add", "ann", "--role", "agent", "--generate", "--password-stdin"),
        ("users", "add", "ann", "--role", "agent", "--password", PASSWORD),
        ("users", "add", "ann", "--generate"),
        ("users", "disable", "a b"),
        ("users", "enable", "ann", "--as", ""),
        ("users", "set-password", "a b", "--generate"),
        ("users", "remove", "\udcff"),
        ("clients", "list", "--tenant", "x" * 10_000),
        ("clients", "list", "--after", "a b"),
        ("clients", "show", ""),
        ("clients", "add", "shop", "--role", "Agent"),
        ("clients", "disable", "shop", "--tenant", "\x1b"),
        ("clients", "new-secret", "a/b"),
        ("clients", "remove", "a/b"),
        ("keys", "list", "--owner", "a b"),
        ("keys", "list", "--after", "\x00"),
        ("keys", "add", "--label", "x"),
        ("keys", "add", "--label", "x", "--user", "ann", "--client", "shop"),
        ("keys", "add", "--label", "x", "--user", "a b"),
        ("keys", "revoke", "am_abcdefgh", "--tenant", ""),
        ("init", "--login", "a b"),
        ("init", "--password-stdin", "--prompt"),
        ("token",),
        ("token", "--user", "ann", "--customer", "cust-0042"),
        ("token", "--role", "agent", "--minutes", "0"),
    ],
)
def test_wrong_usage_is_told_before_any_server_is_asked(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "POSTGRES_URL", "KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "AGENTMESH_SERVERS", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path))
    assert main.run(arguments) == exit_codes.USAGE
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("environment", ["production", "prod"])
def test_no_development_token_in_production_whatever_is_asked(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("JWT_SECRET_KEY", "a key that signs the tokens of this test")
    for arguments in (("--role", "admin"), ("--user", "ann"), ()):
        assert main.run(("token", *arguments)) == exit_codes.FAILED
        captured = capsys.readouterr()
        assert (captured.out, "POST /api/v1/auth/token" in captured.err) == ("", True)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AccountInvalid("name: rule"), WrongUsage),
        (AccountUnknown("none"), NotFound),
        (AccountExists("taken"), Refused),
        (LastAdmin("stays"), Refused),
    ],
)
def test_what_accounts_refuse_has_its_exit_code(error: Exception, told: type[CommandError]) -> None:
    with pytest.raises(told, match=str(error)), told_apart():
        raise error


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes, *, terminal: bool = False) -> None:
    kind = Terminal if terminal else io.TextIOWrapper
    monkeypatch.setattr(sys, "stdin", kind(io.BytesIO(raw), encoding="utf-8"))


@pytest.mark.parametrize(
    ("raw", "password"),
    [
        (PASSWORD.encode(), PASSWORD),
        (f"{PASSWORD}\n".encode(), PASSWORD),
        (f"{PASSWORD}\r\n".encode(), PASSWORD),
        (f" {PASSWORD} \n\n".encode(), f" {PASSWORD} \n"),
        ("пароль пароль\n".encode(), "пароль пароль"),
        (b"", ""),
    ],
)
def test_one_line_end_is_taken_off_what_came_on_stdin(raw: bytes, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, raw)
    assert read_password(stdin=True, generate=False) == password


@pytest.mark.parametrize(("raw", "says"), [(b"\xff", "not UTF-8"), (b"x" * (MAX_STDIN_BYTES + 1), f"more than {MAX_STDIN_BYTES} bytes")])
def test_what_is_no_text_on_stdin_is_refused(raw: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, raw)
    with pytest.raises(WrongUsage, match=says):
        read_password(stdin=True, generate=False)


def test_a_terminal_is_no_stdin_and_no_terminal_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"", terminal=True)
    with pytest.raises(WrongUsage, match="would show the password"):
        read_password(stdin=True, generate=False)
    stdin(monkeypatch, b"")
    with pytest.raises(WrongUsage, match="no terminal"):
        read_password(stdin=False, generate=False)


def test_a_prompt_asks_twice_and_takes_equal_answers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PASSWORD, PASSWORD, PASSWORD, "another"])
    monkeypatch.setattr(password_input.getpass, "getpass", lambda prompt: next(answers))
    stdin(monkeypatch, b"", terminal=True)
    assert read_password(stdin=False, generate=False) == PASSWORD
    with pytest.raises(WrongUsage, match="nothing was changed"):
        read_password(stdin=False, generate=False)


def test_an_input_that_ends_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(password_input.getpass, "getpass", end)
    stdin(monkeypatch, b"", terminal=True)
    with pytest.raises(WrongUsage, match="No password was typed"):
        read_password(stdin=False, generate=False)


def test_a_generated_password_is_random() -> None:
    assert len({read_password(stdin=False, generate=True) for _ in range(20)}) == 20


def key(**fields: Any) -> ApiKey:
    known = {
        "prefix": "abcdefgh", "tenant_id": "acme", "owner_kind": Kind.USER, "owner_id": "user-1", "owner": "ann", "label": "laptop",
        "expires_at": None, "last_used_at": None, "revoked_at": None, "revoked_by": None, "created_at": NOW, "created_by": "ops",
    }  # fmt: skip
    return ApiKey(**{**known, **fields})


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "active"),
        ({"expires_at": NOW + timedelta(microseconds=1)}, "active"),
        ({"expires_at": NOW}, "expired"),
        ({"revoked_at": NOW, "revoked_by": "ops"}, "revoked"),
        ({"revoked_at": NOW, "revoked_by": "ops", "expires_at": NOW}, "revoked"),
    ],
)
def test_the_state_of_a_key(fields: dict[str, Any], state: str) -> None:
    assert state_of(key(**fields), NOW) == state
