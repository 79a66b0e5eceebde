"""Keeps the states of recently used aggregates, so that their streams are not loaded again; used by the command worker."""

from __future__ import annotations

from collections import OrderedDict

from infra.runtime.decide import NEW_AGGREGATE, CachedState


class StateCache:
    """The last `limit` aggregates by use. A stale entry is harmless: the append checks the version, and the worker then loads anew."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[str, CachedState] = OrderedDict()

    def get(self, aggregate_id: str) -> CachedState:
        """The cached state, or that of an aggregate without events."""
        return self._states.get(aggregate_id, NEW_AGGREGATE)

    def put(self, aggregate_id: str, state: CachedState) -> None:
        """Remember a state that is in the store."""
        if state.version == 0:
            return
        states = self._states
        states[aggregate_id] = state
        states.move_to_end(aggregate_id)
        if len(states) > self._limit:
            states.popitem(last=False)

    def drop(self, aggregate_id: str) -> None:
        """Forget one aggregate."""
        self._states.pop(aggregate_id, None)
