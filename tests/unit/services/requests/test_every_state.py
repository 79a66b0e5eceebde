"""Every command on a request in every state: one table, and each of its cells is a test."""

from datetime import timedelta

import pytest

from contracts.errors import ResourceNotFound
from contracts.message import Command
from contracts.requests.commands import COMMANDS, CreateRequest
from services.requests.handlers import DECISIONS
from tests.unit.services.requests.request_states import (
    ANSWER,
    APPROVE,
    ASK,
    COMPLETE,
    CREATE,
    DELEGATE,
    DELETE,
    ESCALATE,
    EXPIRE,
    FAIL,
    NOW,
    PATHS,
    PROCESS,
    REJECT,
    REMIND,
    REQUIRE,
    REVIEW,
    START,
    TRIAGE,
    UPDATE,
    answer,
    context,
    in_state,
    refused,
)

MISSING = {"absent": "RESOURCE_NOT_FOUND", "deleted": "RESOURCE_NOT_FOUND"}
PENDING = ("pending", "approved in advance")
IN_PROGRESS = ("researching", "refund researching", "resolving")
AWAITING = ("awaiting", "asked")
OVER = ("rejected", "expired", "completed", "failed")
OPEN = (*PENDING, "triaged", *IN_PROGRESS, *AWAITING, "approved")
LATER = context(at=NOW + timedelta(minutes=15))


def each(states: tuple[str, ...], outcome: str) -> dict[str, str]:
    return dict.fromkeys(states, outcome)


# What is not in a row has the outcome that stands first in it.
TABLE: list[tuple[Command, str, dict[str, str]]] = [
    (CREATE, "request_must_not_exist", {"absent": "RequestCreated"}),
    (PROCESS, "-", MISSING | each(PENDING, "ProcessingStarted") | each(OVER, "processing_requires_pending")),
    (TRIAGE, "triage_requires_pending", MISSING | each(PENDING, "RequestTriaged")),
    (START, "research_requires_triaged", MISSING | {"triaged": "ResearchStarted"}),
    (UPDATE, "update_requires_open_request", MISSING | each(OPEN, "RequestUpdated")),
    (
        REQUIRE,
        "approval_requires_in_progress",
        MISSING | {"researching": "ApprovalNotRequired", "refund researching": "ApprovalRequested", "resolving": "-"},
    ),
    (REVIEW, "-", {"absent": "RESOURCE_NOT_FOUND"}),
    (
        APPROVE,
        "approving_requires_awaiting_approval",
        MISSING
        | {"pending": "ApprovedInAdvance", "approved in advance": "-", "approved": "-", "completed": "-"}
        | each(AWAITING, "RequestApproved"),
    ),
    (REJECT, "rejecting_requires_awaiting_approval", MISSING | each(AWAITING, "RequestRejected")),
    (DELEGATE, "delegating_requires_awaiting_approval", MISSING | each(AWAITING, "ApprovalDelegated")),
    (ASK, "asking_requires_awaiting_approval", MISSING | each(AWAITING, "InformationRequested")),
    (
        ANSWER,
        "answering_requires_awaiting_approval",
        MISSING | {"awaiting": "answering_requires_question", "asked": "InformationGiven"},
    ),
    (REMIND, "-", {"absent": "RESOURCE_NOT_FOUND"} | each(AWAITING, "ApprovalReminded")),
    (ESCALATE, "-", {"absent": "RESOURCE_NOT_FOUND"} | each(AWAITING, "ApprovalEscalated")),
    (EXPIRE, "-", {"absent": "RESOURCE_NOT_FOUND"} | each(AWAITING, "ApprovalExpired RequestRejected")),
    (
        COMPLETE,
        "completion_requires_in_progress",
        MISSING
        | each(("researching", "resolving", "approved"), "RequestCompleted")
        | each(("refund researching", *AWAITING), "completion_requires_approval"),
    ),
    (FAIL, "failure_requires_open_request", MISSING | each(OPEN, "RequestFailed") | {"failed": "-"}),
    (DELETE, "RequestDeleted", {"absent": "RESOURCE_NOT_FOUND", "deleted": "-"}),
]
CELLS = [(command, state, cells.get(state, other)) for command, other, cells in TABLE for state in PATHS]


def test_every_command_of_the_context_has_its_decision_and_its_row() -> None:
    assert set(DECISIONS) == set(COMMANDS)
    assert [type(command) for command, _, _ in TABLE] == [*dict.fromkeys(type(command) for command, _, _ in TABLE)]
    assert {type(command) for command, _, _ in TABLE} == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "state", "outcome"), CELLS, ids=lambda value: type(value).__name__ if isinstance(value, Command) else value
)
def test_a_command_in_a_state_is_decided_as_the_table_says(command: Command, state: str, outcome: str) -> None:
    assert answer(in_state(state), command, LATER if command is PROCESS else None) == outcome


@pytest.mark.parametrize("state", PATHS)
@pytest.mark.parametrize(
    "command", [row[0] for row in TABLE if not isinstance(row[0], CreateRequest)], ids=lambda each: type(each).__name__
)
def test_the_request_of_another_tenant_is_not_found_in_whatever_state(command: Command, state: str) -> None:
    strange = command.model_copy(update={"tenant_id": "other-tenant"})
    error = refused(in_state(state), strange)
    assert isinstance(error, ResourceNotFound)
    assert error.to_error() == refused(None, strange).to_error()


@pytest.mark.parametrize("state", [state for state in PATHS if state not in ("absent", "deleted")])
def test_a_refusal_for_the_state_says_which_it_is(state: str) -> None:
    request = in_state(state)
    assert request is not None
    for command, _, _ in TABLE:
        if answer(request, command).endswith(
            ("_requires_pending", "_requires_triaged", "_in_progress", "_awaiting_approval", "_open_request")
        ):
            assert refused(request, command).details["status"] == request.status.value
