"""The HTTP fields of a rate limit (draft-ietf-httpapi-ratelimit-headers-11): a decision in, names and values out; pure."""

from __future__ import annotations

import re
from typing import Final

from infra.rate_limit.base import Decision

POLICY_FIELD: Final = "RateLimit-Policy"
STATE_FIELD: Final = "RateLimit"
RETRY_FIELD: Final = "Retry-After"
DEFAULT_POLICY: Final = "tenant"

_POLICY_NAME = re.compile(r"[A-Za-z0-9._-]+")


def rate_limit_headers(decision: Decision, policy: str = DEFAULT_POLICY) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` of every answer, and `Retry-After` of a refusal. Raises ValueError for an odd policy name.

    `t` says when it is worth to come again: for who was refused, when a token is there, as `Retry-After`; else when the bucket is full.
    """
    if not _POLICY_NAME.fullmatch(policy):
        raise ValueError(f"policy: should have letters, digits, dots, hyphens or underscores, not {policy!r}")
    until = decision.reset_seconds if decision.allowed else decision.retry_after_seconds
    headers = {
        POLICY_FIELD: f'"{policy}";q={decision.limit.requests};w={decision.limit.window_seconds}',
        STATE_FIELD: f'"{policy}";r={decision.remaining};t={until}',
    }
    return headers if decision.allowed else {**headers, RETRY_FIELD: str(decision.retry_after_seconds)}
