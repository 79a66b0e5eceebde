"""The decisions of the requests context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.message import Command
from contracts.requests.commands import (
    ApproveRequest,
    CompleteRequest,
    CreateRequest,
    DelegateApproval,
    DeleteRequest,
    EscalateApproval,
    ExpireApproval,
    FailRequest,
    GiveInformation,
    ProcessRequest,
    RejectRequest,
    RemindApproval,
    RequestInformation,
    RequireApproval,
    ReviewRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from infra.runtime.base import Decide
from services.requests.handlers.approval import approve_request, reject_request, require_approval
from services.requests.handlers.changes import review_request, update_request
from services.requests.handlers.waiting import (
    delegate_approval,
    escalate_approval,
    expire_approval,
    give_information,
    remind_approval,
    request_information,
)
from services.requests.handlers.workflow import (
    complete_request,
    create_request,
    delete_request,
    fail_request,
    process_request,
    start_research,
    triage_request,
)

__all__ = ["DECISIONS", "create_request", "update_request"]

DECISIONS: Mapping[type[Command], Decide] = {
    CreateRequest: create_request,
    ProcessRequest: process_request,
    TriageRequest: triage_request,
    StartResearch: start_research,
    UpdateRequest: update_request,
    RequireApproval: require_approval,
    ReviewRequest: review_request,
    ApproveRequest: approve_request,
    RejectRequest: reject_request,
    DelegateApproval: delegate_approval,
    RequestInformation: request_information,
    GiveInformation: give_information,
    RemindApproval: remind_approval,
    EscalateApproval: escalate_approval,
    ExpireApproval: expire_approval,
    CompleteRequest: complete_request,
    FailRequest: fail_request,
    DeleteRequest: delete_request,
}
