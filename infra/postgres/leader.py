"""Leadership by an advisory lock on a session of its own; used by workers of which one is active. It ends with the session."""

from __future__ import annotations

import contextlib

import psycopg
from psycopg import AsyncConnection

from infra.errors import TransientError

TRY = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


class AdvisoryLeader:
    """At most one holder of a name leads, but for the moment in which a lost session is noticed by the server before its holder."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = f"agentmesh.leader.{name}"
        self._session: AsyncConnection[object] | None = None

    async def try_lead(self) -> bool:
        """Whether we lead now. Raises TransientError when the database is away."""
        try:
            if self._session is None:
                self._session = await AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=10, keepalives_idle=5)
            cursor = await self._session.execute(TRY, (self._name,))
            return await cursor.fetchone() == (True,)
        except psycopg.Error as error:
            await self.release()
            raise TransientError(f"leadership of {self._name} cannot be asked for: {error}") from error

    async def still_leads(self) -> bool:
        """Whether the session, and the lock with it, lives. False is final: lead anew."""
        try:
            if self._session is None:
                return False
            await self._session.execute("SELECT 1")
        except psycopg.Error:
            await self.release()
            return False
        return True

    async def release(self) -> None:
        """End the session; another may lead at once."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(psycopg.Error):
                await session.close()
