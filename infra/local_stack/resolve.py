"""Decides which servers a process uses: settings come in, `Endpoints` go out; called by the CLI, the workers and the tests.

The order: the environment variables of each server; containers, when `AGENTMESH_SERVERS=docker`; the local stack.
"""

from __future__ import annotations

import atexit
from pathlib import Path

from infra.local_stack.docker import DockerServers
from infra.local_stack.endpoints import Endpoints, read_endpoints
from infra.local_stack.errors import LocalStackError
from infra.local_stack.progress import Progress, silent
from infra.local_stack.stack import SERVERS, server, start_servers, state_dir_of
from infra.settings import MeshSettings, variable_names

_SETTINGS = {"postgres": "database_url", "kafka": "kafka_bootstrap_servers", "redis": "redis_url"}


def resolve_endpoints(settings: MeshSettings, *, start: bool = False, progress: Progress = silent) -> Endpoints:
    """The addresses to use. With `start`, servers that no variable names are started (or reused); without, they must run already.

    Raises LocalStackError, which says what to start or to set.
    """
    given = _given(settings)
    missing = [name for name in SERVERS if name not in given]
    if not missing:
        return _endpoints(given)
    if settings.servers == "docker":
        return _endpoints({**given, **_containers(missing, start, progress)})
    if start:
        return start_servers(settings.home, missing, given, progress)
    return _running(settings.home, missing, given)


def with_servers(settings: MeshSettings, *, start: bool = False, progress: Progress = silent) -> MeshSettings:
    """The settings with every endpoint filled in by `resolve_endpoints`."""
    found = resolve_endpoints(settings, start=start, progress=progress)
    return settings.with_endpoints(postgres_dsn=found.postgres_dsn, redis_url=found.redis_url, kafka_bootstrap=found.kafka_bootstrap)


def source_of(settings: MeshSettings) -> str:
    """A sentence that says where the endpoints come from, for people."""
    given = _given(settings)
    missing = [name for name in SERVERS if name not in given]
    rest = "containers (testcontainers)" if settings.servers == "docker" else f"the local stack in {settings.state_dir}"
    named = ", ".join(given)
    if not missing:
        return f"servers: {named} from the settings"
    return f"servers: {named} from the settings, {', '.join(missing)} from {rest}" if named else f"servers: {rest}"


def _given(settings: MeshSettings) -> dict[str, str]:
    addresses: dict[str, str] = {}
    if settings.database_url is not None:
        addresses["postgres"] = settings.postgres_dsn
    if settings.kafka_bootstrap_servers is not None:
        addresses["kafka"] = settings.kafka_bootstrap
    if settings.redis_url is not None:
        addresses["redis"] = settings.redis_dsn
    return addresses


def _endpoints(addresses: dict[str, str], gateway_url: str | None = None) -> Endpoints:
    return Endpoints(addresses["kafka"], addresses["postgres"], addresses["redis"], gateway_url)


def _containers(names: list[str], start: bool, progress: Progress) -> dict[str, str]:
    if not start:
        variables = ", ".join(variable_names(_SETTINGS[name])[0] for name in names)
        raise LocalStackError(f"AGENTMESH_SERVERS=docker: containers live as long as the command that started them; set {variables}.")
    servers = DockerServers(progress)
    atexit.register(servers.stop)
    return servers.start(names)


def _running(root: Path, names: list[str], given: dict[str, str]) -> Endpoints:
    noted = read_endpoints(state_dir_of(root))
    if noted is None:
        raise _not_running(names)
    found = {"postgres": noted.postgres_dsn, "kafka": noted.kafka_bootstrap, "redis": noted.redis_url}
    dead = [name for name in names if (each := server(root, name)).endpoint() == found[name] and not each.is_running()]
    if dead:
        raise _not_running(dead)
    return _endpoints({**found, **given}, noted.gateway_url)


def _not_running(names: list[str]) -> LocalStackError:
    variables = ", ".join(variable_names(_SETTINGS[name])[0] for name in names)
    return LocalStackError(
        f"No {' and no '.join(names)} runs here: start the local servers with `python -m infra.local_stack start`, or set {variables}."
    )
