"""The pages on which operators sign in and out: login and password, or in development a token, in; the session's cookie out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from fastapi import APIRouter, Depends, Request, Response

from infra.identity.base import Credentials, Permission, TokenSigner, Unauthenticated, login_and_tenant
from services.gateway.access import unauthorized, utc_now
from services.gateway.calls import PRINCIPAL
from services.gateway.console.page import Desk, see
from services.gateway.console.session import PREFIX
from services.gateway.errors import ApiError
from services.gateway.limits import RateLimits
from services.gateway.linked import query_text

SIGN_IN_PATH = f"{PREFIX}/sign-in"
SIGN_OUT_PATH = f"{PREFIX}/sign-out"
DEVELOPMENT = "development"
WRONG = "This login and password do not sign in. A login is written with its tenant: ann@acme."
WRONG_TOKEN = "This token does not sign in: it is not one of ours, or it has expired."  # noqa: S105 (what a page says)
ENDED = "ended"
UNSENT = "unsent"
WHY = {
    ENDED: "Your session has ended, as every session does with its token. Sign in to go on.",
    UNSENT: "You are not signed in any more, so what you sent was not carried out. Sign in, look at the page again, and send it anew.",
}
"""What is told to who was led here."""
_WITHIN = re.compile(PREFIX + r"(?:/[A-Za-z0-9._~%@:=+,-]+)*(?:\?[A-Za-z0-9._~%@:=+,&-]*)?", re.ASCII)


class SignInPages:
    """Open to everybody; guesses are slowed down by the limit of their address, as at the API's own route."""

    def __init__(
        self,
        desk: Desk,
        credentials: Credentials,
        signer: TokenSigner,
        limits: RateLimits,
        environment: str,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._desk = desk
        self._credentials = credentials
        self._signer = signer
        self._limits = limits
        self._takes_tokens = environment == DEVELOPMENT
        self._now = now

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        router.add_api_route(PREFIX, self.first, methods=["GET"], include_in_schema=False)
        router.add_api_route(SIGN_IN_PATH, self.page, methods=["GET"], include_in_schema=False)
        limited = [Depends(self._limits.before_sign_in)]
        router.add_api_route(SIGN_IN_PATH, self.sign_in, methods=["POST"], include_in_schema=False, dependencies=limited)
        router.add_api_route(SIGN_OUT_PATH, self.sign_out, methods=["POST"], include_in_schema=False)
        return router

    async def first(self, request: Request) -> Response:
        """The first page that the role may open; signing in, for who has not."""
        principal = await self._desk.sessions.sign_in(request)
        request.scope[PRINCIPAL] = principal
        places = self._desk.pages.places(principal)
        if not places:
            details = {"required_permission": Permission.REQUEST_READ.value}
            raise ApiError("FORBIDDEN", f"The role {principal.role} opens no page of the console.", details=details)
        return see(places[0].path)

    async def page(self, request: Request) -> Response:
        """The form."""
        return self._form(request, within(request.query_params.get("to", "")))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session, and lead to the page that was asked for."""
        sessions = self._desk.sessions
        fields = await sessions.check_form(request, sessions.stranger(request))
        to = within(fields.get("to", ""))
        try:
            token = await self._token(fields)
            principal = sessions.access.holder(token)
        except (Unauthenticated, ApiError) as error:
            if isinstance(error, ApiError) and error.code != "UNAUTHORIZED":
                raise
            return self._form(request, to, WRONG_TOKEN if self._by_token(fields) else WRONG, fields.get("username", ""))
        response = see(to)
        sessions.begin(response, token, principal)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session; a form of this session asks for it, so that no other site can."""
        sessions = self._desk.sessions
        if sessions.token(request):
            await sessions.check_form(request, sessions.token(request))
        response = see(SIGN_IN_PATH)
        sessions.end(response)
        return response

    def _by_token(self, fields: Mapping[str, str]) -> bool:
        return self._takes_tokens and bool(fields.get("token", "").strip())

    async def _token(self, fields: Mapping[str, str]) -> str:
        if self._by_token(fields):
            return fields["token"].strip()
        login, tenant_id = login_and_tenant(fields.get("username", "").strip())
        try:
            principal = await self._credentials.user(login, fields.get("password", ""), tenant_id)
        except Unauthenticated as error:
            raise unauthorized(str(error)) from None
        return self._signer.issue(principal, self._now())

    def _form(self, request: Request, to: str, wrong: str = "", username: str = "") -> Response:
        stranger = self._desk.sessions.stranger(request)
        response = self._desk.pages.show(
            request,
            "sign_in.html",
            401 if wrong else 200,
            to=to,
            wrong=wrong,
            username=username,
            why=WHY.get(request.query_params.get("why", "")),
            stranger_text=self._desk.sessions.text_of(stranger),
            takes_tokens=self._takes_tokens,
        )
        self._desk.sessions.keep_stranger(response, stranger)
        return response


def within(path: str) -> str:
    """A path of the console as it is, for everything else the console's own."""
    return path if _WITHIN.fullmatch(path) and not path.startswith((SIGN_IN_PATH, SIGN_OUT_PATH)) else PREFIX


def sign_in_path(to: str, why: str | None) -> str:
    """Where who is not signed in is led to, and from there back."""
    asked = within(to)
    return SIGN_IN_PATH + query_text({"to": None if asked == PREFIX else asked, "why": why})
