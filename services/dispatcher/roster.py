"""Agents by kind and status: moves of the directory in, the agents whose health may change out; pure, kept by the directory."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TenantId

Key = tuple[TenantId, AgentId]
KEPT = frozenset({AgentStatus.AVAILABLE, AgentStatus.UNHEALTHY})
"""Only between these does a finding about health move an agent: the orders of people stand above it."""


class Roster:
    """The available and the unhealthy agents of each kind, in the order in which they came to be so."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[AgentStatus, dict[Key, None]]] = {}

    def moved(self, key: Key, kind: str, before: AgentStatus | None, after: AgentStatus) -> None:
        """An agent of the kind has another status than before; None of one that is new."""
        statuses = self._kinds.setdefault(kind, {status: {} for status in KEPT})
        if before in statuses:
            statuses[before].pop(key, None)
        if after in statuses:
            statuses[after][key] = None
        if not any(statuses.values()):
            del self._kinds[kind]

    def kinds(self) -> Iterable[str]:
        """The kinds of which an agent is available or unhealthy."""
        return self._kinds.keys()

    def of(self, kind: str, status: AgentStatus) -> Collection[Key]:
        """The agents of a kind in one of the two states."""
        return self._kinds.get(kind, {}).get(status, {}).keys()
