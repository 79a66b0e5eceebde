"""How a page is made: a template and what it shows in, HTML with its headers out; templates and their few files are read once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jinja2
from fastapi import Request, Response

from infra.identity.base import Permission, Principal
from services.gateway.calls import PRINCIPAL
from services.gateway.console.session import PREFIX, Sessions
from services.gateway.linked import query_text

PACKAGE = "services.gateway.console"
STATIC_PATH = PREFIX + "/static/{name}"
KINDS = {"css": "text/css", "svg": "image/svg+xml"}
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    # With `no-referrer`, as the API has it, a browser would hide from us which page a form came from.
    "Referrer-Policy": "same-origin",
}
NEVER_CHANGES = "public, max-age=31536000, immutable"
RELOAD_FIELD = "refresh"
RELOAD_SECONDS = 15
UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


class Place(NamedTuple):
    """An entry of the navigation."""

    title: str
    path: str
    permission: Permission
    reloads: bool = False
    """Whether it may be left open to load itself again."""


PLACES: Final = (
    Place("Fleet", f"{PREFIX}/fleet", Permission.AGENT_READ, reloads=True),
    Place("Requests", f"{PREFIX}/requests", Permission.REQUEST_READ),
    Place("Approvals", f"{PREFIX}/approvals", Permission.REQUEST_APPROVE),
    Place("Dead letters", f"{PREFIX}/dead-letters", Permission.DLQ_READ, reloads=True),
    Place("Projections", f"{PREFIX}/projections", Permission.PROJECTION_READ, reloads=True),
)


class Asset(NamedTuple):
    """A file beside the pages. Its name holds a hash of its content, so that it never changes under its name."""

    name: str
    content: bytes
    media_type: str


class Pages:
    """Renders pages. Whatever a template shows is escaped; there is no script and no style in a page itself."""

    def __init__(self, sessions: Sessions, environment: str = "", version: str = "") -> None:
        self._sessions = sessions
        self._assets = _assets()
        self._names = {asset.name.partition("-")[0]: asset.name for asset in self._assets.values()}
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= FILTERS
        self._environment.globals |= {"asset": self._asset_path, "mesh": environment, "version": version, "prefix": PREFIX}

    def show(self, request: Request, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **shown: Any) -> Response:
        """The answer that shows a template, to who is signed in or to a stranger."""
        principal: Principal | None = request.scope.get(PRINCIPAL)
        html = self._environment.get_template(template).render(
            principal=principal,
            places=[] if principal is None else self.places(principal),
            here=request.scope["path"],
            reload=_reload(request),
            form_text=self._sessions.form_text(request),
            told=self._sessions.told(request),
            may=partial(self._sessions.access.may, principal) if principal is not None else _nothing,
            now=datetime.now(UTC),
            **shown,
        )
        response = Response(html, status_code=status, media_type="text/html", headers={**HEADERS, **(headers or {})})
        self._sessions.forget_told(request, response)
        return response

    def places(self, principal: Principal) -> list[Place]:
        """The pages that the principal's role may open."""
        return [place for place in PLACES if self._sessions.access.may(principal, place.permission)]

    def asset(self, name: str) -> Asset | None:
        """The file of this name."""
        return self._assets.get(name)

    def _asset_path(self, name: str) -> str:
        return STATIC_PATH.format(name=self._names[name])


class Reload(NamedTuple):
    """Whether the page loads itself again, and where it is turned on or off. Nothing does so unasked: it would take the place of the
    reader, and what he has typed, away."""

    on: bool
    seconds: int
    path: str


def _reload(request: Request) -> Reload | None:
    """None for a page that cannot; the page of a failure goes on as the page itself would."""
    path = request.scope["path"]
    if request.method != "GET" or not any(place.reloads and place.path == path for place in PLACES):
        return None
    on = request.query_params.get(RELOAD_FIELD) == str(RELOAD_SECONDS)
    asked = {**request.query_params, RELOAD_FIELD: None if on else str(RELOAD_SECONDS)}
    return Reload(on, RELOAD_SECONDS, path + query_text(asked))


def _nothing(_: Permission) -> bool:
    return False


def _template(name: str) -> str:
    return files(PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")


def _assets() -> dict[str, Asset]:
    found = {}
    for file in files(PACKAGE).joinpath("static").iterdir():
        stem, _, ending = file.name.rpartition(".")
        content = file.read_bytes()
        name = f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
        found[name] = Asset(name, content, KINDS[ending])
    return found


# --- how values are told --------------------------------------------------------------------------------------------


def iso(at: datetime) -> str:
    """A moment as machines read it, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(at: datetime) -> str:
    """A moment as people read it, in UTC, with its zone, for it is copied into messages and tickets."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def away(at: datetime, now: datetime) -> str:
    """How long ago a moment was, or how soon it comes."""
    seconds = (at - now).total_seconds()
    return f"in {seconds_text(seconds)}" if seconds > 0 else f"{seconds_text(-seconds)} ago"


def seconds_text(seconds: float | None) -> str:
    """A duration with the two units that matter: `840 ms`, `3.2 s`, `4 min 12 s`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    seconds = round(seconds, 1)
    smaller = {"d": (3_600.0, "h"), "h": (60.0, "min"), "min": (1.0, "s")}
    for size, name in UNITS:
        if seconds >= size:
            rest_size, rest_name = smaller[name]
            rest = int(seconds % size // rest_size)
            return f"{int(seconds // size)} {name}" + (f" {rest} {rest_name}" if rest else "")
    return f"{seconds:.0f} s"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 event`, `2 events`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def pretty(value: object) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def words(name: object) -> str:
    """A name of the code in words: `awaiting_approval` is `awaiting approval`."""
    return str(name).replace("_", " ")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "at": datetime.fromisoformat,
    "seconds": seconds_text,
    "plural": plural,
    "words": words,
    "iso": iso,
    "utc": utc,
    "away": away,
    "pretty": pretty,
    # Jinja's own lets a slash be, so that an id with one would lead to another page than its own.
    "urlencode": partial(quote, safe=""),
}
"""What templates call to tell a value."""
