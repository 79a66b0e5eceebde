"""Leadership of one context's relay and its position, in Postgres: a session lock and one row; used by the relay."""

from __future__ import annotations

import contextlib

import psycopg

from infra.errors import TransientError
from infra.postgres.errors import translated
from infra.relay_positions.base import Leadership, LostLeadership

TAKE = b"""
INSERT INTO mesh.relay_positions AS p (context, epoch) VALUES (%(context)s, 1)
ON CONFLICT (context) DO UPDATE SET epoch = p.epoch + 1
RETURNING epoch, position
"""
ADVANCE = b"""
UPDATE mesh.relay_positions SET position = %(position)s, moved_at = now()
WHERE context = %(context)s AND epoch = %(epoch)s AND position = %(expected)s
"""
LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


class PostgresRelayPosition:
    """One context's relay position. The session lock elects; epoch and compare-and-set make a replaced leader harmless."""

    def __init__(self, dsn: str, context: str) -> None:
        self._dsn = dsn
        self._context = context
        self._session: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def try_lead(self) -> Leadership | None:
        """Become the leader, or answer None while another one holds the lock."""
        with translated():
            session = await self._connected()
            cursor = await session.execute(LOCK, (f"agentmesh.relay.{self._context}",))
            row = await cursor.fetchone()
            if row is None or row[0] is not True:
                return None
            cursor = await session.execute(TAKE, {"context": self._context})
            taken = await cursor.fetchone()
            assert taken is not None
            return Leadership(int(str(taken[0])), int(str(taken[1])))

    async def _connected(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        session = self._session
        if session is None or session.closed or session.broken:
            await self.release()
            # The position need not survive a crash of the server: a lost step only repeats a page.
            session = self._session = await psycopg.AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=10,
                application_name="agentmesh",
                keepalives_idle=10,
                options="-c synchronous_commit=off",
            )
        return session

    async def advance(self, leadership: Leadership, position: int) -> Leadership:
        """Move on after the broker has everything up to `position`; raises LostLeadership when this leader was replaced."""
        session = self._session
        if session is None or session.closed:
            raise TransientError("the relay's database session ended")
        with translated():
            cursor = await session.execute(
                ADVANCE,
                {"context": self._context, "epoch": leadership.epoch, "position": position, "expected": leadership.position},
                prepare=True,
            )
        if cursor.rowcount != 1:
            raise LostLeadership(f"another relay leads {self._context} now")
        return Leadership(leadership.epoch, position)

    async def release(self) -> None:
        """Give the lock back by ending the session."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(psycopg.Error):
                await session.close()
