"""Accounts in Postgres: the suites of the stores and of signing in, what the tables refuse, what is kept, and the migration."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

from infra.errors import ConfigurationError, TransientError
from infra.identity.accounts import Accounts, Kind
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import new_account
from infra.local_stack import Endpoints
from infra.migrations.runner import EXPECTED_REVISION, check_schema, migrate
from infra.postgres.pool import Database
from infra.settings import load_settings
from projections.catalogue import read_models
from tests.conformance.accounts import ANN, PASSWORD, AccountsSuite, SignInSuite, World

pytestmark = pytest.mark.integration


@pytest.fixture
def empty_database(shared_database: str) -> str:
    """A database without accounts."""
    with psycopg.connect(shared_database, autocommit=True) as admin:
        admin.execute("TRUNCATE identity.accounts, identity.api_keys")
    return shared_database


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(pool_min_size=1, database_url=empty_database), empty_database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def accounts(pool: Database) -> Accounts:
    return PostgresAccounts(pool)


class TestPostgresAccounts(AccountsSuite):
    """The suite over the adapter on Postgres."""


class TestSignInWithAccountsInPostgres(SignInSuite):
    """Signing in over the adapter on Postgres."""


async def test_neither_password_nor_secret_nor_key_is_kept(accounts: Accounts, empty_database: str) -> None:
    world = World(accounts)
    await world.user()
    _, secret = await world.administration.add_client(new_account("acme", "shop", "agent", None), "ops")
    text = await world.key()
    await world.sign_in.api_key(text)
    with psycopg.connect(empty_database) as admin:
        rows = admin.execute("SELECT a::text FROM identity.accounts a UNION ALL SELECT k::text FROM identity.api_keys k").fetchall()
    kept = "\n".join(row[0] for row in rows)
    assert len(rows) == 3
    assert text[3:11] in kept
    assert not [each for each in (PASSWORD, secret, text, text[12:]) if each in kept]
    assert text[12:].encode().hex() not in kept


async def test_a_store_that_is_away_is_told_apart_from_a_refusal(endpoints: Endpoints) -> None:
    away = urlsplit(endpoints.postgres_dsn)._replace(path=f"/missing_{uuid.uuid4().hex}").geturl()
    database = Database(load_settings(pool_min_size=0, pool_acquire_timeout_seconds=0.5), away)
    await database.open()
    try:
        world = World(PostgresAccounts(database))
        with pytest.raises(TransientError):
            await world.sign_in.user("ann", PASSWORD, "acme")
        with pytest.raises(TransientError):
            await world.administration.add_user(new_account("acme", "ann", "agent", None), PASSWORD, "ops")
    finally:
        await database.close()


INSERT_ACCOUNT = """
INSERT INTO identity.accounts (account_id, kind, tenant_id, name, role, customer_id, secret_hash, created_by, changed_by)
VALUES ('user-1', 'user', 'acme', 'bob', %(role)s, %(customer)s, 'hash', 'ops', 'ops')
"""
INSERT_KEY = """
INSERT INTO identity.api_keys (prefix, digest, tenant_id, account_id, label, created_by)
VALUES (%(prefix)s, %(digest)s, %(tenant)s, %(account)s, 'x', 'ops')
"""


async def test_the_tables_themselves_refuse_what_no_account_may_be(accounts: Accounts, empty_database: str) -> None:
    account = await World(accounts).user()
    key = {"prefix": "abcdefgh", "digest": bytes(32), "tenant": "acme", "account": account}
    wrong = [
        (INSERT_ACCOUNT, {"role": "root", "customer": None}, errors.CheckViolation),
        (INSERT_ACCOUNT, {"role": "customer", "customer": None}, errors.CheckViolation),
        (INSERT_KEY, key | {"digest": b"short"}, errors.CheckViolation),
        (INSERT_KEY, key | {"prefix": "short"}, errors.CheckViolation),
        (INSERT_KEY, key | {"tenant": "globex"}, errors.ForeignKeyViolation),
    ]
    with psycopg.connect(empty_database, autocommit=True) as admin:
        for statement, parameters, error in wrong:
            with pytest.raises(error):
                admin.execute(statement.encode(), parameters)
        admin.execute(INSERT_ACCOUNT.encode(), {"role": "customer", "customer": "cust-0042"})
        admin.execute(INSERT_KEY.encode(), key)
        assert await accounts.keys.credential("abcdefgh") is not None


async def test_who_signs_in_is_found_by_an_index(pool: Database) -> None:
    world = World(PostgresAccounts(pool))
    await world.user()
    await world.key()
    plans = {
        "account_by_name": {"tenant": "acme", "kind": str(Kind.USER), "name": ANN.name},
        "account_by_id": {"account_id": "user-1", "kind": str(Kind.USER)},
        "key_by_prefix": {"prefix": "abcdefgh"},
    }
    accounts = PostgresAccounts(pool)
    for name, parameters in plans.items():
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            cursor = await connection.execute(b"EXPLAIN " + accounts._sql[name], parameters)
            plan = "\n".join(row[0] for row in await cursor.fetchall())
        assert "Seq Scan" not in plan, plan


async def test_a_database_of_the_release_before_is_brought_here(database: str) -> None:
    opened = Database(load_settings(pool_min_size=1), database)
    await opened.open()
    try:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("DROP SCHEMA identity CASCADE")
            admin.execute("DROP TABLE mesh.rebuild_orders")
            admin.execute("UPDATE public.schema_version SET version_num = '0002'")
        with pytest.raises(ConfigurationError, match="Run: agentmesh migrate"):
            await check_schema(opened)
        assert migrate(database, read_models()) == [EXPECTED_REVISION]
        await check_schema(opened)
        assert await World(PostgresAccounts(opened)).user()
    finally:
        await opened.close()
