"""`top` and `logs`: the fleet of this folder as it works, and what its workers write."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption


def add_to(app: typer.Typer) -> None:
    """Put these commands into the application."""
    app.command()(top)
    app.command()(logs)


def top(
    interval: Annotated[float, typer.Option("--interval", min=0.5, max=60, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end; so does a pipe.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the fleet as it works: workers, who is behind, rates, the oldest waits, parked keys, open breakers. q or Ctrl-C ends."""
    import asyncio

    from services.cli.top.run import top as work

    asyncio.run(work(interval=interval, once=once, output=output))


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, max=10_000, help="How many of the last lines; default 100.")] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="Lines of this request, and those that name it.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Lines of this tenant.")] = None,
    correlation: Annotated[str | None, typer.Option("--correlation", metavar="ID", help="Lines with this correlation id.")] = None,
    workers: Annotated[list[str] | None, typer.Option("--worker", help="requests-1, or requests for all of them; repeatable.")] = None,
    level: Annotated[str | None, typer.Option("--level", help="This level and above: DEBUG, INFO, WARNING, ERROR, CRITICAL.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="10min, 24h, 7d back from now, or a time such as 2026-05-04T09:30Z.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the last lines of the fleet's logs, merged by time; `-o json` prints them as they were written."""
    import asyncio
    from datetime import UTC, datetime

    from infra.telemetry.levels import LEVELS
    from services.cli import logs as work
    from services.cli.errors import WrongUsage
    from services.cli.log_lines import LogFilter
    from services.cli.moments import moment

    if level is not None and level.upper() not in LEVELS:
        raise WrongUsage(f"--level {level}: choose of {', '.join(LEVELS)}.")
    begin = None if since is None else moment("--since", since, datetime.now(UTC))
    wanted = LogFilter(request, tenant, correlation, None if level is None else level.upper(), begin)
    count = lines if lines is not None else (100 if since is None else work.MOST_LINES)
    asyncio.run(work.logs(wanted, workers or [], lines=count, follow=follow, output=output))
