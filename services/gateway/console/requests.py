"""The pages of requests: a search in, a list out; an id in, one request with its timeline, its history and what was decided out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.requests.values import RequestStatus, ValidCustomerId
from infra.identity.base import Permission, Principal
from infra.models.base import RecordedCalls
from projections.requests.queries import RequestView, request_decisions, request_history
from projections.timeline.queries import GetTimeline, TimelineView, request_timeline
from services.gateway.calls import principal_of
from services.gateway.console.page import PAGE_ROWS, Desk, Page, filters, next_page
from services.gateway.console.session import PREFIX
from services.gateway.console.waterfall import WIDTH, WORDS, Waterfall, waterfall
from services.gateway.cursors import cursor_of
from services.gateway.errors import ApiError
from services.gateway.parameters import IdInPath
from services.gateway.resources.base import Listed
from services.gateway.resources.requests import ListedStatus, RequestRoutes

PATH = f"{PREFIX}/requests"
STATUSES = ListedStatus.__args__  # type: ignore[attr-defined]
MAX_TEXT = 100
TRACE_ID = "{trace_id}"


class Search(BaseModel):
    """What is searched for; an id finds one request, whatever else is asked."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)] | None = None
    status: ListedStatus | None = None
    customer: ValidCustomerId | None = None
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=NO_CONTROL)] | None = None
    escalated: Literal["yes", "no"] | None = None
    sort: Literal["newest", "oldest"] = "newest"
    cursor: str | None = Field(None)


class RequestPages(Page):
    """A customer sees its own requests, as in the API."""

    def __init__(self, desk: Desk, calls: RecordedCalls, trace_url: str | None) -> None:
        super().__init__(desk)
        self._requests = RequestRoutes(desk.parts)
        self._calls = calls
        self._trace_url = trace_url

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter()
        self.add(router, "GET", PATH, self.search, Permission.REQUEST_READ)
        self.add(router, "GET", PATH + "/{request_id}", self.one, Permission.REQUEST_READ)
        return router

    async def search(self, request: Request) -> Response:
        """A page of requests."""
        wanted = filters(Search, request)
        found = [await self._found(request, wanted.id)] if wanted.id else await self._rows(request, wanted)
        rows = [view for view in found if view is not None]
        cursor = None
        if len(rows) > PAGE_ROWS:
            last = rows[PAGE_ROWS - 1]
            cursor = cursor_of((last.created_at, last.request_id))
        return self.show(
            request,
            "requests.html",
            wanted=wanted,
            rows=rows[:PAGE_ROWS],
            statuses=STATUSES,
            following=next_page(request, cursor),
            filtered=bool(wanted.model_dump(exclude={"sort", "cursor"}, exclude_none=True)),
        )

    async def one(self, request: Request, request_id: IdInPath) -> Response:
        """One request with all that is known of it."""
        principal = principal_of(request.scope)
        view = await self._requests.visible(request, request_id)
        may = self.desk.parts.access.may
        reads = self._requests.reads(principal)
        history, decisions, timeline = await asyncio.gather(
            request_history(reads, principal.tenant_id, request_id),
            request_decisions(reads, principal.tenant_id, request_id),
            self._timeline(principal, request_id),
        )
        return self.show(
            request,
            "request.html",
            view=view,
            history=history,
            decisions=decisions,
            waterfall=await self._waterfall(principal, timeline),
            traces=[] if timeline is None else [self._trace(trace_id) for trace_id in timeline.trace_ids],
            width=WIDTH,
            lane_words=WORDS,
            to_decide=may(principal, Permission.REQUEST_APPROVE) and view.status == RequestStatus.AWAITING_APPROVAL,
        )

    async def _timeline(self, principal: Principal, request_id: str) -> TimelineView | None:
        """Where the time went, for staff."""
        if not self.desk.parts.access.may(principal, Permission.TASK_READ):
            return None
        query = GetTimeline(tenant_id=principal.tenant_id, request_id=request_id)
        return await request_timeline(self._requests.reads(principal), query)

    async def _waterfall(self, principal: Principal, timeline: TimelineView | None) -> Waterfall | None:
        if timeline is None:
            return None
        tasks = [part.task_id for part in timeline.parts if part.task_id is not None]
        return waterfall(timeline, await self._calls.of_tasks(principal.tenant_id, tasks) if tasks else ())

    def _trace(self, trace_id: str) -> tuple[str, str | None]:
        """A trace, and where it is found."""
        return trace_id, None if self._trace_url is None else self._trace_url.replace(TRACE_ID, trace_id)

    async def _found(self, request: Request, request_id: str) -> RequestView | None:
        try:
            return await self._requests.visible(request, request_id)
        except ApiError as error:
            if error.code != "RESOURCE_NOT_FOUND":
                raise
            return None

    async def _rows(self, request: Request, wanted: Search) -> list[RequestView]:
        asked = Listed(PAGE_ROWS, wanted.cursor, wanted.sort)
        escalated = None if wanted.escalated is None else wanted.escalated == "yes"
        return await self._requests.rows(
            request, asked, customer_id=wanted.customer, status=wanted.status, escalated=escalated, text=wanted.text
        )
