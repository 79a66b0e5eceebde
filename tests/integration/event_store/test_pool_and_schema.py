"""The pool of PER-03, and the schema that a worker expects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from infra.errors import ConfigurationError, DataError, TransientError
from infra.migrations.runner import EXPECTED_REVISION, check_schema, migrate
from infra.postgres.pool import Database
from infra.settings import MeshSettings, load_settings
from projections.catalogue import read_models
from tests.mesh import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(database_url=database, pool_min_size=1, pool_max_size=2), database)
    await opened.open()
    yield opened
    await opened.close()


async def pid(pool: Database) -> int:
    row = await pool.fetch_one(b"SELECT pg_backend_pid()", {})
    assert row is not None
    return int(row[0])


def test_the_pool_has_the_limits_of_the_requirement() -> None:
    pool = Database(load_settings(), "postgresql://nobody@127.0.0.1:1/none").pool
    assert (pool.min_size, pool.max_size, pool.timeout, pool.max_idle) == (5, 20, 30.0, 300.0)
    assert load_settings().pool_max_queries == 50_000
    assert load_settings().pool_command_timeout_seconds == 30.0


async def test_a_session_has_the_settings_of_the_requirement(pool: Database) -> None:
    row = await pool.fetch_one(
        b"SELECT current_setting('application_name'), current_setting('jit'), current_setting('statement_timeout')", {}
    )
    assert row == ("agentmesh", "off", "30s")


async def test_a_pool_that_was_not_opened_says_so(database: str) -> None:
    unopened = Database(load_settings(), database, name="forgotten")
    with pytest.raises(ConfigurationError, match=r"'forgotten' is used before it was opened: call open\(\) first"):
        await unopened.fetch(b"SELECT 1", {})


async def test_a_connection_is_replaced_after_so_many_statements(database: str) -> None:
    pool = Database(load_settings(database_url=database, pool_min_size=1, pool_max_size=1, pool_max_queries=5), database)
    await pool.open()
    first = await pid(pool)
    assert [await pid(pool) for _ in range(5)] == [first] * 5

    async def another() -> bool:
        return await pid(pool) != first

    await wait_for(another, 5, "another connection")
    await pool.close()


async def test_a_wait_for_a_connection_ends_with_the_callers_timeout(pool: Database) -> None:
    async with pool.connection(), pool.connection():
        with pytest.raises(TransientError, match="no connection within"):
            await pool.fetch(b"SELECT 1", {}, timeout=0.1)
        assert pool.connections()["used"] == 2
    assert await pool.fetch(b"SELECT 1", {}, timeout=5) == [(1,)]


async def test_a_statement_that_takes_too_long_is_a_transient_failure(database: str) -> None:
    slow = Database(load_settings(database_url=database, pool_min_size=1, pool_command_timeout_seconds=0.2), database)
    await slow.open()
    with pytest.raises(TransientError, match="QueryCanceled"):
        await slow.fetch(b"SELECT pg_sleep(5)", {})
    await slow.close()
    await slow.close()


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        ("0000", r"has schema 0000, this release expects \d+. Run: agentmesh migrate"),
        ("9999", r"has schema 9999, newer than this release expects .* Run the release that migrated it"),
        (None, r"has no schema, this release expects \d+. Run: agentmesh migrate"),
    ],
)
async def test_another_schema_is_refused_with_what_mends_it(pool: Database, database: str, revision: str | None, says: str) -> None:
    await check_schema(pool)
    with psycopg.connect(database, autocommit=True) as admin:
        if revision is None:
            admin.execute("DROP TABLE public.schema_version")
        else:
            admin.execute("UPDATE public.schema_version SET version_num = %s", (revision,))
    with pytest.raises(ConfigurationError, match=says):
        await check_schema(pool)


async def test_migrations_run_twice_and_at_once_and_never_down(endpoints: object, database: str, mesh_settings: MeshSettings) -> None:
    assert await asyncio.gather(*(asyncio.to_thread(migrate, database, read_models()) for _ in range(2))) == [[], []]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE public.schema_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer"):
        migrate(database, read_models())
    with psycopg.connect(database) as admin:
        assert admin.execute("SELECT version_num FROM public.schema_version").fetchone() == ("9999",)
    assert EXPECTED_REVISION < "9999"


# -- several statements as one transaction --------------------------------------------------------------------------------------


@pytest.fixture
async def notes(pool: Database) -> Database:
    await pool.execute(b"CREATE TABLE notes (id bigint PRIMARY KEY)", {})
    return pool


INSERT_NOTE = b"INSERT INTO notes VALUES (%(id)s)"


async def kept(pool: Database) -> list[int]:
    return [row[0] for row in await pool.fetch(b"SELECT id FROM notes ORDER BY id", {})]


async def test_statements_together_are_one_transaction(notes: Database) -> None:
    same = b"INSERT INTO notes SELECT pg_current_xact_id()::text::bigint * 1000 + %(n)s"
    await notes.execute_together([(same, {"n": 1}), (same, {"n": 2})])
    first, second = await kept(notes)
    assert second == first + 1


async def test_what_the_server_refuses_takes_the_statements_before_it_along(notes: Database) -> None:
    await notes.execute_together([(INSERT_NOTE, {"id": 1})])
    with pytest.raises(DataError, match="UniqueViolation"):
        await notes.execute_together([(INSERT_NOTE, {"id": 2}), (INSERT_NOTE, {"id": 1}), (INSERT_NOTE, {"id": 3})])
    assert await kept(notes) == [1]


async def test_a_failure_between_two_statements_commits_neither(notes: Database) -> None:
    def broken() -> Iterator[tuple[bytes, dict[str, int]]]:
        yield INSERT_NOTE, {"id": 1}
        raise KeyError("a defect of the caller")

    with pytest.raises(KeyError, match="a defect of the caller"):
        await notes.execute_together(broken())
    assert await kept(notes) == []


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_cancellation_between_two_statements_commits_neither(notes: Database, place: int) -> None:
    """Cancelled while the server holds the first, the second or the third statement."""
    async with notes.connection() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(7)")
        statements: list[tuple[bytes, dict[str, int]]] = [(INSERT_NOTE, {"id": number}) for number in range(3)]
        statements.insert(place, (b"SELECT pg_advisory_xact_lock(7)", {}))
        together = asyncio.create_task(notes.execute_together(statements))
        waits = b"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

        async def it_waits() -> bool:
            return bool(await (await other.execute(waits)).fetchall())

        await wait_for(it_waits, 5, "a statement that waits")
        together.cancel()
        with pytest.raises(asyncio.CancelledError):
            await together
    assert await kept(notes) == []
    await notes.execute_together([(INSERT_NOTE, {"id": 9})])
    assert await kept(notes) == [9]
