"""`knowledge add | list | search | remove`: what a tenant's research looks things up in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

knowledge = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose knowledge.")]


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(knowledge, name="knowledge", help="Documents that research finds answers in.")


@knowledge.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Markdown and text files, or folders of them.")],
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Add files, or replace those that have changed. A document's id is its path below what was given; nothing is removed."""
    import asyncio

    from services.cli import knowledge as work

    asyncio.run(work.add(paths, tenant, output))


@knowledge.command("list")
def list_(
    tenant: TenantOption = "default",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The most rows.")] = 100,
    after: Annotated[str, typer.Option("--after", metavar="ID", help="Only documents behind this id.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List a tenant's documents by id."""
    import asyncio

    from services.cli import knowledge as work

    asyncio.run(work.list_(tenant, after, limit, output))


@knowledge.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    tenant: TenantOption = "default",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="The most passages.")] = 5,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the passages that fit a text best, with their scores."""
    import asyncio

    from services.cli import knowledge as work

    asyncio.run(work.search(text, tenant, limit, output))


@knowledge.command()
def remove(
    document_ids: Annotated[list[str], typer.Argument(metavar="ID…")],
    tenant: TenantOption = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove documents."""
    import asyncio

    from services.cli import knowledge as work

    asyncio.run(work.remove(document_ids, tenant, output))
