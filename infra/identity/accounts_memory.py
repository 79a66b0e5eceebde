"""Accounts and API keys in the memory of one process, through the same suite as those in Postgres; for tests and trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Generic

from pydantic import SecretStr

from infra.identity.accounts import (
    A,
    Account,
    AccountExists,
    AccountUnknown,
    ApiKey,
    Client,
    Credential,
    KeyCredential,
    Kind,
    LastAdmin,
    NewAccount,
    NewApiKey,
    Reference,
    Role,
    User,
    account_id,
    account_name,
    new_account_id,
)

TOUCH_EVERY = timedelta(minutes=1)
Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class InMemoryAccountStore(Generic[A]):
    """The accounts of one kind; promises as in `infra.identity.accounts`, but nothing is durable."""

    def __init__(self, kind: Kind, build: Callable[[NewAccount, Mapping[str, Any]], A], now: Now) -> None:
        self._kind = kind
        self._build = build
        self._now = now
        self._rows: dict[tuple[str, str], Credential[A]] = {}

    async def add(self, new: NewAccount, secret_hash: str, by: str) -> A:
        """See the port."""
        if _place(new) in self._rows:
            raise AccountExists(f"Tenant {new.tenant_id} has a {self._kind} {new.name!r} already: choose another name.")
        now = self._now()
        account = self._build(new, {"disabled": False, "created_at": now, "created_by": by, "changed_at": now, "changed_by": by})
        self._rows[_place(new)] = Credential(account, SecretStr(secret_hash))
        return account

    async def find(self, wanted: Reference) -> A | None:
        """See the port."""
        found = self._rows.get(_place(wanted))
        return None if found is None else found.account

    async def page(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[A]:
        """See the port."""
        names = sorted(name for tenant, name in self._rows if tenant == tenant_id and name > after)
        return [self._rows[tenant_id, name].account for name in names[:limit]]

    async def set_disabled(self, wanted: Reference, disabled: bool, by: str) -> A:
        """See the port."""
        found = self._existing(wanted)
        if found.account.disabled == disabled:
            return found.account
        if disabled:
            self._check_others(wanted, found.account)
        return self._change(wanted, found.secret_hash, by, {"disabled": disabled})

    async def set_secret(self, wanted: Reference, secret_hash: str, by: str) -> A:
        """See the port."""
        self._existing(wanted)
        return self._change(wanted, SecretStr(secret_hash), by, {})

    async def remove(self, wanted: Reference) -> A:
        """See the port."""
        found = self._existing(wanted)
        self._check_others(wanted, found.account)
        return self._rows.pop(_place(wanted)).account

    async def credential(self, wanted: Reference) -> Credential[A] | None:
        """See the port."""
        return self._rows.get(_place(wanted))

    async def credential_by_id(self, id_: str) -> Credential[A] | None:
        """See the port."""
        return next((each for each in self._rows.values() if account_id(each.account) == id_), None)

    async def renew_hash(self, id_: str, old_hash: str, new_hash: str) -> None:
        """See the port."""
        for place, (account, kept) in self._rows.items():
            if account_id(account) == id_ and kept.get_secret_value() == old_hash:
                self._rows[place] = Credential(account, SecretStr(new_hash))

    def admins(self, tenant_id: str) -> list[A]:
        """The admins who can sign in, by name."""
        rows = sorted(self._rows.items())
        return [row.account for (tenant, _), row in rows if tenant == tenant_id and _is_admin(row.account)]

    def _existing(self, wanted: Reference) -> Credential[A]:
        found = self._rows.get(_place(wanted))
        if found is None:
            raise AccountUnknown(f"Tenant {wanted.tenant_id} has no {self._kind} {wanted.name!r}.")
        return found

    def _check_others(self, wanted: Reference, account: A) -> None:
        if self._kind is Kind.USER and _is_admin(account) and len(self.admins(wanted.tenant_id)) == 1:
            raise LastAdmin(f"{wanted.name!r} is the last admin of tenant {wanted.tenant_id} who can sign in: make another admin first.")

    def _change(self, wanted: Reference, secret_hash: SecretStr, by: str, fields: Mapping[str, Any]) -> A:
        account = self._rows[_place(wanted)].account
        changed = account.model_copy(update={**fields, "changed_at": self._now(), "changed_by": by})
        self._rows[_place(wanted)] = Credential(changed, secret_hash)
        return changed


class InMemoryApiKeyStore:
    """The API keys of all accounts; promises as in `infra.identity.accounts`, but nothing is durable."""

    def __init__(self, stores: Mapping[Kind, InMemoryAccountStore[User] | InMemoryAccountStore[Client]], now: Now) -> None:
        self._stores = stores
        self._now = now
        self._rows: dict[str, tuple[ApiKey, bytes]] = {}

    async def add(self, new: NewApiKey, by: str) -> ApiKey:
        """See the port."""
        owner = await self._stores[new.kind].find(new.owner)
        if owner is None:
            raise AccountUnknown(f"Tenant {new.owner.tenant_id} has no {new.kind} {new.owner.name!r}.")
        if new.prefix in self._rows:
            raise AccountExists("Another API key has this prefix: make the key again.")
        key = ApiKey(
            prefix=new.prefix, tenant_id=owner.tenant_id, owner_kind=new.kind, owner_id=account_id(owner), owner=account_name(owner),
            label=new.label, expires_at=new.expires_at, last_used_at=None, revoked_at=None, revoked_by=None, created_at=self._now(),
            created_by=by,
        )  # fmt: skip
        self._rows[new.prefix] = (key, new.digest)
        return key

    async def page(self, tenant_id: str, *, owner: str | None = None, after: str = "", limit: int = 100) -> list[ApiKey]:
        """See the port."""
        prefixes = [prefix for prefix in sorted(self._rows) if prefix > after and await self.credential(prefix) is not None]
        keys = (self._rows[prefix][0] for prefix in prefixes)
        return [key for key in keys if key.tenant_id == tenant_id and owner in (None, key.owner)][:limit]

    async def revoke(self, tenant_id: str, prefix: str, by: str) -> ApiKey:
        """See the port."""
        found = await self.credential(prefix)
        if found is None or found.key.tenant_id != tenant_id:
            raise AccountUnknown(f"Tenant {tenant_id} has no API key am_{prefix}.")
        if found.key.revoked_at is not None:
            return found.key
        return self._change(prefix, {"revoked_at": self._now(), "revoked_by": by})

    async def credential(self, prefix: str) -> KeyCredential | None:
        """See the port."""
        key, digest = self._rows.get(prefix, (None, b""))
        owner = None if key is None else await self._stores[key.owner_kind].credential_by_id(key.owner_id)
        return None if key is None or owner is None else KeyCredential(key, digest, owner.account)

    async def touch(self, prefix: str, at: datetime) -> None:
        """See the port."""
        key, _ = self._rows.get(prefix, (None, b""))
        if key is not None and (key.last_used_at is None or key.last_used_at <= at - TOUCH_EVERY):
            self._change(prefix, {"last_used_at": at})

    def _change(self, prefix: str, fields: Mapping[str, Any]) -> ApiKey:
        key, digest = self._rows[prefix]
        changed = key.model_copy(update=dict(fields))
        self._rows[prefix] = (changed, digest)
        return changed


class InMemoryAccounts:
    """All accounts and keys; promises as in `infra.identity.accounts`, but nothing is durable."""

    def __init__(self, now: Now = utc_now) -> None:
        self.users = InMemoryAccountStore(Kind.USER, _user, now)
        self.clients = InMemoryAccountStore(Kind.CLIENT, _client, now)
        self.keys = InMemoryApiKeyStore({Kind.USER: self.users, Kind.CLIENT: self.clients}, now)

    async def add_first_admin(self, new: NewAccount, password_hash: str, by: str) -> User | None:
        """See the port."""
        if self.users.admins(new.tenant_id):
            return None
        return await self.users.add(new, password_hash, by)

    async def admins(self, tenant_id: str) -> list[User]:
        """See the port."""
        return self.users.admins(tenant_id)


def _place(wanted: Reference) -> tuple[str, str]:
    return wanted.tenant_id, wanted.name


def _user(new: NewAccount, fields: Mapping[str, Any]) -> User:
    return User(user_id=new_account_id(Kind.USER), login=new.name, **_given(new), **fields)


def _client(new: NewAccount, fields: Mapping[str, Any]) -> Client:
    return Client(client_id=new_account_id(Kind.CLIENT), name=new.name, **_given(new), **fields)


def _given(new: NewAccount) -> dict[str, Any]:
    return {"tenant_id": new.tenant_id, "role": new.role, "customer_id": new.customer_id}


def _is_admin(account: Account) -> bool:
    return account.role is Role.ADMIN and not account.disabled
