"""Commands on approvals, customers, tenants and analytics before they reach a server: refused arguments, settings, periods."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from services.cli import exit_codes, main
from services.cli.errors import NotFound, WrongUsage
from services.cli.moments import moment
from services.cli.tenants import given_settings
from services.cli.views import check_choice, existing

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
NOTHING: dict[str, Any] = dict.fromkeys(("threshold", "currency", "hours", "four_eyes", "approvers", "per_minute")) | {"anybody": False}


@pytest.mark.parametrize(
    "arguments",
    [
        ("requests", "list", "--status", "odd"),
        ("approvals", "list", "--status", "odd"),
        ("approvals", "list", "--limit", "0"),
        ("approvals", "reject", "req-1"),
        ("approvals", "delegate", "req-1"),
        ("approvals", "ask", "req-1"),
        ("approvals", "approve", ""),
        ("customers", "list", "--tier", "gold"),
        ("customers", "register", "--phone", "123"),
        ("tenants", "create", "acme"),
        ("tenants", "set", "acme"),
        ("tenants", "set", "acme", "--currency", "EUR"),
        ("tenants", "set", "acme", "--approver", "ada", "--no-approvers"),
        ("analytics", "--since", "yesterday"),
        ("analytics", "--since", "2026-05-04", "--until", "2026-05-04"),
    ],
)
def test_wrong_usage_is_told_before_any_server_is_asked(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == exit_codes.USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_only_named_settings_are_sent() -> None:
    assert given_settings(**NOTHING) == {}
    assert given_settings(**NOTHING | {"threshold": "250.00"}) == {"approval_threshold": {"amount": "250.00"}}
    whole = {"threshold": "250.00", "currency": "EUR", "hours": 4, "four_eyes": False, "approvers": ["ada"], "per_minute": 5}
    assert given_settings(**NOTHING | whole) == {
        "approval_threshold": {"amount": "250.00", "currency": "EUR"},
        "approval_time_limit_hours": 4,
        "four_eyes": False,
        "approvers": ["ada"],
        "requests_per_minute": 5,
    }
    assert given_settings(**NOTHING | {"anybody": True}) == {"approvers": []}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30min", NOW - timedelta(minutes=30)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T09:30", datetime(2026, 5, 1, 9, 30, tzinfo=UTC)),
        ("2026-05-01T09:30+02:00", datetime(2026, 5, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_moment_is_a_span_back_from_now_or_a_time(text: str, meant: datetime) -> None:
    assert moment("--since", text, NOW) == meant


@pytest.mark.parametrize("text", ["", "0d", "7", "7w", "-1h", "999999d", "tomorrow", "2026-13-01"])
def test_other_moments_say_how_they_are_written(text: str) -> None:
    with pytest.raises(WrongUsage, match="write a span back from now"):
        moment("--since", text, NOW)


def test_a_choice_that_is_none_names_the_choices() -> None:
    check_choice("tier", None, ("free", "premium"))
    check_choice("tier", "free", ("free", "premium"))
    with pytest.raises(WrongUsage, match="There is no tier 'gold'"):
        check_choice("tier", "gold", ("free", "premium"))


def test_what_another_tenant_has_is_not_found() -> None:
    with pytest.raises(NotFound, match="Tenant acme has no request 'req-1'"):
        existing(None, "request", "req-1", "acme")
