"""The port to who has a login, on the store of accounts; built by the gateway."""

from __future__ import annotations

from infra.identity.accounts import AccountInvalid, AccountStore, User, reference
from infra.identity.base import KnownUser
from infra.identity.sign_in import principal_of


class AccountDirectory:
    """See the port `Directory`."""

    def __init__(self, users: AccountStore[User]) -> None:
        self._users = users

    async def user(self, login: str, tenant_id: str) -> KnownUser | None:
        """See the port."""
        try:
            wanted = reference(tenant_id, login)
        except AccountInvalid:
            return None
        found = await self._users.find(wanted)
        return None if found is None else KnownUser(principal_of(found), found.disabled)
