"""Decisions on changes of an open request, and what they make the policies say anew; state, command and context in, events out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contracts.customers.values import CustomerTier
from contracts.errors import BusinessRuleViolation
from contracts.requests.commands import ReviewRequest, UpdateRequest
from contracts.requests.events import RequestReviewed, RequestUpdated
from contracts.requests.values import FINAL_STATUSES, RequestStatus
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers.evaluation import approval_decided, asked_anew, escalated, reasons_to_approve
from services.requests.handlers.subject import Events, actor_of, existing, of_tenant, subject, tier_of, wrong_status
from services.requests.policies import (
    APPROVED_TERMS_ARE_FIXED,
    REFUND_REQUIRES_MEDIUM_PRIORITY,
    UPDATE_REQUIRES_OPEN_REQUEST,
    OpenRequest,
    RefundPriority,
    Terms,
    candidate_of,
    impact_of,
)

OPEN = OpenRequest()
REFUND_PRIORITY = RefundPriority()
EVALUATED = frozenset({RequestStatus.TRIAGED, RequestStatus.IN_PROGRESS, RequestStatus.AWAITING_APPROVAL})
"""Before triage there is nothing to evaluate yet, and what a person has approved needs no other person."""


def update_request(request: Request | None, command: UpdateRequest, context: DecisionContext) -> Events:
    """Change an open request; only what differs is recorded, and nothing when nothing differs. No step is started again."""
    found = existing(request, command)
    if not OPEN.is_satisfied_by(found):
        raise wrong_status(found, "Only an open request can be changed.", UPDATE_REQUIRES_OPEN_REQUEST)
    changes = _changes(found, command)
    if not changes:
        return ()
    terms = Terms(changes.get("category", found.category), changes.get("priority", found.priority))
    if not REFUND_PRIORITY.is_satisfied_by(terms):
        raise BusinessRuleViolation("A refund needs priority 2 or above.", rule=REFUND_REQUIRES_MEDIUM_PRIORITY)
    changes_terms = _changes_terms(found, changes)
    if found.status is RequestStatus.APPROVED and changes_terms:
        raise wrong_status(found, "Category, amount and currency of an approved request are fixed.", APPROVED_TERMS_ARE_FIXED)
    if (actor := actor_of(context)) is not None:
        changes["updated_by"] = actor
    updated = RequestUpdated(**subject(found), **changes, updated_at=context.now)
    after = evolve(found, updated)
    tier = after.customer_tier or tier_of(after, context)
    if after.status is RequestStatus.AWAITING_APPROVAL and changes_terms:
        return (updated, *asked_anew(after, candidate_of(after, tier), context))
    return (updated, *_evaluated(after, tier, context))


def review_request(request: Request | None, command: ReviewRequest, context: DecisionContext) -> Events:
    """The customer's tier may have changed. The known one, a request before triage, and one that is over change nothing."""
    found = of_tenant(request, command)
    tier = tier_of(found, context)
    if found.status is RequestStatus.PENDING or found.status in FINAL_STATUSES or tier is found.customer_tier:
        return ()
    reviewed = RequestReviewed(**subject(found), customer_tier=tier, reviewed_at=context.now)
    return (reviewed, *_evaluated(evolve(found, reviewed), tier, context))


def _evaluated(request: Request, tier: CustomerTier, context: DecisionContext) -> Events:
    """New reasons to escalate; and where the resolution is under way, the approval that is needed now after all."""
    if request.status not in EVALUATED:
        return ()
    candidate = candidate_of(request, tier)
    if request.approval_not_required and reasons_to_approve(request, candidate, context):
        return approval_decided(request, candidate, context, request.findings, stopped=request.task_id)
    return escalated(request, candidate, context)


def _changes(request: Request, command: UpdateRequest) -> dict[str, Any]:
    """The given fields that differ from the state."""
    given: dict[str, Any] = {"message": command.message, "priority": command.priority, "category": command.category}
    changes = {name: value for name, value in given.items() if value is not None and value != getattr(request, name)}
    if command.metadata is not None and _canonical(command.metadata) != _canonical(request.metadata):
        changes["metadata"] = command.metadata
    return changes


def _canonical(metadata: Mapping[str, Any]) -> str:
    """Metadata for comparing: in Python 1 equals true and 1.0, in JSON text it does not."""
    return json.dumps(metadata, sort_keys=True)


def _changes_terms(request: Request, changes: Mapping[str, Any]) -> bool:
    """Category, amount or currency: what a person approves."""
    return "category" in changes or impact_of(changes.get("metadata", request.metadata)) != impact_of(request.metadata)
