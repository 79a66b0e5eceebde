"""`up`, `down`, `ps`, `run`: the fleet on this machine, and one worker in the foreground as in production."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import Output, OutputOption

ReplicasOption = Annotated[
    list[str] | None, typer.Option("--replicas", metavar="NAME=N", help="How many of a worker; may be given several times.")
]


def add_to(app: typer.Typer) -> None:
    """Put these commands into the application."""
    app.command()(up)
    app.command()(down)
    app.command()(ps)
    app.command(hidden=True)(supervise)
    app.command()(run)


def up(
    replicas: ReplicasOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Supervise in the background; return when all are ready.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start the fleet: servers where none are named, schema and topics, then every worker, supervised.

    Servers are those of DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS and REDIS_URL, else local ones. Workers that die are started again.
    """
    from infra.errors import ConfigurationError
    from infra.settings import load_settings
    from infra.supervisor.supervisor import AlreadySupervised
    from services.cli import supervision
    from services.cli.fleet import replica_counts
    from services.cli.output import tell
    from services.cli.ps import print_fleet

    counts = replica_counts(replicas or [])
    before = load_settings()
    running = supervision.running_message(before.state_dir)
    if running is not None:
        tell(running)
        print_fleet(before.state_dir, output)
        return
    given = (before.database_url, before.kafka_bootstrap_servers, before.redis_url)
    if detach and before.servers == "docker" and None in given:
        raise ConfigurationError("Containers end with the command that started them: use agentmesh up without -d, or name the servers.")
    settings = supervision.prepare(tell)
    if detach:
        record = supervision.start_in_background(settings, replicas or [], tell)
        print_fleet(settings.state_dir, output)
        raise typer.Exit(supervision.exit_code_of(record))
    try:
        code = supervision.supervise(settings, counts, tell, _print_line)
    except AlreadySupervised:
        tell(str(supervision.running_message(settings.state_dir)))
        return
    tell("Local servers, if any were started, run on: agentmesh down stops them.")
    raise typer.Exit(code)


def supervise(replicas: ReplicasOption = None) -> None:
    """Supervise the fleet on the servers given; what `up -d` starts in the background. What it tells are log lines like the workers'."""
    import logging

    from infra.settings import load_settings
    from infra.telemetry.telemetry import log_by_settings
    from services.cli import supervision
    from services.cli.fleet import replica_counts

    settings = load_settings()
    log_by_settings(supervision.SUPERVISOR, settings)
    tell = logging.getLogger("services.cli.supervision").info
    raise typer.Exit(supervision.supervise(settings, replica_counts(replicas or []), tell, None))


def down(
    keep_servers: Annotated[bool, typer.Option("--keep-servers", help="Stop the workers only.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop the fleet, then the local servers; data stays. What holds work finishes it first."""
    from infra.settings import load_settings
    from services.cli import supervision
    from services.cli.output import print_json, tell

    settings = load_settings()
    stopped = supervision.stop_fleet(settings, tell)
    tell("the fleet has stopped" if stopped else "no fleet runs here")
    if not keep_servers:
        supervision.stop_servers(settings, tell)
    if output is Output.JSON:
        print_json({"fleet_stopped": stopped, "servers_kept": keep_servers})


def ps(output: OutputOption = Output.TABLE) -> None:
    """Show each worker: pid, port, whether it is ready, how often it was started again."""
    from infra.settings import load_settings
    from services.cli.ps import print_fleet

    print_fleet(load_settings().state_dir, output)


def run(
    workers: Annotated[
        list[str], typer.Argument(metavar="WORKER...", help="requests, tasks, agent-host MODULE:CLASS..., projections [NAME...]")
    ],
) -> None:
    """Run one or several workers in this process, in the foreground, as in production.

    What follows `projections` names read models; without a name all of them run. SIGTERM drains. Health and metrics are served on
    AGENTMESH_HEALTH_PORT.
    """
    from services.cli.workers import builders, plan_of

    plan = plan_of(workers)
    from infra.local_stack import with_servers
    from infra.runtime import process
    from infra.settings import load_settings

    settings = with_servers(load_settings())
    raise typer.Exit(process.main(builders(plan), settings))


def _print_line(name: str, line: str) -> None:
    print(f"{name:<14} | {line}", flush=True)
