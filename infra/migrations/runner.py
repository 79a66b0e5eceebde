"""Applies the migrations to a database and tells whether a database has the schema that this code expects; run by CLI, demo and tests."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from infra.errors import ConfigurationError, TransientError
from infra.postgres.pool import Database
from infra.read_models.base import ReadModel
from infra.read_models.postgres import create_indexes, create_tables, protect_tables

logger = logging.getLogger(__name__)

EXPECTED_REVISION = "0006"
# Two migrations at once wait for one another on this advisory lock.
MIGRATION_LOCK = 4_611_686_018_427
UNPROTECTED = """
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity
      AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'of_observer')) LIMIT 1
"""


def migrate(dsn: str, read_models: Sequence[ReadModel]) -> list[str]:
    """Bring the database at `dsn` to EXPECTED_REVISION and create the tables of read models that have none; answers the revisions applied.

    Safe to run twice and at the same time.

    Raises TransientError when the database does not answer, ConfigurationError when its schema is newer than this code or the database
    user may not do what a migration needs.
    """
    from alembic import command
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    try:
        raw = psycopg.connect(dsn, connect_timeout=10, autocommit=True)
    except psycopg.OperationalError as error:
        raise TransientError(f"The database does not answer: {error}. Check DATABASE_URL, or start it with: agentmesh up") from error
    try:
        raw.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        before = _revision(raw)
        if before is not None and before > EXPECTED_REVISION:
            raise ConfigurationError(newer_schema(before))
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn, connect_timeout=10), poolclass=NullPool)
        with engine.connect() as connection:
            configuration = _alembic_configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
            connection.commit()
        after = _revision(raw)
        if after != EXPECTED_REVISION:
            raise ConfigurationError(f"The newest migration is {after}, but this code expects {EXPECTED_REVISION}.")
        create_read_models(raw, read_models)
        return [] if after == before else [EXPECTED_REVISION]
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"The database cannot be migrated: {error.diag.message_primary}") from error
    finally:
        raw.close()


def _alembic_configuration() -> Any:
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    configuration.set_main_option("path_separator", "os")
    return configuration


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    if connection.execute("SELECT to_regclass('public.schema_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM public.schema_version").fetchone()
    return None if row is None else str(row[0])


def create_read_models(connection: psycopg.Connection[Any], read_models: Sequence[ReadModel]) -> None:
    """Create the tables of read models that have none yet; an existing one is changed only by a rebuild, but for its protection."""
    for model in read_models:
        with connection.transaction():
            known = connection.execute("SELECT version FROM mesh.read_models WHERE projection = %s", (model.name,)).fetchone()
            if known is None:
                connection.execute(create_tables(model, model.schema) + create_indexes(model, model.schema))
                connection.execute("INSERT INTO mesh.read_models (projection, version) VALUES (%s, %s)", (model.name, model.version))
            elif connection.execute(UNPROTECTED, (model.schema,)).fetchone() is not None:
                # Made by an older release. As a rebuild does it: no worker writes meanwhile, so that none is waited for in a circle.
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"agentmesh.read_model.{model.name}",))
                connection.execute(protect_tables(model.schema))


def newer_schema(revision: str) -> str:
    """What to say of a database that a newer release has migrated."""
    return (
        f"The database has schema {revision}, newer than this release expects ({EXPECTED_REVISION}). "
        "Run the release that migrated it, or restore a backup."
    )


async def check_schema(database: Database) -> None:
    """Refuse to start on an older or newer schema: raises ConfigurationError with the command that mends it; TransientError when away."""
    row = await database.fetch_one(b"SELECT to_regclass('public.schema_version')::text", {})
    revision = None
    if row is not None and row[0] is not None:
        found = await database.fetch_one(b"SELECT version_num FROM public.schema_version", {})
        revision = None if found is None else found[0]
    if revision == EXPECTED_REVISION:
        return
    if revision is not None and revision > EXPECTED_REVISION:
        raise ConfigurationError(newer_schema(revision))
    have = "no schema" if revision is None else f"schema {revision}"
    raise ConfigurationError(f"The database has {have}, this release expects {EXPECTED_REVISION}. Run: agentmesh migrate")
