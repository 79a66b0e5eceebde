"""The base of everything published: a frozen pydantic model with an explicit type name; JSON bytes in, JSON bytes out."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Self, cast

import pydantic
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.ids import TenantId

# No control characters (Unicode Cc); surrogates cannot occur in a validated text.
NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]+$"
TENANT_PATTERN = r"^[A-Za-z0-9._-]+$"
MAX_ID_CHARACTERS = 200

ValidTenantId = Annotated[TenantId, StringConstraints(min_length=1, max_length=100, pattern=TENANT_PATTERN)]


class UndecodableMessage(Exception):
    """The bytes are not a JSON text in UTF-8, so nobody can say what they mean."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Message(BaseModel):
    """One message of the mesh. Its type name is stable: moving or renaming the class never changes stored history."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")

    type_name: ClassVar[str]
    context: ClassVar[str]
    aggregate_field: ClassVar[str]

    tenant_id: TenantId

    @property
    def aggregate_id(self) -> str:
        """The id of the aggregate that this message is about: its Kafka key and its stream."""
        return cast(str, getattr(self, self.aggregate_field))

    def to_json(self) -> bytes:
        """The message as the bytes of a record's value: compact JSON in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The message in these bytes. Raises pydantic.ValidationError, or UndecodableMessage for bytes that are not JSON."""
        try:
            return cast(Self, cls.__pydantic_validator__.validate_json(data))
        except pydantic.ValidationError as error:
            raise _reason(cls, data, error) from None


class Command(Message):
    """An order that may be refused. Unknown fields are refused and types are exact on the wire: the schema says all there is."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: ValidTenantId

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The command in these bytes. Raises pydantic.ValidationError, or UndecodableMessage for bytes that are not JSON."""
        try:
            return cast(Self, cls.__pydantic_validator__.validate_json(data, strict=True))
        except pydantic.ValidationError as error:
            raise _reason(cls, data, error) from None


class Event(Message):
    """A fact, stored and published in one class. Readers ignore unknown fields, so that a field can be added within a version."""

    model_config = ConfigDict(extra="ignore")


def _reason(cls: type[Message], data: bytes, error: pydantic.ValidationError) -> Exception:
    """Why these bytes are no message. JSON may spell a lone surrogate, which pydantic takes for broken JSON: find its field."""
    if error.errors(include_url=False, include_input=False, include_context=False)[0]["type"] != "json_invalid":
        return error
    try:
        parsed = json.loads(data.decode(), parse_constant=_refuse_constant)
        cls.__pydantic_validator__.validate_python(parsed)
    except pydantic.ValidationError as specific:
        return specific
    except (ValueError, RecursionError):
        return UndecodableMessage("the value is not JSON in UTF-8")
    return UndecodableMessage("the value is JSON that cannot be stored: nested too deep, or text with a lone surrogate")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
