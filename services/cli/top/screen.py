"""Draws one picture of the fleet for a terminal of any width; used by `top`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.output import duration
from services.cli.top.frame import SILENT, Frame, WorkerRow

MIB = 1024 * 1024
MOST_LAGS = 12
# Title, names of columns, a rule, and what is not listed.
LINES_BESIDE_LAGS = 4
WIDE = 100
NARROW_NAME = 18
STATE_STYLES = {"running": "green", "starting": "yellow", "waiting": "yellow", "failed": "bold red", "stopped": "dim"}
LATE_SECONDS, VERY_LATE_SECONDS = 10, 60
RATE_NAMES = {
    "commands": "commands",
    "events": "events",
    "finished": "requests finished",
    "tokens": "model tokens",
    "calls": "HTTP calls",
    "errors": "error lines",
}


def draw(frame: Frame, width: int, height: int | None = None) -> RenderableType:
    """The whole picture, what waits above the tables. Where a `height` is given, so many are listed who are behind as there is room for."""
    if not frame.workers:
        return Group(_head(frame), Text(), Text("No fleet runs here. Start one with: agentmesh up"))
    above = Group(_head(frame), *_waits(frame), Text(), _workers(frame, wide=width >= WIDE), Text())
    room = MOST_LAGS if height is None else height - len(Console(width=width).render_lines(above)) - LINES_BESIDE_LAGS
    return Group(above, _lags(frame, min(MOST_LAGS, max(1, room))))


def _head(frame: Frame) -> Text:
    ready = sum(worker.ready for worker in frame.workers)
    text = Text.assemble(
        ("agentmesh top", "bold"),
        f"  {datetime.fromtimestamp(frame.now, UTC):%Y-%m-%d %H:%M:%S}Z  {ready} of {len(frame.workers)} workers ready",
    )
    text.append("\n")
    text.append("a second: ", "dim")
    text.append(", ".join(f"{_rate(frame.rates.get(rate))} {name}" for rate, name in RATE_NAMES.items()))
    return text


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _table(*columns: tuple[str, str], title: str) -> Table:
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, show_edge=False, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True, overflow="ellipsis")
    return table


def _workers(frame: Frame, *, wide: bool) -> Table:
    columns = [("worker", ""), ("state", ""), ("pid", "right"), ("again", "right"), ("cpu", "right"), ("MiB", "right"), ("tried", "right")]
    table = _table(*columns, *([("up", "right")] if wide else []), ("health", ""), title="Workers")
    table.columns[0].max_width = None if wide else NARROW_NAME
    for worker in frame.workers:
        table.add_row(*_cells(worker, wide))
    return table


def _cells(worker: WorkerRow, wide: bool) -> list[Text]:
    state = worker.state if worker.ready or worker.state != "running" else "not ready"
    cells = [
        Text(worker.name),
        Text(state, STATE_STYLES.get(state, "yellow")),
        Text("-" if worker.pid is None else str(worker.pid)),
        Text(str(worker.restarts), "yellow" if worker.restarts else ""),
        Text("-" if worker.cpu_percent is None else f"{worker.cpu_percent:.0f}%"),
        Text("-" if worker.memory_bytes is None else f"{worker.memory_bytes / MIB:.0f}"),
        _age(worker.attempt_seconds),
    ]
    if wide:
        cells.append(Text("-" if worker.uptime_seconds is None else duration(worker.uptime_seconds)))
    bad = worker.health == SILENT or worker.health.startswith("unhealthy")
    cells.append(Text(worker.message or worker.health, "red" if bad else "yellow" if worker.health != "healthy" else ""))
    return cells


def _age(seconds: float | None) -> Text:
    if seconds is None:
        return Text("-")
    style = "red" if seconds >= VERY_LATE_SECONDS else "yellow" if seconds >= LATE_SECONDS else ""
    return Text(duration(seconds), style)


def _lags(frame: Frame, most: int) -> RenderableType:
    behind = [row for row in frame.lags if row.messages > 0]
    title = "Behind" if frame.lags_from == "monitor" else "Behind (no monitor leads: what living workers tell of themselves)"
    at_end = len(frame.lags) - len(behind)
    if not behind:
        return Text.assemble((title, "bold"), f"\nnobody: all {at_end} are at the end" if at_end else "\nnothing is told yet")
    table = _table(("who", ""), ("name", ""), ("messages", "right"), ("oldest", "right"), title=title)
    for row in behind[:most]:
        table.add_row(Text(row.kind.replace("_", " ")), Text(row.name), Text(f"{row.messages:,.0f}"), _age(row.seconds))
    more = len(behind) - most
    rest = [f"{more} more are behind"] if more > 0 else []
    return Group(table, Text(", ".join([*rest, f"{at_end} are at the end"]), "dim"))


def _waits(frame: Frame) -> list[RenderableType]:
    parts: list[RenderableType] = [_waiting(frame)]
    if frame.parked:
        keys = ", ".join(f"{row.count:.0f} of {row.kind} for {duration(row.oldest_seconds)}" for row in frame.parked)
        parts.append(Text.assemble(("Parked keys  ", "bold"), (keys, "red")))
    if frame.breakers:
        parts.append(Text.assemble(("Breakers  ", "bold"), (", ".join(f"{name} {state}" for name, state in frame.breakers.items()), "red")))
    return parts


def _waiting(frame: Frame) -> Text:
    text = Text.assemble(("Waiting  ", "bold"))
    if not frame.waiting:
        return text.append("not told: no monitor leads" if frame.lags_from == "workers" else "not told yet", "dim")
    shown = (
        f"{row.count:,.0f} {row.kind}{'' if row.count == 1 else 's'}"
        + (f", the oldest {duration(row.oldest_seconds)}" if row.count else "")
        for row in frame.waiting
    )
    return text.append("; ".join(shown))
