"""What every decision on a request begins with: the request that is meant, the step that is current, the actor, what is known elsewhere."""

from __future__ import annotations

from typing import Any

from contracts.customers.values import CustomerTier
from contracts.envelope import UNKNOWN
from contracts.errors import ActorRequired, BusinessRuleViolation, ResourceNotFound
from contracts.ids import TaskId
from contracts.requests.commands import RequestCommand, StepCommand
from contracts.requests.events import RequestEvent
from contracts.requests.values import RequestStatus
from contracts.tenants.values import TenantSettings
from infra.runtime.base import DecisionContext
from services.requests.domain import Request
from services.requests.policies import DECIDER_MUST_BE_A_PERSON, STEP_MUST_BE_CURRENT
from services.requests.reference import NOTHING_KNOWN

Events = tuple[RequestEvent, ...]
NO_PERSON = frozenset({"agent", "system"})


def of_tenant(request: Request | None, command: RequestCommand) -> Request:
    """The request, if it is there and the tenant's own; to other tenants it does not exist."""
    if request is None or request.tenant_id != command.tenant_id:
        raise ResourceNotFound("Request", command.request_id)
    return request


def existing(request: Request | None, command: RequestCommand) -> Request:
    """The tenant's request, if nobody has deleted it."""
    found = of_tenant(request, command)
    if found.status is RequestStatus.DELETED:
        raise ResourceNotFound("Request", command.request_id)
    return found


def subject(request: Request) -> dict[str, Any]:
    """What every event about the request says of it."""
    return {"tenant_id": request.tenant_id, "request_id": request.request_id}


def wrong_status(request: Request, message: str, rule: str, **details: Any) -> BusinessRuleViolation:
    """The refusal of a command that does not fit where the request stands."""
    return BusinessRuleViolation(message, rule=rule, details={"status": request.status.value, **details})


def check_step(request: Request, command: StepCommand) -> None:
    """Refuses the result of a task that is not waited for any more; a command that names no task is judged by the state alone."""
    if command.task_id is not None and command.task_id != request.task_id:
        raise wrong_status(request, "The task that led to this command is not the request's current one.", STEP_MUST_BE_CURRENT)


def actor_of(context: DecisionContext) -> str | None:
    """Who sent the command, where its headers say so."""
    named = context.auth_type not in ("", UNKNOWN) and context.auth_id not in ("", UNKNOWN)
    return context.auth_id if named else None


def known_actor(context: DecisionContext) -> str:
    """Who sent the command. Refuses one whose headers name nobody."""
    actor = actor_of(context)
    if actor is None:
        raise ActorRequired
    return actor


def known_decider(request: Request, context: DecisionContext) -> str:
    """Who sent the command, for what a person decides (REQ-32). Refuses agents and the mesh itself."""
    actor = known_actor(context)
    if context.auth_type in NO_PERSON:
        raise wrong_status(request, "Approvals are decided by people.", DECIDER_MUST_BE_A_PERSON)
    return actor


def not_waited_for(request: Request, command: StepCommand) -> TaskId | None:
    """The task under way, where the command came from elsewhere: what somebody else did is not waited for any more."""
    return None if command.task_id is not None else request.task_id


def tier_of(request: Request, context: DecisionContext) -> CustomerTier:
    """The customer's tier: as it is known now, else as the last decision knew it, else the default."""
    if context.reference is not None:
        tier: CustomerTier = context.reference.customer_tier
        return tier
    return request.customer_tier or NOTHING_KNOWN.customer_tier


def settings_of(context: DecisionContext) -> TenantSettings:
    """The tenant's settings; the defaults where nothing is known of it."""
    settings: TenantSettings = (context.reference or NOTHING_KNOWN).tenant_settings
    return settings
