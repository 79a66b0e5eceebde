"""Which pages of other origins may call the API: settings in, a layer around the application out; closed where none is named (SEC-25)."""

from __future__ import annotations

from typing import Any

from starlette.middleware.cors import CORSMiddleware

from services.gateway.settings import GatewaySettings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_AGE_SECONDS = 600
SENT = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Last-Event-ID",
    "Prefer",
    "Traceparent",
    "X-API-Key",
    "X-Correlation-ID",
)
"""The header fields of a call that a page may set."""
SHOWN = (
    "AgentMesh-Position",
    "AgentMesh-Stale",
    "Deprecation",
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "WWW-Authenticate",
    "X-Correlation-ID",
    "X-Next-Cursor",
    "X-Request-ID",
)
"""The header fields of an answer that a page may read."""


def cors(app: Any, settings: GatewaySettings) -> Any:
    """The application, with the header fields that let pages of the named origins call it; itself where none is named."""
    if not settings.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_credentials=settings.cors_credentials,
        allow_methods=METHODS,
        allow_headers=SENT,
        expose_headers=SHOWN,
        max_age=MAX_AGE_SECONDS,
    )
