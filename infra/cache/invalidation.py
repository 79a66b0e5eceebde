"""From an event to what of the cache goes: recorded event in, keys and patterns out; pure, used by who follows the event topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from contracts.envelope import RecordedEvent
from infra.cache import keys

REQUESTS_LISTS: Final = ("requests", "approvals", "timeline", "analytics")
TASKS_LISTS: Final = ("tasks", "agents", "timeline", "analytics")


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


def invalidation_of(recorded: RecordedEvent) -> Invalidation:
    """What an event makes out of date; nothing for a context of which nothing is cached.

    The event must be in the read models already: what is fetched after this invalidation must not be as old as before it (CAC-05).
    """
    found = _BY_CONTEXT.get(recorded.context)
    return NOTHING if found is None else found(recorded)


def invalidation_of_all(events: Iterable[RecordedEvent]) -> Invalidation:
    """What these events make out of date together."""
    joined = NOTHING
    for recorded in events:
        joined |= invalidation_of(recorded)
    return joined


def _tenant_of(recorded: RecordedEvent) -> str:
    return recorded.metadata.tenant_id or recorded.event().tenant_id


def _of_one(key: Callable[[str, str], str], *lists: str) -> Callable[[RecordedEvent], Invalidation]:
    """The thing itself, and every page of the lists that show it."""

    def found(recorded: RecordedEvent) -> Invalidation:
        tenant_id = _tenant_of(recorded)
        patterns = frozenset(keys.list_pattern(tenant_id, name) for name in lists)
        return Invalidation(frozenset({key(tenant_id, recorded.aggregate_id)}), patterns)

    return found


def _of_a_tenant(recorded: RecordedEvent) -> Invalidation:
    """Everything of the tenant: a changed setting may show anywhere (CAC-06, TEN-05)."""
    return Invalidation(patterns=frozenset({keys.tenant_pattern(_tenant_of(recorded))}))


def _of_a_task(recorded: RecordedEvent) -> Invalidation:
    """The task, and the agent that has it: whether an agent is busy follows from its tasks."""
    agent_id = getattr(recorded.event(), "agent_id", None)
    going = _TASK(recorded)
    if not agent_id:
        return going
    return going | Invalidation(frozenset({keys.agent_key(_tenant_of(recorded), agent_id)}))


_TASK: Final = _of_one(keys.task_key, *TASKS_LISTS)

_BY_CONTEXT: Final[Mapping[str, Callable[[RecordedEvent], Invalidation]]] = MappingProxyType(
    {
        "agents": _of_one(keys.agent_key, "agents"),
        "customers": _of_one(keys.customer_key, "customers"),
        "messages": _of_one(keys.message_key, "messages"),
        "requests": _of_one(keys.request_key, *REQUESTS_LISTS),
        "tasks": _of_a_task,
        "tenants": _of_a_tenant,
    }
)
