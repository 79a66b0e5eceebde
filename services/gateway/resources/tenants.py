"""The routes of tenants: create, read, list, change settings, of the caller's own tenant and no other; calls come in signed in."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from fastapi import APIRouter, Request, Response

from contracts.money import Money
from contracts.tenants.commands import ChangeTenantSettings, CreateTenant
from contracts.tenants.values import TenantSettings
from infra.identity.base import Permission, Principal
from projections.tenants.queries import GetTenant, TenantView, get_tenant
from services.gateway.bodies import command_value, read_object
from services.gateway.calls import principal_of
from services.gateway.linked import Link, Linked, Page
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, body, changed, good, leads_to, refused
from services.gateway.orders import ids_of
from services.gateway.parameters import DEFAULT_PAGE, IdempotencyKey, IdInPath, Prefer
from services.gateway.resources.base import Asked, Kind, Listed, Resource, is_fresh

KIND = Kind("Tenant", "/api/v1/tenants", "tenant_id", "tenants", "tenants")
EXAMPLE = Example(KIND.name, KIND.path, KIND.id_field, "acme")
SETTINGS = frozenset(TenantSettings.model_fields)


class TenantRepresentation(Linked):
    """A tenant, as the read model shows it."""

    tenant_id: str
    name: str
    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: tuple[str, ...]
    requests_per_minute: int
    created_at: datetime
    updated_at: datetime
    version: int
    position: str


class TenantPage(Page[TenantRepresentation]):
    """The tenants that the caller reaches: its own."""


class TenantRoutes(Resource[TenantView]):
    """The handlers. The tenant is the token's: any other id is 404 (TEN-02, TEN-03)."""

    kind = KIND
    read_models = (KIND.read_model,)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=KIND.path, tags=["tenants"])
        add = partial(self.add, router)
        add("POST", "", self.post, Permission.TENANT_WRITE, CREATE)
        add("GET", "", self.list_page, Permission.TENANT_READ, LIST)
        add("GET", "/{tenant_id}", self.get, Permission.TENANT_READ, GET)
        add("PATCH", "/{tenant_id}", self.update, Permission.TENANT_WRITE, UPDATE)
        return router

    async def find(self, principal: Principal, id_: str) -> TenantView | None:
        """The row, of the caller's own tenant only."""
        if id_ != principal.tenant_id:
            return None
        return await get_tenant(self.reads(principal), GetTenant(tenant_id=id_))

    async def found(self, principal: Principal, id_: str) -> TenantView | None:
        """The same, from the cache (TEN-04)."""
        return await self.parts.cached.tenant(GetTenant(tenant_id=id_)) if id_ == principal.tenant_id else None

    def represent(self, view: TenantView, principal: Principal) -> TenantRepresentation:
        """The tenant as this caller reads it."""
        href = self.url_of(view.tenant_id)
        links = {"self": Link(href=href, rel="self", description="This tenant.")}
        if self.parts.access.may(principal, Permission.TENANT_WRITE):
            links["update"] = Link(href=href, rel="update", method="PATCH", description="Change settings.")
        shown = {name: getattr(view, name) for name in TenantRepresentation.model_fields if name not in ("links", "position")}
        return TenantRepresentation(**shown, position=f"{KIND.context}:{view.position}", links=links)

    async def post(self, request: Request, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Create the caller's tenant."""
        principal = principal_of(request.scope)
        ids = ids_of(principal, f"POST {KIND.path}", idempotency_key)
        value = command_value(CreateTenant, frozenset({"name", "settings"}), await read_object(request), self.tenant(request))
        return await self.create(request, principal.tenant_id, ids, CreateTenant, value, Asked(idempotency_key, prefer, 201))

    async def update(
        self, request: Request, tenant_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Change settings of the caller's tenant."""
        value = command_value(ChangeTenantSettings, SETTINGS, await read_object(request), self.tenant(request))
        return await self.change(request, tenant_id, ChangeTenantSettings, value, Asked(idempotency_key, prefer))

    async def get(self, request: Request, tenant_id: IdInPath) -> Response:
        """The caller's tenant."""
        return self.shown(request, await self.visible(request, tenant_id))

    async def list_page(self, request: Request) -> Response:
        """The caller's tenant, where it was created."""
        principal = principal_of(request.scope)
        own = await (self.find if is_fresh(request) else self.found)(principal, principal.tenant_id)
        return self.listed(request, [] if own is None else [own], Listed(DEFAULT_PAGE, None), {}, TenantPage, "created_at")


_SETTINGS = {"approval_threshold": {"amount": "500.00", "currency": "USD"}, "requests_per_minute": 600}
SHOWN = {
    "tenant_id": EXAMPLE.id,
    "name": "Acme",
    "approval_time_limit_hours": 72,
    "four_eyes": False,
    "approvers": [],
    **_SETTINGS,
    "created_at": EXAMPLE_TIME,
    "updated_at": EXAMPLE_TIME,
    "version": 1,
    "position": "tenants:1",
    "_links": {"self": EXAMPLE.link("This tenant.")},
}
CREATE = Operation(
    "create_tenant",
    "Create the tenant",
    "Give the caller's tenant a name and settings. A tenant that nobody created works with the default settings.",
    201,
    {201: good(TenantRepresentation, "Created.", SHOWN, leads_to("tenant_id", "get_tenant", "change_tenant_settings")), **changed(EXAMPLE)},
    body(CreateTenant, {"with_settings": {"name": "Acme", "settings": _SETTINGS}, "with_defaults": {"name": "Acme"}}, ("tenant_id",)),
)
LIST = Operation(
    "list_tenants",
    "List tenants",
    "The tenants that the caller reaches, which is its own.",
    200,
    {200: good(TenantPage, "The tenant.", {"items": [SHOWN], "next_cursor": None, "_links": {}}), **refused()},
)
GET = Operation(
    "get_tenant",
    "Read the tenant",
    "The caller's tenant with its settings.",
    200,
    {200: good(TenantRepresentation, "The tenant.", SHOWN), **refused("RESOURCE_NOT_FOUND")},
)
UPDATE = Operation(
    "change_tenant_settings",
    "Change settings of the tenant",
    "Change some of the settings; what is absent or null stays as it is.",
    200,
    {200: good(TenantRepresentation, "Changed.", SHOWN), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")},
    body(ChangeTenantSettings, {"more_calls": {"requests_per_minute": 600}}, ("tenant_id",)),
)
