"""Row-level security: as the role of the gateway's reads, whatever a statement asks for, one tenant's rows come out, or none."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import AsyncConnection, sql

from infra.errors import ConfigurationError, DataError, TransientError
from infra.event_store.postgres import PostgresEventStore
from infra.local_stack import Endpoints
from infra.migrations.runner import EXPECTED_REVISION, migrate
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.postgres.tenant_reads import READER, SESSION, PostgresTenantReads
from infra.read_models.base import ReadModel, Table
from infra.read_models.rebuild import Rebuild
from infra.settings import MeshSettings, load_settings
from projections.catalogue import read_models
from projections.listing import Listing, Slice
from tests.conftest import with_database

pytestmark = pytest.mark.integration
TENANTS = ("acme", "globex")
TABLES = [(model, table) for model in read_models() for table in model.tables]
NAMES = [f"{model.schema}.{table.name}" for model, table in TABLES]
VALUES: dict[str, Any] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), 1),
    **dict.fromkeys(("json", "jsonb"), "{}"),
    "boolean": True,
    "double precision": 1.0,
    "timestamptz": datetime.now(UTC),
}


def plant(connection: psycopg.Connection[Any], model: ReadModel, table: Table) -> None:
    """A row of each tenant, with a value in every column."""
    for tenant in TENANTS:
        row = {column: VALUES.get(kind, f"{column} of {tenant}") for column, kind in table.columns.items()} | {"tenant_id": tenant}
        values = sql.SQL(", ").join(sql.Placeholder() * len(row))
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        target = sql.Identifier(model.schema, table.name)
        connection.execute(sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(target, names, values), list(row.values()))


def as_user(dsn: str, name: str, password: str) -> str:
    """The same database, another login."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture(scope="module")
def planted(shared_database: str) -> str:
    """A database with a row of each tenant in every table of the catalogue."""
    with psycopg.connect(shared_database, autocommit=True) as owner:
        for model, table in TABLES:
            plant(owner, model, table)
    return shared_database


@pytest.fixture
def new_login(endpoints: Endpoints) -> Iterator[Any]:
    """Makes logins of this test alone; dropped at its end."""
    made: list[str] = []

    def make(dsn: str, options: str = "", groups: tuple[str, ...] = ()) -> str:
        name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(16)
        with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
            made.append(name)
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(sql.Identifier(name), sql.SQL(options), sql.Literal(password))
            )
            for group in groups:
                admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
        return as_user(dsn, name, password)

    yield make
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def new_owner(endpoints: Endpoints, database_template: str, new_login: Any) -> Iterator[Any]:
    """Makes an empty database whose owner may do nothing but own it, as on a managed server; dropped at the end."""
    made: list[str] = []

    def make(groups: tuple[str, ...] = ()) -> str:
        dsn = new_login(endpoints.postgres_dsn, "CREATEDB", groups)
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(with_database(dsn, name))
        return made[-1]

    yield make
    for dsn in made:
        with psycopg.connect(with_database(dsn, urlsplit(endpoints.postgres_dsn).path[1:]), autocommit=True) as owner:
            owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(urlsplit(dsn).path[1:])))


@pytest.fixture(params=["the owner's login, put down", "a login of its own"])
def reader_dsn(request: pytest.FixtureRequest, planted: str, new_login: Any) -> str:
    """How the gateway's reads come to the database: as the owner who puts the role down, or as somebody who can be nobody else."""
    return str(planted if "owner" in request.param else new_login(planted, groups=(READER,)))


def settings_of(dsn: str, **changes: Any) -> MeshSettings:
    return load_settings(**{"database_url": "postgresql://nobody@127.0.0.1:1/x", "reader_database_url": dsn, "pool_min_size": 1, **changes})


@pytest.fixture
async def reads(reader_dsn: str) -> AsyncIterator[PostgresTenantReads]:
    """The adapter on one connection, so that every statement meets what the one before left behind."""
    found = PostgresTenantReads(settings_of(reader_dsn, pool_max_size=1))
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def session(reader_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A session as the adapter opens it."""
    with psycopg.connect(reader_dsn, autocommit=True, options=SESSION) as connection:
        yield connection


async def test_every_table_shows_rows_of_the_tenant_only_and_none_without_one(planted: str, reads: PostgresTenantReads) -> None:
    await reads.check()
    for name in NAMES:
        statement = f"SELECT DISTINCT tenant_id FROM {name}".encode()
        assert await reads.database.fetch(statement, {}) == [], name
        for tenant in TENANTS:
            assert [tuple(row) for row in await reads.of(tenant).fetch(statement, {})] == [(tenant,)], name
        for nobody in ("initech", "acme'", "ACME", "%", "acme,globex"):
            assert await reads.of(nobody).fetch(statement, {}) == [], (name, nobody)
    assert len(NAMES) >= len(read_models())


def test_every_table_of_every_read_model_is_protected_and_has_its_tenant(planted: str) -> None:
    with psycopg.connect(planted) as owner:
        found = owner.execute(
            "SELECT n.nspname || '.' || c.relname, c.relrowsecurity AND c.relforcerowsecurity, "
            "array_agg(p.polname::text ORDER BY p.polname), "
            "bool_or(pg_get_expr(p.polqual, p.polrelid) = '(tenant_id = current_setting(''agentmesh.tenant_id''::text, true))') "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_policy p ON p.polrelid = c.oid "
            "WHERE c.relkind IN ('r', 'p') AND starts_with(n.nspname, 'read_') GROUP BY 1, 2"
        ).fetchall()
    assert {name: rest for name, *rest in found} == {name: [True, ["of_observer", "of_owner", "of_tenant"], True] for name in NAMES}


async def test_a_query_that_forgot_its_tenant_leaks_nothing(reads: PostgresTenantReads) -> None:
    forgetful = Listing("read_customers.customers", "customer_id, tenant_id", id="customer_id", time="registered_at")
    assert [row[1] for row in await forgetful.page(reads.of("acme"), None, Slice())] == ["acme"]
    joined = b"SELECT r.tenant_id, t.tenant_id FROM read_requests.requests r CROSS JOIN read_tasks.tasks t"
    assert [tuple(row) for row in await reads.of("globex").fetch(joined, {})] == [("globex", "globex")]
    counted = b"SELECT count(*) FROM read_requests.requests WHERE tenant_id <> %(tenant)s OR true"
    assert [tuple(row) for row in await reads.of("globex").fetch(counted, {"tenant": "globex"})] == [(1,)]


def test_the_session_changes_nothing_and_sees_nothing_beside_the_read_models(session: psycopg.Connection[Any]) -> None:
    session.execute("SET default_transaction_read_only = off")  # a role without the right needs no such lock
    session.execute("SELECT set_config('agentmesh.tenant_id', 'acme', false)")
    for name in NAMES:
        for statement in (
            f"DELETE FROM {name}",
            f"UPDATE {name} SET tenant_id = 'acme'",
            f"INSERT INTO {name} DEFAULT VALUES",
            f"TRUNCATE {name}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())
        session.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            session.execute(f"SELECT * FROM {name}".encode())
        session.execute("SET row_security = on")
    for other in (
        "mesh.checkpoints",
        "mesh.parked_events",
        "requests.stored_events",
        "requests.inbox",
        "identity.accounts",
        "knowledge.documents",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"SELECT * FROM {other}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("ALTER TABLE read_requests.requests DISABLE ROW LEVEL SECURITY")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT mesh.protect_read_model('read_requests')")


async def test_the_adapters_transactions_are_read_only(reads: PostgresTenantReads) -> None:
    with pytest.raises(TransientError, match="read-only transaction"):
        await reads.of("acme").fetch(b"CREATE TEMP TABLE mine AS SELECT 1", {})


def test_the_policy_is_asked_once_a_statement_and_leaves_the_indexes(session: psycopg.Connection[Any]) -> None:
    session.execute("SET enable_seqscan = off")  # a table of two rows would be read whole
    session.execute("SET plan_cache_mode = force_generic_plan")
    page = (
        "EXPLAIN SELECT request_id FROM read_requests.requests WHERE tenant_id = %s AND (created_at, request_id) < (%s::timestamptz, %s) "
        "ORDER BY created_at DESC, request_id DESC LIMIT 20"
    )
    plan = "\n".join(row[0] for row in session.execute(page, ("acme", "2026-01-01", "req-1")).fetchall())
    assert "One-Time Filter: (current_setting('agentmesh.tenant_id'::text, true) = 'acme'::text)" in plan
    assert "Index Cond: ((tenant_id = 'acme'::text) AND (created_at <=" in plan


def test_a_login_of_its_own_can_be_nobody_else(planted: str, new_login: Any) -> None:
    with psycopg.connect(planted) as owner:
        (name,) = owner.execute("SELECT current_user").fetchone() or ("",)
    with psycopg.connect(new_login(planted, groups=(READER,)), autocommit=True, options=SESSION) as connection:
        for statement in (f'SET ROLE "{name}"', f"SELECT set_config('role', '{name}', false)", f'SET SESSION AUTHORIZATION "{name}"'):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        for statement in ("RESET ROLE", "SET ROLE none"):
            connection.execute(statement.encode())
            assert connection.execute("SELECT count(*) FROM read_requests.requests").fetchone() == (0,)


def test_the_role_is_no_owner_no_superuser_and_cannot_pass_by_or_sign_in(planted: str) -> None:
    with psycopg.connect(planted) as owner:
        rights = owner.execute(
            "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = %s",
            (READER,),
        ).fetchone()
        owned = owner.execute("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = %s", (READER,)).fetchall()
        groups = owner.execute("SELECT roleid::regrole FROM pg_auth_members WHERE member = %s::regrole", (READER,)).fetchall()
        granted = owner.execute(
            "SELECT table_schema || '.' || table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = %s",
            (READER,),
        ).fetchall()
    assert (rights, owned, groups) == ((False,) * 6, [], [])
    assert sorted(granted) == sorted((name, "SELECT") for name in NAMES)


async def test_a_connection_carries_no_tenant_on(reads: PostgresTenantReads) -> None:
    state = b"SELECT pg_backend_pid(), coalesce(current_setting('agentmesh.tenant_id', true), '')"
    ((backend, tenant),) = await reads.of("acme").fetch(state, {})
    assert tenant == "acme"
    assert [tuple(row) for row in await reads.database.fetch(state, {})] == [(backend, "")]
    with pytest.raises(DataError):
        await reads.of("acme").fetch(b"SELECT 1 / 0", {})
    assert [tuple(row) for row in await reads.database.fetch(state, {})] == [(backend, "")]
    slow = asyncio.create_task(reads.of("acme").fetch(b"SELECT pg_sleep(30)", {}))
    await asyncio.sleep(0.2)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert [row[1] for row in await reads.database.fetch(state, {})] == [""]
    assert [row[1] for row in await reads.of("globex").fetch(state, {})] == ["globex"]
    with pytest.raises(DataError, match="tenant_id: should be the id of a tenant"):
        reads.of("")


async def test_readers_at_once_see_each_their_own(reader_dsn: str) -> None:
    reads = PostgresTenantReads(settings_of(reader_dsn, pool_max_size=4))
    await reads.open()
    try:
        tenants = [TENANTS[number % 2] for number in range(200)]
        rows = await asyncio.gather(*(reads.of(tenant).fetch(b"SELECT tenant_id FROM read_requests.requests", {}) for tenant in tenants))
        assert [row[0][0] for row in rows] == tenants
    finally:
        await reads.close()


# -- where the tables come from -------------------------------------------------------------------------------------------------


def seen(dsn: str, tenant: str) -> dict[str, set[str]]:
    """The tenants whose rows the reader sees in each table, having set one."""
    with psycopg.connect(dsn, autocommit=True, options=SESSION) as reader:
        reader.execute("SELECT set_config('agentmesh.tenant_id', %s, false)", (tenant,))
        return {name: {row[0] for row in reader.execute(f"SELECT tenant_id FROM {name}".encode()).fetchall()} for name in NAMES}


async def test_a_rebuilt_read_model_is_protected_like_the_one_before(database: str, mesh_settings: MeshSettings) -> None:
    pool = Database(mesh_settings.model_copy(update={"pool_min_size": 1}), database)
    reads = PostgresTenantReads(settings_of(database, pool_max_size=2))
    await pool.open()
    await reads.open()
    over = asyncio.Event()

    async def read() -> int:
        """As the gateway does meanwhile: prepared statements over tables that are replaced; none fails."""
        rounds = 0
        while not over.is_set():
            for name in NAMES:
                assert await reads.of("acme").fetch(f"SELECT tenant_id FROM {name}".encode(), {}) == []
            rounds += 1
        return rounds

    reading = asyncio.create_task(read())
    try:
        for model in read_models():
            stores = {context: PostgresEventStore(pool, context) for context in model.contexts}
            await Rebuild(pool, model, stores, 3).run(lambda done, of: None)
        over.set()
        assert await reading > 1
    finally:
        over.set()
        await reads.close()
        await pool.close()
    with psycopg.connect(database, autocommit=True) as owner:
        for model, table in TABLES:
            plant(owner, model, table)
    assert seen(database, "acme") == {name: {"acme"} for name in NAMES}
    test_every_table_of_every_read_model_is_protected_and_has_its_tenant(database)


def as_of_0003(connection: psycopg.Connection[Any]) -> None:
    """Take away what 0004 brought, and later migrations to it."""
    for name in NAMES:
        for policy in ("of_owner", "of_tenant", "of_observer"):
            connection.execute(f"DROP POLICY {policy} ON {name}".encode())
        connection.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY".encode())
        connection.execute(f"REVOKE ALL ON {name} FROM {READER}".encode())
    connection.execute("DROP FUNCTION mesh.protect_read_model")
    connection.execute("DROP TABLE mesh.rebuild_orders")
    connection.execute("UPDATE public.schema_version SET version_num = '0003'")


def test_a_database_of_0003_with_rows_is_protected_by_migrating(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        for model, table in TABLES:
            plant(owner, model, table)
        as_of_0003(owner)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen(database, "acme")
    assert migrate(database, read_models()) == [EXPECTED_REVISION]
    assert seen(database, "acme") == {name: {"acme"} for name in NAMES}
    test_every_table_of_every_read_model_is_protected_and_has_its_tenant(database)


def test_what_a_rebuild_of_an_older_release_left_open_is_closed_by_migrating_again(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE read_agents.agents NO FORCE ROW LEVEL SECURITY")
    assert migrate(database, read_models()) == []
    test_every_table_of_every_read_model_is_protected_and_has_its_tenant(database)


def test_an_owner_who_is_no_superuser_migrates_and_works(new_owner: Any) -> None:
    """The owner is held to the policies too (FORCE), and the policy of the owner shows it everything."""
    dsn = new_owner(groups=(READER,))
    assert migrate(dsn, read_models()) == [EXPECTED_REVISION]
    with psycopg.connect(dsn, autocommit=True) as owner:
        for model, table in TABLES:
            plant(owner, model, table)
        for name in NAMES:
            assert owner.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() == (len(TENANTS),)
            plan = "\n".join(row[0] for row in owner.execute(f"EXPLAIN SELECT * FROM {name}".encode()))
            assert "Filter" not in plan, plan  # the owner's policy costs nothing
            owner.execute(f"DROP POLICY of_owner ON {name}".encode())
            assert owner.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() == (0,)  # so the policies hold for the owner
    assert seen(dsn, "globex") == {name: {"globex"} for name in NAMES}


def test_who_may_not_act_as_the_reader_is_told_what_to_do(new_owner: Any) -> None:
    advice = f"may not act as the role {READER}. As a user who may create roles: .*GRANT {READER} TO test_"
    with pytest.raises(ConfigurationError, match=advice):
        migrate(new_owner(), read_models())


async def test_migrations_of_two_databases_at_once_make_the_role_once(endpoints: Endpoints) -> None:
    role = f"test_{secrets.token_hex(6)}"
    whole = read_sql("infra.migrations.sql", "0004_row_security.sql").decode().replace(READER, role)
    make_role = whole[: whole.index("$role$;") + len("$role$;")].encode()
    async with (
        await AsyncConnection.connect(endpoints.postgres_dsn) as first,
        await AsyncConnection.connect(endpoints.postgres_dsn) as second,
    ):
        await first.execute(make_role)
        other = asyncio.create_task(second.execute(make_role))
        await asyncio.sleep(0.3)
        assert not other.done()
        await first.commit()
        await other
        await second.commit()
        rows = await (await second.execute("SELECT rolsuper, rolcanlogin FROM pg_roles WHERE rolname = %s", (role,))).fetchall()
        assert rows == [(False, False)]
        await second.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        await second.rollback()
        await second.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


async def test_a_login_that_is_not_the_readers_is_refused_with_advice(planted: str, new_login: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"may not act as {READER}.*GRANT {READER} TO"):
        await PostgresTenantReads(settings_of(new_login(planted))).check()
    with pytest.raises(TransientError, match="does not answer"):
        await PostgresTenantReads(settings_of("postgresql://nobody@127.0.0.1:1/x")).check()
