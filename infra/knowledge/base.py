"""The port to what a tenant has written down: documents in, ranked passages out; the CLI fills it, research asks it.

A document is cut into passages, each is embedded as a unit vector, and a search ranks passages by the cosine of their vectors with that
of the query. Adapters stand beside this file and pass one suite, `tests/conformance/knowledge.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from contracts.message import TENANT_PATTERN
from infra.errors import DataError

MAX_ID_CHARACTERS = 500
MAX_TITLE_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 1_000_000
MAX_LIMIT = 100
"""The most passages that one search answers."""

_TENANT = re.compile(TENANT_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a tenant. `document_id` is the tenant's own name for it; `source` says where it stands, by default that name.

    Raises DataError for what no adapter can keep: a blank or overlong id or text, NUL, lone surrogates.
    """

    document_id: str
    title: str
    text: str
    source: str = ""

    def __post_init__(self) -> None:
        _check_name("id", self.document_id, MAX_ID_CHARACTERS)
        _check_name("title", self.title, MAX_TITLE_CHARACTERS)
        if not self.source:
            object.__setattr__(self, "source", self.document_id)
        _check_name("source", self.source, MAX_ID_CHARACTERS)
        if not self.text.strip() or len(self.text) > MAX_TEXT_CHARACTERS:
            raise DataError(f"the text of {self.document_id!r} must not be blank, nor longer than {MAX_TEXT_CHARACTERS} characters")
        if _UNSTORABLE.search(self.text):
            raise DataError(f"the text of {self.document_id!r} holds a NUL or a lone surrogate: save it as UTF-8 text")

    def content_hash(self) -> bytes:
        """Tells a changed document from one that is already there."""
        parts = (self.title, self.text, self.source)
        return hashlib.sha256(b"\x00".join(part.encode() for part in parts)).digest()


class DocumentEntry(NamedTuple):
    """A document in a listing."""

    document_id: str
    title: str
    source: str
    passages: int
    updated_at: datetime


class Passage(NamedTuple):
    """A piece of a document that fits a query. The score is the cosine, 0.0 (nothing in common) to 1.0 (the same)."""

    document_id: str
    number: int
    title: str
    text: str
    source: str
    score: float


class Added(NamedTuple):
    """What became of documents that were added, by their ids, in the order given."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


class Counts(NamedTuple):
    """How much a tenant has."""

    documents: int
    passages: int


class Embedding(Protocol):
    """Texts to vectors of length one, whose cosine says how alike the texts are.

    Vectors of embeddings with different names must not be compared: whatever changes a vector changes the name. The same text always
    gives the same vector; a text in which nothing is to be found gives all zeros.
    """

    name: str
    dimension: int

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text, in order. Raises TransientError when a remote model cannot be reached."""
        ...


class KnowledgeBase(Protocol):
    """Documents of many tenants; none ever sees another's, and two tenants may use the same id.

    Every method raises TransientError when the store cannot be reached, DataError for a tenant id that breaks the contract.
    """

    async def add(self, tenant_id: str, documents: Iterable[Document]) -> Added:
        """Keep documents. Each one is added or replaced whole, with all of its passages, or not at all; of several with one id the
        last counts. Adding what is already there changes nothing, so a broken-off call is simply repeated.
        """
        ...

    async def remove(self, tenant_id: str, document_ids: Iterable[str]) -> tuple[str, ...]:
        """Remove documents with their passages; answers the ids that were there."""
        ...

    async def search(self, tenant_id: str, query: str, limit: int = 5) -> list[Passage]:
        """At most `limit` (1 to MAX_LIMIT, else ValueError) passages with a score above 0, best first."""
        ...

    async def list(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[DocumentEntry]:
        """At most `limit` documents with an id above `after`, ordered by id, code point by code point."""
        ...

    async def count(self, tenant_id: str) -> Counts:
        """How many documents and passages the tenant has."""
        ...


def check_tenant(tenant_id: str) -> str:
    """The tenant's id; raises DataError when it breaks the contract."""
    if not _TENANT.fullmatch(tenant_id) or len(tenant_id) > 100:
        raise DataError("a tenant id has 1 to 100 letters, digits, dots, hyphens or underscores")
    return tenant_id


def check_limit(limit: int) -> int:
    """The limit of a search; raises ValueError when it is out of range."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"a search answers 1 to {MAX_LIMIT} passages, not {limit}")
    return limit


def last_of_each(documents: Iterable[Document]) -> dict[str, Document]:
    """The documents by id; of several with one id the last, in the place of the first."""
    return {document.document_id: document for document in documents}


def _check_name(what: str, value: str, limit: int) -> None:
    if not value.strip() or len(value) > limit or _CONTROL.search(value):
        raise DataError(f"a document's {what} has 1 to {limit} characters and no control characters")
