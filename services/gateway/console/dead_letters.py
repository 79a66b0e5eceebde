"""The pages of dead letters: those of the caller's tenant by cause in, marks for redrive within bounds, or the end of one, out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from contracts.topics import CONTEXTS
from infra.dead_letters.base import PARKED, REQUEUED, WAITING, ParkedFilter, ParkedItem
from infra.identity.base import Permission, Principal
from services.gateway.calls import principal_of
from services.gateway.console.page import PAGE_ROWS, Desk, Page, filters, next_page, said
from services.gateway.console.session import PREFIX, Told, form_of
from services.gateway.errors import broken_rule
from services.gateway.resources.dead_letters import (
    AggregateId,
    Context,
    DeadLetterRoutes,
    ErrorType,
    InContext,
    Position,
    Requeued,
    Status,
)

PATH = f"{PREFIX}/dead-letters"
STATUSES = (*WAITING, "redriven", "discarded", "all")
MOST_COUNTED = 500
"""Letters of a context that are looked at in one go."""
MOST_LOOKS = 5
"""How often is looked again, each time past the causes that are known, so that ten thousand letters of one hide no other."""
BEHIND = "behind"
RATE = 50.0
"""Letters that a form has marked a second, so that what is still broken does not come back all at once."""


class Which(BaseModel):
    """Which letters are listed."""

    model_config = ConfigDict(frozen=True)

    context: Context | None = None
    error_type: ErrorType | None = None
    aggregate_id: AggregateId | None = None
    status: Status | None = None
    cursor: str | None = None


class Cause(NamedTuple):
    """Letters of one context that failed by the same error, and those that wait behind them, which follow by themselves."""

    context: str
    error_type: str
    example: str
    parked: int
    requeued: int
    behind: int
    aggregates: int
    since: str
    through: int
    """The last position that the page knows of: what is parked later is not meant by its form."""
    more: bool
    """These are not all."""


class DeadLetterPages(Page):
    """The marks are those of the API: who is the caller, why is the reason given."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._letters = DeadLetterRoutes(desk.parts)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter()
        one = PATH + "/{context}/{position}"
        self.add(router, "GET", PATH, self.causes, Permission.DLQ_READ)
        self.add(router, "POST", f"{PATH}/requeue", self.requeue, Permission.DLQ_REQUEUE)
        self.add(router, "GET", one, self.one, Permission.DLQ_READ)
        self.add(router, "POST", f"{one}/requeue", self.requeue_one, Permission.DLQ_REQUEUE)
        self.add(router, "POST", f"{one}/discard", self.discard, Permission.DLQ_DISCARD)
        return router

    async def causes(self, request: Request) -> Response:
        """What is parked, by cause, and letter by letter."""
        which = filters(Which, request)
        principal = principal_of(request.scope)
        statuses = WAITING if which.status is None else None if which.status == "all" else (which.status,)
        wanted = ParkedFilter(aggregate_id=which.aggregate_id, error_type=which.error_type, statuses=statuses)
        found = await self._letters.rows(principal, wanted, which.context, PAGE_ROWS, which.cursor)
        last = found[PAGE_ROWS - 1] if len(found) > PAGE_ROWS else None
        counted = which.cursor is None and which.status in (None, *WAITING)
        causes = await self._causes(principal, wanted, which.context) if counted else ()
        return self.show(
            request,
            "dead_letters.html",
            which=which,
            causes=causes,
            rows=found[:PAGE_ROWS],
            more=any(cause.more for cause in causes),
            most=MOST_COUNTED,
            contexts=CONTEXTS,
            statuses=STATUSES,
            following=next_page(request, None if last is None else f"{last.context}:{last.position}"),
            filtered=bool(which.model_dump(exclude={"cursor"}, exclude_none=True)),
        )

    async def _causes(self, principal: Principal, wanted: ParkedFilter, context: str | None) -> tuple[Cause, ...]:
        """Every cause, each with as many of its letters as are counted."""
        found: list[ParkedItem] = []
        more: set[tuple[str, str]] = set()
        for name in CONTEXTS if context is None else (context,):
            known: set[str] = set()
            for _ in range(MOST_LOOKS):
                letters = await self._letters.rows(principal, replace(wanted, but=tuple(known)), name, MOST_COUNTED)
                found += letters[:MOST_COUNTED]
                if len(letters) <= MOST_COUNTED:
                    break
                new = {letter.error_type for letter in letters[:MOST_COUNTED]}
                known |= new
                more |= {(name, error_type) for error_type in new}
        return causes_of(found, more)

    async def requeue(self, request: Request) -> Response:
        """Mark the letters of a cause, up to the bound that the page told."""
        fields = said(request, "context", "error_type", "reason")
        through = _whole("through", form_of(request).get("through", ""))
        marked = await self._letters.mark(principal_of(request.scope), {**fields, "through": through, "rate": RATE})
        return self.go_on(request, PATH, Told("done", _told(marked)))

    async def one(self, request: Request, context: InContext, position: Position) -> Response:
        """One letter with its record."""
        letter = await self._letters.existing(principal_of(request.scope), context, position)
        status = letter.item.status
        return self.show(
            request, "dead_letter.html", letter=letter, item=letter.item, requeuable=status == PARKED, discardable=status in WAITING
        )

    async def requeue_one(self, request: Request, context: InContext, position: Position) -> Response:
        """Mark one letter."""
        await self._letters.mark_one(principal_of(request.scope), context, position, said(request, "reason"))
        told = "It is marked; its worker takes it up once nothing of its aggregate is parked before it."
        return self.go_on(request, f"{PATH}/{context}/{position}", Told("done", told))

    async def discard(self, request: Request, context: InContext, position: Position) -> Response:
        """Give one letter up."""
        await self._letters.give_up(principal_of(request.scope), context, position, said(request, "reason"))
        return self.go_on(request, f"{PATH}/{context}/{position}", Told("done", "It is given up; what waits behind it is free."))


def causes_of(items: Iterable[ParkedItem], more: Collection[tuple[str, str]] = ()) -> tuple[Cause, ...]:
    """The letters by context and error, those with the most letters first. One that waits behind another counts with that, which stands
    before it; alone it is its own cause. `more` are contexts and errors that have more letters than these."""
    found: dict[tuple[str, str], list[ParkedItem]] = {}
    heads: dict[tuple[str, str | None], str] = {}
    for item in items:
        about = (item.context, item.aggregate_id)
        if item.cause != BEHIND:
            heads[about] = item.error_type
        found.setdefault((item.context, heads.get(about, item.error_type)), []).append(item)
    causes = [_cause(context, error_type, letters, (context, error_type) in more) for (context, error_type), letters in found.items()]
    return tuple(sorted(causes, key=lambda cause: (-cause.parked - cause.requeued - cause.behind, cause.context, cause.error_type)))


def _cause(context: str, error_type: str, letters: list[ParkedItem], more: bool) -> Cause:
    own = [item for item in letters if item.cause != BEHIND]
    return Cause(
        context=context,
        error_type=error_type,
        example=(own or letters)[-1].error_message,
        parked=sum(item.status == PARKED for item in own),
        requeued=sum(item.status == REQUEUED for item in own),
        behind=len(letters) - len(own),
        aggregates=len({item.aggregate_id for item in letters if item.aggregate_id is not None}),
        since=min(item.since for item in letters),
        through=max(item.position for item in own or letters),
        more=more,
    )


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise broken_rule(name, "Should be a position", text)
    return int(text)


def _told(marked: Requeued) -> str:
    begun = f"{marked.marked} of {marked.matched} letters of {marked.context} are marked to be tried again."
    return begun if marked.complete else f"{begun} There may be more: see below."
