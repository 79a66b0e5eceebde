"""The routes of agents, in v1 (envelope, bare list) and in v2 (plain, pages): create, read, list, terminate, suspend, resume, drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from contracts.agents.commands import (
    AgentCommand,
    ChangeAgentCapabilities,
    DrainAgent,
    RegisterAgent,
    ResumeAgent,
    SuspendAgent,
    TerminateAgent,
)
from contracts.agents.values import AgentKind, CapabilityName
from infra.identity.base import Permission, Principal
from projections.agents.queries import FindAgents, GetAgent, ShownAgent, find_agent
from services.gateway.bodies import command_value, read_object, read_object_if_any
from services.gateway.calls import principal_of
from services.gateway.cursors import after_of, cursor_of
from services.gateway.errors import broken_rule
from services.gateway.linked import Linked, json_answer, query_text
from services.gateway.orders import ids_of
from services.gateway.parameters import DEFAULT_PAGE, Cursor, IdempotencyKey, IdInPath, Limit, Prefer, Sort
from services.gateway.resources.agent_operations import Operations
from services.gateway.resources.agent_representation import (
    V1_PATH,
    V2_PATH,
    AgentEnvelope,
    AgentPage,
    AgentV1,
    represent,
    represent_v1,
)
from services.gateway.resources.base import Asked, Kind, Listed, Resource, is_fresh
from services.gateway.versions import superseded

CREATED_FIELDS = frozenset({"name", "kind", "capabilities", "limit", "metadata"})
DEFAULT_V1_PAGE = 100
MAX_V1_PAGE = 1_000
MAX_OFFSET = 2**31 - 1
ORDERS: Mapping[str, tuple[type[AgentCommand], frozenset[str]]] = {
    "suspend": (SuspendAgent, frozenset({"reason"})),
    "resume": (ResumeAgent, frozenset()),
    "drain": (DrainAgent, frozenset({"reason"})),
}
V1_LIST = TypeAdapter(list[AgentV1])

InStatus = Annotated[
    Literal["available", "busy", "suspended", "draining", "unhealthy", "terminated"] | None, Query(description="In this status only.")
]
WithCapability = Annotated[CapabilityName | None, Query(description="With a capability of this name only, at whatever level.")]
OfKind = Annotated[AgentKind | None, Query(description="Of this kind only.")]
V1Limit = Annotated[int, Query(ge=1, le=MAX_V1_PAGE, description="The most agents of the answer.")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many agents to pass over.")]
Handler = Callable[..., Awaitable[Response]]


class AgentRoutes(Resource[ShownAgent]):
    """What both versions do alike; they differ in what they show."""

    operations: ClassVar[Operations]
    read_models = ("agents", "tasks")

    async def find(self, principal: Principal, id_: str) -> ShownAgent | None:
        """The row, terminated or not."""
        return await find_agent(self.reads(principal), GetAgent(tenant_id=principal.tenant_id, agent_id=id_))

    async def found(self, principal: Principal, id_: str) -> ShownAgent | None:
        """The same, from the cache (CAC-04)."""
        return await self.parts.cached.agent(GetAgent(tenant_id=principal.tenant_id, agent_id=id_))

    def add_all(self, router: APIRouter) -> None:
        """The routes below one agent."""
        said, one = self.operations, "/{agent_id}"
        self.add(router, "GET", one, self.get, Permission.AGENT_READ, said.get())
        self.add(router, "DELETE", one, self.terminate, Permission.AGENT_TERMINATE, said.terminate())
        for verb in ORDERS:
            self.add(router, "POST", f"{one}/{verb}", self.ordering(verb), Permission.AGENT_MANAGE, said.order(verb))
        self.add(router, "PUT", f"{one}/capabilities", self.capabilities, Permission.AGENT_MANAGE, said.capabilities())

    # --- commands -----------------------------------------------------------------------------------------------------

    async def post(self, request: Request, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Register an agent."""
        ids = ids_of(principal_of(request.scope), f"POST {self.kind.path}", idempotency_key)
        body = {"kind": self.parts.settings.default_agent_kind, **await read_object(request)}
        value = command_value(RegisterAgent, CREATED_FIELDS, body, self.fixed(request, ids.aggregate_uuid))
        return await self.create(request, ids.aggregate_uuid, ids, RegisterAgent, value, Asked(idempotency_key, prefer, 201))

    async def terminate(
        self, request: Request, agent_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """End an agent for good."""
        value = command_value(TerminateAgent, frozenset(), {}, self.fixed(request, agent_id))
        return await self.change(request, agent_id, TerminateAgent, value, Asked(idempotency_key, prefer, 204))

    async def capabilities(
        self, request: Request, agent_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Replace what an agent can do."""
        command = ChangeAgentCapabilities
        value = command_value(command, frozenset({"capabilities"}), await read_object(request), self.fixed(request, agent_id))
        return await self.change(request, agent_id, command, value, Asked(idempotency_key, prefer))

    def ordering(self, verb: str) -> Handler:
        """The handler of one of the orders without more than a reason."""
        command, fields = ORDERS[verb]

        async def order(request: Request, agent_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
            value = command_value(command, fields, await read_object_if_any(request), self.fixed(request, agent_id))
            return await self.change(request, agent_id, command, value, Asked(idempotency_key, prefer))

        return order

    # --- reads --------------------------------------------------------------------------------------------------------

    async def get(self, request: Request, agent_id: IdInPath) -> Response:
        """One agent."""
        return self.shown(request, await self.visible(request, agent_id))


class AgentV1Routes(AgentRoutes):
    """API-07 to API-10: the list and what begins one have a slash at their end; they answer without it, too."""

    kind = Kind("Agent", V1_PATH, "agent_id", "agents", "agents")
    operations = Operations(1)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=V1_PATH, tags=["agents"])
        add = partial(self.add, router)
        for path in ("/", ""):
            add("POST", path, self.post, Permission.AGENT_CREATE, self.operations.create(), shown=bool(path))
            add("GET", path, self.list_page, Permission.AGENT_READ, self.operations.list_v1(), shown=bool(path))
        self.add_all(router)
        return router

    def represent(self, view: ShownAgent, principal: Principal) -> AgentV1:
        """The agent as this caller reads it."""
        return represent_v1(self.parts.settings.url, view, self.may(principal))

    def body(self, view: ShownAgent, principal: Principal) -> bytes:
        """The agent in the envelope of v1."""
        return AgentEnvelope(data=self.represent(view, principal)).model_dump_json(by_alias=True).encode()

    def shown(self, request: Request, view: ShownAgent, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """The answer that shows one agent; v2 shows it otherwise."""
        return super().shown(request, view, status, {**(headers or {}), **self._superseded(f"/{view.agent_id}")})

    async def list_page(
        self,
        request: Request,
        status: InStatus = None,
        capability: WithCapability = None,
        limit: V1Limit = DEFAULT_V1_PAGE,
        offset: Offset = 0,
        cursor: Cursor = None,
    ) -> Response:
        """Agents, oldest first: filtered, then cut (API-17)."""
        if cursor is not None and offset:
            raise broken_rule("offset", "Should be 0 where a cursor is given", offset, where="query")
        principal = principal_of(request.scope)
        wanted = FindAgents(
            tenant_id=principal.tenant_id,
            status=status,
            capability=capability,
            oldest_first=True,
            limit=limit + 1,
            offset=offset,
            after=after_of(cursor),
        )
        found = await self.parts.cached.agents(wanted, fresh=is_fresh(request))
        headers = dict(self._superseded(""))
        if len(found) > limit:
            headers["X-Next-Cursor"] = cursor_of((found[limit - 1].created_at, found[limit - 1].agent_id))
            query = {"status": status, "capability": capability, "limit": limit, "cursor": headers["X-Next-Cursor"]}
            headers["Link"] += f', <{self.url(V1_PATH)}/{query_text(query)}>; rel="next"'
        items = [self.represent(view, principal) for view in found[:limit]]
        return json_answer(V1_LIST.dump_json(items, by_alias=True), 200, headers)

    def _superseded(self, path: str) -> Mapping[str, str]:
        settings = self.parts.settings
        link = f'<{self.url(V2_PATH)}{path}>; rel="successor-version"'
        return {**superseded(settings.agents_v1_deprecated_at, settings.agents_v1_sunset_at), "Link": link}


class AgentV2Routes(AgentRoutes):
    """Plain representations and pages, as requests have them."""

    kind = Kind("Agent", V2_PATH, "agent_id", "agents", "agents")
    operations = Operations(2)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=V2_PATH, tags=["agents"])
        self.add(router, "POST", "", self.post, Permission.AGENT_CREATE, self.operations.create())
        self.add(router, "GET", "", self.list_page, Permission.AGENT_READ, self.operations.list_v2())
        self.add_all(router)
        return router

    def represent(self, view: ShownAgent, principal: Principal) -> Linked:
        """The agent as this caller reads it."""
        return represent(self.parts.settings.url, view, self.may(principal))

    async def list_page(
        self,
        request: Request,
        status: InStatus = None,
        capability: WithCapability = None,
        kind: OfKind = None,
        sort: Sort = "newest",
        limit: Limit = DEFAULT_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """A page of agents."""
        principal = principal_of(request.scope)
        asked = Listed(limit, cursor, sort)
        wanted = FindAgents(
            tenant_id=principal.tenant_id,
            status=status,
            capability=capability,
            kind=kind,
            oldest_first=asked.oldest_first,
            limit=limit + 1,
            after=asked.after,
        )
        found = await self.parts.cached.agents(wanted, fresh=is_fresh(request))
        filters = {"status": status, "capability": capability, "kind": kind}
        return self.listed(request, found, asked, filters, AgentPage, "created_at")
