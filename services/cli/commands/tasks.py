"""`tasks list | show | cancel`: tasks as their read model shows them, with their events, and their cancellation."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import IdArgument, LimitOption, TenantOption, TimeoutOption
from services.cli.output import Output, OutputOption

tasks = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(tasks, name="tasks", help="Tasks: what waits, what runs, how it ended; cancel one.")


@tasks.command("list")
def list_(
    tenant: TenantOption = "default",
    status: Annotated[str | None, typer.Option("--status", help="queued, assigned, running, paused or done.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="One kind of agent only, such as triage.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="ID", help="One agent only.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="ID", help="One subject only, such as a request's id.")] = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's tasks, newest first."""
    import asyncio

    from projections.tasks.queries import ListTasks
    from services.cli import tasks as work

    query = ListTasks(tenant_id=tenant, status=status, kind=kind, agent_id=agent, subject_id=subject, limit=limit)
    asyncio.run(work.list_(query, output))


@tasks.command()
def show(task_id: IdArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show one task and the events of its stream."""
    import asyncio

    from services.cli import tasks as work

    asyncio.run(work.show(tenant, task_id, output))


@tasks.command()
def cancel(
    task_id: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in its stream.")],
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Cancel a task; one that has ended stays as it is."""
    import asyncio

    from services.cli import tasks as work

    raise typer.Exit(asyncio.run(work.cancel(task_id, reason, tenant=tenant, timeout=timeout, output=output)))
