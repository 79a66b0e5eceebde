"""The port of identity: who calls, the permissions that there are, and what a verifier of tokens promises; no token is read here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from infra.errors import MeshError

CUSTOMER = "customer"
"""The role of a token that names none (SEC-15)."""
LIFETIME = timedelta(minutes=30)
"""How long an access token lives (SEC-01)."""


class Permission(StrEnum):
    """What a route may ask for (SEC-07 to SEC-13a)."""

    REQUEST_CREATE = "request:create"
    REQUEST_READ = "request:read"
    REQUEST_UPDATE = "request:update"
    REQUEST_DELETE = "request:delete"
    REQUEST_APPROVE = "request:approve"
    ANALYTICS_VIEW = "analytics:view"
    AGENT_READ = "agent:read"
    AGENT_CREATE = "agent:create"
    AGENT_TERMINATE = "agent:terminate"
    AGENT_MANAGE = "agent:manage"
    AUDIT_READ = "audit:read"
    TASK_READ = "task:read"
    TASK_CANCEL = "task:cancel"
    CUSTOMER_READ = "customer:read"
    CUSTOMER_WRITE = "customer:write"
    TENANT_READ = "tenant:read"
    TENANT_WRITE = "tenant:write"
    IDENTITY_MANAGE = "identity:manage"
    PROJECTION_READ = "projection:read"
    PROJECTION_REBUILD = "projection:rebuild"
    DLQ_READ = "dlq:read"
    DLQ_REQUEUE = "dlq:requeue"
    DLQ_DISCARD = "dlq:discard"
    EVENT_SUBSCRIBE = "event:subscribe"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was verified. Its tenant is the only one that the caller reaches."""

    id: str
    """The user or service client, also where an API key was shown for it; what commands carry as their actor."""
    tenant_id: str
    role: str
    """As the credential says it: one that is not known has no permission."""
    customer_id: str | None = None
    """Of whom a customer's own requests are; None for staff and services."""
    expires_at: datetime | None = None
    """When the credential ends, UTC; None for one without an end."""
    auth_type: Literal["user", "service_account", "api_key"] = "user"
    """What kind of credential it is: the `ce_authtype` of its commands."""

    @property
    def is_customer(self) -> bool:
        """True for a caller who reaches only what is its own (SEC-15)."""
        return self.role == CUSTOMER


class Unauthenticated(MeshError):
    """The caller is not known: 401. The message is what the caller reads, and tells nothing of the credential."""


class TokenExpired(Unauthenticated):
    """Token has expired"""

    def __init__(self) -> None:
        super().__init__("Token has expired")


class InvalidToken(Unauthenticated):
    """Invalid token"""

    def __init__(self) -> None:
        super().__init__("Invalid token")


class TokenVerifier(Protocol):
    """Tells who a token speaks for."""

    def verify(self, text: str, now: datetime) -> Principal:
        """The principal of an access token that is valid at `now` (UTC). Raises TokenExpired, or InvalidToken for every other defect;
        TransientError while the keys of a foreign issuer are not known yet."""
        ...


class TokenSigner(Protocol):
    """Makes access tokens."""

    def issue(self, principal: Principal, now: datetime, lifetime: timedelta = LIFETIME) -> str:
        """A token for the principal that ends `lifetime` after `now` (UTC)."""
        ...


class Credentials(Protocol):
    """Tells who presents a credential of an account. Each raises Unauthenticated with one text for every refusal, after the same time, and
    TransientError when accounts cannot be reached or too many sign in at once."""

    async def user(self, login: str, password: str, tenant_id: str) -> Principal:
        """The user with this login in this tenant."""
        ...

    async def client(self, client_id: str, secret: str) -> Principal:
        """The service client with this id."""
        ...

    async def api_key(self, text: str) -> Principal:
        """The owner of this key, with the end of the key."""
        ...


class KnownUser(NamedTuple):
    """A user who has an account."""

    principal: Principal
    disabled: bool
    """Locked out: may do nothing, whatever the role."""


class Directory(Protocol):
    """Tells who has a login."""

    async def user(self, login: str, tenant_id: str) -> KnownUser | None:
        """The user with this login in this tenant; None where nobody has it, or nobody could. Raises TransientError."""
        ...


class Permissions(Protocol):
    """Tells what a principal may do."""

    def __call__(self, principal: Principal, permission: Permission) -> bool:
        """True when the principal's role has the permission. What a customer reaches is its own alone: see `Principal.is_customer`."""
        ...


def login_and_tenant(username: str) -> tuple[str, str]:
    """The parts of `login@tenant`, the form in which one field names both; the tenant is empty where there is no `@`.

    A tenant's id holds no `@`, so the last one divides: `ann@example.org@acme` is the user `ann@example.org` of `acme`.
    """
    login, divided, tenant_id = username.rpartition("@")
    return (login, tenant_id) if divided else (username, "")
