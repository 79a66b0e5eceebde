"""Runs every check side by side and prints the findings; the work behind `doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from contracts.topics import CONTEXTS
from infra.diagnosis.base import Fault
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
        async with asyncio.timeout(ALL_SECONDS):
            findings += await _servers(settings, rows)
    except TimeoutError:
        advice = "see whether the network between here and them works; ask again"
        findings.append(Finding("servers", Verdict.FAIL, f"not all that was asked was answered within {ALL_SECONDS:g} s", advice))
    except LocalStackError as error:
        findings.append(Finding("endpoints", Verdict.FAIL, str(error), "agentmesh up, or set the variables"))
    findings.append(workers(settings, rows))
    if output is Output.JSON:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    return exit_codes.FAILED if any(finding.verdict is Verdict.FAIL for finding in findings) else exit_codes.OK


async def _servers(settings: MeshSettings, rows: Rows) -> list[Finding]:
    """What answers is asked on; what does not is not asked twice."""
    facts, pools, brokers, first = await asyncio.gather(
        ask_postgres(settings.postgres_dsn),
        asyncio.to_thread(pools_of, [row["port"] for row in rows]),
        ask_kafka(settings.kafka_bootstrap),
        asyncio.gather(asked("redis", "", lambda: broker.redis(settings)), asked("outside", "", lambda: outside(settings))),
    )
    findings = database.judge_postgres(facts, settings, pools)
    kafka = broker.judge_kafka(brokers, settings.kafka_bootstrap)
    further: list[Awaitable[list[Finding]]] = []
    if isinstance(facts, PostgresFacts) and findings[0].verdict is not Verdict.FAIL:
        further.append(_of_database(settings, facts, rows))
    if kafka.verdict is not Verdict.FAIL:
        further.append(_of_kafka(settings, rows))
    later = await asyncio.gather(*further)
    return [*findings, kafka, *(finding for group in (*later, *first) for finding in group)]


async def _of_kafka(settings: MeshSettings, rows: Rows) -> list[Finding]:
    found = await asked("topics", "agentmesh migrate, or agentmesh up", lambda: broker.topics(settings))
    if found[0].verdict is Verdict.OK:
        found += await asked("consumers", "agentmesh ps", lambda: flow.consumers(settings, rows))
    return found


async def _of_database(settings: MeshSettings, facts: PostgresFacts | Fault, rows: Rows) -> list[Finding]:
    small = settings.model_copy(update={"pool_min_size": 1, "pool_max_size": 4})
    pool = Database(small, settings.postgres_dsn, name="agentmesh.doctor")
    await pool.open()
    try:
        found = await asked("schema", "agentmesh migrate", lambda: database.schema(pool))
        if found[0].verdict is not Verdict.OK:
            return found
        skew = facts.skew_seconds if isinstance(facts, PostgresFacts) else 0.0
        mesh = Mesh(settings, pool, {context: PostgresEventStore(pool, context) for context in CONTEXTS})
        later = await asyncio.gather(
            asked("relay", "agentmesh ps", lambda: flow.relay(pool, settings)),
            asked("projections", "agentmesh projections list", lambda: flow.projections(mesh, rows)),
            asked("dead letters", "agentmesh dlq list", lambda: database.dead_letters(pool)),
            asked("clock of workers", "", lambda: database.newest_events(pool, skew)),
        )
        return [*found, *(finding for group in later for finding in group)]
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
