"""Issues an access token for development, to a user or to a role of a tenant, signed with JWT_SECRET_KEY; the work behind `token`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from infra.identity.base import Principal
from infra.identity.settings import KEY_FILE, load_token_settings, token_issuer
from infra.identity.sign_in import principal_of
from infra.settings import load_settings
from services.cli.errors import Refused, WrongUsage
from services.cli.gateway_place import key_variables
from services.cli.identity import account_made, account_named, open_identity
from services.cli.output import Output, print_json
from services.cli.publishing import operating_user
from services.cli.views import existing

# In these environments a token comes from the gateway's token endpoint alone.
NOT_IN = ("production", "prod")


async def issue(tenant: str, *, user: str | None, role: str | None, customer: str | None, minutes: int, output: Output) -> None:
    """Print a token. Raises Refused in production, WrongUsage, NotFound, and ConfigurationError without a key."""
    settings = load_settings()
    environment = settings.environment
    if environment in NOT_IN:
        raise Refused(f"ENVIRONMENT is {environment}: tokens come from POST /api/v1/auth/token there. This command is for development.")
    if (user is None) == (role is None):
        raise WrongUsage("Give --user LOGIN or --role ROLE, one of the two.")
    if user is not None and customer is not None:
        raise WrongUsage("--customer goes with --role: a user has a customer of its own.")
    issuer = token_issuer(load_token_settings(key_variables(settings).get(KEY_FILE)))
    principal = _of_role(tenant, role, customer) if role is not None else await _of_user(tenant, user or "")
    token = issuer.issue(principal, datetime.now(UTC), timedelta(minutes=minutes))
    if output is Output.TABLE:
        print(token)
        return
    facts = {"access_token": token, "token_type": "Bearer", "expires_in": minutes * 60}
    print_json({**facts, "user_id": principal.id, "tenant_id": principal.tenant_id, "role": principal.role})


async def _of_user(tenant: str, login: str) -> Principal:
    wanted = account_named(tenant, login)
    async with open_identity() as identity:
        found = existing(await identity.accounts.users.find(wanted), "user", login, tenant)
    if found.disabled:
        raise Refused(f"User {found.login} of tenant {found.tenant_id} is disabled. agentmesh users enable {found.login}")
    return principal_of(found)


def _of_role(tenant: str, role: str, customer: str | None) -> Principal:
    """A principal that no account stands for, named after the user of the operating system."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", operating_user())[:80]
    made = account_made(tenant, f"dev-{name}", role, customer)
    return Principal(made.name, made.tenant_id, str(made.role), made.customer_id)
