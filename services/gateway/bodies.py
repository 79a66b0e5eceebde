"""Bodies, JSON and forms: bytes in, what they spell out, or 400, 415, 422; strict, so that no two readers understand a body differently."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import pydantic
from fastapi import Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from contracts.message import Command, UndecodableMessage
from services.gateway.errors import JSON, ApiError, broken_rule, of_schema
from services.gateway.versions import vendor_type

NOT_JSON = "The body is not JSON in UTF-8."
FORM_TYPE = "application/x-www-form-urlencoded"
NOT_A_FORM = f"The body is not {FORM_TYPE} in UTF-8."
MAX_FORM_FIELDS = 20
MAX_DEPTH = 200
_BRACKET_OR_STRING = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)
M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Command)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of the body. Raises ApiError: 415 for another type, 400 for what is no JSON, 422 for what is no object."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (JSON, vendor_type(request.url.path)):
        raise ApiError("UNSUPPORTED_MEDIA_TYPE", f"The body should be sent with Content-Type: {JSON}.")
    return parse_object(await _whole(request))


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises ApiError: 400 for what is no form, 422 for a field that is there twice."""
    try:
        text = (await _whole(request)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise _refused(NOT_A_FORM) from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise broken_rule("(whole body)", "Should name each field once", "")
    return found


async def _whole(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise ApiError("REQUEST_TIMEOUT", "The caller went away before the body was there.") from None


async def read_object_if_any(request: Request) -> dict[str, Any]:
    """The JSON object of the body; an empty one where there is no body. Raises ApiError as `read_object` does."""
    announced = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return await read_object(request) if announced else {}


def parse_object(data: bytes) -> dict[str, Any]:
    """The object that these bytes spell; what JSON readers differ about is refused: a key twice, NaN, bad UTF-8, a lone surrogate, a
    number that is too large for them, and what is nested too deep."""
    try:
        text = data.decode()
        if _too_deep(text):
            raise _refused(f"The body is nested deeper than {MAX_DEPTH} levels.")
        found = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(found, ensure_ascii=False).encode()
    except _Repeated as error:
        raise _refused(str(error)) from None
    except (ValueError, RecursionError):
        raise _refused(NOT_JSON) from None
    if not isinstance(found, dict):
        raise broken_rule("(whole body)", "Input should be a JSON object", found)
    return found


class _Repeated(ValueError):
    """The body names a key twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated("The body names a key twice.")
    return found


def _too_deep(text: str) -> bool:
    """Whether brackets outside of strings stand deeper in one another than is read; asked before anything is built of the text."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET_OR_STRING.findall(text):
        if bracket in "[{":
            depth += 1
        elif bracket in "]}":
            depth -= 1
        if depth > MAX_DEPTH:
            return True
    return False


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError("a number that is too large")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refused(message: str) -> ApiError:
    return ApiError("VALIDATION_ERROR", message, error_type="ValidationError", details={"field": "(whole body)"})


def parsed(model: type[M], found: dict[str, Any]) -> M:
    """The body as one of the gateway's own models. Raises ApiError, 422."""
    try:
        return model.model_validate_json(json.dumps(found), strict=True)
    except pydantic.ValidationError as error:
        raise of_schema(error) from None


def command_value(command: type[Command], fields: frozenset[str], body: dict[str, Any], fixed: dict[str, str]) -> bytes:
    """A command as it goes onto its topic: the body's own fields as they came, and those that the gateway sets. Raises ApiError, 422.

    It is checked here by the very rules of its consumer, and sent as it came: a message is trimmed and judged once, by its consumer.
    """
    for name in body:
        if name not in fields:
            raise broken_rule(name, "Extra inputs are not permitted", body[name])
    value = json.dumps({**body, **fixed}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    try:
        command.from_json(value)
    except pydantic.ValidationError as error:
        raise of_schema(error) from None
    except UndecodableMessage:
        raise _refused(NOT_JSON) from None
    return value
