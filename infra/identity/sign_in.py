"""Signing in: login and password, client id and secret, or API key in; the principal, or one refusal for all out; run by the gateway.

Whoever is refused is told the same, after the same time, whatever the reason. Nobody is locked out: the rate limit slows guesses down.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, NoReturn

from infra.errors import MeshError
from infra.identity.accounts import (
    AccountInvalid,
    Accounts,
    Client,
    Credential,
    Reference,
    User,
    account_id,
    reference,
)
from infra.identity.api_keys import parse_api_key
from infra.identity.base import Principal, Unauthenticated
from infra.identity.passwords import SecretHasher
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

TOUCH_EVERY = timedelta(minutes=1)
MAX_CLIENT_ID_CHARACTERS = 100
NO_DIGEST = bytes(32)


class Means(StrEnum):
    """What somebody signs in with."""

    PASSWORD = "password"  # noqa: S105 (the name of a kind)
    CLIENT_SECRET = "client_secret"  # noqa: S105 (the name of a kind)
    API_KEY = "api_key"


class Reason(StrEnum):
    """Why a sign-in was refused; for logs alone."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 (the name of a reason)
    DISABLED = "disabled"
    REVOKED = "revoked"
    EXPIRED = "expired"


class SignInFailed(Unauthenticated):
    """Sign-in failed"""

    def __init__(self, reason: Reason) -> None:
        super().__init__("Sign-in failed")
        self.reason = reason
        """For logs alone: it says whether an account is there."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class SignIn:
    """Tells who presents a credential.

    Raises SignInFailed, or TransientError when accounts cannot be reached or too many sign in at once.
    """

    def __init__(self, accounts: Accounts, hasher: SecretHasher, metrics: Metrics, now: Callable[[], datetime] = utc_now) -> None:
        self._accounts = accounts
        self._hasher = hasher
        self._failures = metrics.sign_in_failures_total
        for means in Means:
            self._failures.labels(means)
        self._now = now

    async def user(self, login: str, password: str, tenant_id: str) -> Principal:
        """The user with this login in this tenant."""
        found = await self._named(login, tenant_id)
        return await self._check(Means.PASSWORD, found, password, self._accounts.users.renew_hash)

    async def client(self, client_id: str, secret: str) -> Principal:
        """The service client with this id; its tenant comes with it."""
        plausible = len(client_id) <= MAX_CLIENT_ID_CHARACTERS and client_id.isascii() and client_id.isprintable()
        found = await self._accounts.clients.credential_by_id(client_id) if plausible else Reason.MALFORMED
        return await self._check(Means.CLIENT_SECRET, found, secret, self._accounts.clients.renew_hash)

    async def api_key(self, text: str) -> Principal:
        """The owner of this key, with the end of the key: what the owner does by a key counts as the owner's."""
        given = parse_api_key(text)
        if given is None:
            self._refuse(Means.API_KEY, Reason.MALFORMED)
        found = await self._accounts.keys.credential(given.prefix)
        same = hmac.compare_digest(given.digest, NO_DIGEST if found is None else found.digest)
        if found is None:
            self._refuse(Means.API_KEY, Reason.UNKNOWN)
        key, owner = found.key, found.owner
        if not same:
            self._refuse(Means.API_KEY, Reason.WRONG_SECRET, owner)
        now = self._now()
        if key.revoked_at is not None:
            self._refuse(Means.API_KEY, Reason.REVOKED, owner)
        if key.expires_at is not None and key.expires_at <= now:
            self._refuse(Means.API_KEY, Reason.EXPIRED, owner)
        if owner.disabled:
            self._refuse(Means.API_KEY, Reason.DISABLED, owner)
        if key.last_used_at is None or key.last_used_at <= now - TOUCH_EVERY:
            await _by_the_way("the use of an API key", self._accounts.keys.touch(key.prefix, now))
        return replace(principal_of(owner, expires_at=key.expires_at), auth_type="api_key")

    async def _named(self, login: str, tenant_id: str) -> Credential[User] | Reason | None:
        try:
            wanted: Reference = reference(tenant_id, login)
        except AccountInvalid:
            return Reason.MALFORMED
        return await self._accounts.users.credential(wanted)

    async def _check(
        self,
        means: Means,
        found: Credential[User] | Credential[Client] | Reason | None,
        secret: str,
        renew_hash: Callable[[str, str, str], Awaitable[None]],
    ) -> Principal:
        """The account's principal. The secret is verified whatever was found, so that every refusal takes the same time."""
        known = None if found is None or isinstance(found, Reason) else found
        kept_hash = None if known is None else known.secret_hash.get_secret_value()
        verified = await self._hasher.verify(secret, kept_hash)
        if known is None or kept_hash is None:
            self._refuse(means, found if isinstance(found, Reason) else Reason.UNKNOWN)
        account = known.account
        if not verified.right:
            self._refuse(means, Reason.WRONG_SECRET, account)
        if account.disabled:
            self._refuse(means, Reason.DISABLED, account)
        if verified.new_hash is not None:
            await _by_the_way("a stronger hash", renew_hash(account_id(account), kept_hash, verified.new_hash))
        return principal_of(account)

    def _refuse(self, means: Means, reason: Reason, account: User | Client | None = None) -> NoReturn:
        self._failures.labels(means).inc()
        who = "nobody known" if account is None else f"{account_id(account)} of tenant {account.tenant_id}"
        logger.info("sign-in by %s refused: %s (%s)", means, reason, who)
        raise SignInFailed(reason)


def principal_of(account: User | Client, expires_at: datetime | None = None) -> Principal:
    """The principal that an account is."""
    kind: Literal["user", "service_account"] = "user" if isinstance(account, User) else "service_account"
    return Principal(account_id(account), account.tenant_id, str(account.role), account.customer_id, expires_at, kind)


async def _by_the_way(what: str, writing: Awaitable[None]) -> None:
    """Write what nobody waits for: whoever has shown the right secret is let in all the same."""
    try:
        await writing
    except MeshError as error:
        logger.warning("%s was not recorded: %s", what, error)
