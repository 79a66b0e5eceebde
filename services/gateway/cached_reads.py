"""Reads of what seldom changes, through the cache: a query in, the view out, from Redis or from the read model; used by the resources.

Agents, customers, tenants and the first pages of their lists are cached (CAC-04, CAC-08, TEN-04, CAC-12); further pages are not, for nobody
reads them twice. Events drop what changed once the read model shows it. Who has seen the outcome of his own command reads nothing from
before it, for the gateway has dropped that itself before it answered; and who names a position is not answered from the cache at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from infra.cache.cached import CacheAside, Codec, codec_of
from infra.cache.invalidation import Invalidation, of_command
from infra.cache.keys import (
    AGENT_SECONDS,
    CUSTOMER_SECONDS,
    LIST_SECONDS,
    TENANT_CONFIG_SECONDS,
    agent_key,
    customer_key,
    list_key,
    tenant_config_key,
)
from infra.postgres.base import TenantReads
from projections.agents.queries import FindAgents, GetAgent, ShownAgent, find_agent, find_agents
from projections.customers.queries import CustomerView, GetCustomer, ListCustomers, get_customer, list_customers
from projections.tenants.queries import GetTenant, TenantView, get_tenant

T = TypeVar("T")

# How long an answer waits for each thing that its command has made out of date to go; afterwards this process reads past the cache until
# it has gone.
FORGET_SECONDS: Final = 0.5
AGENT: Final = codec_of(ShownAgent)
AGENTS: Final[Codec[list[ShownAgent]]] = codec_of(list[ShownAgent])
CUSTOMER: Final = codec_of(CustomerView)
CUSTOMERS: Final[Codec[list[CustomerView]]] = codec_of(list[CustomerView])
TENANT: Final = codec_of(TenantView)


class CachedReads:
    """Cache-aside over the queries; pages are read past the cache where they are to be `fresh`. What comes back may be shared with others
    that read at the same moment: nobody changes it."""

    def __init__(self, aside: CacheAside, reads: TenantReads) -> None:
        self._aside = aside
        self._reads = reads

    async def agent(self, query: GetAgent) -> ShownAgent | None:
        """The agent with what it holds, or None when this tenant has none with that id."""
        fetch = partial(find_agent, self._reads.of(query.tenant_id), query)
        return await self._read(agent_key(query.tenant_id, query.agent_id), fetch, AGENT_SECONDS, AGENT)

    async def agents(self, query: FindAgents, *, fresh: bool = False) -> list[ShownAgent]:
        """A page of agents."""
        fetch = partial(find_agents, self._reads.of(query.tenant_id), query)
        first = query.after is None and query.offset == 0
        return await self._page("agents", query, fetch, AGENTS, fresh or not first)

    async def customer(self, query: GetCustomer) -> CustomerView | None:
        """The customer, or None when this tenant has none with that id."""
        fetch = partial(get_customer, self._reads.of(query.tenant_id), query)
        return await self._read(customer_key(query.tenant_id, query.customer_id), fetch, CUSTOMER_SECONDS, CUSTOMER)

    async def customers(self, query: ListCustomers, *, fresh: bool = False) -> list[CustomerView]:
        """A page of customers."""
        fetch = partial(list_customers, self._reads.of(query.tenant_id), query)
        return await self._page("customers", query, fetch, CUSTOMERS, fresh or query.after is not None)

    async def tenant(self, query: GetTenant) -> TenantView | None:
        """The tenant's settings, or None when nobody created it."""
        fetch = partial(get_tenant, self._reads.of(query.tenant_id), query)
        return await self._read(tenant_config_key(query.tenant_id), fetch, TENANT_CONFIG_SECONDS, TENANT)

    async def forget(self, context: str, tenant_id: str, aggregate_id: str) -> None:
        """Drop what a command about an aggregate has made out of date, before its outcome is told. Raises nothing of the cache."""
        going = of_command(context, tenant_id, aggregate_id)
        parts = [Invalidation(keys=frozenset({key})) for key in going.keys]
        parts += [Invalidation(patterns=frozenset({pattern})) for pattern in going.patterns]
        for part in parts:
            with contextlib.suppress(
                TimeoutError
            ):  # the cache remembers what was cut off, and this process reads nothing from it meanwhile
                async with asyncio.timeout(FORGET_SECONDS):
                    await self._aside.invalidate(part)

    async def _page(
        self, name: str, query: BaseModel, fetch: Callable[[], Awaitable[list[T]]], codec: Codec[list[T]], past: bool
    ) -> list[T]:
        if past:
            return await fetch()
        arguments: dict[str, Any] = query.model_dump(mode="json")
        key = list_key(arguments.pop("tenant_id"), name, arguments)
        found = await self._read(key, fetch, LIST_SECONDS, codec)
        return [] if found is None else found

    async def _read(self, key: str, fetch: Callable[[], Awaitable[T | None]], seconds: int, codec: Codec[T]) -> T | None:
        return await self._aside.read_through(key, fetch, ttl_seconds=seconds, codec=codec)
