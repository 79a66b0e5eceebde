"""The knowledge base on pgvector: the suite of the port, the index, other embeddings, and a database without the extension."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from infra.errors import ConfigurationError
from infra.knowledge.base import Document, Passage
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.postgres import EXACT_BELOW, PostgresKnowledgeBase
from infra.knowledge.schema import create_knowledge
from infra.local_stack import Endpoints
from infra.migrations.runner import migrate
from infra.postgres.pool import Database
from infra.settings import load_settings
from projections.catalogue import read_models
from tests.conformance.knowledge import ALL, PARCEL, TENANT, KnowledgeSuite
from tests.conftest import drop_database, with_database

pytestmark = pytest.mark.integration


@pytest.fixture
def database(shared_database: str) -> str:
    """An empty knowledge base."""
    with psycopg.connect(shared_database, autocommit=True) as admin:
        admin.execute("TRUNCATE knowledge.documents, knowledge.passages")
    return shared_database


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(pool_min_size=1, database_url=database), database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def knowledge(pool: Database) -> PostgresKnowledgeBase:
    return PostgresKnowledgeBase(pool, LocalEmbedding())


class TestPostgresKnowledgeBase(KnowledgeSuite):
    """The whole suite, as it is configured by default: few passages, compared with all."""


class TestPostgresKnowledgeBaseThroughItsIndex(KnowledgeSuite):
    """The whole suite, always by the index."""

    @pytest.fixture
    def knowledge(self, pool: Database) -> PostgresKnowledgeBase:
        return PostgresKnowledgeBase(pool, LocalEmbedding(), exact_below=0)


# -- embeddings ----------------------------------------------------------------------------------------------------------


class OtherEmbedding(LocalEmbedding):
    """Stands for another model: the same vectors with their signs turned, so a comparison with the local ones would find nothing."""

    name = "other"

    async def embed(self, texts: object) -> list[list[float]]:
        return [[-value for value in vector] for vector in await super().embed(texts)]  # type: ignore[arg-type]


class WideEmbedding(LocalEmbedding):
    """More numbers than the column holds."""

    name = "wide"
    dimension = 1536


async def test_documents_of_another_embedding_are_not_found_until_they_are_added_again(
    knowledge: PostgresKnowledgeBase, pool: Database
) -> None:
    await knowledge.add(TENANT, ALL)
    other = PostgresKnowledgeBase(pool, OtherEmbedding())
    assert await other.search(TENANT, "track a parcel") == []
    assert (await other.add(TENANT, [PARCEL])).changed == ("parcel.md",)
    assert [each.document_id for each in await other.search(TENANT, "track a parcel")] == ["parcel.md"]
    assert "parcel.md" not in {each.document_id for each in await knowledge.search(TENANT, "track a parcel")}


async def test_an_embedding_of_another_dimension_is_refused_at_the_start(pool: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"vectors of 512 numbers, but the embedding wide makes 1536: configure"):
        PostgresKnowledgeBase(pool, WideEmbedding())


# -- many passages -------------------------------------------------------------------------------------------------------

WORDS = [f"{first}{second}" for first in ("bor", "kel", "mun", "tas", "vil", "zor", "pan", "rig") for second in (
    "dan", "lem", "nik", "sto", "fer", "gul", "hap", "wex", "yor", "cim", "qua", "jot", "ble", "dru", "esk", "oph"
)]  # fmt: skip


def made_up(number: int) -> Document:
    """A document of random words, the same for the same number."""
    chooser = random.Random(number)
    return Document(f"d{number:05d}", " ".join(chooser.choices(WORDS, k=3)), " ".join(chooser.choices(WORDS, k=40)))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_thousand_passages_are_searched_by_the_index_in_bounded_time(
    pool: Database, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    knowledge = PostgresKnowledgeBase(pool, LocalEmbedding())
    # The index is made at once over what is there, in a fraction of the time that ten thousand single entries take.
    with psycopg.connect(database, autocommit=True) as admin:
        row = admin.execute("SELECT pg_get_indexdef('knowledge.passages_vector'::regclass)").fetchone()
        assert row is not None
        admin.execute("DROP INDEX knowledge.passages_vector")
        await knowledge.add("large", [made_up(number) for number in range(10_000)])
        admin.execute(row[0].encode())
    began = time.perf_counter()
    await knowledge.add("small", ALL)
    await knowledge.add("middle", [made_up(number) for number in range(20_000, 20_300)])
    adding = (time.perf_counter() - began) / 303
    assert await knowledge.count("large") == (10_000, 10_000)

    # As many words of a passage as a question has.
    queries = [" ".join(made_up(number).text.split()[:8]) for number in range(0, 10_000, 250)]
    exact = PostgresKnowledgeBase(pool, LocalEmbedding(), exact_below=1_000_000)
    await knowledge.search("large", queries[0])
    by_index, index_seconds = await timed(knowledge, "large", queries)
    assert index_scans(database, "large") == 1
    assert index_scans(database, "small") == 0
    by_all, exact_seconds = await timed(exact, "large", queries)
    kept = [
        len({found.document_id for found in some} & {found.document_id for found in all_}) / len(all_)
        for some, all_ in zip(by_index, by_all, strict=True)
    ]
    first = sum(some[0].document_id == all_[0].document_id for some, all_ in zip(by_index, by_all, strict=True)) / len(queries)
    with capsys.disabled():
        print(
            f"\nknowledge: 10,000 passages, one more in {adding * 1000:.1f} ms; "
            f"search by index p50 {statistics.median(index_seconds) * 1000:.1f} ms, "
            f"max {max(index_seconds) * 1000:.1f} ms; comparing all p50 {statistics.median(exact_seconds) * 1000:.1f} ms; "
            f"of the true first five {statistics.mean(kept):.0%}, the first one {first:.0%}"
        )
    assert statistics.mean(kept) >= 0.85
    assert statistics.median(index_seconds) < 1.0

    # The index knows no tenants; small ones among large ones are searched whole all the same.
    always_index = PostgresKnowledgeBase(pool, LocalEmbedding(), exact_below=0)
    assert [each.document_id for each in await always_index.search("small", "track a parcel", limit=1)] == ["parcel.md"]
    middle = await always_index.search("middle", made_up(20_100).text, limit=20)
    assert (middle[0].document_id, len(middle)) == ("d20100", 20)
    assert all(int(each.document_id[1:]) >= 20_000 for each in middle)


async def timed(knowledge: PostgresKnowledgeBase, tenant: str, queries: list[str]) -> tuple[list[list[Passage]], list[float]]:
    found, seconds = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(await knowledge.search(tenant, query))
        seconds.append(time.perf_counter() - began)
    return found, seconds


def index_scans(database: str, tenant: str) -> int:
    """How often one search of the tenant reads the vector index, with the limit below which all are compared as it is by default."""
    nearest = "SELECT knowledge.nearest(%s, (SELECT vector FROM knowledge.passages LIMIT 1), %s, 5, %s)"
    with psycopg.connect(database) as session:
        session.execute(nearest, (tenant, LocalEmbedding.name, EXACT_BELOW))
        row = session.execute("SELECT pg_stat_get_xact_numscans('knowledge.passages_vector'::regclass)").fetchone()
    assert row is not None
    return int(row[0])


# -- the extension -------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare_database(endpoints: Endpoints) -> Iterator[str]:
    """The URL of a database without any extension, of a role that may not create them."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
        if admin.info.parameter_status("is_superuser") == "on":
            pytest.skip("the role of DATABASE_URL is a superuser, which may create every extension")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    yield with_database(endpoints.postgres_dsn, name)
    drop_database(endpoints.postgres_dsn, name)


async def test_a_role_that_may_not_create_the_extension_is_told_what_to_run(bare_database: str) -> None:
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"As a superuser, run in this database: CREATE EXTENSION vector; then: agentmesh mig"):
            await asyncio.to_thread(migrate, bare_database, read_models())
    with psycopg.connect(bare_database) as left:
        assert left.execute("SELECT to_regnamespace('knowledge'), to_regnamespace('tasks')").fetchone() == (None, None)


class Server:
    """A cursor on a server that has the extension in a version, or not at all."""

    def __init__(self, version: str | None) -> None:
        self._version = version

    def execute(self, statement: str) -> Server:
        assert "pg_available_extensions" in statement, "nothing is created"
        return self

    def fetchone(self) -> tuple[str] | None:
        return None if self._version is None else (self._version,)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (
            None,
            r"needs the PostgreSQL extension vector, which this server does not have\. Install pgvector 0\.8 or newer",
        ),
        ("0.7.4", r"vector 0\.8, and this server has 0\.7\.4\. Install .*ALTER EXTENSION vector UPDATE"),
    ],
)
def test_a_server_without_the_extension_or_with_an_old_one_says_what_to_install(version: str | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        create_knowledge(Server(version))
