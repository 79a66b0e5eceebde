"""The routes of events: a signed-in call and its filters in, a stream of committed events out, of a tenant or of one request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from contracts.envelope import RecordedEvent
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.registry import EVENTS
from contracts.topics import CONTEXTS
from infra.event_streams.base import MAX_PLACE_CHARACTERS, Followed, WrongPlace, place_of
from infra.identity.base import Permission, Principal
from infra.partial_outputs.base import HeardPieces
from services.gateway.access import Access, forbidden, own_customer
from services.gateway.calls import principal_of
from services.gateway.errors import broken_rule
from services.gateway.openapi import Operation, refused
from services.gateway.parameters import IdInPath
from services.gateway.partials import Partials
from services.gateway.resources.request_representation import REQUESTS_PATH
from services.gateway.resources.requests import RequestRoutes
from services.gateway.streams import Streams

PATH = "/api/v1/events"
MEDIA_TYPE = "text/event-stream"
MAX_NAMES = 100
READS: Mapping[str, Permission] = {
    "requests": Permission.REQUEST_READ,
    "tasks": Permission.TASK_READ,
    "agents": Permission.AGENT_READ,
    "customers": Permission.CUSTOMER_READ,
    "tenants": Permission.TENANT_READ,
}
"""Who may read the things of a context may read its events."""
OF_CUSTOMERS = ("requests",)
SHORT = {name.split(".")[2]: name for name in EVENTS}
BEGINNING: Literal["beginning"] = "beginning"
NOW: Literal["now"] = "now"

Names = Annotated[list[str], Query(max_length=MAX_NAMES)]
Place = Annotated[str, Query(max_length=MAX_PLACE_CHARACTERS)]
Begin = Annotated[Literal["now", "beginning"], Query(alias="from", description="Where to begin without an id.")]
LastEventId = Annotated[str | None, Query(description="As the header Last-Event-ID, which goes before it.")]
LastEventIdHeader = Annotated[str | None, Header(alias="Last-Event-ID", description="The id of the last event that was read.")]


class _Documented(Response):
    """What the document says of the answer."""

    media_type = MEDIA_TYPE


class EventRoutes:
    """The handler. The tenant is the token's; a customer gets the events of its own requests."""

    def __init__(self, access: Access, streams: Streams) -> None:
        self._access = access
        self._streams = streams

    def router(self) -> APIRouter:
        """The route with its permission."""
        router = APIRouter(tags=["events"])
        _add(router, PATH, self.stream, self._access, STREAM)
        return router

    async def stream(
        self,
        request: Request,
        context: Annotated[list[str], Query(description="Of these contexts only; repeated, or joined by commas.")] = [],  # noqa: B006
        type: Annotated[list[str], Query(description="Of these types only, whole or short names.")] = [],  # noqa: B006
        aggregate_id: Annotated[
            str | None, Query(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL, description="Of this aggregate only.")
        ] = None,
        begin: Begin = NOW,
        last_event_id: LastEventId = None,
        header_id: LastEventIdHeader = None,
    ) -> Response:
        """A stream from now on, from the beginning, or from after an event."""
        principal = principal_of(request.scope)
        customer = own_customer(request, principal, Permission.EVENT_SUBSCRIBE)
        contexts = self._contexts(request, principal, _names("context", context, CONTEXTS))
        wants = _filter(frozenset(_types(type)), aggregate_id)
        place = _begin(contexts, await self._streams.source.now(), begin, last_event_id, header_id)
        return await self._streams.open(principal, Followed(principal.tenant_id, contexts, wants), place, customer)

    def _contexts(self, request: Request, principal: Principal, asked: Sequence[str]) -> tuple[str, ...]:
        """The contexts that are asked for, in one order; without any, those that the caller may read. Raises ApiError, 403."""
        allowed = [each for each in CONTEXTS if self._access.may(principal, READS[each])]
        if principal.is_customer:
            allowed = [each for each in allowed if each in OF_CUSTOMERS]
        for each in asked:
            if each not in allowed:
                raise forbidden(request, principal, READS[each], f"This caller may not read the events of {each}.")
        if not allowed:
            raise forbidden(request, principal, Permission.REQUEST_READ)
        return tuple(each for each in CONTEXTS if each in (asked or allowed))


class RequestStreamRoutes:
    """The stream of one request: its events, and what models say about it before they have finished."""

    def __init__(self, access: Access, streams: Streams, requests: RequestRoutes, heard: HeardPieces) -> None:
        self._access = access
        self._streams = streams
        self._requests = requests
        self._heard = heard

    def router(self) -> APIRouter:
        """The route with its permission."""
        router = APIRouter(tags=["events"])
        _add(router, f"{REQUESTS_PATH}/{{request_id}}/stream", self.stream, self._access, OF_REQUEST)
        return router

    async def stream(
        self,
        request: Request,
        request_id: IdInPath,
        begin: Begin = BEGINNING,
        last_event_id: LastEventId = None,
        header_id: LastEventIdHeader = None,
    ) -> Response:
        """A stream from the request's first event on, or from after an event."""
        await self._requests.visible(request, request_id)
        principal = principal_of(request.scope)
        customer = own_customer(request, principal, Permission.EVENT_SUBSCRIBE)
        place = _begin(("requests",), await self._streams.source.now(), begin, last_event_id, header_id)
        followed = Followed(principal.tenant_id, ("requests",), _filter(frozenset(), request_id))
        partials = None
        if self._access.may(principal, Permission.TASK_READ):
            partials = partial(Partials, self._heard, principal.tenant_id, request_id)
        return await self._streams.open(principal, followed, place, customer, partials)


def _add(router: APIRouter, path: str, handler: Any, access: Access, said: Operation) -> None:
    permission = Permission.EVENT_SUBSCRIBE
    router.add_api_route(
        path,
        handler,
        methods=["GET"],
        operation_id=said.id,
        summary=said.summary,
        description=f"{said.description}\n\nPermission: `{permission.value}`.",
        status_code=said.status,
        responses=said.responses,
        response_class=_Documented,
        dependencies=[Depends(access.requires(permission).check)],
    )


def _begin(
    contexts: Sequence[str], ends: Mapping[str, int], begin: str, last_event_id: str | None, header_id: str | None
) -> dict[str, int]:
    """Where a stream begins. Raises ApiError, 422, for an id that is none of it."""
    where, given = ("header", header_id) if header_id is not None else ("query", last_event_id)
    if given is not None:
        return _place(given, contexts, ends, where)
    return {each: 0 if begin == BEGINNING else ends[each] for each in contexts}


def _names(field: str, given: Sequence[str], known: Collection[str]) -> list[str]:
    """Names that are repeated or joined by commas. Raises ApiError, 422, for one that is not known."""
    found = [name.strip() for each in given for name in each.split(",")]
    if len(found) > MAX_NAMES:
        raise broken_rule(field, f"should name at most {MAX_NAMES}", found, where="query")
    for name in found:
        if name not in known:
            rule = f"should be one of {', '.join(known)}" if len(known) <= len(CONTEXTS) else "should be the name of an event's type"
            raise broken_rule(field, rule, name, where="query")
    return found


def _types(given: Sequence[str]) -> list[str]:
    return [SHORT.get(name, name) for name in _names("type", given, {**SHORT, **EVENTS})]


def _filter(types: frozenset[str], aggregate_id: str | None) -> Callable[[RecordedEvent], bool]:
    def wants(recorded: RecordedEvent) -> bool:
        return (not types or recorded.metadata.type_name in types) and aggregate_id in (None, recorded.aggregate_id)

    return wants


def _place(text: str, contexts: Sequence[str], ends: Mapping[str, int], where: str) -> dict[str, int]:
    try:
        return place_of(text, contexts, ends)
    except WrongPlace as error:
        field = "Last-Event-ID" if where == "header" else "last_event_id"
        raise broken_rule(field, str(error), text, where=where) from None


_DATA = (
    '{"specversion":"1.0","id":"6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d","type":"agentmesh.requests.RequestCreated.v1",'
    '"source":"/agentmesh/requests","subject":"req-1","time":"2026-05-04T12:00:00Z","tenantid":"acme",'
    '"sequence":"00000000000000000001","position":"17","datacontenttype":"application/json","data":{"request_id":"req-1"}}'
)
# Before OpenAPI 3.2 the schema of a stream is that of one event.
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The place after the event."},
        "event": {"type": "string", "description": "The event's type, or `closing`."},
        "data": {"type": "string", "description": "The event as a CloudEvent in JSON."},
        "retry": {"type": "integer", "description": "Milliseconds."},
    },
}
_EXAMPLE = {"id": "requests:17", "event": "agentmesh.requests.RequestCreated.v1", "data": _DATA}
STREAM = Operation(
    "stream_events",
    "Stream events",
    "The events of the caller's tenant as Server-Sent Events, each a CloudEvent in JSON, in the order of the log of its context; between "
    "contexts no order is promised. The `id` of an event is the place after it in every log of the stream; sent back as `Last-Event-ID`, "
    "with the same contexts, it goes on there without loss or repeat. Without one the stream begins now. A customer gets the events of "
    "its own requests. An event `closing` tells why the gateway ends a stream: drained, token_expired, renew, too_slow, unavailable, "
    "failed; come again after `retry` with the last id.",
    200,
    {
        200: {"description": "The stream, which has no end.", "content": {MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}}},
        **refused(),
    },
)
OF_REQUEST = Operation(
    "stream_request",
    "Stream one request",
    "The events of a request from its first one on, as `stream_events` streams them; and for callers who may read tasks, where the mesh is "
    "set to it (AGENTMESH_MODEL_PARTIAL_OUTPUT), what a model says about it before it has finished, in events `partial` without an id. "
    "These are a view only: they may be lost, and an attempt that fails has said them all the same; with `number` 1 an answer begins.",
    200,
    {
        200: {"description": "The stream, which has no end.", "content": {MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}}},
        **refused("RESOURCE_NOT_FOUND"),
    },
)
