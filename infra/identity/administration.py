"""Making and changing accounts: names, roles and secrets in; accounts, and each new secret once, out; used by the CLI and the gateway."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from infra.identity.accounts import (
    AccountInvalid,
    Accounts,
    ApiKey,
    Client,
    Kind,
    NewAccount,
    NewApiKey,
    Reference,
    User,
    checked,
    checked_tenant,
)
from infra.identity.api_keys import new_api_key, prefix_named
from infra.identity.passwords import SecretHasher, check_password, new_client_secret


class MadeClient(NamedTuple):
    """A client with its new secret, which is shown once and kept nowhere."""

    client: Client
    secret: str


class MadeKey(NamedTuple):
    """An API key with its text, which is shown once and kept nowhere."""

    key: ApiKey
    text: str


def new_account(tenant_id: str, name: str, role: str, customer_id: str | None) -> NewAccount:
    """The account to be made. Raises AccountInvalid."""
    return checked(NewAccount, {"tenant_id": tenant_id, "name": name, "role": role, "customer_id": customer_id})


class AccountAdministration:
    """Raises the errors of `infra.identity.accounts`, and TransientError when accounts cannot be reached.

    Rules are checked before a secret is hashed. `by` says who asks for a change.
    """

    def __init__(self, accounts: Accounts, hasher: SecretHasher) -> None:
        self._accounts = accounts
        self._hasher = hasher

    async def add_user(self, new: NewAccount, password: str, by: str) -> User:
        """Make a user. Raises SecretInvalid, AccountExists."""
        hashed = await self._hasher.hash(check_password(password, new.name))
        return await self._accounts.users.add(new, hashed, by)

    async def add_first_admin(self, new: NewAccount, password: str, by: str) -> User | None:
        """Make a tenant's first admin, or None when it has one already. Raises SecretInvalid, AccountExists."""
        hashed = await self._hasher.hash(check_password(password, new.name))
        return await self._accounts.add_first_admin(new, hashed, by)

    async def set_password(self, wanted: Reference, password: str, by: str) -> User:
        """Replace a user's password. Raises SecretInvalid, AccountUnknown."""
        hashed = await self._hasher.hash(check_password(password, wanted.name))
        return await self._accounts.users.set_secret(wanted, hashed, by)

    async def add_client(self, new: NewAccount, by: str) -> MadeClient:
        """Make a service client with a random secret. Raises AccountExists."""
        secret = new_client_secret()
        return MadeClient(await self._accounts.clients.add(new, await self._hasher.hash(secret), by), secret)

    async def new_secret(self, wanted: Reference, by: str) -> MadeClient:
        """Replace a client's secret by a new random one. Raises AccountUnknown."""
        secret = new_client_secret()
        return MadeClient(await self._accounts.clients.set_secret(wanted, await self._hasher.hash(secret), by), secret)

    async def add_key(self, kind: Kind, owner: Reference, label: str, expires_at: datetime | None, by: str) -> MadeKey:
        """Make an API key of an account; None: it has no end. Raises AccountInvalid, AccountUnknown."""
        made = new_api_key()
        fields = {"owner": owner, "kind": kind, "label": label, "prefix": made.prefix, "digest": made.digest, "expires_at": expires_at}
        return MadeKey(await self._accounts.keys.add(checked(NewApiKey, fields), by), made.text)

    async def revoke_key(self, tenant_id: str, named: str, by: str) -> ApiKey:
        """End the key of this prefix, with or without `am_`; a whole key will do. Raises AccountInvalid, AccountUnknown."""
        prefix = prefix_named(named)
        if prefix is None:
            raise AccountInvalid(f"key: Input should be the key's prefix, am_ and 8 letters or digits (text of {len(named)} characters)")
        return await self._accounts.keys.revoke(checked_tenant(tenant_id), prefix, by)
