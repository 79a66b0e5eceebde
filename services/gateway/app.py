"""The application: routers in, an ASGI application with its error handlers, its document and its edge out; built by the worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from contracts.errors import DomainError
from infra.errors import CircuitOpen, TransientError
from services.gateway import docs_page, errors, openapi
from services.gateway.access import check_routes
from services.gateway.calls import Observer, Scope
from services.gateway.edge import Application, Bind, Edge, ErrorPages, Receive, Send, refusal
from services.gateway.errors import KINDS, PROBLEMS_PATH, ApiError
from services.gateway.settings import GatewaySettings
from services.gateway.token_route import PATH as TOKEN_PATH

OPENAPI_PATH = "/openapi.json"
PROBLEM_ROUTE = PROBLEMS_PATH + "{code}"
OPEN_PATHS = frozenset({OPENAPI_PATH, PROBLEM_ROUTE, TOKEN_PATH, *docs_page.OPEN_PATHS})
"""What anybody may read (API-12) and where callers sign in, beside health and metrics."""
HEALTH_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})


def build_app(
    routers: Sequence[APIRouter],
    settings: GatewaySettings,
    observer: Observer,
    bind: Bind,
    version: str = "1.0.0",
    health: Application | None = None,
    pages: Pages | None = None,
) -> Edge:
    """The gateway as an ASGI application, with `health` behind the paths of health and metrics, and the `pages` of the console. Raises
    ConfigurationError for a route without a permission (SEC-14)."""
    app = FastAPI(
        title="AgentMesh",
        version=version,
        description="A thin gateway: commands go onto topics, answers come from read models.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_api_route(PROBLEM_ROUTE, problem, methods=["GET"], include_in_schema=False)
    docs_page.add_docs(app)
    for router in routers:
        check_routes(router.routes, OPEN_PATHS)
    check_routes(app.routes, OPEN_PATHS)
    for router in routers:
        app.router.routes.extend(router.routes)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    if pages is not None:
        router = pages.router()
        check_routes(router.routes, pages.open_paths)
        app.router.routes.extend(router.routes)
    _Handlers(settings, [each for each in app.routes if isinstance(each, APIRoute)], pages).add_to(app)
    _describe(app, routes, settings)
    return Edge(app if health is None else _Beside(app, health), settings, observer, bind, pages)


class Pages(ErrorPages, Protocol):
    """Pages for people beside the API; the document does not name them."""

    open_paths: Collection[str]
    """Those that ask for no permission."""

    def router(self) -> APIRouter:
        """The routes, each with its permission unless it is open."""
        ...


class _Named(NamedTuple):
    """What the edge counts a call under."""

    path: str


class _Beside:
    """Answers health and metrics beside the API."""

    def __init__(self, app: Application, health: Application) -> None:
        self._app = app
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["path"] in HEALTH_PATHS:
            scope["route"] = _Named(scope["path"])
            await self._health(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def problem(code: str) -> PlainTextResponse:
    """What a code means: where the `type` of a problem leads to."""
    kind = KINDS.get(code)
    if kind is None:
        raise errors.not_found("Problem", code if code.isprintable() else "?")
    return PlainTextResponse(f"{code}\n\n{kind.title}. Answered with the status {kind.status}.\n")


class _Handlers:
    """What becomes of everything that a handler or the framework raises."""

    def __init__(self, settings: GatewaySettings, routes: Sequence[APIRoute], pages: ErrorPages | None) -> None:
        self._settings = settings
        self._routes = routes
        self._pages = pages

    def add_to(self, app: FastAPI) -> None:
        """Each kind of exception has its way to an error object; what is none of them is 500."""
        app.add_exception_handler(ApiError, self.refused)
        app.add_exception_handler(DomainError, self.refused)
        app.add_exception_handler(TransientError, self.refused)
        app.add_exception_handler(RequestValidationError, self.refused)
        app.add_exception_handler(HTTPException, self.refused)
        app.add_exception_handler(Exception, self.refused)

    async def refused(self, request: Request, error: Exception) -> Response:
        """The answer to a call that ended with `error`."""
        known = self._api_error(request, error)
        status, body, headers = refusal(known, request.scope, self._settings.url, self._pages)
        return Response(body, status_code=status, headers=headers)

    def _api_error(self, request: Request, error: Exception) -> ApiError:
        match error:
            case ApiError():
                return error
            case DomainError():
                return errors.of_domain(error)
            case CircuitOpen():
                return errors.unavailable(max(self._settings.retry_after_seconds, int(error.retry_after)))
            case TransientError():
                return errors.unavailable(self._settings.retry_after_seconds)
            case RequestValidationError():
                return errors.of_request(error.errors())
            case HTTPException():
                return errors.of_status(error.status_code, self._headers(error, request.url.path), request.url.path)
            case _:
                return errors.internal()

    def _headers(self, error: HTTPException, path: str) -> Mapping[str, str] | None:
        """The framework knows the methods of one route of a path only; a caller wants all of the path's."""
        methods = {method for route in self._routes if route.path_regex.fullmatch(path) for method in route.methods or ()}
        return {"Allow": ", ".join(sorted(methods))} if error.status_code == 405 and methods else error.headers


def _describe(app: FastAPI, routes: Sequence[APIRoute], settings: GatewaySettings) -> None:
    """The document is made at the first call for it, and kept."""
    made: dict[str, Any] = {}

    def told() -> dict[str, Any]:
        if not made:
            made.update(openapi.document(app, routes, settings.url))
        return made

    app.openapi = told  # type: ignore[method-assign]
