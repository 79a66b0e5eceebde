"""The HTTP fields of a decision, and the keys of buckets."""

from __future__ import annotations

import pytest

from infra.rate_limit.base import Decision, Limit
from infra.rate_limit.headers import rate_limit_headers
from infra.rate_limit.keys import address_key, user_key
from infra.rate_limit.settings import RateLimitSettings


def test_an_allowed_request_is_told_the_policy_and_what_is_left() -> None:
    decision = Decision(True, Limit(100, 60), remaining=42, reset_seconds=35, retry_after_seconds=0)
    assert rate_limit_headers(decision) == {"RateLimit-Policy": '"tenant";q=100;w=60', "RateLimit": '"tenant";r=42;t=35'}


def test_a_refused_request_is_told_when_to_come_again_in_both_fields() -> None:
    decision = Decision(False, Limit(1_000, 60), remaining=0, reset_seconds=60, retry_after_seconds=1)
    assert rate_limit_headers(decision, "write") == {
        "RateLimit-Policy": '"write";q=1000;w=60',
        "RateLimit": '"write";r=0;t=1',
        "Retry-After": "1",
    }


@pytest.mark.parametrize("policy", ["", 'a"b', "a b", "ä", "a\r\nX: y"])
def test_a_policy_that_would_break_the_field_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match="policy: should have letters"):
        rate_limit_headers(Decision(True, Limit(), 1, 1, 0), policy)


def test_keys_name_tenant_user_or_address_and_the_class_of_the_route() -> None:
    assert user_key("acme", "user-7", "write") == "rate_limit:acme:user-7:write"
    assert address_key("2001:db8::1", "sign-in") == "rate_limit:-:2001:db8::1:sign-in"


def test_a_tenant_that_is_called_as_nobody_shares_no_bucket_with_addresses() -> None:
    assert user_key("-", "10.0.0.1", "read") != address_key("10.0.0.1", "read")


def test_the_default_limit_is_a_hundred_in_sixty_seconds() -> None:
    assert RateLimitSettings().limit == Limit(100, 60)
