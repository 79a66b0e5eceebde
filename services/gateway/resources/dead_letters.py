"""The routes of dead letters: parked commands of the caller's tenant, read from the store, marked for redrive, given up with a reason."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.fields import SOME_TEXT
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.topics import CONTEXTS
from infra.dead_letters.base import (
    PARKED,
    WAITING,
    LetterDetail,
    ParkedFilter,
    ParkedItem,
    TenantDeadLetters,
)
from infra.identity.base import Permission, Principal
from services.gateway.bodies import parsed, read_object, read_object_if_any
from services.gateway.calls import principal_of
from services.gateway.errors import ApiError, broken_rule, not_found
from services.gateway.linked import Link, Linked, Page, json_answer, query_text
from services.gateway.openapi import EXAMPLE_TIME, EXAMPLE_URL, Operation, body, good, refused
from services.gateway.parameters import DEFAULT_PAGE, Limit
from services.gateway.resources.base import Routes

PATH = "/api/v1/dead-letters"
KIND = "DeadLetter"
MAX_POSITION = 2**63 - 1
# What one call marks at most; it is answered well before its time limit, and the next one goes on from where it ended.
MOST_MARKED = 1_000
MARKING_SECONDS = 10.0
CHUNK = 100
_CURSOR = re.compile(r"([a-z]{1,40}):(0|[1-9][0-9]{0,17})", re.ASCII)

Context = Literal["requests", "tasks", "agents", "customers", "tenants"]
Status = Literal["parked", "requeued", "redriven", "discarded", "all"]
ErrorType = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL)]
AggregateId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)]
Why = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, pattern=SOME_TEXT), Field(description="Stands in the store, and in a rejection.")
]
InContext = Annotated[Context, Path(description="The context whose command it is.")]
Position = Annotated[int, Path(ge=1, le=MAX_POSITION, description="Its position in the context's log.")]


class Letter(Linked):
    """A parked command."""

    context: str
    position: int
    aggregate_id: str | None
    type_name: str | None
    cause: str = Field(description="defect: it failed; behind: it waits for an earlier one of its aggregate.")
    error_type: str
    error_message: str
    attempts: int
    status: str = Field(description="parked, requeued (marked for redrive), redriven or discarded.")
    since: datetime


class WholeLetter(Letter):
    """A parked command with its record. Its stack trace is not told here; `agentmesh dlq show` has it."""

    command_id: str | None
    marked_by: str | None
    marked_reason: str | None
    record: str = Field(description="topic/partition/offset")
    key: str | None
    headers: dict[str, Any]
    value: Any = Field(description="JSON where it is JSON, else its text.")


class LetterPage(Page[Letter]):
    """A page of parked commands, by context and position."""


class RequeueBody(BaseModel):
    """Which letters of one context are to be tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: Context
    reason: Why
    error_type: ErrorType | None = None
    aggregate_id: AggregateId | None = None
    after: int = Field(0, ge=0, le=MAX_POSITION, description="Above this position only: where the call before ended.")
    through: int | None = Field(None, ge=1, le=MAX_POSITION, description="The last position that counts; the end of the log by default.")
    rate: float | None = Field(None, ge=0.1, le=1000, description="The most that are marked a second.")
    dry_run: bool = Field(False, description="Only count.")


class ReasonBody(BaseModel):
    """Why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Why


class Requeued(BaseModel):
    """What a call by filter marked, or would mark."""

    context: str
    matched: int = Field(description="Parked letters that were found.")
    marked: int = Field(description="Those that were marked; fewer where others were faster, 0 in a dry run.")
    through: int = Field(description="The upper bound: give it again, with `after`, to go on.")
    after: int = Field(description="The last position that was looked at.")
    complete: bool = Field(description="False where the call came to its limits before its end.")


LETTER = {
    "context": "requests",
    "position": 42,
    "aggregate_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b",
    "type_name": "agentmesh.requests.TriageRequest.v1",
    "cause": "defect",
    "error_type": "KeyError",
    "error_message": "'category'",
    "attempts": 3,
    "status": "parked",
    "since": EXAMPLE_TIME,
    "_links": {"self": {"href": f"{EXAMPLE_URL}{PATH}/requests/42", "rel": "self", "method": "GET", "description": None}},
}
WHOLE = {
    **LETTER,
    "command_id": "6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d",
    "marked_by": None,
    "marked_reason": None,
    "record": "agentmesh.requests.commands.v1/3/1701",
    "key": LETTER["aggregate_id"],
    "headers": {"ce_type": LETTER["type_name"]},
    "value": {"tenant_id": "acme", "request_id": LETTER["aggregate_id"], "priority": 2},
}
BY_FILTER = {"context": "requests", "reason": "The defect of KeyError is mended.", "error_type": "KeyError", "through": 4711, "rate": 50}
WHOSE = (
    "Only letters whose record names the caller's tenant, about an aggregate that is not another tenant's. What nobody can read tells no "
    "tenant and is not here: `agentmesh dlq` shows it."
)
LIST = Operation(
    "list_dead_letters",
    "List dead letters",
    "Commands that a defect parked, or that wait behind one, by context and position; those that wait unless a status is named. " + WHOSE,
    200,
    {200: good(LetterPage, "A page.", {"items": [LETTER], "next_cursor": None, "_links": LETTER["_links"]}), **refused()},
)
GET = Operation(
    "get_dead_letter",
    "Read a dead letter",
    "One parked command with its record and its error. " + WHOSE,
    200,
    {200: good(WholeLetter, "The letter.", WHOLE), **refused("RESOURCE_NOT_FOUND")},
)
_REFUSED = refused("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
_ONE_REFUSED = refused("RESOURCE_NOT_FOUND", "VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
REQUEUE = Operation(
    "requeue_dead_letters",
    "Have dead letters tried again",
    "Marks the parked letters that a filter means, up to a bound, at a rate; workers take them up in order. Try `dry_run` first. A call "
    f"marks at most {MOST_MARKED} and ends after {MARKING_SECONDS:g} s: where `complete` is false, call again with its `after` and "
    "`through`. Marking twice changes nothing, so it needs no Idempotency-Key.",
    200,
    {
        200: good(
            Requeued,
            "What was marked.",
            {"context": "requests", "matched": 7, "marked": 7, "through": 4711, "after": 4698, "complete": True},
        ),
        **_REFUSED,
    },
    body(RequeueBody, {"by_filter": BY_FILTER}),
)
REQUEUE_ONE = Operation(
    "requeue_dead_letter",
    "Have a dead letter tried again",
    "Marks one parked letter; its worker takes it up once nothing of its aggregate is parked before it. Marking twice changes nothing.",
    200,
    {200: good(WholeLetter, "Marked.", {**WHOLE, "status": "requeued", "marked_by": "ann"}), **_ONE_REFUSED},
    body(ReasonBody, {"mended": {"reason": "The defect is mended."}}),
)
DISCARD = Operation(
    "discard_dead_letter",
    "Give a dead letter up",
    "The command gets the rejection DISCARDED with who and why; what waits behind it is free. Discarding twice changes nothing.",
    200,
    {200: good(WholeLetter, "Given up.", {**WHOLE, "status": "discarded", "marked_by": "ann"}), **_ONE_REFUSED},
    body(ReasonBody, {"outdated": {"reason": "The customer has called off the order."}}),
)


class DeadLetterRoutes(Routes):
    """The handlers. They write marks in the store and no event: who is the caller, why is the reason given."""

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=PATH, tags=["dead letters"])
        one = "/{context}/{position}"
        self.add(router, "GET", "", self.list_page, Permission.DLQ_READ, LIST)
        self.add(router, "GET", one, self.get, Permission.DLQ_READ, GET)
        self.add(router, "POST", "/requeue", self.requeue, Permission.DLQ_REQUEUE, REQUEUE)
        self.add(router, "POST", f"{one}/requeue", self.requeue_one, Permission.DLQ_REQUEUE, REQUEUE_ONE)
        self.add(router, "POST", f"{one}/discard", self.discard, Permission.DLQ_DISCARD, DISCARD)
        return router

    # --- reads --------------------------------------------------------------------------------------------------------

    async def list_page(
        self,
        request: Request,
        context: Annotated[Context | None, Query(description="Of this context only.")] = None,
        error_type: Annotated[ErrorType | None, Query(description="With this error only.")] = None,
        aggregate_id: Annotated[AggregateId | None, Query(description="About this aggregate only.")] = None,
        status: Annotated[Status | None, Query(description="With this status only, or all; those that wait by default.")] = None,
        limit: Limit = DEFAULT_PAGE,
        cursor: Annotated[str | None, Query(description="The next_cursor of the page before.")] = None,
    ) -> Response:
        """A page of letters."""
        statuses = WAITING if status is None else None if status == "all" else (status,)
        wanted = ParkedFilter(aggregate_id=aggregate_id, error_type=error_type, statuses=statuses)
        principal = principal_of(request.scope)
        found = await self.rows(principal, wanted, context, limit, cursor)
        last = found[limit - 1] if len(found) > limit else None
        query = {"context": context, "error_type": error_type, "aggregate_id": aggregate_id, "status": status}
        query["limit"] = None if limit == DEFAULT_PAGE else str(limit)
        url = self.url(PATH)
        links = {"self": Link(href=url + query_text({**query, "cursor": cursor}), rel="self")}
        following = None if last is None else f"{last.context}:{last.position}"
        headers = {}
        if following is not None:
            links["next"] = Link(href=url + query_text({**query, "cursor": following}), rel="next")
            headers["Link"] = f'<{links["next"].href}>; rel="next"'
        items = [Letter(**item._asdict(), links=self._links(principal, item)) for item in found[:limit]]
        return json_answer(LetterPage(items=items, next_cursor=following, links=links).to_json(), 200, headers)

    async def rows(
        self, principal: Principal, wanted: ParkedFilter, context: str | None, limit: int, cursor: str | None = None
    ) -> list[ParkedItem]:
        """The letters of a page, and one more where there are more. Raises ApiError, 422, for what is no cursor."""
        begin, after = _place(cursor)
        found: list[ParkedItem] = []
        for name in CONTEXTS[CONTEXTS.index(begin) :]:
            if context in (None, name) and len(found) <= limit:
                start = after if name == begin else 0
                found += await self._letters(principal, name).find(wanted, start, limit + 1 - len(found))
        return found

    async def get(self, request: Request, context: InContext, position: Position) -> Response:
        """One letter."""
        principal = principal_of(request.scope)
        return self._shown(principal, await self.existing(principal, context, position))

    # --- marks --------------------------------------------------------------------------------------------------------

    async def requeue(self, request: Request) -> Response:
        """Mark what a filter means."""
        marked = await self.mark(principal_of(request.scope), await read_object(request))
        return json_answer(marked.model_dump_json().encode())

    async def mark(self, principal: Principal, said: dict[str, Any]) -> Requeued:
        """Mark what a filter means, or count it. Raises ApiError, 422."""
        wanted = parsed(RequeueBody, said)
        letters = self._letters(principal, wanted.context)
        through = wanted.through or await letters.end()
        limits = ParkedFilter(aggregate_id=wanted.aggregate_id, error_type=wanted.error_type, through=through, statuses=(PARKED,))
        return await _mark(letters, limits, wanted, principal.id)

    async def requeue_one(self, request: Request, context: InContext, position: Position) -> Response:
        """Mark one letter."""
        principal = principal_of(request.scope)
        return self._shown(principal, await self.mark_one(principal, context, position, await read_object_if_any(request)))

    async def mark_one(self, principal: Principal, context: str, position: int, said: dict[str, Any]) -> LetterDetail:
        """Mark one letter; the letter after that. Raises ApiError: 404, 422."""
        reason = parsed(ReasonBody, said).reason
        found = await self.existing(principal, context, position)
        if found.item.status not in WAITING:
            raise _is_over(found.item.status)
        await self._letters(principal, context).requeue([position], principal.id, reason)
        return await self.existing(principal, context, position)

    async def discard(self, request: Request, context: InContext, position: Position) -> Response:
        """Give one letter up."""
        principal = principal_of(request.scope)
        return self._shown(principal, await self.give_up(principal, context, position, await read_object_if_any(request)))

    async def give_up(self, principal: Principal, context: str, position: int, said: dict[str, Any]) -> LetterDetail:
        """Give one letter up; the letter after that. Raises ApiError: 404, 422."""
        reason = parsed(ReasonBody, said).reason
        found = await self.existing(principal, context, position)
        if found.item.status not in (*WAITING, "discarded"):
            raise _is_over(found.item.status)
        await self._letters(principal, context).discard(position, principal.id, reason)
        after = await self.existing(principal, context, position)
        if after.item.status != "discarded":  # a worker was faster
            raise _is_over(after.item.status)
        return after

    def _letters(self, principal: Principal, context: str) -> TenantDeadLetters:
        return self.parts.letters.of(principal.tenant_id, context)

    async def existing(self, principal: Principal, context: str, position: int) -> LetterDetail:
        """One letter of the caller's tenant. Raises ApiError, 404."""
        found = await self._letters(principal, context).detail(position)
        if found is None:
            raise not_found(KIND, f"{context}:{position}")
        return found

    def _shown(self, principal: Principal, found: LetterDetail) -> Response:
        record = {name: value for name, value in found._asdict().items() if name != "item"}
        links = self._links(principal, found.item)
        return json_answer(WholeLetter(**found.item._asdict(), **record, links=links).to_json())

    def _links(self, principal: Principal, item: ParkedItem) -> dict[str, Link]:
        may, href = self.may(principal), self.url(f"{PATH}/{item.context}/{item.position}")
        links = {"self": Link(href=href, rel="self")}
        if may(Permission.DLQ_REQUEUE) and item.status == PARKED:
            links["requeue"] = Link(href=f"{href}/requeue", rel="requeue", method="POST", description="Have it tried again.")
        if may(Permission.DLQ_DISCARD) and item.status in WAITING:
            links["discard"] = Link(href=f"{href}/discard", rel="discard", method="POST", description="Give it up.")
        return links


async def _mark(letters: TenantDeadLetters, limits: ParkedFilter, wanted: RequeueBody, who: str) -> Requeued:
    """Mark letters in position order, in chunks, at the rate that is wanted, within the limits of a call."""
    matched = marked = 0
    after = wanted.after
    ends = asyncio.get_running_loop().time() + MARKING_SECONDS
    chunk = CHUNK if wanted.rate is None else max(1, min(CHUNK, int(wanted.rate)))
    complete = False
    while matched < MOST_MARKED:
        page = await letters.find(limits, after, chunk)
        positions = [item.position for item in page]
        matched += len(page)
        if page and not wanted.dry_run:
            marked += len(await letters.requeue(positions, who, wanted.reason))
        after = positions[-1] if page else after
        complete = len(page) < chunk
        pause = 0.0 if wanted.rate is None or wanted.dry_run else len(page) / wanted.rate
        if complete or asyncio.get_running_loop().time() + pause >= ends:
            break
        await asyncio.sleep(pause)
    return Requeued(context=wanted.context, matched=matched, marked=marked, through=limits.through or 0, after=after, complete=complete)


def _place(cursor: str | None) -> tuple[str, int]:
    """Context and position of the last letter of the page before. Raises ApiError, 422."""
    if cursor is None:
        return CONTEXTS[0], 0
    found = _CURSOR.fullmatch(cursor)
    if found is None or found[1] not in CONTEXTS:
        raise broken_rule("cursor", "Should be the next_cursor of a page", cursor, where="query")
    return found[1], int(found[2])


def _is_over(status: str) -> ApiError:
    details = {"rule": "dead_letter_must_wait", "status": status}
    return ApiError(
        "BUSINESS_RULE_VIOLATION",
        f"The letter is {status}, so there is nothing to be done.",
        error_type="BusinessRuleViolation",
        details=details,
    )
