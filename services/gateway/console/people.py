"""Whom a person means: a login of a tenant in, the id that commands carry out; asked where a form names somebody."""

from __future__ import annotations

import re

from infra.identity.base import Directory, Permission, Permissions, login_and_tenant
from services.gateway.errors import broken_rule

_OF_AN_ACCOUNT = re.compile(r"(?:user|client)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class People:
    """The domain knows ids, which are random; people know logins. `others`: people without an account sign in too, with a foreign issuer's
    or a development token, so that an id that nobody here knows may be one of them."""

    def __init__(self, directory: Directory, permits: Permissions, *, others: bool) -> None:
        self._directory = directory
        self._permits = permits
        self._others = others

    async def approver(self, field: str, text: str, tenant_id: str) -> str:
        """The id of who is meant by a login, by login@tenant or by the id itself. Raises ApiError, 422, for who is not there or may not
        approve: what is left to him would be nobody's."""
        login, tenant = login_and_tenant(text)
        for name in (text, *([login] if tenant == tenant_id else [])):
            found = await self._directory.user(name, tenant_id)
            if found is None:
                continue
            if found.disabled or not self._permits(found.principal, Permission.REQUEST_APPROVE):
                raise broken_rule(field, "Should be somebody who may approve", text)
            return found.principal.id
        if not self._others and not _OF_AN_ACCOUNT.fullmatch(text):
            raise broken_rule(field, "Should be a login of this tenant, or the id of an account", text)
        return text
