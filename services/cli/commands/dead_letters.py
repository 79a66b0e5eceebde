"""`dlq list | show | requeue | discard`: records that could not be processed."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

dlq = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ContextOption = Annotated[str | None, typer.Option("--context", help="One context only, such as requests.")]
ProjectionOption = Annotated[str | None, typer.Option("--projection", metavar="NAME", help="Parked events of this read model instead.")]
AggregateOption = Annotated[str | None, typer.Option("--aggregate", metavar="ID", help="One aggregate only.")]
ErrorOption = Annotated[str | None, typer.Option("--error-type", metavar="NAME", help="One kind of error only, such as ZeroDivisionError.")]
ThroughOption = Annotated[int | None, typer.Option("--through", metavar="POSITION", min=0, help="The last position that counts.")]
WhoOption = Annotated[str | None, typer.Option("--who", help="Who does it; default: the operating system's user.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(dlq, name="dlq", help="Parked records: look, mark for redrive, give up.")


@dlq.command("list")
def list_(
    context: ContextOption = None,
    projection: ProjectionOption = None,
    aggregate: AggregateOption = None,
    error_type: ErrorOption = None,
    status: Annotated[str | None, typer.Option("--status", help="parked, requeued, redriven, discarded, all; default: waiting.")] = None,
    through: ThroughOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most rows.")] = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """List parked records, in the order in which they were parked."""
    import asyncio

    from services.cli import dead_letters as work

    wanted = work.filter_of(aggregate=aggregate, error_type=error_type, status=status, through=through)
    asyncio.run(work.list_(context, projection, wanted, limit, output))


@dlq.command()
def show(
    position: Annotated[int, typer.Argument(min=1)],
    context: ContextOption = None,
    projection: ProjectionOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one parked record: headers, value, error and stack."""
    import asyncio

    from services.cli import dead_letters as work

    asyncio.run(work.show(position, context, projection, output))


@dlq.command()
def requeue(
    position: Annotated[int | None, typer.Argument(min=1, help="One record; without it, give a filter.")] = None,
    context: ContextOption = None,
    projection: ProjectionOption = None,
    aggregate: AggregateOption = None,
    error_type: ErrorOption = None,
    through: ThroughOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is parked now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be marked.")] = False,
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many records a second.")] = None,
    who: WhoOption = None,
    why: Annotated[str, typer.Option("--why", help="Kept with the mark.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Mark records for redrive: one, one aggregate's, or those of a filter up to a position (default: the present end).

    A worker of the context takes marked records from the table, in order, before anything newer of their aggregate. Ctrl-C stops and says
    how many were marked.
    """
    import asyncio
    import sys
    from dataclasses import replace

    from services.cli import dead_letters as work
    from services.cli.errors import WrongUsage

    filtered = aggregate is not None or error_type is not None or through is not None or everything
    if (position is not None) == filtered:
        raise WrongUsage("Give either one POSITION, or a filter: --aggregate, --error-type, --through, or --all.")
    wanted = replace(work.filter_of(aggregate=aggregate, error_type=error_type, through=through), position=position)
    ask = position is None and not yes and sys.stdin.isatty() and sys.stderr.isatty()
    code = asyncio.run(
        work.requeue_records(
            wanted, context, projection,
            dry_run=dry_run, rate=rate, who=who, why=why, confirm=work.confirmation(ask), output=output,
        )
    )  # fmt: skip
    raise typer.Exit(code)


@dlq.command()
def discard(
    positions: Annotated[list[int], typer.Argument(metavar="POSITION...")],
    why: Annotated[str, typer.Option("--why", help="Stands in the rejection.")],
    who: WhoOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give records up for good: their commands are rejected with DISCARDED, with who and why; what waits behind them goes on."""
    import asyncio

    from services.cli import dead_letters as work

    raise typer.Exit(asyncio.run(work.discard(positions, context, who, why, output)))
