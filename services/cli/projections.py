"""Read models for a person: how far each has got, and their rebuild; the work behind `projections`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from contracts.partitioning import partition_for
from contracts.topics import events_topic
from infra.cache.once import drop_cached
from infra.errors import MeshError
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.read_models.base import ReadModel
from infra.read_models.rebuild import Rebuild, RebuildDiffers, RebuildReport
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.settings import MeshSettings
from projections.catalogue import read_model, read_models
from services.cli.errors import NotFound, Refused
from services.cli.mesh import Mesh, open_mesh
from services.cli.output import Output, print_facts, print_json, print_table, tell
from services.cli.rebuild_orders import in_words, shown
from services.cli.rebuild_orders import order as place

SQL = "services.cli.sql"
PAGE = 10_000
# Beyond this many events the lag is only said to be at least so large.
MOST_COUNTED = 200_000
COLUMNS = ("name", "version", "partitions", "position", "log head", "lag", "parked", "state")


async def states(mesh: Mesh) -> list[dict[str, Any]]:
    """Every read model of this release with what its tables hold."""
    rows = await mesh.database.fetch(read_sql(SQL, "projection_states.sql"), {})
    built = {name: (version, built_at, parked) for name, version, built_at, parked in rows}
    orders = await PostgresRebuildOrders(mesh.database).latest()
    found = [await _state(mesh, model, *built.get(model.name, (None, None, 0))) for model in read_models()]
    return [{**state, "rebuild": orders.get(state["name"])} for state in found]


async def _state(mesh: Mesh, model: ReadModel, version: int | None, built_at: Any, parked: int) -> dict[str, Any]:
    contexts = [await _context_state(mesh, model, context) for context in model.contexts]
    if version is None:
        state = "missing: agentmesh migrate"
    elif version != model.version:
        state = f"of version {version}: agentmesh projections rebuild {model.name}"
    else:
        state = f"incomplete ({parked} parked)" if parked else "complete"
    return {
        "name": model.name,
        "version": version,
        "needed_version": model.version,
        "built_at": built_at,
        "contexts": contexts,
        "lag": sum(each["lag"] for each in contexts),
        "lag_is_at_least": any(each["lag_is_at_least"] for each in contexts),
        "parked": parked,
        "state": state,
    }


async def _context_state(mesh: Mesh, model: ReadModel, context: str) -> dict[str, Any]:
    topic = mesh.settings.topic_prefix + events_topic(context)
    rows = await mesh.database.fetch(read_sql(SQL, "projection_checkpoints.sql"), {"projection": model.name, "topic": topic})
    positions = {partition: position for partition, _, position in rows}
    head = await mesh.stores[context].head()
    lag, at_least = await _lag(mesh.database, context, positions, mesh.settings.partitions)
    return {
        "context": context,
        "log_head": head,
        "lag": lag,
        "lag_is_at_least": at_least,
        "checkpoints": [{"partition": partition, "next_offset": offset, "position": position} for partition, offset, position in rows],
    }


async def _lag(database: Database, context: str, positions: Mapping[int, int], partitions: int) -> tuple[int, bool]:
    """How many events of the store are above the checkpoint of their partition; counted in the store, so what is not relayed yet counts."""
    sql = read_sql(SQL, "event_places.sql", context)
    after = min((positions.get(partition, 0) for partition in range(partitions)), default=0)
    lag = seen = 0
    while seen < MOST_COUNTED:
        rows = await database.fetch(sql, {"after": after, "limit": PAGE})
        for position, aggregate_id in rows:
            if position > positions.get(partition_for(aggregate_id.encode(), partitions), 0):
                lag += 1
        if len(rows) < PAGE:
            return lag, False
        after, seen = rows[-1][0], seen + len(rows)
    return lag, True


async def list_(output: Output) -> None:
    """Every read model with its checkpoints, lag and parked events."""
    async with open_mesh() as mesh:
        found = await states(mesh)
    if output is Output.JSON:
        print_json([{**state, "rebuild": shown(state["rebuild"])} for state in found])
        return
    print_table(COLUMNS, [_cells(state) for state in found], empty="This release has no read model.")


def _cells(state: Mapping[str, Any]) -> list[object]:
    contexts = state["contexts"]
    checkpoints = [checkpoint for each in contexts for checkpoint in each["checkpoints"]]
    positions = [checkpoint["position"] for checkpoint in checkpoints]
    span = "-" if not positions else f"{min(positions)}–{max(positions)}"
    heads = ", ".join(f"{each['context']}:{each['log_head']}" for each in contexts)
    said = "; ".join(filter(None, (state["state"], in_words(state["rebuild"]))))
    lag = f"{state['lag']}{'+' if state['lag_is_at_least'] else ''}"
    return [state["name"], state["version"], len(checkpoints), span, heads, lag, state["parked"], said]


# -- rebuild -----------------------------------------------------------------------------------------------------------------------------


async def order(name: str, output: Output) -> None:
    """Have a worker build the read model anew, and follow it. Raises NotFound and Refused."""
    with _progress(name) as progress:
        await place(name, output, progress)


async def rebuild(name: str, accept_differences: bool, output: Output) -> None:
    """Build the read model anew beside itself and switch. Raises NotFound, and Refused when the two differ."""
    try:
        model = read_model(name)
    except KeyError as error:
        text = str(error.args[0])
        raise NotFound(f"{text[:1].upper()}{text[1:]}.") from None
    async with open_mesh(connections=6) as mesh:
        stores = {context: mesh.stores[context] for context in model.contexts}
        work = Rebuild(mesh.database, model, stores, mesh.settings.partitions, mesh.settings.topic_prefix)
        tell(f"building {name} anew from the event store, beside the live one")
        with _progress(name) as progress:
            try:
                report = await work.run(progress, accept_differences=accept_differences)
            except RebuildDiffers as error:
                raise Refused(str(error)) from None
        await _drop_cached(model, mesh.settings)
    _print_report(report, accept_differences, output)


async def _drop_cached(model: ReadModel, settings: MeshSettings) -> None:
    """What the cache has of the rows before goes."""
    try:
        await drop_cached(model.name, settings)
    except MeshError as error:
        tell(f"the cache may show what was before until its entries end, after an hour at most: {error}")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{name}: positions", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _print_report(report: RebuildReport, accepted: bool, output: Output) -> None:
    if output is Output.JSON:
        print_json(asdict(report))
        return
    facts = asdict(report)
    equal = "differences, if there were any, were accepted" if accepted else "equal to the one before"
    facts["compared"] = equal if report.compared else "not compared: the definition changed"
    facts["seconds"], facts["locked_seconds"] = round(report.seconds, 3), round(report.locked_seconds, 3)
    print_facts(facts)
    if report.parked:
        tell(f"{report.parked} events could not be applied: agentmesh dlq list --projection {report.projection}")
