"""`keys list | add | revoke`, and `token`: API keys of users and clients, and access tokens for development."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsOption, LimitOption, TenantOption
from services.cli.output import Output, OutputOption

keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group, and `token`, into the application."""
    app.add_typer(keys, name="keys", help="API keys: a key acts as the user or client that owns it.")
    app.command()(token)


@keys.command("list")
def list_(
    tenant: TenantOption = "default",
    owner: Annotated[str | None, typer.Option("--owner", metavar="NAME", help="One user's or client's only.")] = None,
    after: Annotated[str, typer.Option("--after", metavar="KEY", help="Only keys behind this one.")] = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's API keys, ended ones too. `last used` is at most a minute behind."""
    import asyncio

    from services.cli import api_keys as work

    asyncio.run(work.list_(tenant, owner, after, limit, output))


@keys.command()
def add(
    label: Annotated[str, typer.Option("--label", help="What the key is for.")],
    user: Annotated[str | None, typer.Option("--user", metavar="LOGIN", help="The user who owns it.")] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="NAME", help="Or the service client.")] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="When it ends; default: never.")] = None,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an API key, am_…, and show it once. It may do what its owner may, and ends with the owner."""
    import asyncio

    from services.cli import api_keys as work

    asyncio.run(work.add(tenant, user=user, client=client, label=label, days=days, actor=actor, output=output))


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `keys list` shows it: am_ and 8 characters.")],
    actor: AsOption = None,
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """End an API key at once and for good. Doing it again changes nothing."""
    import asyncio

    from services.cli import api_keys as work

    asyncio.run(work.revoke(tenant, key, actor=actor, output=output))


def token(
    tenant: TenantOption = "default",
    user: Annotated[str | None, typer.Option("--user", metavar="LOGIN", help="For this user.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="Or for admin, manager, agent or customer, without an account.")] = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="cust-…, for the role customer.")] = None,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=1440, help="How long it lives.")] = 30,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print an access token signed with JWT_SECRET_KEY, for development; refused where ENVIRONMENT is production.

    Example: curl -H "Authorization: Bearer $(agentmesh token --role manager --tenant acme)" …
    """
    import asyncio

    from services.cli import access_token as work

    asyncio.run(work.issue(tenant, user=user, role=role, customer=customer, minutes=minutes, output=output))
