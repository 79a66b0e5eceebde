"""The keys of buckets: `rate_limit:<tenant_id>:<user id>:<route class>`, before sign-in `rate_limit:-:<address>:<route class>`; pure."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "rate_limit"
NOBODY: Final = "-"


def user_key(tenant_id: str, user_id: str, route_class: str) -> str:
    """The bucket of a signed-in user for one class of routes."""
    # A tenant may be called `-`; a percent sign is in no tenant's id.
    tenant = "%2D" if tenant_id == NOBODY else tenant_id
    return f"{PREFIX}:{tenant}:{user_id}:{route_class}"


def address_key(address: str, route_class: str) -> str:
    """The bucket of everybody at one network address who has not signed in."""
    return f"{PREFIX}:{NOBODY}:{address}:{route_class}"
