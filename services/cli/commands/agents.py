"""`agents list | show | hosts | run | register | suspend | resume | drain | terminate`: agents as rows show them, hosts, and orders."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import IdArgument, LimitOption, TenantOption, TimeoutOption
from services.cli.output import Output, OutputOption

agents = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept with the agent's status.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(agents, name="agents", help="Agents: who can do what, who is busy; register, suspend, drain, terminate.")


@agents.command("list")
def list_(
    tenant: TenantOption = "default",
    status: Annotated[str | None, typer.Option("--status", help="available, busy, suspended, draining, unhealthy or terminated.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="One kind only, such as triage.")] = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's agents, newest first, with their open tasks; one that holds as many as it may is busy."""
    import asyncio

    from services.cli import agents as work

    asyncio.run(work.list_(tenant, status, kind, limit, output))


@agents.command()
def show(agent_id: IdArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show one agent."""
    import asyncio

    from services.cli import agents as work

    asyncio.run(work.show(tenant, agent_id, output))


@agents.command()
def hosts(
    kind: Annotated[str | None, typer.Option("--kind", help="Hosts of one kind only, such as triage.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the hosts that tell of themselves: their kinds, what they run, when they were last heard."""
    import asyncio

    from services.cli import hosts as work

    asyncio.run(work.list_(kind, output))


@agents.command()
def run(
    classes: Annotated[list[str], typer.Argument(metavar="MODULE:CLASS...", help="The agents' code, such as shop.agents:Greeter.")],
) -> None:
    """Run a host for these classes of agents in this process; it carries every registered agent of their kinds. SIGTERM drains."""
    from services.cli.workers import builders, plan_of

    built = builders(plan_of(["agent-host", *classes]))
    from infra.local_stack import with_servers
    from infra.runtime import process
    from infra.settings import load_settings

    raise typer.Exit(process.main(built, with_servers(load_settings())))


@agents.command()
def register(
    kind: Annotated[str, typer.Option("--kind", help="What code runs it, such as triage.")],
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    capability: Annotated[list[str], typer.Option("--capability", metavar="NAME=LEVEL", help="What it can do, level 1 to 5; repeatable.")],
    limit: Annotated[int | None, typer.Option("--limit", help="How many tasks it runs at a time; default 1.")] = None,
    agent_id: Annotated[str | None, typer.Option("--id", help="The agent's id; default: a new one.")] = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an agent known. Doing it again with the same --id and fields changes nothing.

    Example: agentmesh agents register --kind triage --name "First line" --capability triage=3 --capability billing=2 --limit 4
    """
    import asyncio

    from services.cli import agents as work

    code = asyncio.run(
        work.register(
            kind=kind, name=name, capabilities=capability, limit=limit, agent_id=agent_id, tenant=tenant, timeout=timeout, output=output
        )
    )  # fmt: skip
    raise typer.Exit(code)


@agents.command()
def suspend(
    agent_id: IdArgument,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give an agent no new task until it is resumed; what it runs goes on."""
    _order("suspend", agent_id, reason, tenant, timeout, output)


@agents.command()
def resume(
    agent_id: IdArgument, tenant: TenantOption = "default", timeout: TimeoutOption = 15.0, output: OutputOption = Output.TABLE
) -> None:
    """Let a suspended or draining agent take tasks again."""
    _order("resume", agent_id, None, tenant, timeout, output)


@agents.command()
def drain(
    agent_id: IdArgument,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give an agent no new task, so that it can be taken away when what it runs has ended."""
    _order("drain", agent_id, reason, tenant, timeout, output)


@agents.command()
def terminate(
    agent_id: IdArgument,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """End an agent for good, from any state; what it runs is given to others."""
    _order("terminate", agent_id, reason, tenant, timeout, output)


def _order(verb: str, agent_id: str, reason: str | None, tenant: str, timeout: float, output: Output) -> None:
    import asyncio

    from services.cli import agents as work

    raise typer.Exit(asyncio.run(work.order(verb, agent_id, reason, tenant=tenant, timeout=timeout, output=output)))
