"""The keys of the cache and how long each kind lives: `<kind>:<tenant_id>:<rest>`; pure, used by readers and by invalidation.

The tenant is part of every key, so no value reaches another tenant, and `*:<tenant_id>:*` reaches all of one tenant (CAC-06, CAC-10).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from contracts.message import MAX_ID_CHARACTERS, TENANT_PATTERN
from infra.cache.globs import escaped
from infra.errors import DataError

AGENT: Final = "agent"
MESSAGE: Final = "message"
TENANT: Final = "tenant"
CUSTOMER: Final = "customer"
REQUEST: Final = "request"
TASK: Final = "task"
LIST: Final = "list"

AGENT_SECONDS: Final = 300
MESSAGE_SECONDS: Final = 60
TENANT_CONFIG_SECONDS: Final = 3_600
CUSTOMER_SECONDS: Final = 600
LIST_SECONDS: Final = 60
DECORATED_SECONDS: Final = 300

_TENANT = re.compile(TENANT_PATTERN)
# A kind may hold colons (`cache:<module>.<function>`), for it is known to its reader; what glob characters mean must not get into it.
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.:<>-]{0,299}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_REST = 4 * MAX_ID_CHARACTERS


def cache_key(kind: str, tenant_id: str, rest: str) -> str:
    """The key of something of one tenant. Raises DataError for a tenant id or a rest that no key can hold."""
    if not _KIND.fullmatch(kind):
        raise DataError(f"kind: should be a letter, then letters, digits and any of _.:<>- up to 300, not {kind!r}")
    if not _TENANT.fullmatch(tenant_id):
        raise DataError(f"tenant_id: should have letters, digits, dots, hyphens or underscores, not these {len(tenant_id)} characters")
    if not 1 <= len(rest) <= _MAX_REST or _UNFIT.search(rest):
        raise DataError(f"rest of a {kind} key: should have 1 to {_MAX_REST} characters and no control characters, not {len(rest)}")
    return f"{kind}:{tenant_id}:{rest}"


def agent_key(tenant_id: str, agent_id: str) -> str:
    """The key of an agent; it lives AGENT_SECONDS."""
    return cache_key(AGENT, tenant_id, agent_id)


def message_key(tenant_id: str, message_id: str) -> str:
    """The key of a message; it lives MESSAGE_SECONDS."""
    return cache_key(MESSAGE, tenant_id, message_id)


def tenant_config_key(tenant_id: str) -> str:
    """The key of a tenant's configuration; it lives TENANT_CONFIG_SECONDS."""
    return cache_key(TENANT, tenant_id, "config")


def customer_key(tenant_id: str, customer_id: str) -> str:
    """The key of a customer; it lives CUSTOMER_SECONDS."""
    return cache_key(CUSTOMER, tenant_id, customer_id)


def request_key(tenant_id: str, request_id: str) -> str:
    """The key of a request; it changes often, so it lives no longer than a list."""
    return cache_key(REQUEST, tenant_id, request_id)


def task_key(tenant_id: str, task_id: str) -> str:
    """The key of a task; as of a request."""
    return cache_key(TASK, tenant_id, task_id)


def list_key(tenant_id: str, name: str, arguments: Mapping[str, object]) -> str:
    """The key of one page of the list `name`, by its filters and its place; it lives LIST_SECONDS."""
    return cache_key(LIST, tenant_id, f"{name}:{digest(arguments)}")


def tenant_pattern(tenant_id: str) -> str:
    """The pattern of everything of one tenant."""
    return f"*:{escaped(tenant_id)}:*"


def list_pattern(tenant_id: str, name: str) -> str:
    """The pattern of every page of one list of one tenant."""
    return f"{LIST}:{escaped(tenant_id)}:{escaped(name)}:*"


def kind_pattern(kind: str, tenant_id: str | None = None) -> str:
    """The pattern of everything of a kind, of one tenant or of all."""
    return f"{kind}:{'*' if tenant_id is None else escaped(tenant_id)}:*"


def every_list_pattern(name: str) -> str:
    """The pattern of every page of one list of all tenants."""
    return f"{LIST}:*:{escaped(name)}:*"


def kind_of(key: str) -> str:
    """The kind of a key, for metrics: what stands before its first colon."""
    return key.partition(":")[0]


def digest(arguments: Mapping[str, object]) -> str:
    """A short text that is the same for the same arguments, in whatever order they were named (CAC-07).

    It is the MD5 of their canonical JSON: keys sorted, nothing but the JSON. Raises DataError for what has no such form. MD5 tells
    arguments apart here and protects nothing.
    """
    try:
        plain = to_jsonable_python(dict(arguments), inf_nan_mode="constants")
        canonical = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"arguments {', '.join(sorted(arguments))}: should have a canonical JSON form: {error}") from None
    return hashlib.md5(canonical.encode(), usedforsecurity=False).hexdigest()
