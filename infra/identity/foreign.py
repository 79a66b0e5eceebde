"""Tokens of a foreign issuer: a text in, a principal out, verified by that issuer's own keys; and which verifier a token goes to.

One issuer is verified in one way: ours by HS256 and our key, the foreign one by its public keys and the algorithms that are pinned for it.
What a token says of its issuer, unverified, chooses the verifier, and the verifier believes none but its own issuer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import GuestProtocol, Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from infra.identity.base import InvalidToken, Principal, TokenVerifier
from infra.identity.claims import MAX_TOKEN_CHARACTERS, TYPE, UNREADABLE, check_text, principal_at

ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What the header's `typ` may be, where there is one: logout tokens, event tokens and proofs are signed with the same keys (RFC 8725)."""
BEARER = "bearer"
LEEWAY_SECONDS = 30
"""How far ahead of ours the issuer's clock may be."""


class KeyFinder(Protocol):
    """The public keys of one issuer."""

    def find(self, kid: str, algorithm: str) -> Key | None:
        """The key of this id for this algorithm, or None. Raises TransientError while there was no key set yet."""
        ...


class _Pinned(JWSRegistry):
    """Knows the pinned algorithms and no other. Unknown header fields are passed over (issuers have their own), critical ones refused."""

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=frozenset(algorithms), strict_check_header=False)

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("The algorithm is not one that is pinned for this issuer")
        return self.algorithms[name]


class ForeignTokens:
    """Verifies the tokens of one foreign issuer: its key by `kid`, a pinned algorithm, `iss`, `aud`, `exp`, and `iat` and `nbf` where they
    are stated. `tenant_id` and `user_id` are needed, `role`, `customer_id` and `auth_type` read, all as in our own tokens."""

    def __init__(self, keys: KeyFinder, *, issuer: str, audience: str, algorithms: Collection[str]) -> None:
        self._keys = keys
        self._registry = _Pinned(algorithms)
        self._rules: dict[str, jwt.ClaimsOption] = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": audience},
            "exp": {"essential": True},
        }

    def verify(self, text: str, now: datetime) -> Principal:
        """See the port. Raises TransientError while the issuer's keys are not known yet."""
        check_text(text)
        try:
            token = jwt.decode(text, self._key, registry=self._registry)
        except UNREADABLE:
            raise InvalidToken from None
        if not _grants_access(token.header, token.claims):
            raise InvalidToken
        return principal_at(token.claims, now, self._rules, LEEWAY_SECONDS)

    def _key(self, token: GuestProtocol) -> Key:
        header = token.headers()
        kid = header.get("kid")
        key = self._keys.find(kid, header["alg"]) if isinstance(kid, str) and kid else None
        if key is None:
            raise InvalidKeyIdError("No key of this id for this algorithm")
        return key


def _grants_access(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    """Whether it is an access token that whoever has it may use. Foreign ones need not say so, but none may say something else: identity
    and refresh tokens by `typ`, any other by `type`; one that is bound to a key (`cnf`) needs a proof that nobody here asks for."""
    kinds = (claims.get("typ", BEARER), header.get("typ", "JWT"))
    if not all(isinstance(each, str) for each in kinds) or claims.get("type", TYPE) != TYPE or "cnf" in claims:
        return False
    return kinds[0].lower() == BEARER and kinds[1].lower() in ACCESS_TOKEN_TYPES


class Issuers:
    """Gives each token to the verifier of the issuer that it names, and to ours where it names none that is known."""

    def __init__(self, own: TokenVerifier, foreign: Mapping[str, TokenVerifier]) -> None:
        self._own = own
        self._foreign = foreign

    def verify(self, text: str, now: datetime) -> Principal:
        """See the port. Raises TransientError while the keys of its issuer are not known yet."""
        return self._foreign.get(stated_issuer(text), self._own).verify(text, now)


def stated_issuer(text: str) -> str:
    """The issuer that a token names, unverified; empty where it names none."""
    parts = text.split(".", 3)
    if len(text) > MAX_TOKEN_CHARACTERS or len(parts) != 3:
        return ""
    try:
        claims = json.loads(urlsafe_b64decode(parts[1].encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        return ""
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else ""
