"""`users list | show | add | disable | enable | set-password | remove`, and `init`: people who may sign in."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsOption, LimitOption, TenantOption
from services.cli.output import Output, OutputOption

users = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN")]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin; default: ask for it.")]
GenerateOption = Annotated[bool, typer.Option("--generate", help="Make a random password and show it once.")]


def add_to(app: typer.Typer) -> None:
    """Put this group, and `init`, into the application."""
    app.add_typer(users, name="users", help="People who sign in: roles admin, manager, agent, customer.")
    app.command()(init)


@users.command("list")
def list_(
    tenant: TenantOption = "default",
    after: Annotated[str, typer.Option("--after", metavar="LOGIN", help="Only users behind this login.")] = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's users by login."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.list_(tenant, after, limit, output))


@users.command()
def show(login: LoginArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Show one user. Nothing shows a password."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.show(tenant, login, output))


@users.command()
def add(
    login: LoginArgument,
    role: Annotated[str, typer.Option("--role", help="admin, manager, agent or customer.")],
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="cust-…, whose requests are the user's own.")] = None,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a user. Its password has 12 to 200 characters and is not the login.

    Example: agentmesh users add ann --role agent --tenant acme
    """
    import asyncio

    from services.cli import users as work

    asyncio.run(
        work.add(tenant, login, role=role, customer=customer, password_stdin=password_stdin, generate=generate, actor=actor, output=output)
    )


@users.command()
def disable(login: LoginArgument, actor: AsOption = None, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Lock a user out, with its API keys, at once; a token in use ends within 30 minutes. Refused for the last admin."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.set_disabled(tenant, login, True, actor=actor, output=output))


@users.command()
def enable(login: LoginArgument, actor: AsOption = None, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Let a user in again."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.set_disabled(tenant, login, False, actor=actor, output=output))


@users.command("set-password")
def set_password(
    login: LoginArgument,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    actor: AsOption = None,
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace a user's password; the old one is worth nothing from then on."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.set_password(tenant, login, password_stdin=password_stdin, generate=generate, actor=actor, output=output))


@users.command()
def remove(login: LoginArgument, tenant: TenantOption = "default", output: OutputOption = Output.TABLE) -> None:
    """Remove a user with its API keys, for good; what it did keeps its id. Refused for the last admin."""
    import asyncio

    from services.cli import users as work

    asyncio.run(work.remove(tenant, login, output))


def init(
    tenant: TenantOption = "default",
    login: Annotated[str, typer.Option("--login", help="What the admin is called.")] = "admin",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="Ask for the password; default: make one and show it once.")] = False,
    actor: AsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a tenant's first admin. Where there is an admin nothing changes, so it is safe to run twice."""
    import asyncio

    from services.cli import users as work
    from services.cli.errors import WrongUsage

    if password_stdin and prompt:
        raise WrongUsage("Give --password-stdin or --prompt, not both.")
    asyncio.run(work.init(tenant, login, password_stdin=password_stdin, prompt=prompt, actor=actor, output=output))
