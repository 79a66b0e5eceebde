"""Who sits before a page and whether a form is his own: cookies and fields in, a principal, a refusal, or cookies out; no session is kept
here, so every gateway answers every page (ADR 0024)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from fastapi import Request, Response

from infra.identity.base import Permission, Principal
from services.gateway.access import Access, Requirement, forbidden, utc_now
from services.gateway.bodies import FORM_TYPE, read_form
from services.gateway.calls import PRINCIPAL
from services.gateway.errors import ApiError, broken_rule
from services.gateway.settings import GatewaySettings

PREFIX = "/console"
TOKEN_COOKIE = "agentmesh_console"  # noqa: S105 (the name of a cookie)
STRANGER_COOKIE = "agentmesh_console_form"
TOLD_COOKIE = "agentmesh_console_told"
FORM_FIELD = "form"
FORM = "agentmesh.console.form"
MAX_COOKIE_CHARACTERS = 3_900
STRANGER_SECONDS = 3_600
TOLD_SECONDS = 60
FOREIGN = "This was sent from another page than ours, so nothing was done."
STALE = "This form belongs to another sign-in, so nothing was done."


@dataclass(frozen=True, slots=True)
class Told:
    """What a page tells once: how it went, and in which words."""

    kind: str
    """`done`, `waiting` (not known yet) or `failed`."""
    text: str


class Sessions:
    """The cookie of a session is the access token itself: it ends with the token, and what its role may do is asked anew at each call.

    Its forms carry a text that only who holds the token can make, so that no other site's form counts; beside that, a form is taken only
    from a page of this very origin."""

    def __init__(self, access: Access, settings: GatewaySettings, now: Callable[[], datetime] = utc_now) -> None:
        self.access = access
        self._own = urlsplit(settings.url)
        self._secure = self._own.scheme == "https"
        self._now = now

    # --- who it is ----------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> str:
        """The access token of the session; empty where there is none."""
        return request.cookies.get(self._name(TOKEN_COOKIE), "")

    async def sign_in(self, request: Request) -> Principal:
        """Whose session it is, with a token of his bucket taken. Raises ApiError: 401, 429."""
        return await self.access.signed_in(request, self.token(request))

    def begin(self, response: Response, token: str, principal: Principal) -> None:
        """Start a session that ends with the token. Raises ApiError, 422, for a token that no browser would keep."""
        if len(token) > MAX_COOKIE_CHARACTERS:
            raise broken_rule("token", f"should have at most {MAX_COOKIE_CHARACTERS} characters, for browsers keep no more", token)
        ends = principal.expires_at
        seconds = None if ends is None else max(1, int((ends - self._now()).total_seconds()))
        self._set(response, TOKEN_COOKIE, token, seconds, strict=False)
        self._drop(response, STRANGER_COOKIE)

    def end(self, response: Response) -> None:
        """End the session in this browser."""
        for name in (TOKEN_COOKIE, STRANGER_COOKIE, TOLD_COOKIE):
            self._drop(response, name)

    # --- forms --------------------------------------------------------------------------------------------------------

    def form_text(self, request: Request) -> str:
        """What a form of this session carries."""
        return self.text_of(self.token(request))

    def text_of(self, session: str) -> str:
        """What a form carries of a session, be it a stranger's."""
        return _signed(session, "form")

    def stranger(self, request: Request) -> str:
        """What stands for the session of who has not signed in yet: his own from before, or a new one."""
        return request.cookies.get(self._name(STRANGER_COOKIE), "") or secrets.token_urlsafe(24)

    def keep_stranger(self, response: Response, stranger: str) -> None:
        """Let the form of signing in be known again."""
        self._set(response, STRANGER_COOKIE, stranger, STRANGER_SECONDS, strict=True)

    async def check_form(self, request: Request, session: str) -> Mapping[str, str]:
        """The fields of a form of this session, each once. Raises ApiError, 403, for a form of another site or session."""
        if not self.same_origin(request):
            raise _foreign(FOREIGN)
        fields = await _fields(request)
        if not session or not hmac.compare_digest(fields.get(FORM_FIELD, "").encode(), self.text_of(session).encode()):
            raise _foreign(STALE)
        return fields

    def same_origin(self, request: Request) -> bool:
        """Whether a browser says that a page of ours sent it. A browser that says nothing is not believed."""
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if site not in (None, "same-origin", "none") or (site is None and origin is None):
            return False
        if origin is None:
            return True
        sent = parts_of(origin)
        own = {(self._own.scheme, self._own.netloc.lower()), (self._own.scheme, request.headers.get("host", "").lower())}
        return (sent.scheme, sent.netloc.lower()) in own

    # --- what is told once --------------------------------------------------------------------------------------------

    def tell(self, request: Request, response: Response, told: Told) -> None:
        """Have the next page of this session tell it."""
        text = base64.urlsafe_b64encode(json.dumps([told.kind, told.text]).encode()).decode()
        self._set(response, TOLD_COOKIE, f"{text}.{_signed(self.token(request), text)}", TOLD_SECONDS, strict=False)

    def told(self, request: Request) -> Told | None:
        """What was to be told, if it was said to this session."""
        text, _, signature = request.cookies.get(self._name(TOLD_COOKIE), "").partition(".")
        if not text or not self.token(request) or not hmac.compare_digest(signature.encode(), _signed(self.token(request), text).encode()):
            return None
        kind, words = json.loads(base64.urlsafe_b64decode(text))
        return Told(kind, words)

    def forget_told(self, request: Request, response: Response) -> None:
        """It has been told."""
        if self._name(TOLD_COOKIE) in request.cookies:
            self._drop(response, TOLD_COOKIE)

    # --- cookies ------------------------------------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        """Over TLS a browser takes a cookie of such a name from a secure page of this very host only, never from a neighbour's."""
        return f"__Host-{name}" if self._secure else name

    @property
    def _path(self) -> str:
        """A cookie of such a name is of the whole host; the API takes none."""
        return "/" if self._secure else PREFIX

    def _set(self, response: Response, name: str, value: str, seconds: int | None, *, strict: bool) -> None:
        same_site = "strict" if strict else "lax"
        response.set_cookie(
            self._name(name),
            value,
            max_age=seconds,
            path=self._path,
            secure=self._secure,
            httponly=True,
            samesite=same_site,  # type: ignore[arg-type]
        )

    def _drop(self, response: Response, name: str) -> None:
        response.delete_cookie(self._name(name), path=self._path, secure=self._secure, httponly=True, samesite="lax")


@dataclass(frozen=True, slots=True)
class PageRequirement(Requirement):
    """The permission of one page, or of one form."""

    sessions: Sessions

    async def check(self, request: Request) -> None:
        """Put the principal of the session into the scope, and the fields of a form. Raises ApiError: 401 for who has no session, 403 for
        a form that is not his own and for who may not, 429."""
        principal = await self.sessions.sign_in(request)
        request.scope[PRINCIPAL] = principal
        if request.method == "POST":
            request.scope[FORM] = await self.sessions.check_form(request, self.sessions.token(request))
        if not self.access.may(principal, self.permission):
            raise forbidden(request, principal, self.permission)

    @classmethod
    def of(cls, sessions: Sessions, permission: Permission) -> PageRequirement:
        """What a route puts into its dependencies."""
        return cls(sessions.access, permission, sessions)


def form_of(request: Request) -> Mapping[str, str]:
    """The fields of the form that was sent, of a route that asks for a permission."""
    fields: Mapping[str, str] = request.scope[FORM]
    return fields


async def _fields(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise ApiError("UNSUPPORTED_MEDIA_TYPE", f"The body should be sent with Content-Type: {FORM_TYPE}.")
    return {name: value.replace("\r\n", "\n") for name, value in (await read_form(request)).items()}


def parts_of(url: str) -> SplitResult:
    """The parts of a URL that a browser sent; empty ones of what is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _foreign(message: str) -> ApiError:
    return ApiError("FORBIDDEN", message, details={"rule": "form_must_be_own"})


def _signed(session: str, text: str) -> str:
    """What only who holds the session's secret can make of a text; it tells nothing of the secret."""
    made = hmac.digest(session.encode(), f"agentmesh console {text}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")
