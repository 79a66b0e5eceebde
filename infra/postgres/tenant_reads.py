"""Reads that Postgres itself holds to one tenant: statements and a tenant's id in, that tenant's rows out; the gateway reads through it.

The sessions run as the role `agentmesh_reader`, for which the read models' row-level security holds (migration 0004), and every statement
is a transaction that sets its tenant for itself alone. So a statement that forgot its tenant shows nothing of others, and a connection
that goes back to the pool carries no tenant on.

With DATABASE_URL the session's own user is the owner, who has put the role down and could take it up again: that guards against our
mistakes, not against somebody who can run SQL of his own. AGENTMESH_READER_DATABASE_URL gives a login that can be nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from opentelemetry.trace import TracerProvider
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from infra.errors import ConfigurationError, DataError, TransientError
from infra.postgres.base import QueryPort
from infra.postgres.pool import Database
from infra.settings import MeshSettings

READER: Final = "agentmesh_reader"
SESSION: Final = f"-c role={READER} -c default_transaction_read_only=on"
SET_TENANT: Final = b"SELECT set_config('agentmesh.tenant_id', %(tenant)s, true)"


class PostgresTenantReads:
    """Reads of one tenant's rows, on a pool of their own."""

    def __init__(self, settings: MeshSettings, name: str = "agentmesh.reads", spans: TracerProvider | None = None) -> None:
        self._dsn = settings.reader_dsn
        self.database = Database(settings, self._dsn, name=name, session=SESSION, spans=spans)

    async def open(self) -> None:
        """Open the pool; does not wait for the database."""
        await self.database.open()

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        await self.database.close()

    async def check(self) -> None:
        """Raises ConfigurationError, with what mends it, where the login may not act as the reader; TransientError when away."""
        try:
            async with await AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=10) as connection:
                await connection.execute(f"SET ROLE {READER}".encode())
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue) as error:
            raise ConfigurationError(
                f"The database user of the gateway's reads may not act as {READER}: {error.diag.message_primary}. Run agentmesh migrate as "
                f"this user, or as one who may: GRANT {READER} TO that user"
            ) from error
        except psycopg.Error as error:
            raise TransientError(f"the database of the gateway's reads does not answer: {error}") from error

    def of(self, tenant_id: str) -> QueryPort:
        """A query port that sees the rows of this tenant only. Raises DataError for no tenant at all."""
        if not tenant_id:
            raise DataError("tenant_id: should be the id of a tenant, not empty")
        return _OneTenant(self.database, tenant_id)


class _OneTenant:
    """The rows of one tenant; each statement is a read-only transaction of its own and costs one round trip."""

    def __init__(self, database: Database, tenant_id: str) -> None:
        self._database = database
        self._first = (SET_TENANT, {"tenant": tenant_id})

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float | None = None) -> list[TupleRow]:
        """See the port; errors are those of `Database.fetch`."""
        return await self._database.fetch_after(self._first, query, parameters, timeout)
