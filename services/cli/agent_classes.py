"""Finds classes of agents by name, `module:Class`, and makes their hosts; used by `agentmesh run agent-host` and `agentmesh agents run`."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from contracts.agents.values import AgentKind, Capability
from infra.agents.base import Agent
from services.cli.errors import WrongUsage

if TYPE_CHECKING:
    from infra.runtime.agent_host import AgentHost
    from infra.settings import MeshSettings
    from infra.telemetry.telemetry import Telemetry


def agent_class(name: str) -> type[Agent]:
    """The class that a text like `shop.agents:Greeter` names; modules are looked for in the working directory too. Raises WrongUsage."""
    module_name, _, class_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise WrongUsage(f"The module {module_name!r} cannot be imported: {error}. Is it in this directory or installed?") from None
    found = getattr(module, class_name, None)
    if not inspect.isclass(found) or not issubclass(found, Agent):
        raise WrongUsage(f"{name} is no class of agents: write module:Class, a subclass of infra.agents.base.Agent.")
    _check(found, name)
    return found


def _check(found: type[Agent], name: str) -> None:
    """What a class says of itself must be what a registration takes."""
    try:
        TypeAdapter(AgentKind).validate_python(getattr(found, "kind", None))
        capabilities = dict(getattr(found, "capabilities", {}))
        for capability, level in capabilities.items():
            Capability(name=capability, level=level)
    except (ValidationError, TypeError, ValueError) as error:
        raise WrongUsage(f"{name} needs a kind like 'my-agent' and capabilities like {{'greeting': 3}}, levels 1 to 5: {error}") from None
    if not capabilities:
        raise WrongUsage(f"{name} has no capabilities: give at least one, like {{'greeting': 3}}.")
    if inspect.isabstract(found):
        raise WrongUsage(f"{name} does not define handle.")


def host_of(found: type[Agent], settings: MeshSettings, telemetry: Telemetry) -> AgentHost:
    """The host of a class of agents; the class is made without arguments."""
    from infra.agents.settings import AgentHostSettings
    from infra.runtime.agent_host import AgentHost

    own = AgentHostSettings()
    return AgentHost(
        found(), settings, telemetry, lease_seconds=own.lease_seconds, most=own.most_runs, heartbeat_seconds=own.heartbeat_seconds
    )
