"""The knowledge base in the memory of one process, exact and lost at its end; used by tests and by agents that are tried out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nsmallest
from operator import mul

from infra.knowledge.base import (
    Added,
    Counts,
    Document,
    DocumentEntry,
    Embedding,
    KnowledgeBase,
    Passage,
    check_limit,
    check_tenant,
    last_of_each,
)
from infra.knowledge.splitting import embedded_text, passages_of


@dataclass(frozen=True, slots=True)
class _Kept:
    document: Document
    passages: list[str]
    vectors: list[list[float]]
    updated_at: datetime


class InMemoryKnowledgeBase(KnowledgeBase):
    """Promises as in `infra.knowledge.base`; a search compares with every passage of the tenant."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding
        self._tenants: dict[str, dict[str, _Kept]] = {}

    async def add(self, tenant_id: str, documents: Iterable[Document]) -> Added:
        """See the port."""
        kept = self._tenants.setdefault(check_tenant(tenant_id), {})
        added: list[str] = []
        changed: list[str] = []
        unchanged: list[str] = []
        for document_id, document in last_of_each(documents).items():
            before = kept.get(document_id)
            if before is not None and before.document == document:
                unchanged.append(document_id)
                continue
            (added if before is None else changed).append(document_id)
            passages = passages_of(document)
            vectors = await self._embedding.embed([embedded_text(document, passage) for passage in passages])
            kept[document_id] = _Kept(document, passages, vectors, datetime.now(UTC))
        return Added(tuple(added), tuple(changed), tuple(unchanged))

    async def remove(self, tenant_id: str, document_ids: Iterable[str]) -> tuple[str, ...]:
        """See the port."""
        kept = self._tenants.get(check_tenant(tenant_id), {})
        return tuple(each for each in dict.fromkeys(document_ids) if kept.pop(each, None) is not None)

    async def search(self, tenant_id: str, query: str, limit: int = 5) -> list[Passage]:
        """See the port."""
        check_limit(limit)
        kept = self._tenants.get(check_tenant(tenant_id), {})
        (wanted,) = await self._embedding.embed([query])
        found = [
            Passage(each.document.document_id, number, each.document.title, text, each.document.source, min(1.0, score))
            for each in kept.values()
            for number, (text, vector) in enumerate(zip(each.passages, each.vectors, strict=True))
            if (score := math.fsum(map(mul, wanted, vector))) > 0.0
        ]
        return nsmallest(limit, found, key=lambda each: (-each.score, each.document_id, each.number))

    async def list(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[DocumentEntry]:
        """See the port."""
        kept = self._tenants.get(check_tenant(tenant_id), {})
        wanted = nsmallest(limit, (each for each in kept if each > after))
        return [_entry(kept[each]) for each in wanted]

    async def count(self, tenant_id: str) -> Counts:
        """See the port."""
        kept = self._tenants.get(check_tenant(tenant_id), {})
        return Counts(len(kept), sum(len(each.passages) for each in kept.values()))


def _entry(kept: _Kept) -> DocumentEntry:
    document = kept.document
    return DocumentEntry(document.document_id, document.title, document.source, len(kept.passages), kept.updated_at)
