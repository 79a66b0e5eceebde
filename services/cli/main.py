"""The entry point of `agentmesh`: puts the commands together, runs one, turns what it raises into a message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from infra.errors import ConfigurationError, DataError, MeshError
from services.cli import exit_codes
from services.cli.commands import (
    agents,
    analytics,
    approvals,
    clients,
    customers,
    dead_letters,
    demo,
    dev,
    effects,
    events,
    fleet,
    keys,
    knowledge,
    operations,
    projections,
    publish,
    requests,
    tasks,
    tenants,
    users,
    watching,
)
from services.cli.errors import CommandError

# Plain help: rich would cost a quarter of a second at every --help.
app = typer.Typer(
    name="agentmesh",
    help="Operate an AgentMesh: its fleet of workers, its commands and events, its read models.",
    epilog=exit_codes.EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
WORK = (requests, approvals, tasks, agents, customers, tenants, analytics, knowledge)
IDENTITY = (users, clients, keys)
for group in (demo, fleet, watching, publish, events, *WORK, dead_letters, effects, projections, *IDENTITY, operations, dev):
    group.add_to(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers its exit code. Only a bug shows a traceback."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="agentmesh")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.FAILED
    except CommandError as error:
        return _say(str(error), error.exit_code)
    except MeshError as error:
        return _say(str(error), _code_of(error))
    return exit_codes.OK


def _code_of(error: MeshError) -> int:
    if isinstance(error, ConfigurationError):
        return exit_codes.CONFIGURATION
    return exit_codes.FAILED if isinstance(error, DataError) else exit_codes.AWAY


def _say(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    return code


def main() -> None:
    """What the command `agentmesh` calls."""
    sys.exit(run())


if __name__ == "__main__":
    main()
