"""Versions of the API: the one that a caller names in Accept passes or is 406 (API-29); what the answers of an older one say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from fastapi import Request

from services.gateway.calls import call_of
from services.gateway.errors import ApiError

VENDOR = "application/vnd.agentmesh."
VENDOR_TYPE = VENDOR + "v1+json"
_VENDOR = re.compile(r"application/vnd\.agentmesh\.[^;,\s]*")
_PATH_VERSION = re.compile(r"/api/(v[1-9][0-9]?)/")
_ANY = ("*/*", "application/*", "application/json", "application/problem+json")


def vendor_type(path: str) -> str:
    """The media type of the version that a path names; `v1` for one that names none."""
    found = _PATH_VERSION.match(path)
    return VENDOR_TYPE if found is None else VENDOR_TYPE.replace("v1", found[1])


async def check_version(request: Request) -> None:
    """Refuses a call that accepts nothing but versions that its path is not of. Raises ApiError, 406."""
    accept = call_of(request.scope).accept.lower()
    if VENDOR not in accept:
        return
    known = vendor_type(request.scope["path"])
    kinds = [part.split(";")[0].strip() for part in accept.split(",")]
    if any(_VENDOR.fullmatch(kind) for kind in kinds) and not any(kind in (*_ANY, known) for kind in kinds):
        raise ApiError("NOT_ACCEPTABLE", f"Versions of this path: {known}.", details={"versions": [known]})


def superseded(deprecated_at: datetime, sunset_at: datetime | None) -> Mapping[str, str]:
    """Headers of an answer whose shape a later version replaces: since when it is not to be used for new things (RFC 9745), and from when
    on it may be gone (RFC 8594)."""
    headers = {"Deprecation": f"@{int(deprecated_at.timestamp())}"}
    return headers if sunset_at is None else {**headers, "Sunset": format_datetime(sunset_at, usegmt=True)}
