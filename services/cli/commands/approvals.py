"""`approvals list | show | approve | reject | delegate | ask | answer`: what waits for a person, and what people decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli.commands.options import AsOption, CustomerOption, IdArgument, LimitOption, TenantOption, TimeoutOption
from services.cli.output import Output, OutputOption

approvals = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with the decision.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(approvals, name="approvals", help="Approvals: what waits for a person; approve, reject, delegate, ask back.")


@approvals.command("list")
def list_(
    tenant: TenantOption = "default",
    status: Annotated[str, typer.Option("--status", help="waiting, approved, rejected, expired, obsolete or all.")] = "waiting",
    customer: CustomerOption = None,
    delegate: Annotated[
        str | None, typer.Option("--delegated-to", metavar="NAME", help="Only what was handed over to this person.")
    ] = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's approvals, newest first: those that are waited for, unless --status is given."""
    import asyncio

    from services.cli import approvals as work

    asyncio.run(work.list_(tenant, status, customer, delegate, limit, output))


@approvals.command()
def show(request_id: IdArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show what is asked about one request: amount, threshold, findings, who decides until when, and what became of it."""
    import asyncio

    from services.cli import approvals as work

    asyncio.run(work.show(tenant, request_id, output))


@approvals.command()
def approve(
    request_id: IdArgument,
    amount: Annotated[
        str | None,
        typer.Option("--amount", metavar="AMOUNT", help="What you approve, e.g. 1500.00; refused when it is another amount by now."),
    ] = None,
    currency: Annotated[str, typer.Option("--currency", metavar="CODE", help="The currency of --amount.")] = "USD",
    reason: ReasonOption = None,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Approve a request that waits for it, or in advance one that is still pending.

    Example: agentmesh approvals approve req-4f1c --amount 1500.00 --reason "agreed on the phone" --as ada
    """
    impact = None if amount is None else {"amount": amount, "currency": currency}
    _order("approve", request_id, actor, tenant, timeout, output, reason=reason, financial_impact=impact)


@approvals.command()
def reject(
    request_id: IdArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the decision.")],
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Reject a request that waits for an approval."""
    _order("reject", request_id, actor, tenant, timeout, output, reason=reason)


@approvals.command()
def delegate(
    request_id: IdArgument,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Who decides from now on.")],
    reason: ReasonOption = None,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Hand the decision over: only that person decides then, until the approval is escalated."""
    _order("delegate", request_id, actor, tenant, timeout, output, to=to, reason=reason)


@approvals.command()
def ask(
    request_id: IdArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask back before deciding."""
    _order("ask", request_id, actor, tenant, timeout, output, question=question)


@approvals.command()
def answer(
    request_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="ANSWER")],
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Answer what was asked back."""
    _order("answer", request_id, actor, tenant, timeout, output, answer=text)


def _order(verb: str, request_id: str, actor: str | None, tenant: str, timeout: float, output: Output, **fields: Any) -> None:
    import asyncio

    from services.cli import approvals as work

    code = asyncio.run(work.order(verb, request_id, actor=actor, tenant=tenant, timeout=timeout, output=output, **fields))
    raise typer.Exit(code)
