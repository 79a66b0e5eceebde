"""`demo`: the whole mesh with its main job, shown and checked."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption


def add_to(app: typer.Typer) -> None:
    """Put this command into the application."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers and workers running.")] = False,
    requests: Annotated[int, typer.Option("--requests", min=1, max=100_000, help="How many requests are opened.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the texts; the ids are new each time.")] = 2026,
    rate: Annotated[float, typer.Option("--rate", min=1, max=20_000, help="Commands published a second.")] = 25.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start everything, let agents carry customer requests, kill a host, approve a refund, show its timeline and the totals, stop all.

    Exit code 1 when the sums do not match: every command has exactly one outcome, every request an end or a person who is asked.
    """
    from services.cli.demo.run import run_demo

    raise typer.Exit(run_demo(requests, seed, rate, keep, output))
