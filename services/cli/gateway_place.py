"""Where `agentmesh up` serves the API, and with which key it signs tokens in development: settings in, variables of a process out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace

from infra.identity.settings import KEY, KEY_FILE
from infra.local_stack import read_endpoints, write_endpoints
from infra.local_stack.endpoints import write_private
from infra.local_stack.ports import HOST, PortBook
from infra.settings import MeshSettings

PORT = "AGENTMESH_GATEWAY_PORT"
BASE_URL = "AGENTMESH_GATEWAY_BASE_URL"
PORTS_FILE = "gateway-ports.json"
KEY_FILE_NAME = "jwt-secret-key"
# Elsewhere a key comes from whoever keeps secrets.
MADE_IN = ("development", "test")
KEY_BYTES = 48


def gateway_variables(settings: MeshSettings, replica: str) -> dict[str, str]:
    """The variables of one gateway process: the first one has the port that is set; where none is, and for each further one, a free port,
    which is remembered."""
    first = replica.endswith("-1")
    given = os.environ.get(PORT, "") if first else ""
    port = given or str(PortBook(settings.state_dir / f"{replica}-{PORTS_FILE}").choose("api")["api"])
    return {PORT: port, **key_variables(settings)}


def key_variables(settings: MeshSettings) -> dict[str, str]:
    """The key of tokens, where none is set: in development a random one of this folder, made once; elsewhere none (SEC-01)."""
    if os.environ.get(KEY) or os.environ.get(KEY_FILE) or settings.environment not in MADE_IN:
        return {}
    path = settings.state_dir / KEY_FILE_NAME
    if not path.exists():
        write_private(path, secrets.token_urlsafe(KEY_BYTES) + "\n")
    return {KEY_FILE: str(path)}


def gateway_url(variables: Mapping[str, str]) -> str:
    """Where a process with these variables is called."""
    return variables.get(BASE_URL) or os.environ.get(BASE_URL) or f"http://{HOST}:{variables[PORT]}"


def note_gateway(settings: MeshSettings, url: str | None) -> None:
    """Write into `endpoints.json` where the API is served, or that it is not."""
    noted = read_endpoints(settings.state_dir)
    if noted is not None and noted.gateway_url != url:
        write_endpoints(settings.state_dir, replace(noted, gateway_url=url))
