"""`customers list | show | register | tier`: customers as their read model shows them, and orders about them."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsOption, IdArgument, LimitOption, TenantOption, TimeoutOption
from services.cli.output import Output, OutputOption

customers = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(customers, name="customers", help="Customers: who is known, in which tier; enterprise is always escalated.")


@customers.command("list")
def list_(
    tenant: TenantOption = "default",
    tier: Annotated[str | None, typer.Option("--tier", help="free, standard, premium or enterprise.")] = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's registered customers, newest first. One that nobody registered counts as standard."""
    import asyncio

    from projections.customers.queries import ListCustomers
    from services.cli import customers as work

    asyncio.run(work.list_(ListCustomers(tenant_id=tenant, tier=tier, limit=limit), output))


@customers.command()
def show(customer_id: IdArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show one customer."""
    import asyncio

    from services.cli import customers as work

    asyncio.run(work.show(tenant, customer_id, output))


@customers.command()
def register(
    customer_id: Annotated[str | None, typer.Option("--id", help="cust-…, at least eight characters; default: a new one.")] = None,
    tier: Annotated[str, typer.Option("--tier", help="free, standard, premium or enterprise.")] = "standard",
    name: Annotated[str | None, typer.Option("--name", help="What people call the customer.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Where mail goes.")] = None,
    phone: Annotated[str | None, typer.Option("--phone", help="With --email only.")] = None,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a customer known. Doing it again with the same --id and fields changes nothing."""
    import asyncio

    from services.cli import customers as work

    code = asyncio.run(
        work.register(
            customer_id, tier=tier, name=name, email=email, phone=phone, actor=actor, tenant=tenant, timeout=timeout, output=output
        )
    )  # fmt: skip
    raise typer.Exit(code)


@customers.command()
def tier(
    customer_id: IdArgument,
    tier: Annotated[str, typer.Argument(metavar="TIER", help="free, standard, premium or enterprise.")],
    actor: AsOption = None,
    tenant: TenantOption = "default",
    timeout: TimeoutOption = 15.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Move a customer to a tier; its open requests are looked at again."""
    import asyncio

    from services.cli import customers as work

    raise typer.Exit(asyncio.run(work.change_tier(customer_id, tier, actor=actor, tenant=tenant, timeout=timeout, output=output)))
