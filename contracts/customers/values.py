"""The values of customers: raw text and JSON values in, checked values out; the messages of customers use them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from contracts.message import NO_CONTROL
from contracts.result import Failure, Result, Success

MAX_EMAIL_CHARACTERS = 254
REFUSED_DOMAINS = frozenset({"example.com", "test.com", "localhost"})
_EMAIL = re.compile(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}")


class CustomerTier(StrEnum):
    """What a customer is to the tenant. Only `enterprise` has a meaning: its requests are always escalated (TEN-06)."""

    FREE = "free"
    STANDARD = "standard"
    PREMIUM = "premium"
    ENTERPRISE = "enterprise"


class EmailErrorCode(StrEnum):
    """Why a text is no e-mail address, in the order in which it is asked."""

    EMPTY_EMAIL = "EMPTY_EMAIL"
    EMAIL_TOO_LONG = "EMAIL_TOO_LONG"
    INVALID_FORMAT = "INVALID_FORMAT"
    INVALID_DOMAIN = "INVALID_DOMAIN"


@dataclass(frozen=True)
class EmailError:
    """Why a text is no e-mail address. It never repeats the text, which may be private."""

    code: EmailErrorCode
    message: str


EMPTY_EMAIL = EmailError(EmailErrorCode.EMPTY_EMAIL, "An e-mail address should not be empty")
EMAIL_TOO_LONG = EmailError(EmailErrorCode.EMAIL_TOO_LONG, f"An e-mail address should have at most {MAX_EMAIL_CHARACTERS} characters")
INVALID_FORMAT = EmailError(EmailErrorCode.INVALID_FORMAT, "An e-mail address should look like name@domain.tld")
INVALID_DOMAIN = EmailError(EmailErrorCode.INVALID_DOMAIN, "An e-mail address should not be of a domain that is for examples and tests")


@dataclass(frozen=True)
class Email:
    """An e-mail address, trimmed and in lower case. `Email.create` makes it; the constructor raises ValueError for any other text."""

    value: str

    def __post_init__(self) -> None:
        if self.value != _canonical(self.value) or _refusal(self.value) is not None:
            raise ValueError("this text is no e-mail address in its canonical form: use Email.create")

    @classmethod
    def create(cls, text: object) -> Result[Email, EmailError]:
        """The address in this text, or the first reason why it is none. Never raises: what is not text has an invalid format."""
        if not isinstance(text, str):
            return Failure(INVALID_FORMAT)
        address = _canonical(text)
        error = _refusal(address)
        return Success(cls(address)) if error is None else Failure(error)

    def __str__(self) -> str:
        return self.value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(_read, serialization=core_schema.to_string_ser_schema(when_used="always"))

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "email", "description": "An e-mail address; stored trimmed and in lower case."}


def _canonical(text: str) -> str:
    return text.strip().lower()


def _refusal(address: str) -> EmailError | None:
    """The first rule of REQ-46 that the address breaks. `x@localhost` has no dot, so it never comes to the rule on domains."""
    if not address:
        return EMPTY_EMAIL
    if len(address) > MAX_EMAIL_CHARACTERS:
        return EMAIL_TOO_LONG
    if not _EMAIL.fullmatch(address):
        return INVALID_FORMAT
    if address.rpartition("@")[2] in REFUSED_DOMAINS:
        return INVALID_DOMAIN
    return None


def _read(value: object) -> Email:
    if isinstance(value, Email):
        return value
    result = Email.create(value)
    if isinstance(result, Failure):
        error = result.error
        raise PydanticCustomError("email", "{message} ({code})", {"message": error.message, "code": error.code.value})
    return result.value


PhoneNumber = Annotated[
    str, StringConstraints(pattern=r"^[0-9+(][0-9 ()./-]{2,39}$"), Field(description="Digits, blanks and + ( ) . / - as people write them.")
]
CustomerName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL, strip_whitespace=True)]


@dataclass(frozen=True)
class ContactInfo:
    """How a customer is reached."""

    # A plain dataclass takes over the rule on unknown fields from the message around it: refused in a command, ignored in an event.

    email: Email
    phone: PhoneNumber | None = None
