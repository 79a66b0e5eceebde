"""Accounts and API keys in Postgres: the tables of the schema `identity`; built by the CLI and by the gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic

from pydantic import SecretStr

from infra.identity.accounts import (
    A,
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
    User,
    new_account_id,
)
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql

SQL = "infra.identity.sql"
KEY_COLUMNS = 12
_FILES = (
    "add_account",
    "add_first_admin",
    "account_by_name",
    "account_by_id",
    "page_of_accounts",
    "admins",
    "lock_tenant",
    "set_disabled",
    "remove_account",
    "set_secret",
    "renew_hash",
    "add_key",
    "key_by_prefix",
    "page_of_keys",
    "revoke_key",
    "touch_key",
)
Row = Sequence[Any]


class PostgresAccountStore(Generic[A]):
    """The accounts of one kind; promises as in `infra.identity.accounts`."""

    def __init__(self, database: Database, sql: Mapping[str, bytes], kind: Kind, build: Callable[[Row], A]) -> None:
        self._database = database
        self._sql = sql
        self._kind = kind
        self._build = build

    async def add(self, new: NewAccount, secret_hash: str, by: str) -> A:
        """See the port."""
        row = await self._fetch("add_account", new, new_row(new, self._kind, secret_hash, by))
        if row is None:
            raise name_taken(self._kind, new)
        return self._build(row)

    async def find(self, wanted: Reference) -> A | None:
        """See the port."""
        row = await self._fetch("account_by_name", wanted)
        return None if row is None else self._build(row)

    async def page(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[A]:
        """See the port."""
        parameters = {"tenant": tenant_id, "kind": str(self._kind), "after": after, "limit": limit}
        return [self._build(row) for row in await self._database.fetch(self._sql["page_of_accounts"], parameters)]

    async def set_disabled(self, wanted: Reference, disabled: bool, by: str) -> A:
        """See the port."""
        row = await self._under_lock("set_disabled", wanted, {"disabled": disabled, "by": by})
        if row is None:
            found = await self._existing(wanted)
            if found.disabled != disabled:
                raise last_admin(wanted)
            return found
        return self._build(row)

    async def set_secret(self, wanted: Reference, secret_hash: str, by: str) -> A:
        """See the port."""
        row = await self._fetch("set_secret", wanted, {"secret_hash": secret_hash, "by": by})
        if row is None:
            raise unknown(self._kind, wanted)
        return self._build(row)

    async def remove(self, wanted: Reference) -> A:
        """See the port."""
        row = await self._under_lock("remove_account", wanted, {})
        if row is None:
            await self._existing(wanted)
            raise last_admin(wanted)
        return self._build(row)

    async def credential(self, wanted: Reference) -> Credential[A] | None:
        """See the port."""
        return self._credential(await self._fetch("account_by_name", wanted))

    async def credential_by_id(self, id_: str) -> Credential[A] | None:
        """See the port."""
        parameters = {"account_id": id_, "kind": str(self._kind)}
        return self._credential(await self._database.fetch_one(self._sql["account_by_id"], parameters))

    async def renew_hash(self, id_: str, old_hash: str, new_hash: str) -> None:
        """See the port."""
        parameters = {"account_id": id_, "old_hash": old_hash, "new_hash": new_hash}
        await self._database.execute(self._sql["renew_hash"], parameters)

    async def _existing(self, wanted: Reference) -> A:
        found = await self.find(wanted)
        if found is None:
            raise unknown(self._kind, wanted)
        return found

    def _credential(self, row: Row | None) -> Credential[A] | None:
        return None if row is None else Credential(self._build(row), SecretStr(row[-1]))

    async def _fetch(self, name: str, wanted: Reference, more: Mapping[str, object] | None = None) -> Row | None:
        return await self._database.fetch_one(self._sql[name], {**named(self._kind, wanted), **(more or {})})

    async def _under_lock(self, name: str, wanted: Reference, more: Mapping[str, object]) -> Row | None:
        return await under_lock(self._database, self._sql, name, {**named(self._kind, wanted), **more})


class PostgresApiKeyStore:
    """The API keys of all accounts; promises as in `infra.identity.accounts`."""

    def __init__(self, database: Database, sql: Mapping[str, bytes]) -> None:
        self._database = database
        self._sql = sql

    async def add(self, new: NewApiKey, by: str) -> ApiKey:
        """See the port."""
        owner = named(new.kind, new.owner)
        kept = {"prefix": new.prefix, "digest": new.digest, "label": new.label, "expires_at": new.expires_at, "by": by}
        row = await self._database.fetch_one(self._sql["add_key"], {**owner, **kept})
        if row is not None:
            return _key(row)
        if await self._database.fetch_one(self._sql["account_by_name"], owner) is None:
            raise unknown(new.kind, new.owner)
        raise AccountExists("Another API key has this prefix: make the key again.")

    async def page(self, tenant_id: str, *, owner: str | None = None, after: str = "", limit: int = 100) -> list[ApiKey]:
        """See the port."""
        parameters = {"tenant": tenant_id, "owner": owner, "after": after, "limit": limit}
        return [_key(row) for row in await self._database.fetch(self._sql["page_of_keys"], parameters)]

    async def revoke(self, tenant_id: str, prefix: str, by: str) -> ApiKey:
        """See the port."""
        row = await self._database.fetch_one(self._sql["revoke_key"], {"tenant": tenant_id, "prefix": prefix, "by": by})
        if row is None:
            raise AccountUnknown(f"Tenant {tenant_id} has no API key am_{prefix}.")
        return _key(row)

    async def credential(self, prefix: str) -> KeyCredential | None:
        """See the port."""
        row = await self._database.fetch_one(self._sql["key_by_prefix"], {"prefix": prefix})
        if row is None:
            return None
        key = _key(row[:KEY_COLUMNS])
        digest, role, customer_id, *rest = row[KEY_COLUMNS:]
        owner = BUILD[key.owner_kind]((key.owner_id, key.owner_kind, key.tenant_id, key.owner, role, customer_id, *rest))
        return KeyCredential(key, bytes(digest), owner)

    async def touch(self, prefix: str, at: datetime) -> None:
        """See the port."""
        await self._database.execute(self._sql["touch_key"], {"prefix": prefix, "at": at})


class PostgresAccounts:
    """All accounts and keys; promises as in `infra.identity.accounts`. The pool must be a durable one: a revocation is not forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = {name: read_sql(SQL, f"{name}.sql") for name in _FILES}
        self.users = PostgresAccountStore(database, self._sql, Kind.USER, _user)
        self.clients = PostgresAccountStore(database, self._sql, Kind.CLIENT, _client)
        self.keys = PostgresApiKeyStore(database, self._sql)

    async def add_first_admin(self, new: NewAccount, password_hash: str, by: str) -> User | None:
        """See the port."""
        parameters = {**named(Kind.USER, new), **new_row(new, Kind.USER, password_hash, by)}
        row = await under_lock(self._database, self._sql, "add_first_admin", parameters)
        if row is not None:
            return _user(row)
        if not await self.admins(new.tenant_id):
            raise name_taken(Kind.USER, new)
        return None

    async def admins(self, tenant_id: str) -> list[User]:
        """See the port."""
        return [_user(row) for row in await self._database.fetch(self._sql["admins"], {"tenant": tenant_id})]


async def under_lock(database: Database, sql: Mapping[str, bytes], name: str, parameters: Mapping[str, Any]) -> Row | None:
    """The first row of a statement that runs alone in its tenant. A statement after the lock sees what its earlier holder did."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute(sql["lock_tenant"], {"tenant": parameters["tenant"]}, prepare=True)
        cursor = await connection.execute(sql[name], parameters, prepare=True, binary=True)
        return await cursor.fetchone()


def named(kind: Kind, wanted: Reference) -> dict[str, Any]:
    """The parameters that name an account."""
    return {"tenant": wanted.tenant_id, "kind": str(kind), "name": wanted.name}


def new_row(new: NewAccount, kind: Kind, secret_hash: str, by: str) -> dict[str, Any]:
    """The parameters of a new account, besides its name."""
    return {
        "account_id": new_account_id(kind),
        "role": str(new.role),
        "customer_id": new.customer_id,
        "secret_hash": secret_hash,
        "by": by,
    }


def name_taken(kind: Kind, new: Reference) -> AccountExists:
    """What to say of a name in use."""
    return AccountExists(f"Tenant {new.tenant_id} has a {kind} {new.name!r} already: choose another name, or remove that one first.")


def unknown(kind: Kind, wanted: Reference) -> AccountUnknown:
    """What to say of an account that is not there: another tenant's is as good as none."""
    return AccountUnknown(f"Tenant {wanted.tenant_id} has no {kind} {wanted.name!r}.")


def last_admin(wanted: Reference) -> LastAdmin:
    """What to say of an admin who has to stay."""
    return LastAdmin(f"{wanted.name!r} is the last admin of tenant {wanted.tenant_id} who can sign in: make or enable another admin first.")


def _shared(row: Row) -> dict[str, Any]:
    _, _, tenant_id, _, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, _ = row
    return {
        "tenant_id": tenant_id,
        "role": role,
        "customer_id": customer_id,
        "disabled": disabled,
        "created_at": created_at,
        "created_by": created_by,
        "changed_at": changed_at,
        "changed_by": changed_by,
    }


def _user(row: Row) -> User:
    return User(user_id=row[0], login=row[3], **_shared(row))


def _client(row: Row) -> Client:
    return Client(client_id=row[0], name=row[3], **_shared(row))


BUILD: Final[Mapping[Kind, Callable[[Row], User | Client]]] = {Kind.USER: _user, Kind.CLIENT: _client}


def _key(row: Row) -> ApiKey:
    prefix, tenant_id, kind, owner_id, owner, label, expires_at, last_used_at, revoked_at, revoked_by, created_at, created_by = row
    return ApiKey(
        prefix=prefix, tenant_id=tenant_id, owner_kind=kind, owner_id=owner_id, owner=owner, label=label, expires_at=expires_at,
        last_used_at=last_used_at, revoked_at=revoked_at, revoked_by=revoked_by, created_at=created_at, created_by=created_by,
    )  # fmt: skip
