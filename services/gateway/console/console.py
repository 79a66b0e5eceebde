"""The console as one part of the gateway: its pages, its files, and what a refusal looks like to a person; built by the worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from infra.errors import TransientError
from infra.fleet.base import FleetView
from infra.identity.base import Credentials, TokenSigner
from infra.models.base import RecordedCalls
from services.gateway.calls import PRINCIPAL, Scope, call_of
from services.gateway.console.approvals import ApprovalPages
from services.gateway.console.dead_letters import DeadLetterPages
from services.gateway.console.fleet import FleetPages
from services.gateway.console.page import Desk, Page
from services.gateway.console.pages import NEVER_CHANGES, STATIC_PATH, Pages
from services.gateway.console.people import People
from services.gateway.console.projections import ProjectionPages
from services.gateway.console.requests import RequestPages
from services.gateway.console.session import PREFIX, Sessions, parts_of
from services.gateway.console.sign_in import ENDED, SIGN_IN_PATH, SIGN_OUT_PATH, UNSENT, SignInPages, sign_in_path
from services.gateway.edge import log_refusal
from services.gateway.errors import KINDS, ApiError, not_found
from services.gateway.limits import RateLimits
from services.gateway.resources.base import Parts

ADVICE: Mapping[str, str] = {
    "FORBIDDEN": "Ask somebody whose role may do it, or have your role changed; the permission that is missing is named above.",
    "RESOURCE_NOT_FOUND": "It may be of another tenant, deleted, or so new that no read model shows it yet: look for it in the lists.",
    "VALIDATION_ERROR": "Go back, correct what is named above, and send it again.",
    "BUSINESS_RULE_VIOLATION": "Go back and load the page again: its state has changed since it was shown, or does not allow this.",
    "CONCURRENCY_CONFLICT": "Go back, load the page again, and see whether it still needs you.",
    "IDEMPOTENCY_KEY_REUSED": "This form was sent before with other words, and that counts. Load the page again to see what came of it.",
    "RATE_LIMITED": "Wait for as long as is told above, then load the page again.",
    "SERVICE_UNAVAILABLE": "A server that this needs is away or overloaded. Go back and send it again in a moment: a form that is sent "
    "twice is one order.",
    "INTERNAL_ERROR": "Something is broken on our side. Its cause is in the gateway's log under the id below.",
    "PAYLOAD_TOO_LARGE": "Go back and write less.",
}
OTHER_ADVICE = "Go back, or open one of the pages above."
FORM_ADVICE = "Load the page again from {address}, and send the form from there."


class Around(NamedTuple):
    """What the console needs of the gateway beside the parts of the API's routes."""

    credentials: Credentials
    signer: TokenSigner
    limits: RateLimits
    people: People
    fleet: FleetView
    model_calls: RecordedCalls
    trace_url: str | None
    """Where people find a trace, with `{trace_id}` in it."""
    environment: str
    version: str


class Console:
    """The pages below /console. They read and order by the functions of the API's own routes; see `services.gateway.app.Pages`."""

    def __init__(self, parts: Parts, around: Around) -> None:
        self._base = parts.settings.url
        self._sessions = Sessions(parts.access, parts.settings)
        self._pages = Pages(self._sessions, around.environment, around.version)
        desk = Desk(parts, self._sessions, self._pages)
        self._sign_in = SignInPages(desk, around.credentials, around.signer, around.limits, around.environment)
        self._rest: Sequence[Page] = (
            FleetPages(desk, around.fleet),
            RequestPages(desk, around.model_calls, around.trace_url),
            ApprovalPages(desk, around.people),
            DeadLetterPages(desk),
            ProjectionPages(desk),
        )
        self._router = self._routes()
        self.open_paths: Collection[str] = frozenset({PREFIX, SIGN_IN_PATH, SIGN_OUT_PATH, STATIC_PATH})

    def router(self) -> APIRouter:
        """See `Pages`."""
        return self._router

    def _routes(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route(STATIC_PATH, self.file, methods=["GET"], include_in_schema=False)
        routers = [self._sign_in.router(), *(each.router() for each in self._rest)]
        router.routes.extend(route for each in routers for route in each.routes)
        return router

    async def file(self, request: Request, name: str) -> Response:
        """A file of the pages; a browser keeps it for ever, since its name tells its content."""
        asset = self._pages.asset(name)
        if asset is None:
            raise not_found("Path", name if name.isprintable() else "?")
        headers = {"Cache-Control": NEVER_CHANGES, "ETag": f'"{asset.name}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def shows(self, path: str) -> bool:
        """See `ErrorPages`."""
        return path == PREFIX or path.startswith(PREFIX + "/")

    def refused(self, scope: Scope, error: ApiError) -> tuple[int, bytes, dict[str, str]]:
        """See `ErrorPages`. Who is not signed in is led to signing in, and back from there."""
        log_refusal(error, call_of(scope))
        request = Request(scope)
        if error.code == "UNAUTHORIZED":
            return 303, b"", {"Location": self._to_sign_in(request), "Content-Length": "0"}
        self._know(request)
        kind = KINDS.get(error.code)
        answer = self._pages.show(
            request,
            "error.html",
            error.status,
            title=kind.title if kind is not None else "This did not work",
            error=error,
            advice=self._advice(error),
            request_id=call_of(scope).request_id,
        )
        headers = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
        return error.status, bytes(answer.body), {**headers, **error.headers}

    def _advice(self, error: ApiError) -> str:
        if error.details.get("rule") == "form_must_be_own":
            return FORM_ADVICE.format(address=self._base + PREFIX)
        return ADVICE.get(error.code, OTHER_ADVICE)

    def _to_sign_in(self, request: Request) -> str:
        """Signing in, and from there back to the page that was asked for, or whose form was sent. A browser drops the cookie of a session
        that has ended, so that of a form it is told in any case that it did nothing."""
        if request.method != "GET":
            return sign_in_path(parts_of(request.headers.get("referer", "")).path, UNSENT)
        return sign_in_path(call_of(request.scope).url.removeprefix(self._base), ENDED if self._sessions.token(request) else None)

    def _know(self, request: Request) -> None:
        """Who is signed in finds the way to the other pages on a page that nobody signs in for, too."""
        token = self._sessions.token(request)
        if token and PRINCIPAL not in request.scope:
            with suppress(ApiError, TransientError):
                request.scope[PRINCIPAL] = self._sessions.access.holder(token)
