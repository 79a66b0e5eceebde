"""Decisions on approvals: whether one is needed, and what a person decides; state, command and context in, events or a refusal out."""

from __future__ import annotations

from contracts.money import Money
from contracts.requests.commands import ApproveRequest, RejectRequest, RequireApproval
from contracts.requests.events import ApprovedInAdvance, RequestApproved, RequestRejected
from contracts.requests.values import RequestStatus
from infra.runtime.base import DecisionContext
from services.requests.domain import Approval, Request
from services.requests.handlers.evaluation import approval_decided, resolvable
from services.requests.handlers.subject import (
    Events,
    check_step,
    existing,
    known_decider,
    settings_of,
    subject,
    tier_of,
    wrong_status,
)
from services.requests.policies import (
    APPROVAL_MUST_BE_OF_THE_IMPACT,
    APPROVAL_REQUIRES_IN_PROGRESS,
    APPROVING_REQUIRES_AWAITING_APPROVAL,
    REJECTING_REQUIRES_AWAITING_APPROVAL,
    Deciders,
    candidate_of,
    impact_of,
)


def require_approval(request: Request | None, command: RequireApproval, context: DecisionContext) -> Events:
    """The research is done: the policies say whether a person has to approve. What they said already stays."""
    found = existing(request, command)
    if found.status is not RequestStatus.IN_PROGRESS:
        raise wrong_status(found, "An approval is asked for while a request is in progress only.", APPROVAL_REQUIRES_IN_PROGRESS)
    check_step(found, command)
    if found.approval_not_required:
        return ()
    return approval_decided(found, candidate_of(found, tier_of(found, context)), context, command.findings)


def approve_request(request: Request | None, command: ApproveRequest, context: DecisionContext) -> Events:
    """Approve what waits for it, or in advance what is pending. The same person approving the same again changes nothing."""
    found = existing(request, command)
    actor = known_decider(found, context)
    if found.approved_by == actor:
        return ()
    if found.status is RequestStatus.PENDING:
        return _approve_in_advance(found, command, context, actor)
    message = "Only a request that waits for an approval, or a pending one, can be approved."
    check_decider(found, awaited(found, message, APPROVING_REQUIRES_AWAITING_APPROVAL), actor)
    impact = _approved_impact(found, command)
    approved = RequestApproved(
        **resolvable(found, context, found.findings),
        approved_by=actor,
        reason=command.reason,
        in_advance=False,
        financial_impact=impact,
        approved_at=context.now,
    )
    return (approved,)


def reject_request(request: Request | None, command: RejectRequest, context: DecisionContext) -> Events:
    """Reject what waits for an approval."""
    found = existing(request, command)
    actor = known_decider(found, context)
    message = "Only a request that waits for an approval can be rejected."
    check_decider(found, awaited(found, message, REJECTING_REQUIRES_AWAITING_APPROVAL), actor)
    return (RequestRejected(**subject(found), rejected_by=actor, reason=command.reason, rejected_at=context.now),)


def awaited(request: Request, message: str, rule: str) -> Approval:
    """The approval that the request waits for. Refuses one that does not wait."""
    if request.approval is None:
        raise wrong_status(request, message, rule)
    return request.approval


def deciders_of(request: Request, approval: Approval) -> Deciders:
    """Who may decide now: once the approval was escalated, a delegation does not bind any more (REQ-26a)."""
    delegate = None if approval.escalate_at is None else approval.delegated_to
    return Deciders(approval.approvers, approval.four_eyes, request.participants, delegate)


def check_decider(request: Request, approval: Approval, actor: str) -> None:
    """Refuses a person who may not decide on this approval."""
    rule = deciders_of(request, approval).broken_rule(actor)
    if rule is not None:
        raise wrong_status(request, "This person may not decide on this approval.", rule)


def _approved_impact(request: Request, command: ApproveRequest) -> Money | None:
    """What is approved. Refuses an approval of another amount or currency: it was changed after the approver had seen it."""
    impact, _ = impact_of(request.metadata)
    if command.financial_impact is not None and command.financial_impact != impact:
        message = "The financial impact is not the one that is approved: look at the request again."
        raise wrong_status(request, message, APPROVAL_MUST_BE_OF_THE_IMPACT)
    return impact


def _approve_in_advance(request: Request, command: ApproveRequest, context: DecisionContext, actor: str) -> Events:
    settings, given = settings_of(context), request.advance_approval
    rule = Deciders(settings.approvers, settings.four_eyes, request.participants).broken_rule(actor)
    if rule is not None:
        raise wrong_status(request, "This person may not decide on this approval.", rule)
    impact = _approved_impact(request, command)
    if given is not None and given.financial_impact == impact:
        if given.approved_by == actor:
            return ()
        raise wrong_status(request, "It is approved in advance already.", APPROVING_REQUIRES_AWAITING_APPROVAL)
    approved = ApprovedInAdvance(
        **subject(request), approved_by=actor, reason=command.reason, financial_impact=impact, approved_at=context.now
    )
    return (approved,)
