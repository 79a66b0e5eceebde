"""Runs every check side by side and prints the findings; the work behind `doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from contracts.topics import CONTEXTS
from infra.diagnosis.kafka import ask_kafka
from infra.diagnosis.postgres import PostgresFacts, ask_postgres
from infra.event_store.postgres import PostgresEventStore
from infra.local_stack import LocalStackError, source_of, with_servers
from infra.postgres.pool import Database
from infra.settings import MeshSettings, load_settings
from services.cli import exit_codes
from services.cli.doctor import broker, database, flow
from services.cli.doctor.findings import Finding, Verdict, asked, well
from services.cli.doctor.machine import machine
from services.cli.doctor.outside import outside
from services.cli.doctor.workers import workers
from services.cli.mesh import Mesh, quieten
from services.cli.output import Output, print_json
from services.cli.ps import fleet_now
from services.cli.worker_metrics import pools_of

ALL_SECONDS = 14.0
Rows = Sequence[Mapping[str, Any]]
Look = Callable[[], Awaitable[Finding | Sequence[Finding]]]
Parts = list[list[Finding]]
"""What each check found, in the order of the questions."""


async def doctor(output: Output) -> int:
    """Look at everything; answers 1 when something fails."""
    settings = load_settings()
    quieten(settings)
    rows = await asyncio.to_thread(fleet_now, settings.state_dir)
    findings = machine(settings, fleet_runs=bool(rows))
    try:
        source = source_of(settings)
        settings = with_servers(settings)
        findings.append(well("endpoints", source))
        findings += await _servers(settings, rows)
    except LocalStackError as error:
        findings.append(Finding("endpoints", Verdict.FAIL, str(error), "agentmesh up, or set the variables"))
    findings.append(workers(settings, rows))
    if output is Output.JSON:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    return exit_codes.FAILED if any(finding.verdict is Verdict.FAIL for finding in findings) else exit_codes.OK


async def _servers(settings: MeshSettings, rows: Rows) -> list[Finding]:
    """What answers is asked on; what does not is not asked twice. What was found before the time is up counts in any case."""
    end = asyncio.get_running_loop().time() + ALL_SECONDS
    facts, pools, brokers, *others = await asyncio.gather(
        ask_postgres(settings.postgres_dsn),
        asyncio.to_thread(pools_of, [row["port"] for row in rows]),
        ask_kafka(settings.kafka_bootstrap),
        asked("postgres reader", "", lambda: database.reader(settings)),
        asked("redis", "", lambda: broker.redis(settings)),
        asked("outside", "", lambda: outside(settings)),
    )
    findings = database.judge_postgres(facts, settings, pools)
    kafka = broker.judge_kafka(brokers, settings.kafka_bootstrap)
    parts: Parts = []
    topics = asyncio.create_task(_topics(settings, parts, asks=kafka.verdict is not Verdict.FAIL))
    further = [_consumers(settings, rows, parts, topics)]
    if isinstance(facts, PostgresFacts) and findings[0].verdict is not Verdict.FAIL:
        further.append(_of_database(settings, facts, rows, parts, topics))
    findings += [kafka, *(finding for group in others for finding in group)]
    try:
        async with asyncio.timeout_at(end):
            await asyncio.gather(topics, *further)
    except TimeoutError:
        advice = "see whether the network between here and them works; ask again"
        parts.append([Finding("servers", Verdict.FAIL, f"not all that was asked was answered within {ALL_SECONDS:g} s", advice)])
    return [*findings, *(finding for part in parts for finding in part)]


async def _add(parts: Parts, what: str, advice: str, look: Look) -> list[Finding]:
    """Put what a check finds at the place of its question, whenever it comes."""
    part: list[Finding] = []
    parts.append(part)
    part += await asked(what, advice, look)
    return part


async def _topics(settings: MeshSettings, parts: Parts, *, asks: bool) -> bool:
    """Whether it can be asked how far those are who follow topics."""
    if not asks:
        return False
    found = await _add(parts, "topics", "agentmesh migrate, or agentmesh up", lambda: broker.topics(settings))
    return found[0].verdict is Verdict.OK


async def _consumers(settings: MeshSettings, rows: Rows, parts: Parts, topics: asyncio.Task[bool]) -> None:
    if await topics:
        await _add(parts, "consumers", "agentmesh ps", lambda: flow.consumers(settings, rows))


async def _of_database(settings: MeshSettings, facts: PostgresFacts, rows: Rows, parts: Parts, topics: asyncio.Task[bool]) -> None:
    async def followers() -> Sequence[Finding]:
        return await flow.followers(mesh, rows, topics_answer=await topics)

    small = settings.model_copy(update={"pool_min_size": 1, "pool_max_size": 4})
    pool = Database(small, settings.postgres_dsn, name="agentmesh.doctor")
    await pool.open()
    try:
        found = await _add(parts, "schema", "agentmesh migrate", lambda: database.schema(pool))
        if found[0].verdict is not Verdict.OK:
            return
        mesh = Mesh(settings, pool, {context: PostgresEventStore(pool, context) for context in CONTEXTS})
        await asyncio.gather(
            _add(parts, "leaders", "agentmesh ps", lambda: flow.leaders(mesh, facts.skew_seconds)),
            _add(parts, "projections", "agentmesh projections list", followers),
            _add(parts, "dead letters", "agentmesh dlq list", lambda: flow.dead_letters(mesh)),
            _add(parts, "clock of workers", "", lambda: database.newest_events(mesh, facts.skew_seconds)),
        )
    finally:
        await pool.close()


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.verdict:<4}  {finding.what:<{width}}  {finding.found}")
        if finding.advice:
            print(f"{'':<4}  {'':<{width}}  -> {finding.advice}")
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
