"""Checks of PostgreSQL: can it be used, is the schema ours, do the clocks agree, are there connections enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from infra.diagnosis.base import Fault
from infra.diagnosis.postgres import PostgresFacts, ask_postgres
from infra.event_store.base import EventStore
from infra.migrations.runner import check_schema
from infra.postgres.pool import Database
from infra.settings import MeshSettings, mask_url
from services.cli.doctor.findings import Finding, Verdict, of_fault, well
from services.cli.mesh import Mesh

OLDEST_POSTGRES = 150_000
SKEWED, FAR_SKEWED = 1.0, 30.0
MANY, NEARLY_ALL = 0.75, 0.9
FEW_POOLS = 3
READER = "AGENTMESH_READER_DATABASE_URL"
TIME_ADVICE = "timedatectl status on both; deadlines are the database's time, ages in dashboards are this machine's"


def judge_postgres(facts: PostgresFacts | Fault, settings: MeshSettings, pools: int) -> list[Finding]:
    """What the server told, or why it told nothing; `pools` are those of the fleet that runs here."""
    if isinstance(facts, Fault):
        return [of_fault("postgres", facts)]
    found = f"{facts.version} at {mask_url(settings.postgres_dsn)}"
    if facts.version_number < OLDEST_POSTGRES:
        server = Finding("postgres", Verdict.FAIL, found, "use PostgreSQL 15 or newer")
    elif facts.read_only:
        server = Finding("postgres", Verdict.FAIL, f"{found}, a standby that takes no writes", "name the primary in DATABASE_URL")
    elif facts.closed_schemas:
        advice = "let the user that migrated run the workers, or GRANT USAGE and its privileges to this one"
        server = Finding("postgres", Verdict.FAIL, f"{found}: this user may not use the schemas {facts.closed_schemas}", advice)
    else:
        server = well("postgres", found)
    return [server, judge_clock(facts), judge_connections(facts, settings.pool_max_size, pools)]


def judge_clock(facts: PostgresFacts) -> Finding:
    """How far this machine's clock is from the database's."""
    skew, error = facts.skew_seconds, facts.skew_error_seconds
    found = f"this machine is {abs(skew):.3f} s {'behind' if skew > 0 else 'ahead of'} the database (known to {error:.3f} s)"
    if abs(skew) - error > FAR_SKEWED:
        return Finding("clock", Verdict.FAIL, found, TIME_ADVICE)
    if abs(skew) - error > SKEWED:
        return Finding("clock", Verdict.WARN, found, TIME_ADVICE)
    return well("clock", found)


def judge_connections(facts: PostgresFacts, pool_max_size: int, pools: int) -> Finding:
    """Whether the server has connections for what the fleet may ask for. Pools that could ask for more than there are do no harm before
    they do: a fleet at rest holds 190 of the local stack's 300. So that is a warning once three quarters are taken."""
    most, found = facts.max_connections, f"{facts.connections} of {facts.max_connections} are open"
    advice = f"raise max_connections there, or lower AGENTMESH_POOL_MAX_SIZE (now {pool_max_size})"
    if pools:
        found = f"{found}; the {pools} pools of this fleet may ask for {pools * pool_max_size} together"
    if pool_max_size > most or facts.connections > NEARLY_ALL * most:
        return Finding("connections", Verdict.FAIL, found, advice)
    if (pools * pool_max_size > most and facts.connections > MANY * most) or most // pool_max_size < FEW_POOLS:
        return Finding("connections", Verdict.WARN, found, advice)
    return well("connections", found)


async def reader(settings: MeshSettings) -> list[Finding]:
    """Whether the login of the gateway's reads is let in, where it has one of its own."""
    if settings.reader_database_url is None:
        return []
    answer = await ask_postgres(settings.reader_dsn, variable=READER)
    if isinstance(answer, Fault):
        return [of_fault("postgres reader", answer)]
    return [well("postgres reader", f"is let in at {mask_url(settings.reader_dsn)}")]


async def schema(database: Database) -> Finding:
    """Whether the schema is that of this release; raises ConfigurationError with the command that mends it."""
    await check_schema(database)
    return well("schema", "is the one that this release expects")


async def newest_events(mesh: Mesh, skew_seconds: float) -> Finding:
    """Whether a worker's clock is ahead: the newest event of a context was recorded after the database's present."""
    newest = [await _newest(store) for store in mesh.stores.values()]
    now = datetime.now(UTC).timestamp() + skew_seconds
    return judge_newest([time for time in newest if time is not None], now)


async def _newest(store: EventStore) -> float | None:
    head = await store.head()
    events, _ = await store.read_events(max(0, head - 1), 1)
    return datetime.fromisoformat(events[-1].metadata.time).timestamp() if events else None


def judge_newest(times: Sequence[float], now: float) -> Finding:
    """The verdict on when the newest events were recorded; both in seconds of the epoch, `now` by the database."""
    ahead = max(times, default=now) - now
    if ahead > SKEWED:
        found = f"the newest event was recorded {ahead:.1f} s from now: the clock of a worker is ahead"
        return Finding("clock of workers", Verdict.WARN, found, "timedatectl status where the command workers run")
    return well("clock of workers", "no event comes from the future")
