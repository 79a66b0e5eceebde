"""`analytics`: a tenant's requests, tasks and models, counted over a period."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import TenantOption
from services.cli.output import Output, OutputOption


def add_to(app: typer.Typer) -> None:
    """Put this command into the application."""
    app.command()(analytics)


def analytics(
    tenant: TenantOption = "default",
    since: Annotated[str, typer.Option("--since", help="30min, 24h, 7d back from now, or a time such as 2026-05-04.")] = "7d",
    until: Annotated[str | None, typer.Option("--until", help="The same; default: now.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count requests by status and category, tasks by kind and outcome, what models used; requests created, tasks asked for since then."""
    import asyncio

    from services.cli.analytics import analytics as work

    asyncio.run(work(tenant, since, until, output))
