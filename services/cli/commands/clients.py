"""`clients list | show | add | disable | enable | new-secret | remove`: programs that sign in by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsOption, LimitOption, TenantOption
from services.cli.output import Output, OutputOption

clients = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(clients, name="clients", help="Service clients: programs that sign in with a client id and a secret.")


@clients.command("list")
def list_(
    tenant: TenantOption = "default",
    after: Annotated[str, typer.Option("--after", metavar="NAME", help="Only clients behind this name.")] = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's clients by name."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.list_(tenant, after, limit, output))


@clients.command()
def show(name: NameArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show one client. Nothing shows a secret again."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.show(tenant, name, output))


@clients.command()
def add(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help="admin, manager, agent or customer.")],
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="cust-…, whose requests are the client's own.")] = None,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a client. Its id and its random secret are what it signs in with; the secret is shown once."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.add(tenant, name, role=role, customer=customer, actor=actor, output=output))


@clients.command()
def disable(name: NameArgument, actor: AsOption = None, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Lock a client out, with its API keys, at once; a token in use ends within 30 minutes."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.set_disabled(tenant, name, True, actor=actor, output=output))


@clients.command()
def enable(name: NameArgument, actor: AsOption = None, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Let a client in again."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.set_disabled(tenant, name, False, actor=actor, output=output))


@clients.command("new-secret")
def new_secret(name: NameArgument, actor: AsOption = None, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Replace a client's secret by a new random one, shown once; the old one is worth nothing from then on."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.new_secret(tenant, name, actor=actor, output=output))


@clients.command()
def remove(name: NameArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Remove a client with its API keys, for good; what it did keeps its id."""
    import asyncio

    from services.cli import clients as work

    asyncio.run(work.remove(tenant, name, output))
