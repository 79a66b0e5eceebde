"""One command's access to the mesh: settings with the servers' addresses, a small pool, the stores; opened and closed by the command."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.topics import CONTEXTS
from infra.event_store.postgres import PostgresEventStore
from infra.local_stack import with_servers
from infra.migrations.runner import check_schema
from infra.postgres.pool import Database
from infra.settings import MeshSettings, load_settings
from services.cli.errors import WrongUsage

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Mesh:
    """What a command works with."""

    settings: MeshSettings
    database: Database
    stores: Mapping[str, PostgresEventStore]


def mesh_settings() -> MeshSettings:
    """The settings with every endpoint; raises LocalStackError when servers are neither named nor running here."""
    settings = with_servers(load_settings())
    quieten(settings)
    return settings


def quieten(settings: MeshSettings) -> None:
    """Libraries keep quiet: what goes wrong comes out as one message. LOG_LEVEL=DEBUG shows everything."""
    debug = settings.log_level == "DEBUG"
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if debug else logging.CRITICAL, format="%(name)s: %(message)s")
    if not debug:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


@asynccontextmanager
async def open_mesh(*, connections: int = 4) -> AsyncIterator[Mesh]:
    """Connect, and check that the schema is the one that this release expects."""
    settings = mesh_settings()
    small = settings.model_copy(update={"pool_min_size": 1, "pool_max_size": connections})
    database = Database(small, settings.postgres_dsn, name="agentmesh.cli")
    await database.open()
    try:
        await database.fetch_one(b"SELECT 1", {}, timeout=CONNECT_SECONDS)
        await check_schema(database)
        yield Mesh(settings, database, {context: PostgresEventStore(database, context) for context in CONTEXTS})
    finally:
        await database.close()


def chosen_contexts(context: str | None) -> tuple[str, ...]:
    """The context asked for, or all of them; raises WrongUsage for one that does not exist."""
    if context is None:
        return CONTEXTS
    if context not in CONTEXTS:
        raise WrongUsage(f"There is no context {context!r}. Choose of: {', '.join(CONTEXTS)}.")
    return (context,)
