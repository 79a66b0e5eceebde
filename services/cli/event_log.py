"""Reads the event store for a person: the log as a live stream, and one aggregate's history; the work behind `events`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.registry import EVENTS
from contracts.rejections import rejected_type
from infra.errors import TransientError
from infra.event_store.base import EventStore
from infra.outcomes.waiting import decode_rejection
from infra.postgres.sql_files import read_sql
from services.cli.errors import NotFound, WrongUsage
from services.cli.interrupts import stop_on_interrupt, wait_or_stop
from services.cli.mesh import Mesh, chosen_contexts, open_mesh
from services.cli.output import Output, print_json, print_table, tell

SQL = "services.cli.sql"
PAGE = 500
IDLE_SECONDS = 0.1
AWAY_SECONDS = 1.0
SHOWN_DATA = 160
HISTORY_COLUMNS = ("version", "position", "time", "event", "by", "command", "data")


@dataclass(frozen=True)
class TailFilter:
    """Which events are shown; None shows all."""

    type_names: frozenset[str] | None
    aggregate_id: str | None

    def wants(self, event: RecordedEvent) -> bool:
        """Whether this event is shown."""
        if self.aggregate_id is not None and event.aggregate_id != self.aggregate_id:
            return False
        return self.type_names is None or event.metadata.type_name in self.type_names


def event_type_names(given: Sequence[str]) -> frozenset[str] | None:
    """Full type names from full or short ones; None for none. Raises WrongUsage."""
    names: set[str] = set()
    for name in given:
        found = {full for full, event in EVENTS.items() if name in (full, event.__name__)}
        if not found:
            raise WrongUsage(f"There is no event {name!r}. Choose of: {', '.join(sorted(event.__name__ for event in EVENTS.values()))}.")
        names |= found
    return frozenset(names) or None


def parse_positions(text: str, contexts: Sequence[str]) -> dict[str, int]:
    """`120` where there is one context, else `requests:120,tasks:7`; a context that is not named begins at 0. Raises WrongUsage."""
    positions = dict.fromkeys(contexts, 0)
    for part in text.split(","):
        context, separator, number = part.strip().rpartition(":")
        if not separator and len(contexts) == 1:
            context = contexts[0]
        if context not in positions or not (number.isascii() and number.isdigit()):
            raise WrongUsage(f"--from-position {text}: write {','.join(f'{each}:NUMBER' for each in contexts)}.")
        positions[context] = int(number)
    return positions


def print_positions(positions: Mapping[str, int]) -> str:
    """Positions as `--from-position` takes them."""
    return ",".join(f"{context}:{position}" for context, position in positions.items())


def event_row(event: RecordedEvent) -> dict[str, Any]:
    """An event as JSON shows it."""
    metadata = event.metadata
    return {
        "position": f"{event.context}:{event.position}",
        "aggregate_id": event.aggregate_id,
        "version": event.sequence,
        "type": metadata.type_name,
        "id": metadata.message_id,
        "time": metadata.time,
        "tenant_id": metadata.tenant_id,
        "auth_type": metadata.auth_type,
        "auth_id": metadata.auth_id,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "traceparent": metadata.traceparent,
        "data": json.loads(event.data),
    }


def short_type(type_name: str) -> str:
    """`RequestCreated` of `agentmesh.requests.RequestCreated.v1`."""
    parts = type_name.split(".")
    return parts[-2] if len(parts) >= 2 else type_name


def short_data(data: Mapping[str, Any], leave_out: Sequence[str] = ("tenant_id",), limit: int = SHOWN_DATA) -> str:
    """The fields of a message in one line."""
    text = " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in data.items()
        if name not in leave_out and value not in (None, {})
    )
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


# -- tail --------------------------------------------------------------------------------------------------------------------------------


async def tail(
    context: str | None,
    wanted: TailFilter,
    *,
    from_position: str | None,
    from_start: bool,
    follow: bool,
    limit: int | None,
    output: Output,
) -> None:
    """Show the events after a position (default: from now on) and go on with new ones until Ctrl-C; says where to resume."""
    contexts = chosen_contexts(context)
    if from_position is not None and from_start:
        raise WrongUsage("Give --from-position or --from-start, not both.")
    after = dict.fromkeys(contexts, 0) if from_position is None else parse_positions(from_position, contexts)
    async with open_mesh() as mesh:
        stores = {name: mesh.stores[name] for name in contexts}
        if from_position is None and not from_start:
            after = {name: await store.head() for name, store in stores.items()}
        with stop_on_interrupt() as stop:
            await _Tail(stores, wanted, after, limit, output).run(stop, follow)
        tell(f"resume with: agentmesh events tail --from-position {print_positions(after)}")


class _Tail:
    """Reads on from `after`, which it moves."""

    def __init__(
        self, stores: Mapping[str, EventStore], wanted: TailFilter, after: dict[str, int], limit: int | None, output: Output
    ) -> None:
        self._stores = stores
        self._wanted = wanted
        self._after = after
        self._left = limit
        self._output = output

    async def run(self, stop: asyncio.Event, follow: bool) -> None:
        away = False
        while not stop.is_set() and self._left != 0:
            try:
                moved = await self._read_on()
                away = False
            except TransientError as error:
                if not follow:
                    raise
                if not away:
                    tell(f"waiting: {error}")
                away = True
                await wait_or_stop(stop, AWAY_SECONDS)
                continue
            if not moved:
                if not follow:
                    return
                await wait_or_stop(stop, IDLE_SECONDS)

    async def _read_on(self) -> bool:
        moved = False
        for context, store in self._stores.items():
            events, complete = await store.read_events(self._after[context], PAGE)
            for event in events:
                if self._left == 0:
                    return True
                self._after[context] = event.position
                if self._wanted.wants(event):
                    self._show(event)
                    self._left = None if self._left is None else self._left - 1
            if self._left == 0:
                return True
            moved = moved or complete > self._after[context] or bool(events)
            self._after[context] = max(complete, self._after[context])
        return moved

    def _show(self, event: RecordedEvent) -> None:
        if self._output is Output.JSON:
            print_json(event_row(event), one_line=True)
            return
        place = f"{event.context}:{event.position}"
        time = event.metadata.time[:23].replace("T", " ")
        data = short_data(json.loads(event.data), ("tenant_id", "request_id"))
        line = f"{place:<14} {time}  {event.metadata.tenant_id:<10} {event.aggregate_id} v{event.sequence} "
        print(f"{line}{short_type(event.metadata.type_name):<18} {data}", flush=True)


# -- show --------------------------------------------------------------------------------------------------------------------------------


async def show(aggregate_id: str, context: str | None, output: Output) -> None:
    """One aggregate's history: its events, and what became of each command. Raises NotFound."""
    contexts = chosen_contexts(context)
    async with open_mesh() as mesh:
        for name in contexts:
            events = await mesh.stores[name].read_stream(aggregate_id)
            outcomes = await aggregate_outcomes(mesh, name, aggregate_id)
            if events or outcomes:
                _print_history(name, aggregate_id, events, outcomes, output)
                return
    raise NotFound(f"Nothing is recorded of {aggregate_id!r} in: {', '.join(contexts)}.")


async def aggregate_outcomes(mesh: Mesh, context: str, aggregate_id: str) -> list[dict[str, Any]]:
    """The recorded outcome of each command of an aggregate, rejections with their reason; oldest first."""
    rows = await mesh.database.fetch(read_sql(SQL, "aggregate_outcomes.sql", context), {"id": aggregate_id})
    found = []
    for command_id, outcome, code, version, position, recorded_at, state in rows:
        rejection = None if state is None else decode_rejection(rejected_type(context), aggregate_id, state)
        found.append(
            {
                "command_id": command_id,
                "type": None if rejection is None else rejection.command_type,
                "outcome": outcome,
                "code": code,
                "message": None if rejection is None else rejection.message,
                "details": None if rejection is None else dict(rejection.details),
                "version": version,
                "position": None if position is None else f"{context}:{position}",
                "recorded_at": recorded_at,
            }
        )
    return found


def _print_history(
    context: str, aggregate_id: str, events: Sequence[RecordedEvent], outcomes: Sequence[Mapping[str, Any]], output: Output
) -> None:
    if output is Output.JSON:
        history = {"aggregate_id": aggregate_id, "context": context}
        print_json({**history, "events": [event_row(event) for event in events], "outcomes": outcomes})
        return
    print(f"{aggregate_id} in {context}: {len(events)} events, {len(outcomes)} commands\n")
    print_table(HISTORY_COLUMNS, history_cells(events, ("tenant_id", "request_id")), empty="No event.")
    print()
    columns = ("recorded", "command", "outcome", "code", "reason")
    cells = [[each["recorded_at"], each["command_id"], each["outcome"], each["code"], each["message"]] for each in outcomes]
    print_table(columns, cells, empty="No command.")


def history_cells(events: Sequence[RecordedEvent], leave_out: Sequence[str]) -> list[list[object]]:
    """The events of one stream as rows of HISTORY_COLUMNS, without the fields that are the same in each."""
    return [
        [
            event.sequence,
            f"{event.context}:{event.position}",
            event.metadata.time[:23].replace("T", " "),
            short_type(event.metadata.type_name),
            f"{event.metadata.auth_type} {event.metadata.auth_id}",
            event.metadata.causation_id,
            short_data(json.loads(event.data), leave_out, 100),
        ]
        for event in events
    ]
