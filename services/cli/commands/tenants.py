"""`tenants list | show | create | set`: tenants and what they set for themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsOption, IdArgument, LimitOption, TimeoutOption
from services.cli.output import Output, OutputOption

tenants = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ThresholdOption = Annotated[str | None, typer.Option("--approval-threshold", metavar="AMOUNT", help="Above it a person decides: 1000.00.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="Of the threshold; default USD.")]
HoursOption = Annotated[int | None, typer.Option("--approval-time-limit", metavar="HOURS", help="How long an approval is waited for.")]
FourEyesOption = Annotated[
    bool | None, typer.Option("--four-eyes/--no-four-eyes", help="Whether who took part in a request may not approve it.")
]
ApproverOption = Annotated[list[str] | None, typer.Option("--approver", metavar="NAME", help="Who may decide; repeatable.")]
AnybodyOption = Annotated[bool, typer.Option("--no-approvers", help="Everybody who holds the permission may decide.")]
PerMinuteOption = Annotated[int | None, typer.Option("--requests-per-minute", help="The rate limit at the gateway.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(tenants, name="tenants", help="Tenants and their settings: approval threshold, time limit, four eyes, approvers.")


@tenants.command("list")
def list_(limit: LimitOption = 50, output: OutputOption = Output.TABLE) -> None:
    """List every tenant that was created, newest first."""
    import asyncio

    from services.cli import tenants as work

    asyncio.run(work.list_(limit, output))


@tenants.command()
def show(tenant_id: IdArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one tenant with every setting."""
    import asyncio

    from services.cli import tenants as work

    asyncio.run(work.show(tenant_id, output))


@tenants.command()
def create(
    tenant_id: IdArgument,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    threshold: ThresholdOption = None,
    currency: CurrencyOption = None,
    hours: HoursOption = None,
    four_eyes: FourEyesOption = None,
    approver: ApproverOption = None,
    per_minute: PerMinuteOption = None,
    actor: AsOption = None,
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a tenant known; what is not set has its default. Doing it again with the same fields changes nothing."""
    import asyncio

    from services.cli import tenants as work

    settings = work.given_settings(
        threshold=threshold, currency=currency, hours=hours, four_eyes=four_eyes, approvers=approver, anybody=False, per_minute=per_minute
    )
    raise typer.Exit(asyncio.run(work.create(tenant_id, name, settings, actor=actor, timeout=timeout, output=output)))


@tenants.command("set")
def set_(
    tenant_id: IdArgument,
    threshold: ThresholdOption = None,
    currency: CurrencyOption = None,
    hours: HoursOption = None,
    four_eyes: FourEyesOption = None,
    approver: ApproverOption = None,
    anybody: AnybodyOption = False,
    per_minute: PerMinuteOption = None,
    actor: AsOption = None,
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change some settings of a tenant; the others stay. The named approvers replace the earlier ones.

    Example: agentmesh tenants set acme --approval-threshold 250.00 --currency EUR --four-eyes --approver ada --approver grace
    """
    import asyncio

    from services.cli import tenants as work

    settings = work.given_settings(
        threshold=threshold, currency=currency, hours=hours, four_eyes=four_eyes, approvers=approver, anybody=anybody, per_minute=per_minute
    )
    raise typer.Exit(asyncio.run(work.change(tenant_id, settings, actor=actor, timeout=timeout, output=output)))
