"""`effects list | show | settle`: what agents did to the outside, and what a person has to settle."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

effects = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `effects list` shows it: eff-…")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(effects, name="effects", help="Effects of agents on the outside: look, settle what was interrupted.")


@effects.command("list")
def list_(
    status: Annotated[
        str | None,
        typer.Option("--status", help="intended, probing, interrupted, waiting, failed, recorded, all; default: unsettled."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="ID", help="One task only.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="ID", help="One tenant only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most rows.")] = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """List effects, the newest change first: those waiting for a person and those interrupted or under way, unless --status is given."""
    import asyncio

    from services.cli import effects as work

    asyncio.run(work.list_(work.filter_of(status, task, tenant), limit, output))


@effects.command()
def show(effect_id: IdArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one effect: its task, input, claim, outcome, last error, and what people said of it."""
    import asyncio

    from services.cli import effects as work

    asyncio.run(work.show(effect_id, output))


@effects.command()
def settle(
    effect_id: IdArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the effect: how you know.")],
    outcome: Annotated[
        str | None,
        typer.Option("--outcome", metavar="JSON", help="It happened, and this is what its call answered; - for stdin, @FILE for a file."),
    ] = None,
    not_done: Annotated[bool, typer.Option("--not-done", help="It did not happen: the next attempt makes it.")] = False,
    who: Annotated[str | None, typer.Option("--who", help="Who settles it; default: the operating system's user.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what became of an interrupted effect, after you looked on the other side. The word is final; who and why are kept.

    With --outcome every later attempt gets this outcome; with --not-done the next attempt makes the effect.
    """
    import asyncio

    from services.cli import effects as work
    from services.cli.errors import WrongUsage

    if (outcome is not None) == not_done:
        raise WrongUsage("Give either --outcome JSON, when it happened, or --not-done.")
    asyncio.run(work.settle(effect_id, None if outcome is None else work.outcome_of(outcome), reason, who, output))
