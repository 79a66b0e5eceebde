"""The observer's role: an operator's login reads every tenant's states and times; it sees no texts and no people, and changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from contracts.topics import CONTEXTS
from infra.local_stack import Endpoints
from infra.migrations.runner import migrate
from projections.catalogue import read_models
from tests.integration.read_models.test_row_security import NAMES, TABLES, TENANTS, plant

pytestmark = pytest.mark.integration
OBSERVER = "agentmesh_observer"
# What customers wrote, who they are, who decided, and free text that may repeat either.
PERSONAL = {
    *("customer_id", "thread_id", "name", "email", "phone", "message", "metadata", "resolution", "data", "what", "reason", "reasons"),
    *("question", "asked_by", "answer", "answered_by", "findings", "escalation_reasons", "financial_impact", "capabilities"),
    *("auth_id", "by", "decided_by", "approved_by", "approvers", "delegated_to", "delegated_by"),
}
DEAD_LETTERS = "position, aggregate_id, type_name, topic, cause, error_type, attempts, first_failed_at, status"


@pytest.fixture(scope="module")
def observer_dsn(endpoints: Endpoints, shared_database: str) -> Iterator[str]:
    """A login of its own, made as the operations page says, on a database with rows of two tenants in every table."""
    with psycopg.connect(shared_database, autocommit=True) as owner:
        for model, table in TABLES:
            plant(owner, model, table)
        name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(16)
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(name), sql.Literal(password), sql.Identifier(OBSERVER)
            )
        )
    parts = urlsplit(shared_database)
    yield parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def session(observer_dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(observer_dsn, autocommit=True) as connection:
        yield connection


def test_every_read_model_shows_all_tenants_and_no_column_that_is_personal(session: psycopg.Connection[tuple[object, ...]]) -> None:
    for model, table in TABLES:
        name = f"{model.schema}.{table.name}"
        rows = session.execute(f"SELECT tenant_id FROM {name}".encode()).fetchall()
        assert {row[0] for row in rows} == set(TENANTS), name
        for column in sorted(PERSONAL & set(table.columns)):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT {column} FROM {name}".encode())
    shown = session.execute(
        "SELECT DISTINCT column_name::text FROM information_schema.columns WHERE starts_with(table_schema, 'read_')"
    ).fetchall()
    assert not {row[0] for row in shown} & PERSONAL


def test_dead_letters_show_their_cause_and_not_the_record(session: psycopg.Connection[tuple[object, ...]]) -> None:
    for context in CONTEXTS:
        session.execute(f"SELECT {DEAD_LETTERS} FROM {context}.dead_letters".encode())
        session.execute(f"SELECT position FROM {context}.log_head".encode())
        for column in ("record_value", "record_headers", "record_key", "error_message", "stack", "marked_by", "marked_reason"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT {column} FROM {context}.dead_letters".encode())
    session.execute("SELECT projection, cause, error_type FROM mesh.parked_events")
    session.execute("SELECT name, status FROM mesh.effects")
    for column in ("mesh.effects.input", "mesh.effects.outcome", "mesh.effects.error", "mesh.parked_events.state"):
        table, _, field = column.rpartition(".")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"SELECT {field} FROM {table}".encode())


def test_it_changes_nothing_and_sees_no_store_and_no_account(session: psycopg.Connection[tuple[object, ...]]) -> None:
    for name in [*NAMES, "requests.dead_letters", "mesh.parked_events", "mesh.checkpoints"]:
        for statement in (f"DELETE FROM {name}", f"TRUNCATE {name}", f"INSERT INTO {name} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())
    for hidden in ("requests.stored_events", "requests.inbox", "requests.rejections", "identity.accounts", "knowledge.documents"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"SELECT * FROM {hidden}".encode())
    for statement in ("SELECT mesh.show_read_model('read_requests')", "SELECT mesh.show_context('requests')", "SET ROLE agentmesh_reader"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(statement.encode())


def test_the_role_itself_is_nobody(session: psycopg.Connection[tuple[object, ...]]) -> None:
    rights = session.execute(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s", (OBSERVER,)
    ).fetchone()
    assert rights == (False,) * 5


def test_what_an_older_release_left_closed_is_opened_by_migrating_again(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("DROP POLICY of_observer ON read_tasks.tasks")
        owner.execute(f"REVOKE ALL ON read_tasks.tasks FROM {OBSERVER}".encode())
    assert migrate(database, read_models()) == []
    with psycopg.connect(database) as owner:
        found = owner.execute("SELECT has_column_privilege(%s, 'read_tasks.tasks', 'status', 'SELECT')", (OBSERVER,)).fetchone()
    assert found == (True,)
