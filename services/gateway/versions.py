"""The version of the API that a caller asks for by its Accept header (API-29): known ones pass, others are 406."""

from __future__ import annotations

import re

from fastapi import Request

from services.gateway.calls import call_of
from services.gateway.errors import ApiError

VENDOR_TYPE = "application/vnd.agentmesh.v1+json"
_VENDOR = re.compile(r"application/vnd\.agentmesh\.[^;,\s]*")
_ANY = ("*/*", "application/*", "application/json", "application/problem+json", VENDOR_TYPE)


async def check_version(request: Request) -> None:
    """Refuses a call that accepts nothing but versions that do not exist."""
    accept = call_of(request.scope).accept.lower()
    kinds = [part.split(";")[0].strip() for part in accept.split(",")]
    if any(_VENDOR.fullmatch(kind) for kind in kinds) and not any(kind in _ANY for kind in kinds):
        raise ApiError("NOT_ACCEPTABLE", f"Versions of this path: {VENDOR_TYPE}.", details={"versions": [VENDOR_TYPE]})
