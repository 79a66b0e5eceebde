"""`events tail | show`: the event store as a live stream, and one aggregate's history."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

events = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ContextOption = Annotated[str | None, typer.Option("--context", help="One context only, such as requests.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(events, name="events", help="The event store: a live stream, one aggregate's history.")


@events.command()
def tail(
    context: ContextOption = None,
    type_names: Annotated[list[str] | None, typer.Option("--type", help="RequestCreated, or a full type name; repeatable.")] = None,
    aggregate: Annotated[str | None, typer.Option("--aggregate", help="One aggregate only.")] = None,
    from_position: Annotated[str | None, typer.Option("--from-position", metavar="N", help="Begin after this position.")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first event.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with new events, or end at the last one.")] = True,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many events.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show events as they are recorded, without a gap, in the order of the log. Ctrl-C ends and says where to resume."""
    import asyncio

    from services.cli import event_log

    wanted = event_log.TailFilter(event_log.event_type_names(type_names or []), aggregate)
    asyncio.run(
        event_log.tail(
            context, wanted, from_position=from_position, from_start=from_start, follow=follow, limit=limit, output=output
        )
    )  # fmt: skip


@events.command()
def show(
    aggregate_id: Annotated[str, typer.Argument(metavar="ID", help="The aggregate's id, such as req-…")],
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one aggregate's history from the event store, and what became of each of its commands."""
    import asyncio

    from services.cli import event_log

    asyncio.run(event_log.show(aggregate_id, context, output))
