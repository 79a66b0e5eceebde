"""Runs the demo: servers and fleet up (or those that run), the plan published and watched, everything counted, and taken down again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.ids import new_request_id
from contracts.requests.commands import CreateRequest
from infra.event_store.base import OutcomeKind
from infra.kafka.producer import PagePublisher
from infra.local_stack import read_endpoints, status
from infra.settings import MeshSettings, load_settings
from projections.requests.queries import GetRequest, get_request
from services.cli import exit_codes, supervision
from services.cli.demo.count import Totals, count, duplicates_absorbed
from services.cli.demo.plan import Plan, Planned, Planner, pages
from services.cli.demo.show import Board, Shown, Step, board, print_as_json, print_history, print_totals, print_verdict
from services.cli.demo.watch import CONTEXT, Watch, wait_for_outcomes, watch_read_model
from services.cli.errors import NoAnswer
from services.cli.fleet import DEFAULT_FLEET
from services.cli.mesh import Mesh, open_mesh
from services.cli.output import Output, own_name, tell
from services.cli.publishing import outgoing_command
from services.cli.waiting import wait_until_shown

# The demo shows the spine, one command after the other; agents that carried the same requests on would be in its way.
SHOWN = ("requests", "relay", "projections")
WAIT_SECONDS = 60.0
PAGE_SECONDS = 0.02

PUBLISHED = "published over Kafka"
OUTCOMES = "outcomes recorded"


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
            tell("2. workers")
            others = [f"{member.name}=0" for member in DEFAULT_FLEET if member.name not in SHOWN]
            supervision.start_in_background(settings, others, lambda message: tell(f"  {message}"))
        ready = time.monotonic()
        tell(f"3. {requests} requests with their follow-up commands, and some that are wrong on purpose (seed {seed})")
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
    tell("4. stopping what was started; the data stays")
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
        "requests list --tenant acme --status pending",
        'publish CreateRequest \'{"customer_id": "cust-0042", "message": "My invoice of May is wrong"}\'',
        "events tail --from-start --no-follow --limit 20",
        "projections rebuild requests",
        "doctor",
        "down",
    ):
        tell(f"  {own_name()} {command}")


# -- publishing --------------------------------------------------------------------------------------------------------------------------


async def _publish_and_report(plan: Plan, rate: float, output: Output) -> int:
    async with open_mesh() as mesh:
        await _first_request(mesh)
        absorbed = duplicates_absorbed(mesh.settings.state_dir)
        head = await mesh.stores[CONTEXT].head()
        watch = Watch(plan)
        with board() as progress:
            seconds = await _publish(mesh, watch, rate, progress)
        totals = await count(mesh, watch, head, absorbed)
        shown = await _history(mesh, watch)
    speed = _speed(watch, totals, rate, seconds)
    faults = plan.faults()
    if output is Output.JSON:
        print_as_json(totals, speed, faults, shown)
    else:
        print("\nOne request, from command to read model")
        print_history(shown)
        print_totals(totals, speed, faults)
        print_verdict(totals)
    return exit_codes.FAILED if totals.problems else exit_codes.OK


async def _first_request(mesh: Mesh) -> None:
    """One request ahead of the others, so that consumers still joining their groups do not count as latency. Raises NoAnswer."""
    began = time.monotonic()
    payload = {"tenant_id": "demo", "request_id": new_request_id(), "customer_id": "cust-0001", "message": "Is anybody there?"}
    outgoing = outgoing_command(mesh.settings, CreateRequest, payload)
    publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "agentmesh-demo")
    try:
        await publisher.publish([outgoing.record])
    finally:
        await publisher.close()
    if await wait_until_shown(mesh.database, CONTEXT, outgoing.aggregate_id, 1, began + WAIT_SECONDS) is None:
        raise NoAnswer(f"The first request is not in the read model after {WAIT_SECONDS:g} s. See: agentmesh ps, agentmesh doctor")
    tell(f"  a first request, not counted below, was in the read model after {time.monotonic() - began:.2f} s")


async def _publish(mesh: Mesh, watch: Watch, rate: float, progress: Board) -> float:
    """Publish at a steady rate, wait for every outcome and for the read model; answers the seconds of all of it. Raises NoAnswer."""
    plan = watch.plan
    progress.begin(PUBLISHED, len(plan.records))
    progress.begin(OUTCOMES, len(plan.commands()))
    publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "agentmesh-demo")
    done = asyncio.Event()
    watching = asyncio.create_task(watch_read_model(mesh, watch, done), name="read model")
    began = time.monotonic()
    try:
        for number, page in enumerate(pages(plan, max(1, round(rate * PAGE_SECONDS)))):
            await asyncio.sleep(max(0.0, began + number * PAGE_SECONDS - time.monotonic()))
            await _send(publisher, watch, page)
            progress.at(PUBLISHED, watch.published)
        deadline = time.monotonic() + WAIT_SECONDS
        await wait_for_outcomes(mesh, watch, deadline, lambda number: progress.at(OUTCOMES, number))
        watch.correct_by_outcomes()
        done.set()
        await asyncio.wait({watching}, timeout=max(0.0, deadline - time.monotonic()))
    finally:
        await publisher.close()
        if not watching.done():
            watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    if len(watch.outcomes) < len(plan.commands()):
        missing = len(plan.commands()) - len(watch.outcomes)
        raise NoAnswer(f"{missing} commands have no outcome after {WAIT_SECONDS:g} s. See: agentmesh ps, agentmesh doctor")
    return time.monotonic() - began


async def _send(publisher: PagePublisher, watch: Watch, page: list[Planned]) -> None:
    at = time.monotonic()
    await publisher.publish([planned.command.record for planned in page])
    watch.note_published(page, at)


def _speed(watch: Watch, totals: Totals, rate: float, seconds: float) -> Mapping[str, Any]:
    latencies = sorted(watch.latencies)
    return {
        "commands_a_second_asked_for": round(rate),
        "commands_a_second_with_outcome_and_read_model": round(totals.published / seconds),
        "events_a_second": round(totals.events.total() / seconds),
        "publish_to_read_model_p50_ms": _percentile(latencies, 0.50),
        "publish_to_read_model_p99_ms": _percentile(latencies, 0.99),
        "measured_commands": len(latencies),
    }


def _percentile(values: list[float], share: float) -> float | None:
    """In milliseconds; None for no values."""
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1) if values else None


# -- one request's history ---------------------------------------------------------------------------------------------------------------


async def _history(mesh: Mesh, watch: Watch) -> Shown:
    request_id = watch.plan.shown_request
    stream = {event.metadata.causation_id: event for event in await mesh.stores[CONTEXT].read_stream(request_id)}
    mine = {pair: planned for pair, planned in watch.plan.commands().items() if pair[0] == request_id}
    tenant = next(planned.command.tenant_id for planned in mine.values() if planned.expected is OutcomeKind.EVENTS)
    view = await get_request(mesh.database, GetRequest(tenant_id=tenant, request_id=request_id))
    first = min(watch.published_at[pair] for pair in mine)
    wall = time.time() - time.monotonic()
    steps = []
    for pair, planned in mine.items():
        outcome, event = watch.outcomes[pair], stream.get(pair[1])
        recorded = None if event is None else datetime.fromisoformat(event.metadata.time).timestamp() - wall - first
        shown = watch.shown_at.get(pair)
        steps.append(
            Step(
                command_type=planned.command.type_name,
                command_id=pair[1],
                published_after=watch.published_at[pair] - first,
                outcome=outcome.kind.value,
                code=outcome.code,
                event=event,
                recorded_after=recorded,
                shown_after=None if shown is None else shown - first,
            )
        )
    if view is None:
        return Shown(request_id, tenant, "", "not shown", 0, tuple(steps))
    return Shown(request_id, tenant, view.message, view.status, view.version, tuple(steps))
