"""`projections list | rebuild`: the read models."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

projections = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(projections, name="projections", help="Read models: how far they are, and their rebuild.")


@projections.command("list")
def list_(output: OutputOption = Output.TABLE) -> None:
    """Show each read model: checkpoints, lag behind the event store, parked events."""
    import asyncio

    from services.cli import projections as work

    asyncio.run(work.list_(output))


@projections.command()
def rebuild(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Switch although the rebuilt rows differ from the live ones.")
    ] = False,
    by_worker: Annotated[
        bool, typer.Option("--by-worker", help="Place an order that a worker carries out at its own pace, and follow it.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Build a read model anew beside itself from the event store, compare the two, and switch; reads and writes go on meanwhile."""
    import asyncio

    from services.cli import projections as work
    from services.cli.errors import WrongUsage

    if by_worker and accept_differences:
        raise WrongUsage("--accept-differences is decided here, by who looks at them: leave out --by-worker.")
    asyncio.run(work.order(name, output) if by_worker else work.rebuild(name, accept_differences, output))
