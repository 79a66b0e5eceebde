"""From what changed to what of the cache goes: a read model and its events in, or a command's aggregate; keys and patterns out; pure.

What is cached is fetched from some read models. Each of them makes it out of date by itself, so whoever commits to a read model
invalidates what is fetched from that one. Requests, tasks, approvals and timelines are not cached: nearly every event of a tenant would
drop them, and a miss costs more than their indexed reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from contracts.envelope import RecordedEvent
from infra.cache import keys


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What goes. Those of many events are joined by `|`: one walk through the keys for a pattern, however many events asked for it."""

    keys: frozenset[str] = field(default_factory=frozenset)
    patterns: frozenset[str] = field(default_factory=frozenset)

    def __or__(self, other: Invalidation) -> Invalidation:
        return Invalidation(self.keys | other.keys, self.patterns | other.patterns)

    def __bool__(self) -> bool:
        return bool(self.keys or self.patterns)


NOTHING: Final = Invalidation()


def of_events(read_model: str, events: Iterable[RecordedEvent]) -> Invalidation:
    """What these events make out of date of what is fetched from a read model; nothing for one that nothing cached is fetched from.

    They must be in the read model already: what is fetched after this invalidation must not be as old as before it (CAC-05).
    """
    found = _BY_READ_MODEL.get(read_model)
    joined = NOTHING
    if found is not None:
        for recorded in events:
            joined |= found(recorded)
    return joined


def of_everything(read_model: str) -> Invalidation:
    """All that is fetched from a read model, of every tenant."""
    return _EVERYTHING.get(read_model, NOTHING)


def of_command(context: str, tenant_id: str, aggregate_id: str) -> Invalidation:
    """What a command about an aggregate makes out of date once it is shown, without a look at what it came to."""
    found = _BY_CONTEXT.get(context)
    return NOTHING if found is None else found(tenant_id, aggregate_id)


def _one(key: Callable[[str, str], str], *lists: str) -> Callable[[str, str], Invalidation]:
    """The thing itself, and every page of the lists that show it."""

    def found(tenant_id: str, aggregate_id: str) -> Invalidation:
        return Invalidation(frozenset({key(tenant_id, aggregate_id)}), frozenset(keys.list_pattern(tenant_id, name) for name in lists))

    return found


def _tenant(tenant_id: str, aggregate_id: str) -> Invalidation:
    """Everything of the tenant: a changed setting may show anywhere (CAC-06, TEN-05)."""
    return Invalidation(patterns=frozenset({keys.tenant_pattern(tenant_id)}))


def _agents_of_tenant(tenant_id: str, task_id: str) -> Invalidation:
    """Whether an agent is busy follows from its tasks, and which agent had this one is in the event only."""
    return Invalidation(patterns=frozenset({keys.kind_pattern(keys.AGENT, tenant_id), keys.list_pattern(tenant_id, "agents")}))


def _tenant_of(recorded: RecordedEvent) -> str:
    return recorded.metadata.tenant_id or recorded.event().tenant_id


def _of_aggregate(found: Callable[[str, str], Invalidation]) -> Callable[[RecordedEvent], Invalidation]:
    return lambda recorded: found(_tenant_of(recorded), recorded.aggregate_id)


def _of_a_task(recorded: RecordedEvent) -> Invalidation:
    """The agent that has it, or had it."""
    agent_id = getattr(recorded.event(), "agent_id", None)
    return _AGENT(_tenant_of(recorded), agent_id) if agent_id else NOTHING


_AGENT: Final = _one(keys.agent_key, "agents")
_CUSTOMER: Final = _one(keys.customer_key, "customers")
_ALL_AGENTS: Final = Invalidation(patterns=frozenset({keys.kind_pattern(keys.AGENT), keys.every_list_pattern("agents")}))

_BY_CONTEXT: Final[Mapping[str, Callable[[str, str], Invalidation]]] = MappingProxyType(
    {"agents": _AGENT, "customers": _CUSTOMER, "tasks": _agents_of_tenant, "tenants": _tenant}
)
_BY_READ_MODEL: Final[Mapping[str, Callable[[RecordedEvent], Invalidation]]] = MappingProxyType(
    {"agents": _of_aggregate(_AGENT), "customers": _of_aggregate(_CUSTOMER), "tasks": _of_a_task, "tenants": _of_aggregate(_tenant)}
)
_EVERYTHING: Final[Mapping[str, Invalidation]] = MappingProxyType(
    {
        "agents": _ALL_AGENTS,
        "customers": Invalidation(patterns=frozenset({keys.kind_pattern(keys.CUSTOMER), keys.every_list_pattern("customers")})),
        "tasks": _ALL_AGENTS,
        "tenants": Invalidation(patterns=frozenset({keys.kind_pattern(keys.TENANT)})),
    }
)
