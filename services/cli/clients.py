"""Service clients of a tenant: listed, made, locked out, given a new secret, removed; the work behind `clients`."""

from __future__ import annotations

from infra.identity.accounts import Client
from services.cli.identity import account_made, account_named, acting, open_identity, print_account, print_with_secret, tenant_named
from services.cli.output import Output, print_facts, print_json
from services.cli.views import existing, print_views

COLUMNS = ("name", "role", "customer", "disabled", "id", "created", "by", "changed", "by")


async def list_(tenant: str, after: str, limit: int, output: Output) -> None:
    """A tenant's clients by name."""
    behind = account_named(tenant, after).name if after else ""
    wanted = tenant_named(tenant)
    async with open_identity() as identity:
        found = await identity.accounts.clients.page(wanted, after=behind, limit=limit)
    print_views(
        found, COLUMNS, _cells, output, empty=f"Tenant {tenant} has no service client. Make one: agentmesh clients add NAME --role ROLE"
    )


async def show(tenant: str, name: str, output: Output) -> None:
    """One client. Raises NotFound."""
    wanted = account_named(tenant, name)
    async with open_identity() as identity:
        found = await identity.accounts.clients.find(wanted)
    found = existing(found, "client", name, tenant)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_facts(dict(found))


async def add(tenant: str, name: str, *, role: str, customer: str | None, actor: str | None, output: Output) -> None:
    """Make a client and show its secret once."""
    by = acting(actor)
    new = account_made(tenant, name, role, customer)
    async with open_identity() as identity:
        client, secret = await identity.administration.add_client(new, by)
    print_with_secret(client, {"client_secret": secret}, output)


async def set_disabled(tenant: str, name: str, disabled: bool, *, actor: str | None, output: Output) -> None:
    """Lock a client out, or let one in again."""
    by = acting(actor)
    wanted = account_named(tenant, name)
    async with open_identity() as identity:
        client = await identity.accounts.clients.set_disabled(wanted, disabled, by)
    state = "disabled: no sign-in, and no API key of it, is taken any more" if disabled else "enabled"
    print_account(client, output, sentence=f"client {client.name} of tenant {client.tenant_id} is {state}")


async def new_secret(tenant: str, name: str, *, actor: str | None, output: Output) -> None:
    """Replace a client's secret and show the new one once."""
    by = acting(actor)
    wanted = account_named(tenant, name)
    async with open_identity() as identity:
        client, secret = await identity.administration.new_secret(wanted, by)
    print_with_secret(client, {"client_secret": secret}, output)


async def remove(tenant: str, name: str, output: Output) -> None:
    """Remove a client with its API keys."""
    wanted = account_named(tenant, name)
    async with open_identity() as identity:
        client = await identity.accounts.clients.remove(wanted)
    print_account(client, output, sentence=f"client {client.name} of tenant {client.tenant_id} is removed, with its API keys")


def _cells(client: Client) -> list[object]:
    return [
        client.name, client.role, client.customer_id, client.disabled, client.client_id, client.created_at, client.created_by,
        client.changed_at, client.changed_by,
    ]  # fmt: skip
