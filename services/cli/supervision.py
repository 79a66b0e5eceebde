"""Starts, supervises and stops the fleet of one state folder; the work behind `up` and `down`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from infra.errors import ConfigurationError
from infra.local_stack import resolve_endpoints, source_of, stop_stack, write_endpoints
from infra.settings import MeshSettings, load_settings
from infra.supervisor.fleet_file import FleetRecord, read_fleet
from infra.supervisor.log_files import LogFollower, rotate
from infra.supervisor.replica import log_path
from infra.supervisor.supervisor import REFUSED, AlreadySupervised, Supervisor, end_leftovers, is_supervised, supervisor_lock
from services.cli import exit_codes
from services.cli.errors import NoAnswer, Refused
from services.cli.fleet import GATEWAY, replica_specs, worker_environment
from services.cli.gateway_place import gateway_url, note_gateway
from services.cli.log_lines import parse_line
from services.cli.mesh import quieten
from services.cli.migration import migrate_mesh

SUPERVISOR = "supervisor"
READY_SECONDS = 90.0
FOLLOW_SECONDS = 0.2
# A worker may use its whole grace period, and its supervisor a little more.
STOP_MARGIN_SECONDS = 15.0

Tell = Callable[[str], None]


def prepare(tell: Tell) -> MeshSettings:
    """Servers running (started where none are named), schema and topics in place; answers the settings with their addresses."""
    settings = load_settings()
    quieten(settings)
    tell(source_of(settings))
    found = resolve_endpoints(settings, start=True, progress=tell)
    settings = settings.with_endpoints(postgres_dsn=found.postgres_dsn, redis_url=found.redis_url, kafka_bootstrap=found.kafka_bootstrap)
    write_endpoints(settings.state_dir, found)
    migrate_mesh(settings, tell)
    return settings


# -- up, in the foreground ---------------------------------------------------------------------------------------------------------------


def supervise(settings: MeshSettings, counts: Mapping[str, int], tell: Tell, show: Callable[[str, str], None] | None) -> int:
    """Run the fleet until SIGTERM or Ctrl-C; `show(name, line)` gets each new line of the workers' logs. Raises AlreadySupervised."""
    with supervisor_lock(settings.state_dir):
        for name in end_leftovers(settings.state_dir, settings.grace_seconds):
            tell(f"{name} was left behind by a supervisor that was killed; ended")
        specs = replica_specs(counts, settings)
        served = [gateway_url(spec.environment) for spec in specs if spec.name.startswith(f"{GATEWAY}-")]
        note_gateway(settings, served[0] if served else None)
        supervisor = Supervisor(specs, settings.state_dir, grace_seconds=settings.grace_seconds + 1, tell=tell)
        try:
            return asyncio.run(_supervise(supervisor, show, tell))
        finally:
            note_gateway(settings, None)


async def _supervise(supervisor: Supervisor, show: Callable[[str, str], None] | None, tell: Tell) -> int:
    stop = asyncio.Event()

    def asked(number: signal.Signals) -> None:
        if not stop.is_set():
            tell(f"{number.name}: stopping {len(supervisor.replicas)} workers")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    following = None if show is None else asyncio.create_task(_follow(supervisor, show))
    code = await supervisor.run(stop)
    if following is not None:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    tell("the fleet has stopped" if code == 0 else "no worker is left: each was refused its configuration")
    return code


async def _follow(supervisor: Supervisor, show: Callable[[str, str], None]) -> None:
    follower = LogFollower({replica.spec.name: replica.log for replica in supervisor.replicas})

    def show_new() -> None:
        for name, line in follower.new_lines():
            show(name, line)

    try:
        while True:
            show_new()
            await asyncio.sleep(FOLLOW_SECONDS)
    finally:
        show_new()


# -- up, in the background ---------------------------------------------------------------------------------------------------------------


def start_in_background(settings: MeshSettings, replicas: Sequence[str], tell: Tell) -> FleetRecord:
    """Start a supervisor of its own session and wait until each worker is ready. Raises Refused or NoAnswer, which name the log."""
    log = log_path(settings.state_dir, SUPERVISOR)
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate(log)
    options = [part for text in replicas for part in ("--replicas", text)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", "supervise", *options],
            env=worker_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _wait_until_ready(process, settings.state_dir, log, tell)


def _wait_until_ready(process: subprocess.Popen[bytes], state_dir: Path, log: Path, tell: Tell) -> FleetRecord:
    deadline = time.monotonic() + READY_SECONDS
    told: set[str] = set()
    while time.monotonic() < deadline:
        record = read_fleet(state_dir)
        if process.poll() is not None:
            raise _ended(process.returncode, log)
        if record is not None and record.pid == process.pid:
            for replica in record.replicas:
                if replica.ready and replica.name not in told:
                    tell(f"{replica.name} is ready on port {replica.port}")
                    told.add(replica.name)
            if all(replica.ready or replica.state == "failed" for replica in record.replicas) and told:
                return record  # with none ready the supervisor ends by itself and says why: wait for that
        time.sleep(0.05)
    waiting = ", ".join(sorted({replica.name for replica in record.replicas} - told)) if record is not None else "no worker"
    raise NoAnswer(f"Not ready after {READY_SECONDS:g} s: {waiting}. See {log.parent}, then agentmesh ps, or agentmesh down.")


def _ended(code: int, log: Path) -> Exception:
    """The error for a supervisor that ended at once; it says why in its log."""
    if code != exit_codes.CONFIGURATION:
        return Refused(f"The supervisor ended ({code}) before its workers were ready. See {log}.")
    lines = (parse_line(SUPERVISOR, line) for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if REFUSED in line)
    messages = [line.raw if line.fields is None else str(line.fields["message"]) for line in lines]
    return ConfigurationError(f"Every worker was refused its configuration. {messages[-1] if messages else ''} See {log.parent}.")


# -- down --------------------------------------------------------------------------------------------------------------------------------


def stop_fleet(settings: MeshSettings, tell: Tell) -> bool:
    """Stop the supervisor and its workers, or what a killed supervisor left; True when there was something to stop."""
    record = read_fleet(settings.state_dir)
    grace = settings.grace_seconds
    if record is not None and record.supervised():
        tell(f"stopping {len(record.replicas)} workers")
        _end_supervisor(record, grace + STOP_MARGIN_SECONDS, tell)
    with suppress(AlreadySupervised), supervisor_lock(settings.state_dir):
        left = end_leftovers(settings.state_dir, grace)
        for name in left:
            tell(f"{name} ended")
        return record is not None and (bool(left) or bool(record.replicas))
    raise NoAnswer(f"Another supervisor has started in {settings.state_dir} meanwhile: run agentmesh down again.")


def _end_supervisor(record: FleetRecord, seconds: float, tell: Tell) -> None:
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while record.supervised():
        if time.monotonic() >= deadline:
            tell(f"the supervisor {record.pid} does not end and is killed")
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            deadline += 5
        time.sleep(0.05)


def stop_servers(settings: MeshSettings, tell: Tell) -> None:
    """Stop the local servers of this folder and forget the endpoints; the data stays."""
    stop_stack(settings.home, tell)


def running_message(state_dir: Path) -> str | None:
    """The sentence for somebody who starts a fleet that runs already; None when none does."""
    if not is_supervised(state_dir):
        return None
    record = read_fleet(state_dir)
    of = "" if record is None else f" (supervisor {record.pid}, {len(record.replicas)} workers)"
    return f"The fleet runs already{of}. See: agentmesh ps. Stop it with: agentmesh down"


def exit_code_of(record: FleetRecord) -> int:
    """0 when every worker is ready; the code of a configuration fault when one was refused."""
    return exit_codes.CONFIGURATION if any(replica.state == "failed" for replica in record.replicas) else exit_codes.OK
