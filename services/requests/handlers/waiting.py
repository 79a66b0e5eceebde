"""Decisions while an approval is waited for: handing it over, asking back, its deadlines; state, command and context in, events out."""

from __future__ import annotations

from contracts.requests.commands import (
    DelegateApproval,
    EscalateApproval,
    ExpireApproval,
    GiveInformation,
    RemindApproval,
    RequestInformation,
)
from contracts.requests.events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalReminded,
    InformationGiven,
    InformationRequested,
    RequestRejected,
)
from contracts.requests.values import APPROVAL_EXPIRED
from infra.runtime.base import DecisionContext
from services.requests.domain import Request
from services.requests.handlers.approval import awaited, check_decider
from services.requests.handlers.subject import Events, existing, known_actor, known_decider, of_tenant, subject, wrong_status
from services.requests.policies import (
    ANSWERING_REQUIRES_AWAITING_APPROVAL,
    ANSWERING_REQUIRES_QUESTION,
    ASKING_REQUIRES_AWAITING_APPROVAL,
    DELEGATING_REQUIRES_AWAITING_APPROVAL,
    Deciders,
)


def delegate_approval(request: Request | None, command: DelegateApproval, context: DecisionContext) -> Events:
    """Hand the decision over, from one who may decide to another who may; to the delegate again changes nothing."""
    found = existing(request, command)
    actor = known_decider(found, context)
    approval = awaited(found, "Only an approval that is waited for can be delegated.", DELEGATING_REQUIRES_AWAITING_APPROVAL)
    check_decider(found, approval, actor)
    if command.to == approval.delegated_to:
        return ()
    rule = Deciders(approval.approvers, approval.four_eyes, found.participants).broken_rule(command.to)
    if rule is not None:
        raise wrong_status(found, "The person to whom it is delegated may not decide on this approval.", rule)
    delegated = ApprovalDelegated(
        **subject(found), delegated_by=actor, delegated_to=command.to, reason=command.reason, delegated_at=context.now
    )
    return (delegated,)


def request_information(request: Request | None, command: RequestInformation, context: DecisionContext) -> Events:
    """Whoever may decide asks back; the approval goes on waiting."""
    found = existing(request, command)
    actor = known_decider(found, context)
    approval = awaited(found, "Questions are asked while an approval is waited for only.", ASKING_REQUIRES_AWAITING_APPROVAL)
    check_decider(found, approval, actor)
    return (InformationRequested(**subject(found), question=command.question, asked_by=actor, asked_at=context.now),)


def give_information(request: Request | None, command: GiveInformation, context: DecisionContext) -> Events:
    """Answer the open question. Anybody may; with four eyes, whoever does takes part and decides no more."""
    found = existing(request, command)
    actor = known_actor(context)
    approval = awaited(found, "Answers are given while an approval is waited for only.", ANSWERING_REQUIRES_AWAITING_APPROVAL)
    if not approval.question_open:
        raise wrong_status(found, "There is no open question.", ANSWERING_REQUIRES_QUESTION)
    return (InformationGiven(**subject(found), answer=command.answer, given_by=actor, given_at=context.now),)


def remind_approval(request: Request | None, command: RemindApproval, context: DecisionContext) -> Events:
    """Half of the time limit is over; a moment that the request does not hold changes nothing."""
    found = of_tenant(request, command)
    approval = found.approval
    if approval is None or approval.remind_at != command.due_at:
        return ()
    return (ApprovalReminded(**subject(found), reminded_at=context.now),)


def escalate_approval(request: Request | None, command: EscalateApproval, context: DecisionContext) -> Events:
    """Three quarters of the time limit are over; a moment that the request does not hold changes nothing."""
    found = of_tenant(request, command)
    approval = found.approval
    if approval is None or approval.escalate_at != command.due_at:
        return ()
    return (ApprovalEscalated(**subject(found), escalated_at=context.now),)


def expire_approval(request: Request | None, command: ExpireApproval, context: DecisionContext) -> Events:
    """The time limit is over: nobody decided. A moment that the request does not hold changes nothing."""
    found = of_tenant(request, command)
    approval = found.approval
    if approval is None or approval.expires_at != command.due_at:
        return ()
    return (
        ApprovalExpired(**subject(found), expired_at=context.now),
        RequestRejected(**subject(found), rejected_by=None, reason=APPROVAL_EXPIRED, rejected_at=context.now),
    )
