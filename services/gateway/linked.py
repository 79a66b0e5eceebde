"""What answers have in common: bodies with links, pages, the body of 202; filled by the resources, written as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from infra.identity.base import Permission
from services.gateway.errors import JSON

May = Callable[[Permission], bool]
"""Whether the caller's role has a permission."""
T = TypeVar("T")


class Link(BaseModel):
    """Where a caller can go from here, and how."""

    model_config = ConfigDict(frozen=True)

    href: str
    rel: str
    method: str = "GET"
    description: str | None = None


class Linked(BaseModel):
    """What carries links. In JSON they are `_links`, a name that pydantic would drop as private (API-15)."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, populate_by_name=True)

    links: dict[str, Link] = Field(alias="_links", description="What can be done next: only what state and role allow.")

    def to_json(self) -> bytes:
        """The JSON of the answer."""
        return self.model_dump_json(by_alias=True).encode()


class Page(Linked, Generic[T]):
    """Some of a list, with the cursor of the next page."""

    items: list[T]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last one.")


class Accepted(Linked):
    """A command that was accepted; its outcome is not known, or not shown yet. It has the id of the thing beside these."""

    model_config = ConfigDict(extra="allow")

    status: str = "accepted"
    command_id: str


def json_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with this JSON."""
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=JSON)


def query_text(asked: Mapping[str, Any]) -> str:
    """The query of a URL, with its question mark; what is None is left out."""
    named = {name: value for name, value in asked.items() if value is not None}
    return f"?{urlencode(named, doseq=True)}" if named else ""
