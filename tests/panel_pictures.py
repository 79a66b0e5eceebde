"""Draws the dashboards as PNG from answers that the panel proof kept: `python -m tests.panel_pictures RESULTS [FOLDER]`; needs matplotlib.

Nothing here is made up: layout, titles, units, limits and colours come from the committed dashboards, every number from a real Prometheus
or a real Postgres. The proof keeps its answers where AGENTMESH_PANEL_RESULTS says.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from tests.panel_queries import documents, panels

WIDTH, COLUMN, UNIT, GAP, HEAD, DPI = 1440, 60, 30, 6, 46, 100
COLOURS_OF_PNG = 90
CANVAS, PANEL, EDGE, TEXT, FAINT, GRID = "#111217", "#181b1f", "#2a2d34", "#d8d9e0", "#8e8f9c", "#26292f"
COLOURS = {
    "green": "#3f8f4f", "yellow": "#c9920e", "orange": "#c4661f", "red": "#b93a4b", "blue": "#3d71d9", "text": "#4a4d57",
}  # fmt: skip
PALETTE = (
    "#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#8ab8ff", "#e0b400", "#ff7383", "#a352cc", "#56a64b",
)  # fmt: skip
LEGEND_LINES = 4
TABLE_ROWS = 6
Entry = dict[str, Any]


def shown_as(value: float, unit: str, decimals: float | None = None) -> str:
    """A number as Grafana writes it."""
    if not math.isfinite(value):
        return "–"
    if unit == "s":
        return _seconds(value)
    if unit == "ms":
        return _seconds(value / 1000)
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB" if value < 2**30 else f"{value / 2**30:.2f} GiB"
    if unit == "percentunit":
        return f"{value * 100:.{_places(decimals, 1)}f} %".replace(".0 %", " %")
    if unit == "currencyUSD":
        return f"${value:.{_places(decimals, 4 if abs(value) < 1 else 2)}f}"
    suffix = {"cps": " c/s", "cpm": " c/m", "reqps": " req/s"}.get(unit, "")
    return f"{_number(value, decimals)}{suffix}"


def _places(decimals: float | None, otherwise: int) -> int:
    return otherwise if decimals is None else int(decimals)


def _number(value: float, decimals: float | None) -> str:
    for limit, letter in ((1e6, "M"), (1e4, "K")):
        if abs(value) >= limit:
            return f"{value / (1e6 if letter == 'M' else 1e3):.1f} {letter}"
    if decimals is not None:
        return f"{value:.{int(decimals)}f}"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


def _seconds(value: float) -> str:
    if value == 0:
        return "0 s"
    for limit, factor, name in ((0.001, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"), (172_800, 1 / 3600, "h")):
        if abs(value) < limit:
            return f"{value * factor:.3g} {name}"
    return f"{value / 86_400:.1f} d"


def called(legend: str, labels: dict[str, str]) -> str:
    """The name of a series in the legend."""
    if legend in ("", "__auto") or not labels:
        return ", ".join(labels.values()) or (legend if "{{" not in legend and legend != "__auto" else "value")
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
    return re.sub(r"t-[0-9a-f]{12}\.", "", text)


def colour_of(steps: Sequence[dict[str, Any]], value: float) -> str:
    """The colour of a value by its thresholds."""
    found = steps[0]["color"]
    for step in steps:
        if step.get("value") is not None and value >= step["value"]:
            found = step["color"]
    return COLOURS[found]


class Picture:
    """One dashboard on a canvas; places are in pixels from the upper left."""

    def __init__(
        self, document: dict[str, Any], answers: dict[tuple[str, str, str], list[Entry]], shown: dict[str, Any], board: str
    ) -> None:
        self._document, self._answers, self._shown, self._board = document, answers, shown, board
        self._height = HEAD + max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"]) * UNIT + GAP
        self.figure = Figure(figsize=(WIDTH / DPI, self._height / DPI), dpi=DPI, facecolor=CANVAS)
        self._sheet = self.axes(0, 0, WIDTH, self._height)
        self._sheet.set_xlim(0, WIDTH)
        self._sheet.set_ylim(self._height, 0)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes without anything in them."""
        found = self.figure.add_axes((x / WIDTH, 1 - (y + height) / self._height, width / WIDTH, height / self._height))
        found.set_axis_off()
        return found

    def text(self, x: float, y: float, text: str, size: float = 8, colour: str = TEXT, **more: Any) -> None:
        """Words on the sheet."""
        self._sheet.text(x, y, text.replace("$", r"\$"), fontsize=size, color=colour, **{"va": "center", **more})

    def draw(self) -> Picture:
        """Everything."""
        self.text(14, HEAD / 2, self._document["title"], 13, weight="bold")
        moments = [datetime.fromtimestamp(self._shown[name]).strftime("%H:%M:%S") for name in ("start", "end")]
        self.text(WIDTH - 14, HEAD / 2, f"{moments[0]} to {moments[1]}", 9, FAINT, ha="right")
        for panel in self._document["panels"]:
            place = panel["gridPos"]
            x, y = place["x"] * COLUMN + GAP / 2, HEAD + place["y"] * UNIT
            width, height = place["w"] * COLUMN - GAP, place["h"] * UNIT - GAP
            if panel["type"] == "row":
                self.text(x + 8, y + UNIT / 2, f"▾ {panel['title']}", 9.5, weight="bold")
            else:
                self._panel(panel, x, y, width, height)
        return self

    def _panel(self, panel: dict[str, Any], x: float, y: float, width: float, height: float) -> None:
        found = self._answers.get((self._board, panel["title"], panel["type"]), [])
        draw = {"stat": self._stat, "timeseries": self._series, "state-timeline": self._states, "table": self._table}[panel["type"]]
        self._box(x, y, width, height, PANEL)
        draw(panel, found, x, y, width, height)
        runbook = "  ▤" if any(link["title"] == "Runbook" for link in panel.get("links", [])) else ""
        self.text(x + 8, y + 12, panel["title"] + runbook, 8, weight="bold", zorder=6)

    def _box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        style = "round,pad=0,rounding_size=3"
        self._sheet.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=colour, edgecolor=EDGE, linewidth=0.6))

    # -- kinds of panels -------------------------------------------------------------------------------------------------

    def _stat(self, panel: dict[str, Any], found: list[Entry], x: float, y: float, width: float, height: float) -> None:
        points = [point for entry in found for series in entry["series"] for point in series["points"] if math.isfinite(point[1])]
        defaults = panel["fieldConfig"]["defaults"]
        steps = defaults["thresholds"]["steps"]
        value = points[-1][1] if points else math.nan
        judged = len(steps) > 1
        colour = colour_of(steps, value) if points else COLOURS["text"]
        if judged:
            self._box(x, y, width, height, colour)
        if panel["options"]["graphMode"] == "area" and len(points) > 1:
            lines = self.axes(x + 1, y + height * 0.62, width - 2, height * 0.36)
            times, values = zip(*points, strict=True)
            lines.fill_between(times, values, min(0, *values), color="#ffffff" if judged else colour, alpha=0.22, linewidth=0)
            lines.plot(times, values, color="#ffffff" if judged else colour, alpha=0.6, linewidth=0.9)
            lines.set_ylim(min(0, *values), max(values) * 1.15 or 1)
            lines.margins(x=0)
        text = shown_as(value, defaults["unit"], defaults.get("decimals"))
        for mapping in defaults.get("mappings", []):
            text = mapping["options"].get(f"{value:g}", {}).get("text", text)
        self.text(
            x + width / 2,
            y + height * 0.47,
            text,
            17 if len(text) < 12 else 12,
            "#ffffff" if judged else PALETTE[2],
            ha="center",
            weight="bold",
            zorder=6,
        )

    def _series(self, panel: dict[str, Any], found: list[Entry], x: float, y: float, width: float, height: float) -> None:
        lines = [(called(entry["legend"], series["labels"]), series["points"]) for entry in found for series in entry["series"]]
        lines.sort(key=lambda line: -_last(line[1]))
        legend = min(len(lines), LEGEND_LINES + 1) * 13 + 6
        plot = self.axes(x + 52, y + 26, width - 62, height - 26 - 18 - legend)
        self._frame(plot)
        unit, custom = panel["fieldConfig"]["defaults"]["unit"], panel["fieldConfig"]["defaults"]["custom"]
        top = self._lines(plot, lines, stacked=custom["stacking"]["mode"] == "normal")
        for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []) if custom.get("thresholdsStyle") else []:
            if step.get("value") is not None and step["value"] <= top * 1.6:
                plot.axhline(step["value"], color=COLOURS[step["color"]], linewidth=0.9, linestyle=(0, (4, 3)))
                top = max(top, step["value"])
        plot.set_ylim(0, top * 1.12 or 1)
        plot.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=panel["fieldConfig"]["defaults"].get("decimals") == 0))
        plot.yaxis.set_major_formatter(lambda value, _: shown_as(value, unit, None).replace(" c/s", "").replace(" c/m", ""))
        self._legend(lines, unit, panel["fieldConfig"]["defaults"].get("decimals"), x, y + height - legend, width)

    def _frame(self, plot: Axes) -> None:
        plot.set_axis_on()
        plot.set_facecolor(PANEL)
        plot.tick_params(colors=FAINT, labelsize=6.5, length=0, pad=3)
        plot.grid(color=GRID, linewidth=0.6)
        for spine in plot.spines.values():
            spine.set_visible(False)
        plot.set_xlim(self._shown["start"], self._shown["end"])
        plot.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        long = self._shown["end"] - self._shown["start"] > 900
        plot.xaxis.set_major_formatter(lambda value, _: datetime.fromtimestamp(value).strftime("%H:%M" if long else "%H:%M:%S"))

    def _lines(self, plot: Axes, lines: Sequence[tuple[str, Sequence[Sequence[float]]]], *, stacked: bool) -> float:
        below: dict[float, float] = {}
        top = 0.0
        for index, (_, points) in enumerate(lines):
            colour = PALETTE[index % len(PALETTE)]
            times = [time for time, _ in points]
            bottom = [below.get(time, 0.0) for time in times] if stacked else [0.0] * len(times)
            values = [value + low if math.isfinite(value) else math.nan for (_, value), low in zip(points, bottom, strict=True)]
            plot.plot(times, values, color=colour, linewidth=1.1, solid_capstyle="round")
            plot.fill_between(times, values, bottom, color=colour, alpha=0.35 if stacked else 0.08, linewidth=0)
            below.update({time: value for time, value in zip(times, values, strict=True) if stacked and math.isfinite(value)})
            top = max([top, *(value for value in values if math.isfinite(value))])
        return top

    def _legend(
        self, lines: Sequence[tuple[str, Sequence[Sequence[float]]]], unit: str, decimals: float | None, x: float, y: float, width: float
    ) -> None:
        room = int(width / 7.5) - 12
        for index, (name, points) in enumerate(lines[:LEGEND_LINES]):
            line = y + index * 13 + 5
            self._sheet.add_patch(Rectangle((x + 10, line - 1.5), 10, 3, color=PALETTE[index % len(PALETTE)], linewidth=0))
            self.text(x + 25, line, name if len(name) <= room else name[: room - 1] + "…", 6.8, "#b6b7c4")
            finite = [value for _, value in points if math.isfinite(value)]
            if finite:
                self.text(
                    x + width - (96 if unit == "reqps" else 82), line, shown_as(finite[-1], unit, decimals), 6.8, "#b6b7c4", ha="right"
                )
                self.text(x + width - 10, line, f"max {shown_as(max(finite), unit, decimals)}", 6.8, FAINT, ha="right")
        if len(lines) > LEGEND_LINES:
            self.text(x + 25, y + LEGEND_LINES * 13 + 5, f"and {len(lines) - LEGEND_LINES} more", 6.8, FAINT)

    def _states(self, panel: dict[str, Any], found: list[Entry], x: float, y: float, width: float, height: float) -> None:
        bars = [(called(entry["legend"], series["labels"]), series["points"]) for entry in found for series in entry["series"]]
        names = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        worst = {value: rank for rank, value in enumerate(sorted(names))}
        bars.sort(key=lambda bar: (-max(worst.get(f"{value:g}", 0) for _, value in bar[1]), bar[0]))
        room = 12
        left = min(150.0, width * 0.34)
        plot = self.axes(x + left, y + 26, width - left - 10, height - 26 - 34)
        self._frame(plot)
        plot.grid(visible=False)
        for index, (_, points) in enumerate(bars[:room]):
            for (time, value), (end, _) in zip(points, [*points[1:], (points[-1][0] + self._shown["step"], 0)], strict=True):
                colour = COLOURS[names.get(f"{value:g}", {"color": "text"})["color"]]
                plot.add_patch(Rectangle((time, index + 0.12), min(end - time, 3 * self._shown["step"]), 0.76, color=colour, linewidth=0))
        plot.set_ylim(min(len(bars), room), 0)
        plot.set_yticks([index + 0.5 for index in range(min(len(bars), room))])
        plot.set_yticklabels([name if len(name) < 27 else name[:26] + "…" for name, _ in bars[:room]])
        place = x + 10
        for option in names.values():
            self._sheet.add_patch(Rectangle((place, y + height - 13), 10, 4, color=COLOURS[option["color"]], linewidth=0))
            self.text(place + 14, y + height - 11, option["text"], 6.8, "#b6b7c4")
            place += 30 + 6 * len(option["text"])
        if len(bars) > room:
            self.text(x + width - 10, y + height - 11, f"and {len(bars) - room} more", 6.8, FAINT, ha="right")

    def _table(self, panel: dict[str, Any], found: list[Entry], x: float, y: float, width: float, height: float) -> None:
        columns, rows = (found[0]["columns"], found[0]["rows"]) if found else ([], [])
        units = {
            override["matcher"]["options"]: override["properties"][0]["value"] for override in panel["fieldConfig"].get("overrides", [])
        }
        texts = [[_cell(value, units.get(column, "none")) for column, value in zip(columns, row, strict=True)] for row in rows[:TABLE_ROWS]]
        sizes = [min(26, max([len(column), *(len(row[index]) for row in texts)])) + 2 for index, column in enumerate(columns)]
        step = (width - 20) / (sum(sizes) or 1)
        place = x + 10
        for index, column in enumerate(columns):
            most = max(3, int(sizes[index] * step / 5.6))
            self.text(place, y + 36, _cut(column, most), 6.8, "#6e9fff")
            for line, row in enumerate(texts):
                self.text(place, y + 58 + line * 22, _cut(row[index], most), 6.8)
            place += sizes[index] * step
        for line in range(len(texts) + 1):
            self._sheet.plot([x + 8, x + width - 8], [y + 47 + line * 22] * 2, color=GRID, linewidth=0.6)
        if len(rows) > TABLE_ROWS:
            self.text(x + 10, y + height - 12, f"and {len(rows) - TABLE_ROWS} more rows", 6.8, FAINT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _last(points: Sequence[Sequence[float]]) -> float:
    return next((value for _, value in reversed(points) if math.isfinite(value)), 0.0)


def _cell(value: Any, unit: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return shown_as(float(value), unit)
    text = re.sub(r"t-[0-9a-f]{12}\.", "", str(value))
    return text[11:19] if re.match(r"\d{4}-\d\d-\d\d \d\d:", text) else re.sub(r"^agentmesh\.\w+\.(\w+)\.v\d$", r"\1", text)


def main(results: Path, folder: Path, say: Callable[[str], None] = print) -> None:
    """Write one picture a dashboard."""
    kept = json.loads(results.read_text(encoding="utf-8"))
    answers: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in kept["results"]:
        answers.setdefault((entry["board"], entry["panel"], entry["kind"]), []).append(entry)
    folder.mkdir(parents=True, exist_ok=True)
    for board, document in documents().items():
        assert panels(document)
        picture = Picture(document, answers, kept["shown"], board).draw()
        path = folder / f"dashboard-{board}.png"
        drawn = io.BytesIO()
        picture.figure.savefig(drawn, format="png", facecolor=CANVAS)
        Image.open(drawn).convert("RGB").quantize(COLOURS_OF_PNG, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        say(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images"))
