"""Whose a request is: an event of requests in, its customer's id out; asked for readers who get their own alone."""

from __future__ import annotations

from collections import OrderedDict

from pydantic_core import from_json

from contracts.envelope import RecordedEvent
from contracts.requests.events import RequestCreated
from infra.event_store.base import EventStore

KNOWN_REQUESTS = 50_000


class RequestOwners:
    """Read from the event that began the request, which is in the store before any other of it; what was found once is kept, because a
    request never changes hands."""

    def __init__(self, store: EventStore, most: int = KNOWN_REQUESTS) -> None:
        self._store = store
        self._most = most
        self._known: OrderedDict[str, str] = OrderedDict()

    async def customer_of(self, recorded: RecordedEvent) -> str | None:
        """None for an event of another context. Raises TransientError."""
        if recorded.context != self._store.context:
            return None
        request_id = recorded.aggregate_id
        customer = self._known.get(request_id) or _named(recorded) or await self._asked(request_id, recorded.metadata.tenant_id)
        if customer is not None:
            self._known[request_id] = customer
            self._known.move_to_end(request_id)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return customer

    async def _asked(self, request_id: str, tenant_id: str) -> str | None:
        stream = await self._store.read_stream(request_id)
        return _named(stream[0]) if stream and stream[0].metadata.tenant_id == tenant_id else None


def _named(recorded: RecordedEvent) -> str | None:
    """The customer that the first event of a request names."""
    if recorded.metadata.type_name != RequestCreated.type_name:
        return None
    customer = from_json(recorded.data).get("customer_id")
    return customer if isinstance(customer, str) else None
