"""One command by hand: published, waited for, shown; the work behind `publish` and behind every other order of the CLI."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from contracts.message import Command
from infra.event_store.base import Outcome, OutcomeKind
from infra.kafka.producer import PagePublisher
from infra.outcomes.waiting import rejection_at, wait_for_outcome
from services.cli import exit_codes
from services.cli.errors import NoAnswer
from services.cli.mesh import Mesh, mesh_settings, open_mesh
from services.cli.output import Output, describe_details, print_facts, print_json
from services.cli.publishing import OutgoingCommand, command_type, complete_payload, outgoing_command, parse_payload
from services.cli.waiting import SHOWN_VERSIONS, wait_until_shown

# What to do when no outcome came in time. `events show` lists outcomes, too.
REPEAT = "repeat with --id {command_id} to wait again: it is not applied twice."
LOOK = "see what became of it with: agentmesh events show {aggregate_id}"


async def publish(
    type_name: str,
    payload_text: str,
    *,
    key: str | None,
    command_id: str | None,
    tenant: str | None,
    wait: bool,
    timeout: float,
    output: Output,
) -> int:
    """Publish one command and answer the exit code. Raises WrongUsage, TransientError, and NoAnswer when no outcome came in time."""
    command = command_type(type_name)
    payload = complete_payload(command, parse_payload(payload_text), tenant=tenant, key=key)
    if not wait:
        settings = mesh_settings()
        outgoing = outgoing_command(settings, command, payload, key=key, command_id=command_id)
        await _send(PagePublisher(settings, settings.kafka_bootstrap, "agentmesh-cli"), outgoing)
        _show(_facts(outgoing), output)
        return exit_codes.OK
    return await _publish_and_wait(command, payload, key=key, command_id=command_id, timeout=timeout, advice=REPEAT, output=output)


async def order(
    command: type[Command], payload: Mapping[str, Any], *, tenant: str, timeout: float, output: Output, actor: str | None = None
) -> int:
    """The same for a command that the CLI words itself, such as SuspendAgent of `agents suspend`. What is None is left out."""
    given = {name: value for name, value in payload.items() if value is not None}
    completed = complete_payload(command, given, tenant=tenant, key=None)
    return await _publish_and_wait(command, completed, key=None, command_id=None, timeout=timeout, advice=LOOK, output=output, actor=actor)


async def _publish_and_wait(
    command: type[Command],
    payload: Mapping[str, Any],
    *,
    key: str | None,
    command_id: str | None,
    timeout: float,
    advice: str,
    output: Output,
    actor: str | None = None,
) -> int:
    async with open_mesh() as mesh:
        outgoing = outgoing_command(mesh.settings, command, payload, key=key, command_id=command_id, actor=actor)
        facts = _facts(outgoing)
        await _send(PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "agentmesh-cli"), outgoing)
        facts |= await _wait(mesh, outgoing, timeout, advice)
    _show(facts, output)
    return exit_codes.OK if facts["outcome"] in (OutcomeKind.EVENTS, OutcomeKind.UNCHANGED) else exit_codes.FAILED


async def _send(publisher: PagePublisher, outgoing: OutgoingCommand) -> None:
    try:
        await publisher.publish([outgoing.record])
    finally:
        await publisher.close()


def _facts(outgoing: OutgoingCommand) -> dict[str, Any]:
    return {
        "command_id": outgoing.command_id,
        "type": outgoing.type_name,
        outgoing.aggregate_field: outgoing.aggregate_id,
        "tenant_id": outgoing.tenant_id,
    }


async def _wait(mesh: Mesh, outgoing: OutgoingCommand, timeout: float, advice: str) -> dict[str, Any]:
    began = time.monotonic()
    deadline = began + timeout
    store = mesh.stores[outgoing.context]
    outcome = await wait_for_outcome(store, outgoing.aggregate_id, outgoing.command_id, deadline)
    if outcome is None:
        raise NoAnswer(
            f"No outcome of command {outgoing.command_id} within {timeout:g} s. It is on Kafka and will be handled when its worker runs "
            "(agentmesh ps); " + advice.format(command_id=outgoing.command_id, aggregate_id=outgoing.aggregate_id)
        )
    facts: dict[str, Any] = {"outcome": outcome.kind.value, "outcome_after_ms": _since(began)}
    facts |= {name: value for name, value in (("version", outcome.version), ("position", outcome.position)) if value is not None}
    if outcome.kind is OutcomeKind.EVENTS:
        facts["events"] = await _event_types(mesh, outgoing, outcome)
    elif outcome.kind is OutcomeKind.REJECTED:
        facts |= await _reason(mesh, outgoing, outcome)
    elif outcome.kind is OutcomeKind.PARKED:
        facts["message"] = f"parked by a defect: agentmesh dlq list --aggregate {outgoing.aggregate_id}"
    if outcome.kind in (OutcomeKind.EVENTS, OutcomeKind.UNCHANGED) and outgoing.context in SHOWN_VERSIONS:
        shown = await wait_until_shown(mesh.database, outgoing.context, outgoing.aggregate_id, outcome.version, deadline)
        if shown is None:
            raise NoAnswer(
                f"Command {outgoing.command_id} has its outcome ({outcome.kind}, version {outcome.version}), but the read model did not "
                f"show it within {timeout:g} s. See: agentmesh projections list, agentmesh ps"
            )
        facts |= {"read_model_version": shown, "read_model_after_ms": _since(began)}
    return facts


async def _event_types(mesh: Mesh, outgoing: OutgoingCommand, outcome: Outcome) -> list[str]:
    stream = await mesh.stores[outgoing.context].read_stream(outgoing.aggregate_id, max(0, outcome.version - 50))
    mine = [event for event in stream if event.metadata.causation_id == outgoing.command_id]
    return [event.metadata.type_name for event in mine]


async def _reason(mesh: Mesh, outgoing: OutgoingCommand, outcome: Outcome) -> dict[str, Any]:
    facts: dict[str, Any] = {"code": outcome.code}
    if outcome.position is not None:
        rejection = await rejection_at(mesh.stores[outgoing.context], outcome.position)
        if rejection is not None:
            facts |= {"error_type": rejection.error_type, "message": rejection.message, "details": dict(rejection.details)}
    return facts


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def _show(facts: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        print_json(facts)
        return
    shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in facts.items()}
    if "details" in shown:
        shown["details"] = describe_details(facts["details"])
    print_facts(shown)
