"""`migrate` and `doctor`: what the servers need, and whether all is well."""

from __future__ import annotations

import typer

from services.cli.output import Output, OutputOption


def add_to(app: typer.Typer) -> None:
    """Put these commands into the application."""
    app.command()(migrate)
    app.command()(doctor)


def migrate(output: OutputOption = Output.TABLE) -> None:
    """Bring schema, read models and topics to what this release needs. Safe to run twice."""
    from services.cli.mesh import mesh_settings
    from services.cli.migration import migrate_mesh
    from services.cli.output import print_json, tell

    done = migrate_mesh(mesh_settings(), tell if output is Output.JSON else print)
    if output is Output.JSON:
        print_json(done._asdict())


def doctor(output: OutputOption = Output.TABLE) -> None:
    """Check Python, servers, schema, topics, workers and disk; each line says ok, warn or fail, and what to do. Exit code 1 on a fail."""
    import asyncio

    from services.cli.doctor.run import doctor as work

    raise typer.Exit(asyncio.run(work(output)))
