"""Which workers there are and where each is built; modules are imported by `agentmesh run`, in the process that carries the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from services.cli.errors import WrongUsage

if TYPE_CHECKING:
    from infra.runtime.base import Worker
    from infra.settings import MeshSettings
    from infra.telemetry.telemetry import Telemetry

PROJECTIONS = "projections"
AGENT_HOST = "agent-host"

# name -> the module whose `build(settings, telemetry)` makes the worker
BUILDERS: Mapping[str, str] = {
    "requests": "services.requests.worker",
    "requests-process": "services.requests.process_worker",
    "tasks": "services.tasks.worker",
    "agents": "services.agents.worker",
    "customers": "services.customers.worker",
    "tenants": "services.tenants.worker",
    "dispatcher": "services.dispatcher.worker",
    "scheduler": "services.scheduler.worker",
    "monitor": "services.monitor.worker",
    "relay": "services.relay.worker",
    "gateway": "services.gateway.worker",
}


class ProcessPlan(NamedTuple):
    """What one process carries: service workers, read models (None: no projections, empty: all of them), and classes of agents."""

    services: tuple[str, ...]
    read_models: tuple[str, ...] | None
    agents: tuple[str, ...] = ()


def worker_names() -> tuple[str, ...]:
    """Every name that `agentmesh run` takes."""
    return (*BUILDERS, AGENT_HOST, PROJECTIONS)


def plan_of(names: Sequence[str]) -> ProcessPlan:
    """The plan of `agentmesh run NAME…`: what follows `projections` names read models, what follows `agent-host` names classes of agents
    as `module:Class`. Raises WrongUsage for an unknown worker."""
    services: list[str] = []
    agents: list[str] = []
    read_models: tuple[str, ...] | None = None
    for index, name in enumerate(names):
        if name == PROJECTIONS:
            read_models = tuple(dict.fromkeys(names[index + 1 :]))
            break
        if ":" in name:
            agents.append(name)
        elif name in BUILDERS:
            services.append(name)
        elif name != AGENT_HOST:
            raise WrongUsage(f"There is no worker {name!r}. Choose of: {', '.join(worker_names())}.")
    if AGENT_HOST in names and not agents:
        raise WrongUsage("agent-host needs the agents that it carries, as module:Class.")
    return ProcessPlan(tuple(dict.fromkeys(services)), read_models, tuple(dict.fromkeys(agents)))


def builders(plan: ProcessPlan) -> dict[str, Callable[[MeshSettings, Telemetry], Worker]]:
    """For each worker of the process the function that builds it, in the order in which they start."""
    found = {name: import_module(BUILDERS[name]).build for name in plan.services}
    found |= _agent_hosts(plan.agents)
    return found if plan.read_models is None else {**found, **_projections(plan.read_models)}


def _agent_hosts(names: Sequence[str]) -> dict[str, Callable[[MeshSettings, Telemetry], Worker]]:
    if not names:
        return {}
    from services.cli.agent_classes import agent_class, host_of

    classes = [agent_class(name) for name in names]
    return {f"{AGENT_HOST}.{found.kind}": partial(host_of, found) for found in classes}


def _projections(names: Sequence[str]) -> dict[str, Callable[[MeshSettings, Telemetry], Worker]]:
    from infra.runtime.projection_worker import ProjectionWorker
    from infra.runtime.rebuild_worker import NAME as REBUILDS
    from infra.runtime.rebuild_worker import RebuildWorker
    from projections.catalogue import KEPT_BY_SERVICES, read_model, read_models

    try:
        models = [read_model(name) for name in names] or [model for model in read_models() if model not in KEPT_BY_SERVICES]
    except KeyError as error:
        text = str(error.args[0])
        raise WrongUsage(f"{text[:1].upper()}{text[1:]}.") from None
    # Orders of a read model that a service keeps for itself are carried out here, too.
    ordered = models if names else read_models()
    return {
        **{f"{PROJECTIONS}.{model.name}": partial(ProjectionWorker, model) for model in models},
        REBUILDS: partial(RebuildWorker, ordered),
    }
