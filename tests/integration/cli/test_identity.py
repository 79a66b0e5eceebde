"""Users, service clients, API keys, the first admin and development tokens from the command line, on real Postgres, with hostile input."""

import errno
import io
import os
import pty
import re
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.identity.settings import load_token_settings, token_issuer
from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.conformance.accounts import OTHER_PASSWORD, PASSWORD
from tests.integration.cli.conftest import Answer, Cli, execute

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ACME = ("--tenant", "acme", "-o", "json")
JWT_KEY = "a key that signs the tokens of this test"
KEY_TEXT = re.compile(r"am_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}")


@pytest.fixture
def type_in(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command with these bytes, or this text, on its stdin."""

    def run(given: str | bytes, *arguments: str) -> Answer:
        raw = given.encode() if isinstance(given, str) else given
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        return bare_cli(*arguments)

    return run


def add_ann(type_in: Cli, *options: str) -> Any:
    answer = type_in(f"{PASSWORD}\n", "users", "add", "Ann", "--role", "admin", "--password-stdin", "--as", "ops", *ACME, *options)
    assert answer.code == exit_codes.OK, answer.err
    assert PASSWORD not in answer.out + answer.err
    return answer.json


def test_users_are_made_listed_shown_locked_out_and_removed(bare_cli: Cli, type_in: Cli) -> None:
    assert "agentmesh init --tenant acme" in bare_cli("users", "list", "--tenant", "acme").out
    made = add_ann(type_in)
    assert (made["login"], made["role"], made["disabled"], made["created_by"]) == ("ann", "admin", False, "ops")
    bob = bare_cli("users", "add", "bob", "--role", "customer", "--customer", "cust-0042", "--generate", *ACME)
    assert (bob.json["customer_id"], len(bob.json["password"]), "shown this once" in bob.err) == ("cust-0042", 24, True)
    assert [row["login"] for row in bare_cli("users", "list", *ACME).json] == ["ann", "bob"]
    assert [row["login"] for row in bare_cli("users", "list", "--after", "ann", *ACME).json] == ["bob"]
    assert bare_cli("users", "show", "ANN", *ACME).json == made
    table = bare_cli("users", "list", "--tenant", "acme").out
    assert made["user_id"] in table
    assert "argon2" not in table + bare_cli("users", "show", "ann", "--tenant", "acme").out

    off = bare_cli("users", "disable", "bob", *ACME)
    assert (off.code, off.json["disabled"]) == (exit_codes.OK, True)
    assert "bob of tenant acme is disabled" in bare_cli("users", "disable", "bob", "--tenant", "acme").out
    assert bare_cli("users", "enable", "bob", *ACME).json["disabled"] is False
    assert "new password" in type_in(OTHER_PASSWORD, "users", "set-password", "bob", "--password-stdin", "--tenant", "acme").out
    assert bare_cli("users", "remove", "bob", *ACME).json["login"] == "bob"
    assert bare_cli("users", "show", "bob", "--tenant", "acme").code == exit_codes.NOT_FOUND


def test_a_login_is_taken_once_in_its_tenant(type_in: Cli) -> None:
    first = add_ann(type_in)
    again = type_in(PASSWORD, "users", "add", "ANN", "--role", "agent", "--password-stdin", "--tenant", "acme")
    assert (again.code, "acme has a user 'ann' already" in again.err) == (exit_codes.FAILED, True)
    other = type_in(PASSWORD, "users", "add", "ann", "--role", "agent", "--password-stdin", "--tenant", "globex", "-o", "json")
    assert (other.code, other.json["user_id"] != first["user_id"]) == (exit_codes.OK, True)


def test_the_last_admin_of_a_tenant_stays(bare_cli: Cli, type_in: Cli) -> None:
    add_ann(type_in)
    for command in ("disable", "remove"):
        refused = bare_cli("users", command, "ann", "--tenant", "acme")
        assert (refused.code, "last admin of tenant acme" in refused.err) == (exit_codes.FAILED, True)
    assert bare_cli("users", "show", "ann", *ACME).json["disabled"] is False
    assert bare_cli("users", "add", "eve", "--role", "admin", "--generate", "--tenant", "acme").code == exit_codes.OK
    assert bare_cli("users", "disable", "ann", "--tenant", "acme").code == exit_codes.OK
    assert bare_cli("users", "remove", "eve", "--tenant", "acme").code == exit_codes.FAILED


def test_the_first_admin_is_made_once_and_a_given_password_is_never_shown(bare_cli: Cli, type_in: Cli) -> None:
    first = bare_cli("init", *ACME)
    assert (first.code, first.json["created"], first.json["admins"]) == (exit_codes.OK, True, ["admin"])
    assert len(first.json["password"]) == 24
    second = bare_cli("init", *ACME)
    assert (second.code, second.json) == (exit_codes.OK, {"created": False, "tenant_id": "acme", "admins": ["admin"]})
    text = bare_cli("init", "--tenant", "acme", "--login", "other")
    assert (text.code, "has an admin already: admin" in text.out) == (exit_codes.OK, True)
    assert bare_cli("users", "show", "other", "--tenant", "acme").code == exit_codes.NOT_FOUND

    given = type_in(PASSWORD, "init", "--tenant", "globex", "--login", "Root", "--password-stdin")
    assert (given.code, "root is the first admin of tenant globex" in given.out) == (exit_codes.OK, True)
    repeated = type_in(OTHER_PASSWORD, "init", "--tenant", "globex", "--password-stdin", "-o", "json")
    assert repeated.json["created"] is False
    assert not [each for each in (PASSWORD, OTHER_PASSWORD) if each in given.out + given.err + repeated.out + repeated.err]
    weak = type_in("root", "init", "--tenant", "initech", "--password-stdin")
    assert (weak.code, "password: " in weak.err) == (exit_codes.USAGE, True)
    assert bare_cli("users", "list", "--tenant", "initech", "-o", "json").json == []
    assert bare_cli("init", "--password-stdin", "--prompt").code == exit_codes.USAGE


def test_clients_are_made_with_a_secret_that_is_shown_once(bare_cli: Cli) -> None:
    made = bare_cli("clients", "add", "shop", "--role", "agent", *ACME)
    assert (made.json["name"], made.json["client_id"].startswith("client-"), len(made.json["client_secret"])) == ("shop", True, 43)
    newer = bare_cli("clients", "new-secret", "shop", *ACME).json
    assert newer["client_secret"] != made.json["client_secret"]
    shown = bare_cli("clients", "show", "shop", *ACME)
    assert "client_secret" not in shown.json
    assert [row["name"] for row in bare_cli("clients", "list", *ACME).json] == ["shop"]
    assert made.json["client_id"] in bare_cli("clients", "list", "--tenant", "acme").out
    assert bare_cli("clients", "add", "shop", "--role", "agent", "--tenant", "acme").code == exit_codes.FAILED
    assert bare_cli("clients", "disable", "shop", *ACME).json["disabled"] is True
    assert "enabled" in bare_cli("clients", "enable", "shop", "--tenant", "acme").out
    assert "removed" in bare_cli("clients", "remove", "shop", "--tenant", "acme").out
    for command in ("show", "disable", "enable", "new-secret", "remove"):
        missing = bare_cli("clients", command, "shop", "--tenant", "acme")
        assert (missing.code, "no client 'shop'" in missing.err) == (exit_codes.NOT_FOUND, True)


def test_keys_are_made_for_an_owner_shown_once_and_revoked(bare_cli: Cli, type_in: Cli) -> None:
    add_ann(type_in)
    bare_cli("clients", "add", "shop", "--role", "agent", "--tenant", "acme")
    mine = bare_cli("keys", "add", "--user", "ann", "--label", "laptop", *ACME).json
    shop = bare_cli("keys", "add", "--client", "shop", "--label", "cron", "--days", "30", *ACME).json
    assert KEY_TEXT.fullmatch(mine["key"])
    assert (mine["expires_at"], (datetime.fromisoformat(shop["expires_at"]) - datetime.now(UTC)).days) == (None, 29)
    listed = bare_cli("keys", "list", *ACME)
    assert sorted(row["prefix"] for row in listed.json) == sorted([mine["prefix"], shop["prefix"]])
    assert mine["key"] not in listed.out
    assert [row["label"] for row in bare_cli("keys", "list", "--owner", "shop", *ACME).json] == ["cron"]
    revoked = bare_cli("keys", "revoke", f"am_{mine['prefix']}", "--as", "ops", *ACME).json
    assert revoked["revoked_by"] == "ops"
    assert bare_cli("keys", "revoke", mine["key"], "--as", "another", *ACME).json == revoked
    table = bare_cli("keys", "list", "--tenant", "acme").out
    assert all(word in table for word in (f"am_{mine['prefix']}", "revoked", "active"))
    assert bare_cli("keys", "list", "--after", "am_zzzzzzzz", *ACME).json == []
    for wrong in (("--user", "ann", "--client", "shop"), ()):
        assert "needs exactly one" in bare_cli("keys", "add", "--label", "x", *wrong, "--tenant", "acme").err
    assert bare_cli("keys", "revoke", f"am_{shop['prefix']}").code == exit_codes.NOT_FOUND, "another tenant's key"


CONTROL = "an\x1b[31mn"
LONG = "x" * 10_000


@pytest.mark.parametrize("hostile", ["", " ", "a b", "a@b", "../etc", "a'; DROP SCHEMA identity; --", CONTROL, LONG, "\udcff", "ü", "a\n"])
def test_a_tenant_that_breaks_its_rule_is_wrong_usage(bare_cli: Cli, hostile: str) -> None:
    commands = (
        ("users", "list"),
        ("users", "show", "ann"),
        ("users", "add", "ann", "--role", "agent", "--generate"),
        ("users", "disable", "ann"),
        ("users", "set-password", "ann", "--generate"),
        ("users", "remove", "ann"),
        ("clients", "list"),
        ("clients", "add", "shop", "--role", "agent"),
        ("clients", "new-secret", "shop"),
        ("keys", "list"),
        ("keys", "add", "--user", "ann", "--label", "x"),
        ("keys", "revoke", "am_abcdefgh"),
        ("init",),
    )
    for command in commands:
        answer = bare_cli(*command, f"--tenant={hostile}")
        assert (answer.code, "tenant_id: " in answer.err) == (exit_codes.USAGE, True), (command, answer)
        assert len(answer.err) < 300
        assert "\x1b" not in answer.err


@pytest.mark.parametrize("hostile", ["", " ", "a b", "a/b", "a'; DROP TABLE identity.accounts; --", CONTROL, LONG, "\udcff", "ü", "a\n"])
def test_a_name_that_breaks_its_rule_is_wrong_usage(bare_cli: Cli, mesh_settings: MeshSettings, hostile: str) -> None:
    commands = (
        ("users", "show", "--", hostile),
        ("users", "add", "--role", "agent", "--generate", "--", hostile),
        ("users", "enable", "--", hostile),
        ("users", "remove", "--", hostile),
        ("clients", "show", "--", hostile),
        ("clients", "add", "--role", "agent", "--", hostile),
        ("keys", "add", f"--user={hostile}", "--label", "x"),
        ("keys", "list", f"--owner={hostile}"),
        ("init", f"--login={hostile}"),
    )
    for command in commands:
        answer = bare_cli(*command)
        assert (answer.code, "name: Input should have" in answer.err) == (exit_codes.USAGE, True), (command, answer)
        assert len(answer.err) < 300
    assert execute(mesh_settings, "SELECT count(*) FROM identity.accounts") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("users", "add", "ann", "--role", "root", "--generate"), "role: Input should be 'admin', 'manager', 'agent' or 'customer'"),
        (("users", "add", "ann", "--role", "customer", "--generate"), "customer_id: The role customer needs a customer_id"),
        (("users", "add", "ann", "--role", "customer", "--customer", "cust-12", "--generate"), "customer_id: "),
        (("users", "add", "ann", "--role", "agent", "--customer", CONTROL, "--generate"), "customer_id: "),
        (("users", "add", "ann", "--role", "agent", "--generate", "--password-stdin"), "--password-stdin or --generate"),
        (("users", "add", "ann", "--role", "agent", "--generate", "--as", CONTROL), "--as: a name"),
        (("users", "add", "ann", "--role", "agent", "--generate", "--as", LONG), "--as: a name"),
        (("users", "add", "ann", "--role", "agent"), "no terminal"),
        (("users", "set-password", "ann"), "no terminal"),
        (("init", "--prompt"), "no terminal"),
        (("users", "add", "ann", "--role", "agent", "--password", PASSWORD), "No such option"),
        (("keys", "add", "--user", "ann", "--label", CONTROL), "label: "),
        (("keys", "add", "--user", "ann", "--label", " "), "label: "),
        (("keys", "add", "--user", "ann", "--label", LONG), "label: "),
        (("keys", "add", "--user", "ann", "--label", "x", "--days", "0"), "--days"),
        (("keys", "add", "--user", "ann", "--label", "x", "--days", "999999999999"), "--days"),
        (("keys", "revoke", "am_short"), "key: Input should be the key's prefix"),
        (("keys", "revoke", LONG), "key: Input should be the key's prefix"),
        (("keys", "list", "--after", "\udcff"), "--after"),
        (("keys", "list", "--after", "\x00"), "--after"),
        (("token",), "--user LOGIN or --role ROLE"),
        (("token", "--user", "ann", "--role", "agent"), "--user LOGIN or --role ROLE"),
    ],
)
def test_other_wrong_arguments_are_told_by_field_and_rule(type_in: Cli, arguments: tuple[str, ...], says: str) -> None:
    answer = type_in("", *arguments)
    assert (answer.code, says in answer.err) == (exit_codes.USAGE, True), answer
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "12 to 200 characters"),
        ("\n", "12 to 200 characters"),
        ("short", "12 to 200 characters"),
        ("x" * 10_000, "text of 10000 characters"),
        ("x" * 200_000, "more than 100000 bytes"),
        ("ann@example.org\n", "not be the login"),
        ("secret\nsecret secret", "no control characters"),
        ("secret\x00secret", "no control characters"),
        (b"\xff\xfe secret secret", "not UTF-8"),
    ],
)
def test_a_password_that_breaks_a_rule_is_refused_and_not_repeated(type_in: Cli, bare_cli: Cli, given: str | bytes, says: str) -> None:
    answer = type_in(given, "users", "add", "ann@example.org", "--role", "agent", "--password-stdin")
    assert (answer.code, says in answer.err) == (exit_codes.USAGE, True), answer
    assert "ret\n" not in answer.err
    assert len(answer.err) < 300
    assert bare_cli("users", "list", "-o", "json").json == []


def on_a_terminal(typed: list[str], *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal of its own and type a line at each prompt; its exit code and all that the terminal showed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "services.cli.main", *arguments])
    shown, answered = b"", 0
    while chunk := _read(terminal):
        shown += chunk
        if shown.count(b"Password: ") + shown.count(b"Again: ") > answered:
            os.write(terminal, f"{typed[answered]}\n".encode())
            answered += 1
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError as error:
        if error.errno == errno.EIO:  # the other side is closed
            return b""
        raise


def test_a_password_typed_at_the_prompt_is_not_shown(bare_cli: Cli) -> None:
    add = ("users", "add", "ann", "--role", "agent", "--tenant", "acme")
    code, shown = on_a_terminal([PASSWORD, OTHER_PASSWORD], *add)
    assert (code, "differ: nothing was changed" in shown) == (exit_codes.USAGE, True), shown
    code, shown = on_a_terminal([PASSWORD, PASSWORD], *add)
    assert (code, "user ann of tenant acme is made" in shown) == (exit_codes.OK, True), shown
    assert PASSWORD not in shown
    code, shown = on_a_terminal([], *add[:5], "--password-stdin", "--tenant", "acme")
    assert (code, "stdin is a terminal" in shown) == (exit_codes.USAGE, True), shown
    assert [row["login"] for row in bare_cli("users", "list", *ACME).json] == ["ann"]


def test_a_development_token_is_what_the_verifier_takes(bare_cli: Cli, type_in: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    environment = os.environ.get("ENVIRONMENT", "development")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    without = bare_cli("token", "--role", "agent")
    assert (without.code, "JWT_SECRET_KEY is not set" in without.err) == (exit_codes.CONFIGURATION, True)
    monkeypatch.setenv("ENVIRONMENT", environment)
    assert bare_cli("token", "--role", "agent").code == exit_codes.OK  # with the key that development makes for itself
    monkeypatch.setenv("JWT_SECRET_KEY", JWT_KEY)
    ann = add_ann(type_in)
    answer = bare_cli("token", "--user", "ann", "--tenant", "acme")
    verifier = token_issuer(load_token_settings())
    principal = verifier.verify(answer.out.strip(), datetime.now(UTC))
    assert (principal.id, principal.tenant_id, principal.role) == (ann["user_id"], "acme", "admin")
    made = bare_cli("token", "--role", "customer", "--customer", "cust-0042", "--minutes", "5", *ACME).json
    principal = verifier.verify(made["access_token"], datetime.now(UTC))
    assert (principal.customer_id, principal.role, made["token_type"], made["expires_in"]) == ("cust-0042", "customer", "Bearer", 300)
    assert principal.id.startswith("dev-")
    assert "needs a customer_id" in bare_cli("token", "--role", "customer").err
    assert bare_cli("token", "--role", "root").code == exit_codes.USAGE
    assert bare_cli("token", "--user", "ann", "--customer", "cust-0042", "--tenant", "acme").code == exit_codes.USAGE
    assert bare_cli("token", "--user", "nobody").code == exit_codes.NOT_FOUND
    bare_cli("users", "add", "eve", "--role", "admin", "--generate", "--tenant", "acme")
    bare_cli("users", "disable", "ann", "--tenant", "acme")
    disabled = bare_cli("token", "--user", "ann", "--tenant", "acme")
    assert (disabled.code, disabled.out) == (exit_codes.FAILED, "")
    for environment in ("production", "prod"):
        monkeypatch.setenv("ENVIRONMENT", environment)
        refused = bare_cli("token", "--role", "agent")
        assert (refused.code, refused.out, environment in refused.err) == (exit_codes.FAILED, "", True)
