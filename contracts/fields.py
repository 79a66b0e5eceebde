"""Field types that several contexts share: companion metadata, reasons, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json

from contracts.json_object import JsonObject

MAX_METADATA_CHARACTERS = 10_000
MAX_REASON_CHARACTERS = 2_000


def check_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuses metadata whose compact JSON text has more than 10000 characters."""
    if not metadata:
        return metadata
    try:
        text = to_json(metadata)
    except (PydanticSerializationError, ValueError) as error:
        raise PydanticCustomError("json_value", "Metadata should be writable as JSON in UTF-8") from error
    if len(text) > MAX_METADATA_CHARACTERS and len(text.decode()) > MAX_METADATA_CHARACTERS:
        raise PydanticCustomError(
            "metadata_too_long",
            "Metadata should have at most {limit} characters as JSON",
            {"limit": MAX_METADATA_CHARACTERS},
        )
    return metadata


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Refuses moments that UTC cannot express (the first and last hours of the calendar)."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PydanticCustomError("datetime_range", "Input should be a time between the years 1 and 9999 in UTC") from error


# Not blank, and no NUL, which Postgres cannot hold in a text.
SOME_TEXT = r"^[^\x00]*[^\s\x00][^\x00]*$"
Reason = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON_CHARACTERS, pattern=SOME_TEXT)]
Metadata = Annotated[
    JsonObject,
    AfterValidator(check_metadata),
    Field(description="Free companion fields; at most 10000 characters as compact JSON text."),
]
UtcTime = Annotated[AwareDatetime, AfterValidator(to_utc)]
