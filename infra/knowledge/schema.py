"""Creates the tables of the knowledge base in a migration; says what to install where pgvector is missing; run by revision 0002."""

from __future__ import annotations

from typing import Any

import psycopg

from infra.errors import ConfigurationError
from infra.postgres.sql_files import read_sql

NEEDED = (0, 8)
"""From this version pgvector goes on searching its index until enough rows pass the tenant's filter."""

_VERSION = "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
_INSTALL = (
    "Install pgvector 0.8 or newer on the database server (package postgresql-NN-pgvector of its major version, or the container image "
    "pgvector/pgvector:pgNN), then run: agentmesh migrate"
)


def create_knowledge(cursor: Any) -> None:
    """Create extension, schema and tables. Raises ConfigurationError where the extension is missing, too old, or not allowed."""
    row = cursor.execute(_VERSION).fetchone()
    if row is None:
        raise ConfigurationError(f"The knowledge base needs the PostgreSQL extension vector, which this server does not have. {_INSTALL}")
    if _numbers(row[0]) < NEEDED:
        raise ConfigurationError(
            f"The knowledge base needs the PostgreSQL extension vector 0.8, and this server has {row[0]}. {_INSTALL} "
            "(where the database has the old one already: ALTER EXTENSION vector UPDATE first)"
        )
    try:
        cursor.execute(read_sql("infra.migrations.sql", "0002_knowledge.sql"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            "This role may not create the PostgreSQL extension vector, or a schema: "
            f"{str(error).splitlines()[0]}. As a superuser, run in this database: CREATE EXTENSION vector; then: agentmesh migrate"
        ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
