"""Leadership of one context's relay and its position, in Postgres; used by the relay only."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import psycopg

from infra.errors import TransientError
from infra.postgres.errors import translated
from infra.postgres.pool import Database

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


class Leadership(NamedTuple):
    """A leader's epoch and the last position whose entries are all on Kafka."""

    epoch: int
    position: int


class LostLeadership(Exception):
    """Another relay has taken over: this one was paused for long, or its database session ended."""


class RelayPosition:
    """One context's relay position. The session lock elects; epoch and compare-and-set make a leader that does not know it was replaced harmless."""

    def __init__(self, database: Database, dsn: str, context: str) -> None:
        self._database = database
        self._dsn = dsn
        self._context = context
        self._session: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def try_lead(self) -> Leadership | None:
        """Become the leader, or answer None while another one holds the lock."""
        await self.release()
        with translated():
            session = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=10, application_name="agentmesh", keepalives_idle=10
            )
            self._session = session
            cursor = await session.execute(LOCK, (f"agentmesh.relay.{self._context}",))
            row = await cursor.fetchone()
            if row is None or row[0] is not True:
                await self.release()
                return None
            cursor = await session.execute(TAKE, {"context": self._context})
            taken = await cursor.fetchone()
            assert taken is not None
            return Leadership(int(str(taken[0])), int(str(taken[1])))

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
