"""Who may call what: a token or an API key in, a principal in the scope, or a refusal; each route says which permission it asks for."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

from infra.errors import ConfigurationError
from infra.identity.base import Credentials, Permission, Permissions, Principal, TokenVerifier, Unauthenticated
from services.gateway.calls import PRINCIPAL, call_of, observer_of
from services.gateway.errors import ApiError
from services.gateway.kept import Kept
from services.gateway.limits import RateLimits
from services.gateway.versions import check_version

SCHEME = "Bearer"
KEY_SCHEME = "ApiKey"
KEY_HEADER = "x-api-key"
MISSING = "Missing bearer token"
SEVERAL = "More than one credential"
INVALID_KEY = "Invalid API key"
logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time by which tokens are judged."""
    return datetime.now(UTC)


class ApiKeys:
    """Signs callers in by their API keys. One that was right is believed for `seconds`, so that a call costs no look into the database:
    a key that is revoked, or whose owner is disabled, ends as late as that."""

    def __init__(self, credentials: Credentials, seconds: float) -> None:
        self._credentials = credentials
        self._kept: Kept[bytes, Principal] = Kept(seconds)

    async def principal(self, text: str, now: datetime) -> Principal:
        """Whose key it is. Raises Unauthenticated; TransientError when accounts cannot be reached."""

        async def load() -> Principal:
            return await self._credentials.api_key(text)

        found = await self._kept.get(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), load)
        if found.expires_at is not None and found.expires_at <= now:
            raise Unauthenticated(INVALID_KEY)
        return found


class Access:
    """Signs callers in and asks the table of permissions. The tenant of a call is the principal's, whatever body and query say."""

    def __init__(
        self, verifier: TokenVerifier, keys: ApiKeys, permits: Permissions, limits: RateLimits, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._permits = permits
        self._limits = limits
        self._now = now

    def requires(self, permission: Permission) -> Requirement:
        """What a route puts into its dependencies."""
        return Requirement(self, permission)

    def may(self, principal: Principal, permission: Permission) -> bool:
        """Whether the principal's role has the permission."""
        return self._permits(principal, permission)

    async def signed_in(self, request: Request, token: str | None = None) -> Principal:
        """Who calls, with a token of his bucket taken; one who is not known pays from that of his address. An access token that came in
        another way than in a header of the API is given as `token`, and then headers say nothing. Raises ApiError: 401, 429."""
        try:
            principal = await self._principal(request) if token is None else self.holder(token)
        except ApiError:
            await self._limits.take_as_stranger(request)
            raise
        await self._limits.take_as(principal, request)
        return principal

    def holder(self, token: str) -> Principal:
        """Whom an access token speaks for. Raises ApiError, 401."""
        if not token:
            raise unauthorized(MISSING)
        try:
            return self._verifier.verify(token, self._now())
        except Unauthenticated as error:
            raise unauthorized(str(error)) from None

    async def _principal(self, request: Request) -> Principal:
        authorizations, keys = (request.headers.getlist(name) for name in ("authorization", KEY_HEADER))
        if len(authorizations) + len(keys) > 1:
            raise unauthorized(SEVERAL)
        scheme, _, text = authorizations[0].partition(" ") if authorizations else (KEY_SCHEME, "", "".join(keys))
        scheme, text = scheme.lower(), text.strip()
        if scheme not in (SCHEME.lower(), KEY_SCHEME.lower()) or not text:
            raise unauthorized(MISSING)
        if scheme == SCHEME.lower():
            return self.holder(text)
        try:
            return await self._keys.principal(text, self._now())
        except Unauthenticated:
            raise unauthorized(INVALID_KEY) from None


@dataclass(frozen=True, slots=True)
class Requirement:
    """The permission of one route."""

    access: Access
    permission: Permission

    async def check(self, request: Request) -> None:
        """Sign the caller in and put the principal into the scope. Raises ApiError: 401 for who is not known, 403 for who may not, 429,
        and 406 for a version that the path is not of."""
        principal = await self.access.signed_in(request)
        request.scope[PRINCIPAL] = principal
        if not self.access.may(principal, self.permission):
            raise forbidden(request, principal, self.permission)
        await check_version(request)


def forbidden(request: Request, principal: Principal, permission: Permission, message: str = "") -> ApiError:
    """403, naming the permission."""
    who = {"tenant_id": principal.tenant_id, "user_id": principal.id, "http_request_id": call_of(request.scope).request_id}
    logger.warning("unauthorized_access", extra={**who, "permission": permission.value})
    observer_of(request.scope).forbidden(permission.value)
    details = {"required_permission": permission.value}
    return ApiError("FORBIDDEN", message or f"The permission {permission.value} is required.", details=details)


def own_customer(request: Request, principal: Principal, permission: Permission) -> str | None:
    """The customer to whom this caller is held; None for staff and services (SEC-15). Raises ApiError, 403, for a customer's token that
    names none."""
    if not principal.is_customer:
        return None
    if principal.customer_id is None:
        raise forbidden(request, principal, permission, "The token of a customer should name its customer_id.")
    return principal.customer_id


def unauthorized(message: str, challenge: str = "") -> ApiError:
    """401. The message is read by the caller and logged, so it says nothing of the credential."""
    logger.warning("auth_failure", extra={"reason": message})
    told = SCHEME if message == MISSING else f'{SCHEME} error="invalid_token", error_description="{message}"'
    return ApiError("UNAUTHORIZED", message, headers={"WWW-Authenticate": challenge or told})


def requirement_of(route: APIRoute) -> Requirement | None:
    """The requirement among a route's dependencies."""
    owners = (getattr(each.call, "__self__", None) for each in route.dependant.dependencies)
    return next((owner for owner in owners if isinstance(owner, Requirement)), None)


def check_routes(routes: Iterable[Any], open_paths: Collection[str]) -> None:
    """Refuses the start where a route neither asks for a permission nor is one of the open ones (SEC-14)."""
    for route in routes:
        path = getattr(route, "path", "")
        guarded = isinstance(route, APIRoute) and requirement_of(route) is not None
        if not guarded and path not in open_paths:
            raise ConfigurationError(f"The route {path or route!r} asks for no permission: give it one, or name it among the open ones.")
