"""`requests list | show`: requests as their read model shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

requests = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose requests.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(requests, name="requests", help="Requests, from their read model.")


@requests.command("list")
def list_(
    tenant: TenantOption = "default",
    status: Annotated[str | None, typer.Option("--status", help="pending, triaged, in_progress, completed …")] = None,
    customer: Annotated[str | None, typer.Option("--customer", help="One customer only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The most rows.")] = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's requests, newest first."""
    import asyncio

    from services.cli import requests as work

    asyncio.run(work.list_(tenant, status, customer, limit, output))


@requests.command()
def show(
    request_id: Annotated[str, typer.Argument(metavar="ID")],
    tenant: TenantOption = "default",
    history: Annotated[bool, typer.Option("--history", help="With every event.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one request."""
    import asyncio

    from services.cli import requests as work

    asyncio.run(work.show(tenant, request_id, history, output))
