"""Who may call what: a bearer token in, a principal in the scope, or a refusal; each route says which permission it asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

from infra.errors import ConfigurationError
from infra.identity.base import Permission, Permissions, Principal, TokenVerifier, Unauthenticated
from services.gateway.calls import PRINCIPAL, call_of
from services.gateway.errors import ApiError

SCHEME = "Bearer"
MISSING = "Missing bearer token"
logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time by which tokens are judged."""
    return datetime.now(UTC)


class Access:
    """Signs callers in and asks the table of permissions. The tenant of a call is the principal's, whatever body and query say."""

    def __init__(self, verifier: TokenVerifier, permits: Permissions, now: Callable[[], datetime] = utc_now) -> None:
        self._verifier = verifier
        self._permits = permits
        self._now = now

    def requires(self, permission: Permission) -> Requirement:
        """What a route puts into its dependencies."""
        return Requirement(self, permission)

    def may(self, principal: Principal, permission: Permission) -> bool:
        """Whether the principal's role has the permission."""
        return self._permits(principal, permission)

    def principal(self, authorization: str) -> Principal:
        """Who the header `Authorization` speaks for. Raises ApiError, 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME.lower() or not token.strip():
            raise _unauthorized(MISSING)
        try:
            return self._verifier.verify(token.strip(), self._now())
        except Unauthenticated as error:
            raise _unauthorized(str(error)) from None


@dataclass(frozen=True, slots=True)
class Requirement:
    """The permission of one route."""

    access: Access
    permission: Permission

    async def check(self, request: Request) -> None:
        """Sign the caller in and put the principal into the scope. Raises ApiError: 401 for who is not known, 403 for who may not."""
        principal = self.access.principal(request.headers.get("authorization", ""))
        request.scope[PRINCIPAL] = principal
        if not self.access.may(principal, self.permission):
            raise forbidden(request, principal, self.permission)


def forbidden(request: Request, principal: Principal, permission: Permission, message: str = "") -> ApiError:
    """403, naming the permission."""
    who = {"tenant_id": principal.tenant_id, "user_id": principal.id, "http_request_id": call_of(request.scope).request_id}
    logger.warning("unauthorized_access", extra={**who, "permission": permission.value})
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


def _unauthorized(message: str) -> ApiError:
    logger.warning("auth_failure", extra={"reason": message})
    challenge = SCHEME if message == MISSING else f'{SCHEME} error="invalid_token", error_description="{message}"'
    return ApiError("UNAUTHORIZED", message, headers={"WWW-Authenticate": challenge})


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
