"""Runs the demo: servers and fleet up (or those that run), requests published and carried, a host killed, an approval granted, everything
counted, and taken down again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

from infra.kafka.producer import PagePublisher
from infra.local_stack import read_endpoints, status
from infra.settings import MeshSettings, load_settings
from projections.timeline.queries import GetTimeline, TimelineView, request_timeline
from services.cli import exit_codes, supervision
from services.cli.demo.carried import Carried, approve, kill_host, wait_for_rest, wait_until_completed, watch_requests
from services.cli.demo.count import Totals, count, duplicates_absorbed
from services.cli.demo.plan import Plan, Planned, Planner, pages
from services.cli.demo.setup import prepare
from services.cli.demo.show import Board, board, print_as_json, print_timeline, print_totals, print_verdict
from services.cli.demo.watch import CONTEXT, TASKS, Watch, wait_for_outcomes
from services.cli.errors import NoAnswer
from services.cli.mesh import Mesh, open_mesh
from services.cli.output import Output, own_name, tell

# Two processes, each with a host of each kind: one can be killed.
HOSTS = "agent-host=2"
# Of the fleet that the demo starts: what a killed host held should move while somebody looks.
QUICK = {
    "AGENTMESH_AGENT_HOST_LEASE_SECONDS": "3",
    "AGENTMESH_AGENT_HOST_HEARTBEAT_SECONDS": "1",
    "AGENTMESH_KAFKA_SESSION_TIMEOUT_MS": "4000",
    "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
}
WAIT_SECONDS = 60.0
TICK_SECONDS = 0.1

PUBLISHED = "published over Kafka"
OUTCOMES = "outcomes recorded"
AT_REST = "requests ended or waiting"


def run_demo(requests: int, seed: int, rate: float, keep: bool, output: Output) -> int:
    """The whole demo; answers 0 when the sums match. What ran before runs on afterwards."""
    began = time.monotonic()
    before = load_settings()
    fleet_ran = supervision.running_message(before.state_dir) is not None
    servers_ran = any(server.state != "stopped" for server in status(before.home))
    tell("1. servers, schema, topics" + (" (a fleet runs here: it is used)" if fleet_ran else ""))
    settings = supervision.prepare(lambda message: tell(f"  {message}"))
    try:
        if not fleet_ran:
            tell("2. workers and agent hosts")
            for name, value in QUICK.items():
                os.environ.setdefault(name, value)
            supervision.start_in_background(settings, [HOSTS], lambda message: tell(f"  {message}"))
        ready = time.monotonic()
        code = asyncio.run(_publish_and_report(Planner(settings, seed).plan(requests), rate, output))
        if output is Output.TABLE:
            print(f"\nServers and workers took {ready - began:.1f} s, the rest {time.monotonic() - ready:.1f} s.")
    finally:
        if not keep:
            _stop(settings, fleet_ran, servers_ran)
    if keep:
        _print_next(settings)
    return code


def _stop(settings: MeshSettings, fleet_ran: bool, servers_ran: bool) -> None:
    if fleet_ran:
        tell("the fleet ran before and runs on: agentmesh down stops it")
        return
    tell("6. stopping what was started; the data stays")
    supervision.stop_fleet(settings, lambda message: tell(f"  {message}"))
    if servers_ran:
        tell("  the servers ran before and run on: agentmesh down stops them")
    else:
        supervision.stop_servers(settings, lambda message: tell(f"  {message}"))


def _print_next(settings: MeshSettings) -> None:
    found = read_endpoints(settings.state_dir)
    tell("\nEverything runs on. Endpoints (passwords in .agentmesh/endpoints.json):")
    for name, address in (found.masked() if found is not None else {}).items():
        tell(f"  {name:<16} {address}")
    tell("\nTry next:")
    for command in (
        "ps",
        "top",
        "requests list --tenant acme",
        "approvals list --tenant acme",
        "tasks list --tenant acme",
        'publish CreateRequest --tenant acme \'{"customer_id": "cust-0042", "message": "My invoice of May is wrong"}\'',
        "events tail --from-start --no-follow --limit 20",
        "token --tenant acme --role admin",
        "users add ada --tenant acme --role admin --generate",
        "projections rebuild requests",
        "doctor",
    ):
        tell(f"  {own_name()} {command}")
    if found is not None and found.gateway_url is not None:
        tell(f"  in a browser, as ada of acme: {found.gateway_url}/console")
    tell(f"  {own_name()} down")


# -- publishing --------------------------------------------------------------------------------------------------------------------------


async def _publish_and_report(plan: Plan, rate: float, output: Output) -> int:
    async with open_mesh() as mesh:
        commands, articles = await prepare(mesh)
        tell(f"  {commands} agents and customers are known, {articles} articles for each tenant")
        tell(f"3. {len(plan.requests)} requests, and some commands that are wrong on purpose")
        absorbed = duplicates_absorbed(mesh.settings.state_dir)
        heads = {context: await mesh.stores[context].head() for context in (CONTEXT, TASKS)}
        watch, carried = Watch(plan), Carried()
        with board() as progress:
            seconds = await _carry(mesh, watch, carried, rate, progress)
        totals = await count(mesh, watch, carried, heads, absorbed)
        shown = await _timeline(mesh, plan)
    speed = _speed(watch, carried, totals, rate, seconds)
    faults = plan.faults()
    if output is Output.JSON:
        print_as_json(totals, speed, faults, shown)
    else:
        print_timeline(shown)
        print_totals(totals, speed, faults)
        print_verdict(totals)
    return exit_codes.FAILED if totals.problems else exit_codes.OK


async def _carry(mesh: Mesh, watch: Watch, carried: Carried, rate: float, progress: Board) -> float:
    """Publish at a steady rate, kill a host half-way, wait until all is at rest, approve, publish what comes late; answers the seconds
    until rest. Raises NoAnswer."""
    plan = watch.plan
    publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "agentmesh-demo")
    progress.begin(PUBLISHED, len(plan.all()))
    progress.begin(AT_REST, len(plan.requests))
    watching = asyncio.create_task(watch_requests(mesh, plan, carried, watch.request_published_at), name="read model")
    began = time.monotonic()
    try:
        groups = list(pages(plan.records, max(1, round(rate * TICK_SECONDS))))
        for number, page in enumerate(groups):
            await asyncio.sleep(max(0.0, began + number * TICK_SECONDS - time.monotonic()))
            await _send(publisher, watch, page, progress)
            if number == len(groups) // 2:
                carried.killed = kill_host(mesh.settings.state_dir)
                told = f"{carried.killed} is killed; another takes over" if carried.killed else "only one host runs, so none is killed"
                tell(f"  {told}")
        await wait_for_rest(watching, carried, plan, lambda number: progress.at(AT_REST, number))
        seconds = time.monotonic() - began
        tell("4. the approval of one refund, granted by a person")
        carried.approved = await approve(plan)
        if carried.approved:
            await wait_until_completed(mesh, plan, carried)
        tell("5. some of it again, and more that is wrong: nothing may change")
        await _send(publisher, watch, plan.late, progress)
        await _all_outcomes(mesh, watch, progress)
        return seconds
    finally:
        await publisher.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _all_outcomes(mesh: Mesh, watch: Watch, progress: Board) -> None:
    commands = watch.plan.commands()
    progress.begin(OUTCOMES, len(commands))
    await wait_for_outcomes(mesh, watch, time.monotonic() + WAIT_SECONDS, lambda number: progress.at(OUTCOMES, number))
    if (missing := len(commands) - len(watch.outcomes)) > 0:
        raise NoAnswer(f"{missing} commands have no outcome after {WAIT_SECONDS:g} s. See: agentmesh ps, agentmesh doctor")


async def _send(publisher: PagePublisher, watch: Watch, page: list[Planned], progress: Board) -> None:
    at = time.monotonic()
    await publisher.publish([planned.command.record for planned in page])
    watch.note_published(page, at)
    progress.at(PUBLISHED, watch.published)


def _speed(watch: Watch, carried: Carried, totals: Totals, rate: float, seconds: float) -> Mapping[str, Any]:
    latencies = sorted(carried.seconds.values())
    return {
        "commands_a_second_asked_for": round(rate),
        "requests_a_second_until_rest": round(len(watch.plan.requests) / seconds, 1),
        "tasks_a_second": round(totals.tasks.get("TaskCompleted", 0) / seconds, 1),
        "request_until_rest_p50_ms": _percentile(latencies, 0.50),
        "request_until_rest_p99_ms": _percentile(latencies, 0.99),
    }


def _percentile(values: list[float], share: float) -> float | None:
    """In milliseconds; None for no values."""
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1) if values else None


async def _timeline(mesh: Mesh, plan: Plan) -> TimelineView:
    """The shown request's timeline, once it tells the end. Raises NoAnswer."""
    deadline = time.monotonic() + WAIT_SECONDS
    query = GetTimeline(tenant_id=plan.shown_tenant, request_id=plan.shown_request)
    while (found := await request_timeline(mesh.database, query)) is None or found.ended_at is None:
        if time.monotonic() > deadline:
            if found is not None:
                return found
            raise NoAnswer(f"The timeline of {plan.shown_request} is empty after {WAIT_SECONDS:g} s. See: agentmesh projections list")
        await asyncio.sleep(TICK_SECONDS)
    return found
