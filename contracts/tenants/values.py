"""The values of tenants: what a tenant may set, with its defaults and limits; raw JSON values in, checked values out."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.message import NO_CONTROL
from contracts.money import Money
from contracts.requests.values import ActorId

DEFAULT_APPROVAL_THRESHOLD = Money("1000.00")
DEFAULT_APPROVAL_TIME_LIMIT_HOURS = 72
DEFAULT_REQUESTS_PER_MINUTE = 100
YEAR_HOURS = 8_760
MAX_REQUESTS_PER_MINUTE = 1_000_000
MAX_APPROVERS = 100

TenantName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL, strip_whitespace=True)]
ApprovalThreshold = Annotated[Money, Field(description="A financial impact above it needs an approval; exactly this amount does not.")]
ApprovalTimeLimit = Annotated[
    int, Field(strict=True, ge=1, le=YEAR_HOURS, description="Hours that an approval may be waited for; then it expires.")
]
FourEyes = Annotated[bool, Field(strict=True, description="True: who took part in a request does not approve it.")]
Approvers = Annotated[
    tuple[ActorId, ...],
    Field(max_length=MAX_APPROVERS, description="Who may decide on approvals; empty: everybody who holds the permission."),
]
RequestsPerMinute = Annotated[
    int, Field(strict=True, ge=1, le=MAX_REQUESTS_PER_MINUTE, description="The rate limit of the tenant's calls to the gateway.")
]


class TenantSettings(BaseModel):
    """What a tenant decides for itself; what is not given is the default, and a tenant that nobody created has all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approval_threshold: ApprovalThreshold = DEFAULT_APPROVAL_THRESHOLD
    approval_time_limit_hours: ApprovalTimeLimit = DEFAULT_APPROVAL_TIME_LIMIT_HOURS
    four_eyes: FourEyes = False
    approvers: Approvers = ()
    requests_per_minute: RequestsPerMinute = DEFAULT_REQUESTS_PER_MINUTE
