"""How many calls a caller may make: a principal or an address in, a token of its bucket taken or 429 out (SEC-21 to SEC-24); asked by
access, after sign-in, and by the route that signs in."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Any

from fastapi import Request

from contracts.tenants.values import RequestsPerMinute
from infra.errors import MeshError
from infra.identity.base import Principal
from infra.postgres.base import TenantReads
from infra.rate_limit.base import Limit, RateLimiter
from infra.rate_limit.headers import rate_limit_headers
from infra.rate_limit.keys import address_key, user_key
from projections.tenants.queries import GetTenant, get_tenant
from services.gateway.calls import fields_of, observer_of
from services.gateway.errors import ApiError
from services.gateway.kept import Kept

READ = "read"
WRITE = "write"
AUTH = "auth"
CLASSES = (READ, WRITE, AUTH)
MINUTE = 60
# How long a call waits for its tenant's setting, before it goes by the one that was known last.
SETTING_SECONDS = 1.0
UNKNOWN_ADDRESS = "unknown"
IPV6_NETWORK = 64
logger = logging.getLogger(__name__)


class TenantLimits:
    """The limit of each tenant, from its setting `requests_per_minute`; it is kept for `seconds`, so a change takes as long to count.

    A tenant that nobody created has the default. While its setting cannot be read, the one that was read last holds, or the default."""

    def __init__(self, reads: TenantReads, default: Limit, seconds: float) -> None:
        self._reads = reads
        self.default = default
        self._kept: Kept[str, Limit] = Kept(seconds)

    async def of(self, tenant_id: str) -> Limit:
        """The limit of every user of the tenant."""

        async def load() -> Limit:
            return await self._load(tenant_id)

        return await self._kept.get(tenant_id, load)

    async def _load(self, tenant_id: str) -> Limit:
        try:
            async with asyncio.timeout(SETTING_SECONDS):
                found = await get_tenant(self._reads.of(tenant_id), GetTenant(tenant_id=tenant_id))
        except (MeshError, TimeoutError) as error:
            logger.warning("the rate limit of a tenant could not be read", extra={"tenant_id": tenant_id, "reason": type(error).__name__})
            return self._kept.old(tenant_id) or self.default
        return self.default if found is None else _of_setting(found.requests_per_minute)


def _of_setting(requests_per_minute: RequestsPerMinute) -> Limit:
    return Limit(requests_per_minute, MINUTE)


class RateLimits:
    """Takes a token for each call and says in the answer's fields how many are left. Each class of routes has a bucket of its own."""

    def __init__(self, limiter: RateLimiter, tenants: TenantLimits) -> None:
        self._limiter = limiter
        self._tenants = tenants

    async def take_as(self, principal: Principal, request: Request) -> None:
        """Of a caller who has signed in. Raises ApiError, 429."""
        route_class = class_of(request.method)
        key = user_key(principal.tenant_id, principal.id, route_class)
        await self._take(request, key, await self._tenants.of(principal.tenant_id), route_class)

    async def take_as_stranger(self, request: Request, route_class: str = "") -> None:
        """Of a caller who has not, by its address. Raises ApiError, 429."""
        route_class = route_class or class_of(request.method)
        await self._take(request, address_key(address_of(request), route_class), self._tenants.default, route_class)

    async def before_sign_in(self, request: Request) -> None:
        """What a route on which callers sign in puts into its dependencies. Raises ApiError, 429."""
        await self.take_as_stranger(request, AUTH)

    async def _take(self, request: Request, key: str, limit: Limit, route_class: str) -> None:
        decision = await self._limiter.take(key, limit)
        fields = rate_limit_headers(decision)
        fields_of(request.scope).update(fields)
        if not decision.allowed:
            observer_of(request.scope).limited(route_class)
            raise ApiError("RATE_LIMITED", "Too many calls: try again later.", headers=fields)


def class_of(method: str) -> str:
    """The class of a route by its method: what reads has a bucket beside what writes."""
    return READ if method in ("GET", "HEAD") else WRITE


def address_of(request: Request) -> str:
    """The address that the connection comes from; of IPv6 the network, since one caller has all of its addresses. Headers that tell of
    another address are not believed."""
    client: Any = request.client
    try:
        address = ipaddress.ip_address(client.host.partition("%")[0])
    except (AttributeError, ValueError):
        return UNKNOWN_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
