"""The port to accounts: users, service clients and their API keys; the CLI manages them, sign-in reads them, an adapter keeps them.

    AccountError
    ├── AccountInvalid    a field breaks its rule
    │   └── SecretInvalid   a password breaks its rule
    ├── AccountExists     the name is taken in this tenant
    ├── AccountUnknown    there is no such account or key in this tenant
    └── LastAdmin         the tenant would be left without an admin who can sign in

A login is unique in its tenant, not in the whole mesh: tenants do not see one another, so none may find out, or block, what another calls
its people. Whoever signs in therefore names the tenant too, as `login@tenant`: a tenant's id holds no `@`, so the last one divides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, NamedTuple, Protocol, Self, TypeVar
from uuid import uuid4

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from contracts.errors import validation_details
from contracts.fields import UtcTime
from contracts.message import NO_CONTROL, ValidTenantId
from contracts.requests.values import ValidCustomerId
from infra.errors import DataError

MAX_NAME_CHARACTERS = 100
MAX_LABEL_CHARACTERS = 100
PREFIX_CHARACTERS = 8
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{MAX_NAME_CHARACTERS - 1}}}")


class AccountError(DataError):
    """Base of what is refused about accounts. The message holds no password, secret or key."""


class AccountInvalid(AccountError):
    """A field breaks its rule; the message names field, rule and the value's shape."""


class SecretInvalid(AccountInvalid):
    """A password breaks its rule."""


class AccountExists(AccountError):
    """The name is taken in this tenant."""


class AccountUnknown(AccountError):
    """There is no such account or key in this tenant."""


class LastAdmin(AccountError):
    """The tenant would be left without an admin who can sign in."""


class Kind(StrEnum):
    """Who has an account."""

    USER = "user"
    CLIENT = "client"


class Role(StrEnum):
    """What an account may do; the permissions of each stand in `infra.identity.permissions`."""

    ADMIN = "admin"
    MANAGER = "manager"
    AGENT = "agent"
    CUSTOMER = "customer"


def _plain_name(value: str) -> str:
    """ASCII only, so that no name looks like another; in small letters, so that `Ann` and `ann` are one."""
    if _NAME.fullmatch(value) is None:
        raise PydanticCustomError(
            "account_name",
            "Input should have 1 to {limit} letters a to z, digits, or . _ @ + - and begin with a letter or digit",
            {"limit": MAX_NAME_CHARACTERS},
        )
    return value.lower()


Name = Annotated[str, AfterValidator(_plain_name)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LABEL_CHARACTERS, pattern=NO_CONTROL)]
Prefix = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9]{{{PREFIX_CHARACTERS}}}$")]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _InTenant(_Value):
    tenant_id: ValidTenantId


class Reference(_InTenant):
    """What an account is called: its tenant, and its name there (of a user, the login)."""

    name: Name


class NewAccount(Reference):
    """An account to be made. A customer's names the customer whose requests are its own."""

    role: Role
    customer_id: ValidCustomerId | None = None

    @model_validator(mode="after")
    def _check_customer(self) -> Self:
        if self.role is Role.CUSTOMER and self.customer_id is None:
            raise PydanticCustomError("customer_missing", "The role customer needs a customer_id", {"field": "customer_id"})
        return self


class Account(_Value):
    """What users and service clients have in common."""

    tenant_id: str
    role: Role
    customer_id: str | None
    disabled: bool
    """True: nothing of it signs in, its API keys neither."""
    created_at: UtcTime
    created_by: str
    changed_at: UtcTime
    changed_by: str


class User(Account):
    """A person. `user_id` is random: it is what events and logs hold, and says nothing of the person."""

    user_id: str
    login: str


class Client(Account):
    """A program that signs in by itself, with `client_id` and its secret."""

    client_id: str
    name: str


def account_id(account: Account) -> str:
    """The id that a principal has, and commands carry."""
    if isinstance(account, User):
        return account.user_id
    assert isinstance(account, Client)
    return account.client_id


def account_name(account: Account) -> str:
    """What the account is called in its tenant."""
    if isinstance(account, User):
        return account.login
    assert isinstance(account, Client)
    return account.name


class ApiKey(_Value):
    """A long-lived credential of an account, without the key itself: only its digest is kept. It acts as its owner and dies with it."""

    prefix: Prefix
    """The characters after `am_`: what the key is called."""
    tenant_id: str
    owner_kind: Kind
    owner_id: str
    owner: str
    """The owner's login or name."""
    label: str
    expires_at: UtcTime | None
    last_used_at: UtcTime | None
    """At most a minute behind."""
    revoked_at: UtcTime | None
    revoked_by: str | None
    created_at: UtcTime
    created_by: str


class NewApiKey(_Value):
    """A key to be kept: its prefix and digest, never its text."""

    owner: Reference
    kind: Kind
    label: Label
    prefix: Prefix
    digest: bytes
    expires_at: UtcTime | None = None


A = TypeVar("A", bound=Account)


class Credential(NamedTuple, Generic[A]):
    """An account with the hash of its password or secret; for sign-in alone."""

    account: A
    secret_hash: SecretStr


class KeyCredential(NamedTuple):
    """An API key with its digest and its owner; for sign-in alone."""

    key: ApiKey
    digest: bytes
    owner: User | Client


class AccountStore(Protocol[A]):
    """The accounts of one kind. Every method raises TransientError when the store cannot be reached; what it answers is durable.

    `by` says who asks for a change: the user of the operating system, or a principal's id.
    """

    async def add(self, new: NewAccount, secret_hash: str, by: str) -> A:
        """Make an account. Raises AccountExists."""
        ...

    async def find(self, wanted: Reference) -> A | None:
        """The account, or None."""
        ...

    async def page(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[A]:
        """At most `limit` accounts of a tenant with a name above `after`, by name."""
        ...

    async def set_disabled(self, wanted: Reference, disabled: bool, by: str) -> A:
        """Lock an account out or let it in again; as it is already: unchanged. Raises AccountUnknown, LastAdmin."""
        ...

    async def set_secret(self, wanted: Reference, secret_hash: str, by: str) -> A:
        """Replace the hash of password or secret; the old one is worth nothing from then on. Raises AccountUnknown."""
        ...

    async def remove(self, wanted: Reference) -> A:
        """Remove an account with its keys; answers what it was. Raises AccountUnknown, LastAdmin."""
        ...

    async def credential(self, wanted: Reference) -> Credential[A] | None:
        """The account of this name with its hash, or None."""
        ...

    async def credential_by_id(self, id_: str) -> Credential[A] | None:
        """The account of this id, whatever its tenant, with its hash, or None."""
        ...

    async def renew_hash(self, id_: str, old_hash: str, new_hash: str) -> None:
        """Put a stronger hash of the same secret in the old one's place; where that has gone meanwhile, nothing happens."""
        ...


class ApiKeyStore(Protocol):
    """The API keys of all accounts. Raises as AccountStore does."""

    async def add(self, new: NewApiKey, by: str) -> ApiKey:
        """Keep a key. Raises AccountUnknown for an owner that is not there, AccountExists for a prefix in use."""
        ...

    async def page(self, tenant_id: str, *, owner: str | None = None, after: str = "", limit: int = 100) -> list[ApiKey]:
        """At most `limit` keys of a tenant with a prefix above `after`, by prefix; of one owner's login or name where that is given."""
        ...

    async def revoke(self, tenant_id: str, prefix: str, by: str) -> ApiKey:
        """End a key for good; the first revocation stands. Raises AccountUnknown."""
        ...

    async def credential(self, prefix: str) -> KeyCredential | None:
        """The key with this prefix, whatever its tenant, or None."""
        ...

    async def touch(self, prefix: str, at: datetime) -> None:
        """Note that a key was used at this time (UTC), unless it was within the minute before."""
        ...


class Accounts(Protocol):
    """All accounts and keys."""

    @property
    def users(self) -> AccountStore[User]:
        """People."""
        ...

    @property
    def clients(self) -> AccountStore[Client]:
        """Programs."""
        ...

    @property
    def keys(self) -> ApiKeyStore:
        """API keys of both."""
        ...

    async def add_first_admin(self, new: NewAccount, password_hash: str, by: str) -> User | None:
        """Make a tenant's first admin; None when it has an admin already. Of several callers at once, one is answered a user.

        Raises AccountExists when the login is that of another user.
        """
        ...

    async def admins(self, tenant_id: str) -> list[User]:
        """The admins of a tenant who can sign in, by login."""
        ...


def new_account_id(kind: Kind) -> str:
    """A new random id, `user-<uuid4>` or `client-<uuid4>`."""
    return f"{kind}-{uuid4()}"


def reference(tenant_id: str, name: str) -> Reference:
    """The name of an account, checked. Raises AccountInvalid."""
    return checked(Reference, {"tenant_id": tenant_id, "name": name})


def checked_tenant(tenant_id: str) -> str:
    """The tenant's id. Raises AccountInvalid."""
    return checked(_InTenant, {"tenant_id": tenant_id}).tenant_id


V = TypeVar("V", bound=BaseModel)


def checked(model: type[V], fields: Mapping[str, Any]) -> V:
    """The value with these fields. Raises AccountInvalid that names each field, its rule and the value's shape, never the value."""
    try:
        return model.model_validate(fields)
    except pydantic.ValidationError as error:
        faults = validation_details(error)["errors"]
        raise AccountInvalid("; ".join(f"{each['field']}: {each['rule']} ({each['shape']})" for each in faults)) from None
