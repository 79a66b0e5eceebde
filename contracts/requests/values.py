"""The values of customer requests: raw JSON values in, checked values out; pydantic runs these rules for each command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from contracts.errors import ValidationError
from contracts.fields import SOME_TEXT, Metadata
from contracts.ids import CustomerId, RequestId, ThreadId
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.money import financial_impact

MAX_MESSAGE_CHARACTERS = 10_000
REFUND_RULE = "refund_requires_medium_priority"
FORBIDDEN_IN_MESSAGE = ("<script", "javascript:", "onerror=", "onclick=")


class Priority(IntEnum):
    """How urgent a request is, ordered by number; HIGH and above count as high priority."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Category(StrEnum):
    """What a request is about."""

    ACCOUNT = "account"
    BILLING = "billing"
    TECHNICAL = "technical"
    PRODUCT = "product"
    REFUND = "refund"
    GENERAL = "general"


class RequestStatus(StrEnum):
    """Where a request stands in its workflow (REQ-17 to REQ-25)."""

    PENDING = "pending"
    TRIAGED = "triaged"
    IN_PROGRESS = "in_progress"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


class ApprovalReason(StrEnum):
    """Why a request waits for a person (REQ-20, REQ-27, REQ-32, REQ-36)."""

    REFUND = "refund"
    AMOUNT_ABOVE_THRESHOLD = "amount_above_threshold"
    ANOTHER_CURRENCY = "another_currency"
    UNREADABLE_AMOUNT = "unreadable_amount"
    ESCALATED = "escalated"


class EscalationReason(StrEnum):
    """Why a request is escalated (REQ-30, REQ-34)."""

    HIGH_PRIORITY_NEEDS_APPROVAL = "high_priority_needs_approval"
    LOW_CONFIDENCE = "low_confidence"
    VIP_CUSTOMER = "vip_customer"


class DecisionKind(StrEnum):
    """What a decision on a request was about (REQ-13)."""

    TRIAGE = "triage"
    ESCALATION = "escalation"
    APPROVAL = "approval"


APPROVAL_EXPIRED = "approval_expired"
"""The reason of a rejection that nobody gave: the time limit of the approval passed."""
FINAL_STATUSES = frozenset({RequestStatus.REJECTED, RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.DELETED})

# --- the message: SEC-17, SEC-18 ------------------------------------------------------------------------------------

# A deletion table for ASCII text, because one pass in C over the bytes is ten times faster than the general pattern.
_ASCII_WORDS = bytes(code for code in range(128) if chr(code).isalnum() or chr(code).isspace())
_SYMBOL = re.compile(r"[^\w\s]|_")


def count_symbols(text: str) -> int:
    """How many characters are neither alphanumeric nor white space."""
    if text.isascii():
        return len(text.encode("ascii").translate(None, _ASCII_WORDS))
    return len(_SYMBOL.findall(text))


def clean_message(text: str) -> str:
    """The message, trimmed. Refuses script content, NUL, more than 30 % symbols (counted before trimming), and blank text."""
    folded = text.casefold()
    if "<script" in folded or "javascript:" in folded or "onerror=" in folded or "onclick=" in folded:
        raise PydanticCustomError(
            "script_content", "Message should not contain any of: {forbidden}", {"forbidden": ", ".join(FORBIDDEN_IN_MESSAGE)}
        )
    if count_symbols(text) * 10 > len(text) * 3:
        raise PydanticCustomError("symbol_ratio", "At most 30 % of the characters should be other than letters, digits and white space")
    if "\0" in text:
        raise PydanticCustomError("nul_character", "Message should not contain NUL characters")
    trimmed = text.strip()
    if not trimmed:
        raise PydanticCustomError("blank_message", "Message should not be blank")
    return trimmed


# --- other fields ---------------------------------------------------------------------------------------------------


def contradicts_refund_rule(category: Category | None, priority: Priority | None) -> bool:
    """True for a refund below MEDIUM (REQ-31); what is not known contradicts nothing."""
    return category is Category.REFUND and priority is not None and priority < Priority.MEDIUM


def refund_rule_broken() -> PydanticCustomError:
    """The error of a command that contradicts the refund rule in itself."""
    return PydanticCustomError(
        REFUND_RULE, "A request of category refund should have priority {minimum} or above", {"minimum": 2, "field": "priority"}
    )


def check_financial_impact(metadata: Metadata) -> Metadata:
    """Refuses metadata whose `amount` or `currency` cannot be read as money (REQ-35): it must not pass as no amount."""
    if "amount" in metadata or "currency" in metadata:
        try:
            financial_impact(metadata)
        except ValidationError as error:
            raise PydanticCustomError("financial_impact", "{reason}", {"reason": error.message, "field": error.field}) from None
    return metadata


def _medium(_: None) -> Priority:
    return Priority.MEDIUM


@dataclass(frozen=True, slots=True)
class _PriorityRule:
    """A priority is a whole JSON number: neither true nor text nor 2.0, which pydantic's enums would take. A null may mean 2.

    The null is a branch of its own, so that only a null costs a call into Python.
    """

    nullable: bool

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = core_schema.chain_schema([core_schema.int_schema(strict=True), handler(source)])
        if not self.nullable:
            return number
        null = core_schema.no_info_after_validator_function(_medium, core_schema.none_schema())
        return core_schema.union_schema(
            [number, null],
            mode="left_to_right",
            custom_error_type="priority",
            custom_error_message="Input should be 1, 2, 3 or 4",
        )

    def __get_pydantic_json_schema__(self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number: JsonSchemaValue = {"type": "integer", "enum": [int(priority) for priority in Priority]}
        return {"anyOf": [number, {"type": "null"}]} if self.nullable else number


ValidRequestId = Annotated[RequestId, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)]
ValidThreadId = Annotated[ThreadId, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)]
ValidCustomerId = Annotated[CustomerId, StringConstraints(min_length=8, max_length=100, pattern=r"^cust-[a-zA-Z0-9-]{1,90}$")]
RequestMessage = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARACTERS),
    AfterValidator(clean_message),
    Field(
        description="What the customer wrote. At most 30 % of its characters may be neither letter, digit nor white space; "
        "`<script`, `javascript:`, `onerror=` and `onclick=` are refused in any case of letters; stored trimmed."
    ),
]
ValidPriority = Annotated[Priority, _PriorityRule(nullable=False)]
PriorityOrNull = Annotated[Priority, _PriorityRule(nullable=True)]
Confidence = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="How sure the decider is, 0.0 to 1.0.")]
Resolution = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARACTERS, pattern=SOME_TEXT)]
RequestMetadata = Annotated[
    Metadata,
    AfterValidator(check_financial_impact),
    Field(
        description="Free companion fields; at most 10000 characters as compact JSON text. `amount` (decimal text such as 99.99) and "
        "`currency` (default USD) are the financial impact, `order_id` says what it is about."
    ),
]
ActorId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL),
    Field(description="A person or system, as `ce_authid` names it."),
]


class Decision(BaseModel):
    """A decision that was taken on a request, by an agent, by the policies or by a person (REQ-13). Readers get it from the read model."""

    model_config = ConfigDict(frozen=True)

    decision_id: str
    """The id of the event that recorded it."""
    kind: DecisionKind
    outcome: str
    """What was decided: the category for triage, the reasons for an escalation, `approved`, `rejected` and the like for an approval."""
    confidence: Confidence | None = None
    reason: str | None = None
    decided_by: str | None = None
    """The actor of the command that led to it."""
    decided_at: AwareDatetime
