"""One HTTP call: its ids, its headers, its full URL; made from the ASGI scope by the edge, read by everything behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from infra.identity.base import Principal

Scope = MutableMapping[str, Any]
CALL = "agentmesh.call"
PRINCIPAL = "agentmesh.principal"
FIELDS = "agentmesh.fields"
TRACEPARENT = "agentmesh.traceparent"
"""Where the scope has the `traceparent` of the call's own span, if it has one."""
OBSERVER = "agentmesh.observer"
MAX_URL_CHARACTERS = 2_000
_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before anybody has signed in."""

    method: str
    url: str
    """The full URL, built on the configured base URL: a caller's Host header is not believed."""
    accept: str
    correlation_id: str
    """The caller's, where it has the right form, else a new one."""
    request_id: str
    """Always new. It names this HTTP call, and never a request of a customer (API-31)."""
    traceparent: str | None
    """Of the call's own span where tracing is on, else the caller's."""

    @property
    def trace_id(self) -> str:
        """The call's trace, or an empty text."""
        found = _TRACEPARENT.fullmatch(self.traceparent or "")
        return found[1] if found else ""


def call_of_scope(scope: Mapping[str, Any], base_url: str) -> Call:
    """The call that this ASGI scope describes."""
    correlation = header(scope["headers"], b"x-correlation-id")
    traceparent = scope.get(TRACEPARENT) or header(scope["headers"], b"traceparent")
    return Call(
        method=scope["method"],
        url=_url(scope, base_url),
        accept=header(scope["headers"], b"accept"),
        correlation_id=correlation if _CORRELATION.fullmatch(correlation) else str(uuid4()),
        request_id=f"req-{uuid4()}",
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )


class Observer(Protocol):
    """Counts calls: those that came and went, and why some were refused."""

    def began(self) -> None: ...

    def ended(self, method: str, endpoint: str, status: int, seconds: float) -> None: ...

    def forbidden(self, permission: str) -> None: ...

    def limited(self, route_class: str) -> None: ...


def observer_of(scope: Mapping[str, Any]) -> Observer:
    """Who counts this call; the edge has put it into the scope."""
    observer: Observer = scope[OBSERVER]
    return observer


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """The values of a header, joined by commas; empty where there is none."""
    return ",".join(value.decode("latin-1") for key, value in headers if key == name)


def call_of(scope: Mapping[str, Any]) -> Call:
    """The call that the edge has put into the scope."""
    call: Call = scope[CALL]
    return call


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """Who calls, on a route that asks for a permission."""
    principal: Principal = scope[PRINCIPAL]
    return principal


def fields_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Header fields that the answer gets, whatever it is, unless it has them itself; whoever has something to tell adds to them."""
    fields: dict[str, str] = scope[FIELDS]
    return fields


def _url(scope: Mapping[str, Any], base_url: str) -> str:
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    query = scope.get("query_string") or b""
    text = (raw + (b"?" + query if query else b"")).decode("latin-1")
    return base_url + "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_URL_CHARACTERS])
