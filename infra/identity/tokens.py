"""Access tokens: a principal in, a signed text out, and back (SEC-01 to SEC-04); used by the gateway and by who issues tokens."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import OctKey

from contracts.message import MAX_ID_CHARACTERS, TENANT_PATTERN
from infra.errors import ConfigurationError
from infra.identity.base import CUSTOMER, LIFETIME, InvalidToken, Principal, TokenExpired

ALGORITHM = "HS256"
LEAST_KEY_BYTES = 32
TYPE = "access"
MAX_TOKEN_CHARACTERS = 8_192
MAX_TENANT_CHARACTERS = 100
_TENANT = re.compile(TENANT_PATTERN)
_AUTH_TYPES: dict[object, Literal["user", "service_account", "api_key"]] = {
    "user": "user",
    "service_account": "service_account",
    "api_key": "api_key",
}


class TokenIssuer:
    """Signs with one key, and verifies with that key and older ones, so that a key can be changed while its tokens live.

    HS256 and nothing else: which key a token was signed with is tried, never read from its header, so that `alg`, `kid`, `jwk` and `jku`
    of a stranger decide nothing.
    """

    def __init__(self, key: str, *, issuer: str, audience: str, previous_keys: Sequence[str] = ()) -> None:
        if any(len(each.encode()) < LEAST_KEY_BYTES for each in (key, *previous_keys)):
            raise ConfigurationError(f"A key that signs tokens needs at least {LEAST_KEY_BYTES} bytes.")
        self._issuer = issuer
        self._audience = audience
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that look like those of another algorithm; the length is checked above
            self._keys = [OctKey.import_key(each.encode()) for each in (key, *previous_keys)]

    def issue(self, principal: Principal, now: datetime, lifetime: timedelta = LIFETIME) -> str:
        """A token for the principal that ends `lifetime` after `now`. The principal's own `expires_at` is not looked at."""
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
            "type": TYPE,
            "user_id": principal.id,
            "tenant_id": principal.tenant_id,
            "role": principal.role,
            "auth_type": principal.auth_type,
        }
        if principal.customer_id is not None:
            claims["customer_id"] = principal.customer_id
        return jwt.encode({"alg": ALGORITHM}, claims, self._keys[0], algorithms=[ALGORITHM])

    def verify(self, text: str, now: datetime) -> Principal:
        """The principal of a token that is valid at `now`. Raises TokenExpired, or InvalidToken for every other defect."""
        claims = self._claims(text)
        try:
            self._registry(now).validate(claims)
        except ExpiredTokenError:
            self._check_all_but_the_end(claims)
            raise TokenExpired from None
        except (JoseError, TypeError, ValueError, OverflowError):
            raise InvalidToken from None
        return _principal(claims)

    def _claims(self, text: str) -> dict[str, Any]:
        """The claims of a token that one of the keys signed."""
        if len(text) > MAX_TOKEN_CHARACTERS or not text.isascii():
            raise InvalidToken
        for key in self._keys:
            try:
                return jwt.decode(text, key, algorithms=[ALGORITHM]).claims
            except (JoseError, TypeError, ValueError, KeyError, RecursionError):
                continue
        raise InvalidToken

    def _check_all_but_the_end(self, claims: dict[str, Any]) -> None:
        """Only a token that was good once is told to have expired."""
        try:
            self._registry(datetime.fromtimestamp(claims["exp"] - 1, UTC)).validate(claims)
        except (JoseError, TypeError, ValueError, OverflowError, OSError):
            raise InvalidToken from None
        _principal(claims)

    def _registry(self, now: datetime) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            iat={"essential": True},
            type={"essential": True, "value": TYPE},
        )


def _principal(claims: dict[str, Any]) -> Principal:
    """Raises InvalidToken when a claim has the wrong form; an unknown role is the permissions' concern."""
    if claims.get("type") != TYPE:  # the registry is content with a list that holds it
        raise InvalidToken
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
