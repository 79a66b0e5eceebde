"""The knowledge base in Postgres with pgvector: documents, passages and their vectors under an HNSW index; built by CLI and workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from infra.errors import ConfigurationError
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
from infra.postgres.arrays import ByteaColumn, IntegerColumn, TextColumn
from infra.postgres.pool import Database, Statement
from infra.postgres.sql_files import read_sql

SQL = "infra.knowledge.sql"
DIMENSION = 512
"""Of the column; another dimension takes a migration."""

EXACT_BELOW = 5_000
"""Up to so many passages of a tenant a search compares with all of them: exact, and not slower than the index by much."""

# Each transaction holds about so many passages: into the index go a few hundred a second, and a statement may take 30 s.
PASSAGES_AT_ONCE = 250

_FILES = (
    "known_documents",
    "put_documents",
    "drop_passages",
    "put_passages",
    "remove_documents",
    "search",
    "list_documents",
    "count_documents",
)


class _Cut(NamedTuple):
    document: Document
    passages: list[str]


class PostgresKnowledgeBase(KnowledgeBase):
    """Promises as in `infra.knowledge.base`. Of two writers of one document the later one's text stays, with its passages.

    Documents whose vectors another embedding made are not found until they are added again, which embeds them anew.
    """

    def __init__(self, database: Database, embedding: Embedding, *, exact_below: int = EXACT_BELOW) -> None:
        if embedding.dimension != DIMENSION:
            raise ConfigurationError(
                f"The knowledge base holds vectors of {DIMENSION} numbers, but the embedding {embedding.name} makes {embedding.dimension}: "
                f"configure an embedding with {DIMENSION}."
            )
        self._database = database
        self._embedding = embedding
        self._exact_below = exact_below
        self._sql = {name: read_sql(SQL, f"{name}.sql") for name in _FILES}

    async def add(self, tenant_id: str, documents: Iterable[Document]) -> Added:
        """See the port."""
        wanted = last_of_each(documents)
        known = await self._known(check_tenant(tenant_id), wanted)
        added = tuple(each for each in wanted if each not in known)
        made_by = self._embedding.name
        unchanged = tuple(each for each in wanted if known.get(each) == (wanted[each].content_hash(), made_by))
        changed = tuple(each for each in wanted if each in known and each not in set(unchanged))
        # In order of their ids: two writers that lock the same documents wait for one another, and never in a circle.
        for chunk in _chunks(wanted[each] for each in sorted((*added, *changed))):
            await self._put(tenant_id, chunk)
        return Added(added, changed, unchanged)

    async def _known(self, tenant_id: str, wanted: Iterable[str]) -> dict[str, tuple[bytes, str]]:
        rows = await self._database.fetch(self._sql["known_documents"], {"tenant": tenant_id, "documents": TextColumn(list(wanted))})
        return {document_id: (bytes(content_hash), embedding) for document_id, content_hash, embedding in rows}

    async def _put(self, tenant_id: str, chunk: list[_Cut]) -> None:
        documents = [cut.document for cut in chunk]
        places = [(cut.document, number, text) for cut in chunk for number, text in enumerate(cut.passages)]
        vectors = await self._embedding.embed([embedded_text(document, text) for document, _, text in places])
        ids = TextColumn([document.document_id for document in documents])
        statements: list[Statement] = [
            (
                self._sql["put_documents"],
                {
                    "tenant": tenant_id,
                    "documents": ids,
                    "titles": TextColumn([document.title for document in documents]),
                    "sources": TextColumn([document.source for document in documents]),
                    "hashes": ByteaColumn([document.content_hash() for document in documents]),
                    "embeddings": TextColumn([self._embedding.name] * len(documents)),
                    "counts": IntegerColumn([len(cut.passages) for cut in chunk]),
                },
            ),
            (self._sql["drop_passages"], {"tenant": tenant_id, "documents": ids}),
            (
                self._sql["put_passages"],
                {
                    "tenant": tenant_id,
                    "embedding": self._embedding.name,
                    "documents": TextColumn([document.document_id for document, _, _ in places]),
                    "numbers": IntegerColumn([number for _, number, _ in places]),
                    "texts": TextColumn([text for _, _, text in places]),
                    "vectors": TextColumn([as_vector(vector) for vector in vectors]),
                },
            ),
        ]
        await self._database.execute_together(statements)

    async def remove(self, tenant_id: str, document_ids: Iterable[str]) -> tuple[str, ...]:
        """See the port."""
        wanted = list(dict.fromkeys(document_ids))
        rows = await self._database.fetch(
            self._sql["remove_documents"], {"tenant": check_tenant(tenant_id), "documents": TextColumn(wanted)}
        )
        gone = {row[0] for row in rows}
        return tuple(each for each in wanted if each in gone)

    async def search(self, tenant_id: str, query: str, limit: int = 5) -> list[Passage]:
        """See the port."""
        check_limit(limit)
        check_tenant(tenant_id)
        (vector,) = await self._embedding.embed([query])
        if not any(vector):
            return []
        rows = await self._database.fetch(
            self._sql["search"],
            {
                "tenant": tenant_id,
                "vector": as_vector(vector),
                "embedding": self._embedding.name,
                "limit": limit,
                "exact_below": self._exact_below,
            },
        )
        return [Passage._make((*row[:5], min(1.0, row[5]))) for row in rows]

    async def list(self, tenant_id: str, *, after: str = "", limit: int = 100) -> list[DocumentEntry]:
        """See the port."""
        parameters = {"tenant": check_tenant(tenant_id), "after": after, "limit": limit}
        return [DocumentEntry(*row) for row in await self._database.fetch(self._sql["list_documents"], parameters)]

    async def count(self, tenant_id: str) -> Counts:
        """See the port."""
        row = await self._database.fetch_one(self._sql["count_documents"], {"tenant": check_tenant(tenant_id)})
        assert row is not None
        return Counts(*row)


def as_vector(vector: Iterable[float]) -> str:
    """A vector as pgvector reads it. It keeps single precision, so seven digits are all there is."""
    return f"[{','.join([format(value, '.7g') for value in vector])}]"


def _chunks(documents: Iterable[Document]) -> Iterator[list[_Cut]]:
    """Documents with their passages, so many together as one transaction takes; a large one goes alone."""
    chunk: list[_Cut] = []
    passages = 0
    for document in documents:
        cut = _Cut(document, passages_of(document))
        if chunk and passages + len(cut.passages) > PASSAGES_AT_ONCE:
            yield chunk
            chunk, passages = [], 0
        chunk.append(cut)
        passages += len(cut.passages)
    if chunk:
        yield chunk
