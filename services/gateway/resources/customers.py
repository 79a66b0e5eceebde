"""The routes of customers: register, read, list, change tier and contact; each call comes in signed in and permitted."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.customers.commands import ChangeContactInfo, ChangeCustomerTier, CustomerCommand, RegisterCustomer
from contracts.customers.values import CustomerTier
from infra.identity.base import Permission, Principal
from projections.customers.queries import CustomerView, GetCustomer, ListCustomers, get_customer
from services.gateway.access import own_customer
from services.gateway.bodies import command_value, read_object
from services.gateway.calls import principal_of
from services.gateway.linked import Link, Linked, Page
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, body, changed, good, leads_to, refused
from services.gateway.orders import ids_of
from services.gateway.parameters import DEFAULT_PAGE, NEWEST, Cursor, IdempotencyKey, IdInPath, Limit, Prefer, Sort
from services.gateway.resources.base import Asked, Kind, Listed, Resource, is_fresh

KIND = Kind("Customer", "/api/v1/customers", "customer_id", "customers", "customers")
REGISTERED_FIELDS = frozenset({"customer_id", "tier", "name", "contact"})
EXAMPLE = Example(KIND.name, KIND.path, KIND.id_field, "cust-0042")


class CustomerRepresentation(Linked):
    """A customer, as the read model shows it."""

    customer_id: str
    tier: CustomerTier
    name: str | None
    email: str | None
    phone: str | None
    registered_at: datetime
    updated_at: datetime
    version: int
    position: str


class CustomerPage(Page[CustomerRepresentation]):
    """A page of customers."""


class CustomerRoutes(Resource[CustomerView]):
    """The handlers. A customer sees itself only (SEC-15)."""

    kind = KIND
    read_models = (KIND.read_model,)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=KIND.path, tags=["customers"])
        add = partial(self.add, router)
        one = "/{customer_id}"
        add("POST", "", self.post, Permission.CUSTOMER_WRITE, REGISTER)
        add("GET", "", self.list_page, Permission.CUSTOMER_READ, LIST)
        add("GET", one, self.get, Permission.CUSTOMER_READ, GET)
        add("PUT", f"{one}/tier", self.put_tier, Permission.CUSTOMER_WRITE, TIER)
        add("PUT", f"{one}/contact", self.put_contact, Permission.CUSTOMER_WRITE, CONTACT)
        return router

    async def find(self, principal: Principal, id_: str) -> CustomerView | None:
        """The row."""
        return await get_customer(self.reads(principal), GetCustomer(tenant_id=principal.tenant_id, customer_id=id_))

    async def found(self, principal: Principal, id_: str) -> CustomerView | None:
        """The same, from the cache (CAC-08)."""
        return await self.parts.cached.customer(GetCustomer(tenant_id=principal.tenant_id, customer_id=id_))

    def represent(self, view: CustomerView, principal: Principal) -> CustomerRepresentation:
        """The customer as this caller reads it."""
        href = self.url_of(view.customer_id)
        links = {"self": Link(href=href, rel="self", description="This customer.")}
        if self.parts.access.may(principal, Permission.CUSTOMER_WRITE):
            links["tier"] = Link(href=f"{href}/tier", rel="tier", method="PUT", description="Change the tier.")
            links["contact"] = Link(href=f"{href}/contact", rel="contact", method="PUT", description="Change how it is reached.")
        if self.parts.access.may(principal, Permission.REQUEST_READ):
            requests = self.url(f"/api/v1/requests?customer_id={view.customer_id}")
            links["requests"] = Link(href=requests, rel="requests", description="The requests of this customer.")
        return CustomerRepresentation(
            **view.model_dump(exclude={"tenant_id", "position"}), position=f"{KIND.context}:{view.position}", links=links
        )

    def check_visible(self, request: Request, principal: Principal, view: CustomerView) -> bool:
        """Staff see every customer, a customer itself."""
        own = own_customer(request, principal, Permission.CUSTOMER_READ)
        return own is None or view.customer_id == own

    async def post(self, request: Request, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Register a customer."""
        ids = ids_of(principal_of(request.scope), f"POST {KIND.path}", idempotency_key)
        body = await read_object(request)
        made = {"customer_id": f"cust-{ids.aggregate_uuid}"} | body
        value = command_value(RegisterCustomer, REGISTERED_FIELDS, made, self.tenant(request))
        return await self.create(request, made["customer_id"], ids, RegisterCustomer, value, Asked(idempotency_key, prefer, 201))

    async def put_tier(
        self, request: Request, customer_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Change the tier."""
        return await self._put(request, customer_id, ChangeCustomerTier, "tier", Asked(idempotency_key, prefer))

    async def put_contact(
        self, request: Request, customer_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Change how the customer is reached."""
        return await self._put(request, customer_id, ChangeContactInfo, "contact", Asked(idempotency_key, prefer))

    async def _put(self, request: Request, customer_id: str, command: type[CustomerCommand], field: str, asked: Asked) -> Response:
        value = command_value(command, frozenset({field}), await read_object(request), self.fixed(request, customer_id))
        return await self.change(request, customer_id, command, value, asked)

    async def get(self, request: Request, customer_id: IdInPath) -> Response:
        """One customer."""
        return self.shown(request, await self.visible(request, customer_id))

    async def list_page(
        self,
        request: Request,
        tier: Annotated[CustomerTier | None, Query(description="Of this tier only.")] = None,
        sort: Sort = NEWEST,
        limit: Limit = DEFAULT_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """A page of customers; a customer's is at most itself."""
        principal = principal_of(request.scope)
        own = own_customer(request, principal, Permission.CUSTOMER_READ)
        asked = Listed(limit, cursor, sort)
        wanted = ListCustomers(
            tenant_id=principal.tenant_id,
            customer_id=own,
            tier=tier,
            oldest_first=asked.oldest_first,
            limit=limit + 1,
            after=asked.after,
        )
        found = await self.parts.cached.customers(wanted, fresh=is_fresh(request))
        return self.listed(request, found, asked, {"tier": tier}, CustomerPage, "registered_at")


_CONTACT = {"email": "ada@example.org", "phone": "+44 20 7946 0958"}
SHOWN = {
    "customer_id": EXAMPLE.id,
    "tier": "premium",
    "name": "Ada Byron",
    **_CONTACT,
    "registered_at": EXAMPLE_TIME,
    "updated_at": EXAMPLE_TIME,
    "version": 1,
    "position": "customers:1",
    "_links": {"self": EXAMPLE.link("This customer.")},
}
ABOUT_ONE = ("get_customer", "change_customer_tier", "change_customer_contact")
_HIDDEN = ("tenant_id", "customer_id")
REGISTER = Operation(
    "register_customer",
    "Register a customer",
    "Make a customer known. Without a `customer_id` the gateway makes one. An id is used once.",
    201,
    {201: good(CustomerRepresentation, "Registered.", SHOWN, leads_to("customer_id", *ABOUT_ONE, "list_requests")), **changed(EXAMPLE)},
    body(
        RegisterCustomer,
        {"premium": {"customer_id": EXAMPLE.id, "tier": "premium", "name": "Ada Byron", "contact": _CONTACT}, "standard": {}},
        ("tenant_id",),
        optional=("customer_id",),
    ),
)
LIST = Operation(
    "list_customers",
    "List customers",
    "The customers of the tenant, page by page; for a customer itself alone.",
    200,
    {
        200: good(
            CustomerPage,
            "A page.",
            {"items": [SHOWN], "next_cursor": None, "_links": {}},
            leads_to("customer_id", *ABOUT_ONE, within="/items/0"),
        ),
        **refused(),
    },
)
GET = Operation(
    "get_customer",
    "Read a customer",
    "One customer as the read model shows it.",
    200,
    {200: good(CustomerRepresentation, "The customer.", SHOWN), **refused("RESOURCE_NOT_FOUND")},
)
TIER = Operation(
    "change_customer_tier",
    "Change the tier of a customer",
    "Requests of an `enterprise` customer are always escalated; the other tiers have no meaning to the mesh.",
    200,
    {200: good(CustomerRepresentation, "Changed.", SHOWN), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")},
    body(ChangeCustomerTier, {"enterprise": {"tier": "enterprise"}}, _HIDDEN),
)
CONTACT = Operation(
    "change_customer_contact",
    "Change how a customer is reached",
    "Replaces e-mail address and phone number.",
    200,
    {200: good(CustomerRepresentation, "Changed.", SHOWN), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")},
    body(ChangeContactInfo, {"moved": {"contact": _CONTACT}}, _HIDDEN),
)
