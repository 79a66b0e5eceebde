"""What a token says, judged at a time: claims whose signature was verified in, a principal out; used by every verifier of tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError

from contracts.message import MAX_ID_CHARACTERS, TENANT_PATTERN
from infra.identity.base import CUSTOMER, InvalidToken, Principal, TokenExpired

TYPE = "access"
MAX_TOKEN_CHARACTERS = 8_192
MAX_TENANT_CHARACTERS = 100
UNREADABLE = (JoseError, TypeError, ValueError, KeyError, RecursionError)
"""What the library raises at texts that are no token, or not one of ours."""
_TENANT = re.compile(TENANT_PATTERN)
_AUTH_TYPES: dict[object, Literal["user", "service_account", "api_key"]] = {
    "user": "user",
    "service_account": "service_account",
    "api_key": "api_key",
}


def check_text(text: str) -> None:
    """Raises InvalidToken for a text that is too long for a token, or holds what no token does."""
    if len(text) > MAX_TOKEN_CHARACTERS or not text.isascii():
        raise InvalidToken


def principal_at(claims: dict[str, Any], now: datetime, rules: Mapping[str, jwt.ClaimsOption], leeway: int = 0) -> Principal:
    """The principal of claims that are valid at `now` by these rules; `leeway` seconds ahead of our clock `iat` and `nbf` are believed,
    an end is never put off. Raises TokenExpired for what was good once, InvalidToken for every other defect."""
    try:
        _registry(int(now.timestamp()), rules, leeway).validate(claims)
    except ExpiredTokenError:
        _check_all_but_the_end(claims, rules, leeway)
    except (JoseError, TypeError, ValueError, OverflowError):
        raise InvalidToken from None
    found = _principal(claims)
    if claims["exp"] <= int(now.timestamp()):
        raise TokenExpired
    return found


def _check_all_but_the_end(claims: dict[str, Any], rules: Mapping[str, jwt.ClaimsOption], leeway: int) -> None:
    """Only a token that was good once is told to have expired."""
    try:
        before = int(datetime.fromtimestamp(claims["exp"] - 1, UTC).timestamp())
        _registry(before, rules, leeway).validate(claims)
    except (JoseError, TypeError, ValueError, OverflowError, OSError):
        raise InvalidToken from None


def _registry(now: int, rules: Mapping[str, jwt.ClaimsOption], leeway: int) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(now=now, leeway=leeway, **rules)


def _principal(claims: dict[str, Any]) -> Principal:
    """Raises InvalidToken when a claim has the wrong form; an unknown role is the permissions' concern."""
    role = claims.get("role")
    customer = claims.get("customer_id")
    tenant = _name(claims.get("tenant_id"))
    kind = claims.get("auth_type", "user")
    if len(tenant) > MAX_TENANT_CHARACTERS or not _TENANT.fullmatch(tenant) or not isinstance(kind, str) or kind not in _AUTH_TYPES:
        raise InvalidToken
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidToken from None
    return Principal(
        id=_name(claims.get("user_id")),
        tenant_id=tenant,
        role=CUSTOMER if role is None else _name(role),
        customer_id=None if customer is None else _name(customer),
        expires_at=expires_at,
        auth_type=_AUTH_TYPES[kind],
    )


def _name(value: object) -> str:
    """A claim that names somebody: it goes into record headers and logs, so it holds no space, no control character and no surrogate."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARACTERS or " " in value or not value.isprintable():
        raise InvalidToken
    return value
