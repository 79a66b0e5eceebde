"""`dev setup | test | format | lint | schemas`: the developer's steps in a source tree."""

from __future__ import annotations

from typing import Annotated

import typer

dev = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Put this group into the application."""
    app.add_typer(dev, name="dev", help="A developer's steps in a source tree; each says what it does and that it finished.")


@dev.command()
def setup() -> None:
    """Start the local servers in the background, then migrate to head."""
    from services.cli.output import tell
    from services.cli.supervision import prepare

    settings = prepare(tell)
    tell(f"setup finished: endpoints in {settings.state_dir / 'endpoints.json'}; agentmesh up starts the fleet")


@dev.command("test", context_settings={"ignore_unknown_options": True})
def run_tests(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[PYTEST ARGUMENTS...]")] = None,
) -> None:
    """Run all tests with coverage; the report goes to htmlcov."""
    from services.cli.development import run_steps, steps_of_test

    raise typer.Exit(run_steps(steps_of_test(arguments or []), go_on=True))


@dev.command("format")
def format_() -> None:
    """Mend and format the code."""
    from services.cli.development import FORMAT, run_steps

    raise typer.Exit(run_steps(FORMAT))


@dev.command()
def lint() -> None:
    """Check format, lint, types and security; every check runs, one that fails ends the command non-zero."""
    from services.cli.development import LINT, run_steps

    raise typer.Exit(run_steps(LINT, go_on=True))


@dev.command()
def schemas() -> None:
    """Write the committed JSON Schemas and the AsyncAPI document from the code."""
    from services.cli.development import SCHEMAS, run_steps

    raise typer.Exit(run_steps(SCHEMAS))
