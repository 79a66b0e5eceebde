"""The route that signs in: login and password, or client id and secret in, an access token of 30 minutes out (SEC-05; RFC 6749, 4.3 and
4.4). It is open to everybody; guesses are slowed down by the limit of their address."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from infra.identity.base import LIFETIME, Credentials, Principal, TokenSigner, Unauthenticated, login_and_tenant
from services.gateway.access import SCHEME, unauthorized, utc_now
from services.gateway.bodies import FORM_TYPE, read_form, read_object
from services.gateway.errors import broken_rule
from services.gateway.limits import RateLimits
from services.gateway.linked import json_answer
from services.gateway.openapi import Operation, good, refused
from services.gateway.versions import check_version

PATH = "/api/v1/auth/token"
PASSWORD = "password"  # noqa: S105 (the name of a grant)
CLIENT_CREDENTIALS = "client_credentials"
BASIC = "Basic"
MAX_BASIC_CHARACTERS = 1_000


class AccessToken(BaseModel):
    """An access token (RFC 6749, 5.1)."""

    access_token: str
    token_type: str = SCHEME
    expires_in: int = int(LIFETIME.total_seconds())


class TokenRoute:
    """Whoever is refused is told the same, after the same time, whatever is wrong with a credential."""

    def __init__(self, credentials: Credentials, signer: TokenSigner, limits: RateLimits, now: Callable[[], datetime] = utc_now) -> None:
        self._credentials = credentials
        self._signer = signer
        self._limits = limits
        self._now = now

    def router(self) -> APIRouter:
        """The route."""
        router = APIRouter(tags=["sign-in"])
        router.add_api_route(
            PATH,
            self.post,
            methods=["POST"],
            operation_id=TOKEN.id,
            summary=TOKEN.summary,
            description=TOKEN.description,
            responses=TOKEN.responses,
            openapi_extra=TOKEN.extra,
            dependencies=[Depends(self._limits.before_sign_in), Depends(check_version)],
        )
        return router

    async def post(self, request: Request) -> Response:
        """Sign in."""
        basic = basic_credentials(request.headers.getlist("authorization"))
        fields = await _fields(request)
        try:
            principal = await self._principal(fields, basic)
        except Unauthenticated as error:
            raise unauthorized(str(error), f'{BASIC} realm="agentmesh", charset="UTF-8"' if basic else SCHEME) from None
        body = AccessToken(access_token=self._signer.issue(principal, self._now()))
        return json_answer(body.model_dump_json().encode(), 200, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    async def _principal(self, fields: Mapping[str, str], basic: tuple[str, str] | None) -> Principal:
        grant = fields.get("grant_type", "")
        if grant == PASSWORD:
            login, tenant_id = login_and_tenant(_needed(fields, "username"))
            return await self._credentials.user(login, _needed(fields, "password"), tenant_id)
        if grant != CLIENT_CREDENTIALS:
            raise broken_rule("grant_type", f"Input should be {PASSWORD} or {CLIENT_CREDENTIALS}", fields.get("grant_type"))
        if basic is None:
            basic = _needed(fields, "client_id"), _needed(fields, "client_secret")
        elif "client_secret" in fields or fields.get("client_id", basic[0]) != basic[0]:
            raise broken_rule("client_secret", "Should be sent once, in the body or in the header Authorization", "")
        return await self._credentials.client(*basic)


def basic_credentials(headers: list[str]) -> tuple[str, str] | None:
    """Client id and secret of a header `Authorization: Basic` (RFC 6749, 2.3.1), or None where there is no such header.

    A header of another scheme, such as the token that is to be replaced, says nothing here. Raises ApiError, 422, for what cannot be
    read, and for more than one."""
    parts = [value.partition(" ") for value in headers]
    if all(scheme.lower() != BASIC.lower() for scheme, _, _ in parts):
        return None
    text = parts[0][2]
    try:
        if len(headers) > 1 or len(text) > MAX_BASIC_CHARACTERS:
            raise ValueError
        name, divided, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
        if not divided:
            raise ValueError
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except (ValueError, binascii.Error):
        raise broken_rule("Authorization", "Should be absent, or once Basic with client id and secret", "", where="header") from None


async def _fields(request: Request) -> dict[str, str]:
    """The fields of the body, each once. What is not known is ignored, as the standard asks. Raises ApiError."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return {name: _text(name, value) for name, value in (await read_object(request)).items() if name in FIELDS}
    return await read_form(request)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise broken_rule(name, "Input should be a text", value)
    return value


def _needed(fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise broken_rule(name, "Field required", fields.get(name))
    return fields[name]


FIELDS: Mapping[str, str] = {
    "grant_type": f"`{PASSWORD}` for a user, `{CLIENT_CREDENTIALS}` for a service client.",
    "username": "Of a user: login and tenant, as `ann@acme`.",
    "password": "Of a user.",
    "client_id": "Of a service client, unless it is in the header `Authorization: Basic`.",
    "client_secret": "Of a service client, unless it is in the header `Authorization: Basic`.",
}
_SCHEMA = {
    "type": "object",
    "oneOf": [
        {
            "required": ["grant_type", *names],
            "properties": {
                "grant_type": {"const": grant, "description": FIELDS["grant_type"]},
                **{name: {"type": "string", "minLength": 1, "description": FIELDS[name]} for name in names},
            },
        }
        for grant, names in ((PASSWORD, ("username", "password")), (CLIENT_CREDENTIALS, ("client_id", "client_secret")))
    ],
}
_EXAMPLES = {
    "user": {"value": {"grant_type": PASSWORD, "username": "ann@acme", "password": "correct horse battery"}},
    "service_client": {
        "value": {
            "grant_type": CLIENT_CREDENTIALS,
            "client_id": "client-6a3c1f0e-5b7d-4e0f-9a51-0c2d4e6f8a1b",
            "client_secret": "zq3vX0b1nT7c-5mLk2hJ8wYdRs4uPeGaFo6iVxNtCyM",
        }
    },
}
_REFUSED = {
    status: said
    for status, said in refused("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE").items()
    if status != 403  # nobody is forbidden to sign in
}
TOKEN = Operation(
    "create_token",
    "Sign in",
    "An access token of 30 minutes, for a user (login@tenant and password) or a service client (id and secret). Wrong credentials are 401, "
    "which tells nothing of what is wrong.\n\nOpen to everybody; limited by the caller's address.",
    200,
    {
        200: good(AccessToken, "Signed in.", {"access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "token_type": SCHEME, "expires_in": 1800}),
        **_REFUSED,
    },
    {
        "security": [],
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": _SCHEMA, "examples": _EXAMPLES} for kind in (FORM_TYPE, "application/json")},
        },
    },
)
