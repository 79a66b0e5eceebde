"""Access tokens: a principal in, a signed text out, and back (SEC-01 to SEC-04); used by the gateway and by who issues tokens."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from infra.errors import ConfigurationError
from infra.identity.base import LIFETIME, InvalidToken, Principal
from infra.identity.claims import TYPE, UNREADABLE, check_text, principal_at

ALGORITHM = "HS256"
LEAST_KEY_BYTES = 32


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
        self._rules: dict[str, jwt.ClaimsOption] = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": audience},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
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
        if claims.get("type") != TYPE:
            raise InvalidToken
        return principal_at(claims, now, self._rules)

    def _claims(self, text: str) -> dict[str, Any]:
        """The claims of a token that one of the keys signed."""
        check_text(text)
        for key in self._keys:
            try:
                return jwt.decode(text, key, algorithms=[ALGORITHM]).claims
            except UNREADABLE:
                continue
        raise InvalidToken
