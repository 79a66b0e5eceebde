"""Users of a tenant: listed, made, locked out, given a password, removed; the work behind `users` and `init`."""

from __future__ import annotations

from infra.identity.accounts import Role, User
from services.cli.identity import account_made, account_named, acting, open_identity, print_account, print_with_secret, tenant_named
from services.cli.output import Output, print_facts, print_json
from services.cli.password_input import read_password
from services.cli.views import existing, print_views

COLUMNS = ("login", "role", "customer", "disabled", "id", "created", "by", "changed", "by")


async def list_(tenant: str, after: str, limit: int, output: Output) -> None:
    """A tenant's users by login."""
    behind = account_named(tenant, after).name if after else ""
    wanted = tenant_named(tenant)
    async with open_identity() as identity:
        found = await identity.accounts.users.page(wanted, after=behind, limit=limit)
    print_views(found, COLUMNS, _cells, output, empty=f"Tenant {tenant} has no user. Its first admin: agentmesh init --tenant {tenant}")


async def show(tenant: str, login: str, output: Output) -> None:
    """One user. Raises NotFound."""
    wanted = account_named(tenant, login)
    async with open_identity() as identity:
        found = await identity.accounts.users.find(wanted)
    found = existing(found, "user", login, tenant)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_facts(dict(found))


async def add(
    tenant: str,
    login: str,
    *,
    role: str,
    customer: str | None,
    password_stdin: bool,
    generate: bool,
    actor: str | None,
    output: Output,
) -> None:
    """Make a user."""
    by = acting(actor)
    new = account_made(tenant, login, role, customer)
    password = read_password(stdin=password_stdin, generate=generate)
    async with open_identity() as identity:
        made = await identity.administration.add_user(new, password, by)
    if generate:
        print_with_secret(made, {"password": password}, output)
    else:
        print_account(made, output, sentence=f"user {made.login} of tenant {made.tenant_id} is made, as {made.role}: {made.user_id}")


async def set_disabled(tenant: str, login: str, disabled: bool, *, actor: str | None, output: Output) -> None:
    """Lock a user out, or let one in again."""
    by = acting(actor)
    wanted = account_named(tenant, login)
    async with open_identity() as identity:
        user = await identity.accounts.users.set_disabled(wanted, disabled, by)
    state = "disabled: no sign-in, and no API key of it, is taken any more" if disabled else "enabled"
    print_account(user, output, sentence=f"user {user.login} of tenant {user.tenant_id} is {state}")


async def set_password(tenant: str, login: str, *, password_stdin: bool, generate: bool, actor: str | None, output: Output) -> None:
    """Replace a user's password."""
    by = acting(actor)
    wanted = account_named(tenant, login)
    password = read_password(stdin=password_stdin, generate=generate)
    async with open_identity() as identity:
        user = await identity.administration.set_password(wanted, password, by)
    if generate:
        print_with_secret(user, {"password": password}, output)
    else:
        print_account(user, output, sentence=f"user {user.login} of tenant {user.tenant_id} has a new password")


async def remove(tenant: str, login: str, output: Output) -> None:
    """Remove a user with its API keys."""
    wanted = account_named(tenant, login)
    async with open_identity() as identity:
        user = await identity.accounts.users.remove(wanted)
    print_account(user, output, sentence=f"user {user.login} of tenant {user.tenant_id} is removed, with its API keys")


async def init(tenant: str, login: str, *, password_stdin: bool, prompt: bool, actor: str | None, output: Output) -> None:
    """Make a tenant's first admin, unless it has an admin."""
    by = acting(actor)
    new = account_made(tenant, login, Role.ADMIN, None)
    async with open_identity() as identity:
        made, password = None, ""
        if not await identity.accounts.admins(new.tenant_id):
            password = read_password(stdin=password_stdin, generate=not (password_stdin or prompt))
            made = await identity.administration.add_first_admin(new, password, by)
        admins = await identity.accounts.admins(new.tenant_id)
    generated = made is not None and not (password_stdin or prompt)
    if output is Output.JSON:
        facts = {"created": made is not None, "tenant_id": new.tenant_id, "admins": [each.login for each in admins]}
        print_json({**facts, **({"password": password} if generated else {})})
    elif made is None:
        names = ", ".join(each.login for each in admins)
        print(f"tenant {new.tenant_id} has an admin already: {names}. A forgotten password: agentmesh users set-password LOGIN")
    elif generated:
        print_with_secret(made, {"password": password}, output)
    else:
        print_account(made, output, sentence=f"user {made.login} is the first admin of tenant {made.tenant_id}: {made.user_id}")


def _cells(user: User) -> list[object]:
    return [
        user.login, user.role, user.customer_id, user.disabled, user.user_id, user.created_at, user.created_by, user.changed_at,
        user.changed_by,
    ]  # fmt: skip
