"""A tenant's knowledge base for a person: files in, documents and passages out; the work behind `knowledge`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from infra.errors import DataError
from infra.knowledge.base import KnowledgeBase, Passage, check_tenant
from infra.knowledge.files import UnreadableFile, documents_in
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.postgres import PostgresKnowledgeBase
from services.cli.errors import NotFound, WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_json, print_table, tell

SHOWN_TEXT = 160
SHOWN_IDS = 5


@asynccontextmanager
async def _knowledge(tenant: str) -> AsyncIterator[KnowledgeBase]:
    try:
        check_tenant(tenant)
    except DataError as error:
        raise WrongUsage(f"There can be no tenant {tenant!r}: {error}.") from None
    async with open_mesh(connections=2) as mesh:
        yield PostgresKnowledgeBase(mesh.database, LocalEmbedding())


async def add(paths: Sequence[Path], tenant: str, output: Output) -> None:
    """Add the documents of files and folders. Raises NotFound for a path that is not there, WrongUsage for one without documents."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise NotFound(f"There is no file or folder {', '.join(missing)}. Nothing was added.")
    try:
        documents = documents_in(paths)
    except UnreadableFile as error:
        raise WrongUsage(f"{error} Nothing was added.") from None
    async with _knowledge(tenant) as knowledge:
        added = await knowledge.add(tenant, documents)
        counts = await knowledge.count(tenant)
    if output is Output.JSON:
        print_json({"tenant": tenant, **added._asdict(), "total": counts._asdict()})
        return
    rows = [(each, state) for state, ids in added._asdict().items() for each in ids]
    print_table(("document", "state"), sorted(rows), empty="No document.")
    tell(f"tenant {tenant} has {counts.documents} documents with {counts.passages} passages")


async def list_(tenant: str, after: str, limit: int, output: Output) -> None:
    """A page of a tenant's documents."""
    async with _knowledge(tenant) as knowledge:
        found = await knowledge.list(tenant, after=after, limit=limit)
        counts = await knowledge.count(tenant)
    if output is Output.JSON:
        print_json([entry._asdict() for entry in found])
    else:
        rows = [(entry.document_id, entry.title, entry.passages, entry.source, entry.updated_at) for entry in found]
        behind = f" behind {after!r}" if after else ""
        empty = f"Tenant {tenant} has no documents{behind}. Add some: agentmesh knowledge add PATH"
        print_table(("document", "title", "passages", "source", "updated"), rows, empty=empty)
    if len(found) == limit and counts.documents > limit:
        tell(f"{counts.documents} documents in all; the next ones: --after {found[-1].document_id!r}")


async def search(text: str, tenant: str, limit: int, output: Output) -> None:
    """The passages that fit best. Finding none is an answer too."""
    async with _knowledge(tenant) as knowledge:
        found = await knowledge.search(tenant, text, limit)
        has_any = bool(found) or bool((await knowledge.count(tenant)).documents)
    if output is Output.JSON:
        print_json([passage._asdict() for passage in found])
        return
    advice = "Try other words." if has_any else "It has no documents: agentmesh knowledge add PATH"
    rows = [(round(each.score, 3), each.source, each.title, _shown(each)) for each in found]
    print_table(("score", "source", "title", "text"), rows, empty=f"Nothing of tenant {tenant} fits. {advice}")


async def remove(document_ids: Sequence[str], tenant: str, output: Output) -> None:
    """Remove documents. Raises NotFound when one is not there; the others are removed all the same."""
    async with _knowledge(tenant) as knowledge:
        removed = await knowledge.remove(tenant, document_ids)
    if output is Output.JSON:
        print_json({"tenant": tenant, "removed": list(removed)})
    elif removed:
        print(f"removed {', '.join(removed)}")
    unknown = [each for each in dict.fromkeys(document_ids) if each not in removed]
    if unknown:
        more = f" and {len(unknown) - SHOWN_IDS} more" if len(unknown) > SHOWN_IDS else ""
        names = ", ".join(repr(each) for each in unknown[:SHOWN_IDS])
        raise NotFound(f"Tenant {tenant} has no document {names}{more}. See: agentmesh knowledge list --tenant {tenant}")


def _shown(passage: Passage) -> str:
    line = " ".join(passage.text.split())
    return line if len(line) <= SHOWN_TEXT else f"{line[: SHOWN_TEXT - 1]}…"
