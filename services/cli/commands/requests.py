"""`requests list | show | timeline`: requests as their read models show them."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import CustomerOption, IdArgument, LimitOption, TenantOption
from services.cli.output import Output, OutputOption

requests = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(requests, name="requests", help="Requests: how each stands, what was decided, where its time went.")


@requests.command("list")
def list_(
    tenant: TenantOption = "default",
    status: Annotated[str | None, typer.Option("--status", help="pending, triaged, in_progress, awaiting_approval, completed …")] = None,
    customer: CustomerOption = None,
    escalated: Annotated[bool | None, typer.Option("--escalated/--not-escalated", help="Only those that are, or are not.")] = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's requests, newest first."""
    import asyncio

    from projections.requests.queries import ListRequests
    from services.cli import requests as work

    query = ListRequests(tenant_id=tenant, status=status, customer_id=customer, escalated=escalated, limit=limit)
    asyncio.run(work.list_(query, output))


@requests.command()
def show(
    request_id: IdArgument,
    tenant: TenantOption = "default",
    history: Annotated[bool, typer.Option("--history", help="With every event.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one request and what was decided on it, by whom and why."""
    import asyncio

    from services.cli import requests as work

    asyncio.run(work.show(tenant, request_id, history, output))


@requests.command()
def timeline(request_id: IdArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show where a request's time went: waiting for agents, work of agents, waiting for people; what it used; every event in between."""
    import asyncio

    from services.cli import requests as work

    asyncio.run(work.timeline(tenant, request_id, output))
