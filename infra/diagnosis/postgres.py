"""Asks a PostgreSQL for what the mesh needs of it, and explains why it cannot be asked; run by `agentmesh doctor`."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import AsyncConnection

from infra.diagnosis.base import Fault
from infra.postgres.base import QueryPort

SECONDS = 5.0
FACTS = """SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('max_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int, pg_is_in_recovery(),
       has_database_privilege(current_database(), 'CREATE'),
       coalesce((SELECT string_agg(nspname, ', ' ORDER BY nspname) FROM pg_namespace
                 WHERE nspname IN ('mesh', 'requests', 'tasks', 'agents', 'customers', 'tenants')
                   AND NOT has_schema_privilege(oid, 'USAGE')), '')"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::double precision"
CLOCK_QUESTIONS = 3
HELD = b"""SELECT name FROM unnest(%(names)s::text[]) AS wanted(name)
WHERE EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(wanted.name, 0))"""


class PostgresFacts(NamedTuple):
    """What a server that let us in tells of itself. `skew_seconds` is its clock less ours, known to `skew_error_seconds`."""

    version_number: int
    version: str
    max_connections: int
    connections: int
    read_only: bool
    may_create: bool
    closed_schemas: str
    skew_seconds: float
    skew_error_seconds: float


async def ask_postgres(dsn: str, seconds: float = SECONDS, variable: str = "DATABASE_URL") -> PostgresFacts | Fault:
    """The facts, or why there are none; `variable` is where the DSN was set. Never raises for what a server or a network does."""
    try:
        async with asyncio.timeout(seconds):
            limit = max(2, int(seconds))
            async with await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=limit) as connection:
                row = await (await connection.execute(FACTS)).fetchone()
                assert row is not None
                return PostgresFacts._make((*row, *await _skew(connection)))
    except TimeoutError:
        return explain(f"timeout expired after {seconds:g} s", dsn, variable)
    except psycopg.Error as error_raised:
        return explain(str(error_raised), dsn, variable)


async def _skew(connection: AsyncConnection[Any]) -> tuple[float, float]:
    """The difference of the clocks by the question that was answered soonest."""
    found = []
    for _ in range(CLOCK_QUESTIONS):
        before, began = time.time(), time.monotonic()
        row = await (await connection.execute(CLOCK)).fetchone()
        half = (time.monotonic() - began) / 2
        assert row is not None
        found.append((half, float(str(row[0])) - before - half))
    half, skew = min(found)
    return skew, half


async def held_locks(port: QueryPort, names: Collection[str]) -> set[str]:
    """Which of these advisory locks, by name, somebody holds. Raises TransientError."""
    return {str(name) for (name,) in await port.fetch(HELD, {"names": list(names)})}


# What libpq and the server say, in their order; the first that fits counts. The texts are libpq's own or the server's untranslated ones.
_CAUSES: tuple[tuple[str, str], ...] = (
    ("wrong password", r"password authentication failed|no password supplied|authentication failed for user"),
    ("no such database", r'database "[^"]*" does not exist'),
    ("no such user", r'role "[^"]*" does not exist|role "[^"]*" is not permitted to log in'),
    ("not permitted", r"permission denied for database|does not have CONNECT privilege"),
    ("not let in", r"no pg_hba\.conf entry"),
    ("full", r"too many clients|remaining connection slots|too many connections"),
    ("not ready", r"is starting up|is shutting down|in recovery mode|not yet accepting connections"),
    ("refused", r"Connection refused"),
    ("no such host", r"failed to resolve host|could not translate host name|Name or service not known"),
    ("no answer", r"timeout expired|timed out"),
    ("encryption", r"server does not support SSL|SSL error|certificate verify failed"),
    ("no postgres", r"received invalid response|unsupported frontend protocol|expected authentication|server closed the connection"),
)


def explain(message: str, dsn: str, variable: str = "DATABASE_URL") -> Fault:
    """What libpq or the server said about a connection that did not come to be. No part of the answer holds the password."""
    cause = next((cause for cause, pattern in _CAUSES if re.search(pattern, message, re.IGNORECASE)), "not reached")
    user, place, database = _parts(dsn)
    found, advice = {
        "wrong password": (f"the password of {user} is wrong at {place}", f"set the right one in {variable}"),
        "no such database": (f"there is no database {database} at {place}", f"createdb -h HOST -U ADMIN -O {user} {database}"),
        "no such user": (f"there is no user {user} at {place} who may log in", f"psql: CREATE ROLE {user} LOGIN PASSWORD '…'"),
        "not permitted": (f"{user} may not connect to {database}", f"psql: GRANT CONNECT ON DATABASE {database} TO {user}"),
        "not let in": (f"{place} lets nobody in from this address", "add this address to pg_hba.conf there, and reload"),
        "full": (f"{place} takes no more connections", "lower AGENTMESH_POOL_MAX_SIZE, or raise max_connections there"),
        "not ready": (f"{place} starts or stops just now", "wait, then ask again"),
        "refused": (f"nothing listens at {place}", f"start the server (agentmesh up starts a local one), or name another in {variable}"),
        "no such host": (f"the name of {place} is not known", f"check {variable}, or the name server of this machine"),
        "no answer": (f"{place} does not answer", "see whether the host runs and a firewall lets this machine in"),
        "encryption": (f"{place} and {variable} do not agree on encryption", f"see sslmode and sslrootcert in {variable}"),
        "no postgres": (f"what listens at {place} is no PostgreSQL", f"check the port in {variable}"),
        "not reached": (f"{place} cannot be asked", f"agentmesh up, or check {variable}"),
    }[cause]
    return Fault(cause, found, advice)


def _parts(dsn: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(dsn)
        place = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
        return unquote(parts.username or "the user"), place, unquote(parts.path.strip("/")) or "of that name"
    except ValueError:
        return "the user", "the server", "of that name"
