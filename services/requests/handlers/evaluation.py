"""What the policies make of a request: candidate in, escalation and the question of approval out as events; pure, shared by decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from contracts.ids import TaskId
from contracts.requests.events import ApprovalNotRequired, ApprovalRequested, RequestApproved, RequestEscalated, RequestEvent
from contracts.requests.values import ApprovalReason
from contracts.tenants.values import TenantSettings
from infra.runtime.base import DecisionContext
from services.requests.domain import RESOLUTION, Request, task_of
from services.requests.handlers.subject import Events, settings_of, subject
from services.requests.policies import Candidate, Deciders, approval_reasons, escalation_reasons


def escalated(request: Request, candidate: Candidate, context: DecisionContext) -> tuple[RequestEscalated, ...]:
    """The escalation, if there are reasons that the request did not have before (REQ-34)."""
    new = tuple(reason for reason in escalation_reasons(candidate) if reason not in request.escalation_reasons)
    return (RequestEscalated(**subject(request), reasons=new, escalated_at=context.now),) if new else ()


def reasons_to_approve(request: Request, candidate: Candidate, context: DecisionContext) -> tuple[ApprovalReason, ...]:
    """Why a person has to approve. What was a reason to escalate once stays one: the request waits for a human whatever changed since."""
    is_escalated = bool(request.escalation_reasons or escalation_reasons(candidate))
    return approval_reasons(candidate, settings_of(context).approval_threshold, escalated=is_escalated)


def approval_decided(
    request: Request, candidate: Candidate, context: DecisionContext, findings: Mapping[str, Any], *, stopped: TaskId | None = None
) -> Events:
    """Escalation where it is new, and then: a person has to approve, has done so in advance, or need not."""
    reasons = reasons_to_approve(request, candidate, context)
    if not reasons:
        return (_not_required(request, candidate, context, findings),)
    return _asked(request, candidate, context, reasons, findings, stopped)


def asked_anew(request: Request, candidate: Candidate, context: DecisionContext) -> Events:
    """What an approval is waited for has changed: whoever decides is asked for what it is now, and time runs anew."""
    return _asked(request, candidate, context, reasons_to_approve(request, candidate, context), request.findings, None)


def _asked(
    request: Request,
    candidate: Candidate,
    context: DecisionContext,
    reasons: tuple[ApprovalReason, ...],
    findings: Mapping[str, Any],
    stopped: TaskId | None,
) -> Events:
    requested = _requested(request, candidate, context, reasons, findings, stopped)
    return (*escalated(request, candidate, context), requested, *_approved_in_advance(request, candidate, context, findings))


def resolvable(request: Request, context: DecisionContext, findings: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says to whoever asks for the resolution, with its new task."""
    return {
        **subject(request),
        "task_id": task_of(request.request_id, RESOLUTION, context.message_id),
        "customer_id": request.customer_id,
        "message": request.message,
        "category": request.category,
        "priority": request.priority,
        "metadata": request.metadata,
        "findings": findings,
    }


def _not_required(request: Request, candidate: Candidate, context: DecisionContext, findings: Mapping[str, Any]) -> RequestEvent:
    return ApprovalNotRequired(
        **resolvable(request, context, findings),
        approval_threshold=settings_of(context).approval_threshold,
        customer_tier=candidate.customer_tier,
        decided_at=context.now,
    )


def _requested(
    request: Request,
    candidate: Candidate,
    context: DecisionContext,
    reasons: tuple[ApprovalReason, ...],
    findings: Mapping[str, Any],
    stopped: TaskId | None,
) -> RequestEvent:
    settings = settings_of(context)
    known = dict.fromkeys((*request.escalation_reasons, *escalation_reasons(candidate)))
    return ApprovalRequested(
        **subject(request),
        reasons=reasons,
        escalation_reasons=tuple(known),
        customer_id=request.customer_id,
        message=request.message,
        category=request.category,
        priority=request.priority,
        financial_impact=candidate.financial_impact,
        approval_threshold=settings.approval_threshold,
        customer_tier=candidate.customer_tier,
        four_eyes=settings.four_eyes,
        approvers=settings.approvers,
        findings=findings,
        stopped_task_id=stopped,
        requested_at=context.now,
        **_moments(settings, context),
    )


def _moments(settings: TenantSettings, context: DecisionContext) -> dict[str, Any]:
    """A reminder after half of the time limit, the escalation after three quarters, the end after all of it."""
    limit = timedelta(hours=settings.approval_time_limit_hours)
    return {"remind_at": context.now + limit / 2, "escalate_at": context.now + limit * 3 / 4, "expires_at": context.now + limit}


def _approved_in_advance(request: Request, candidate: Candidate, context: DecisionContext, findings: Mapping[str, Any]) -> Events:
    """The approval that was given in advance, if it is of the same financial impact and its giver may decide by what is known now."""
    given, settings = request.advance_approval, settings_of(context)
    if given is None or candidate.amount_unreadable or given.financial_impact != candidate.financial_impact:
        return ()
    if Deciders(settings.approvers, settings.four_eyes, request.participants).broken_rule(given.approved_by):
        return ()
    approved = RequestApproved(
        **resolvable(request, context, findings),
        approved_by=given.approved_by,
        reason=given.reason,
        in_advance=True,
        financial_impact=candidate.financial_impact,
        approved_at=context.now,
    )
    return (approved,)
