"""Looks at the fleet of this folder again and again and shows it, until `q` or Ctrl-C; the work behind `top`."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from infra.settings import load_settings
from infra.supervisor.readiness import metrics_of
from services.cli.interrupts import stop_on_interrupt, wait_or_stop
from services.cli.output import Output, console, print_json
from services.cli.ps import fleet_now
from services.cli.top.frame import Frame, Look, frame_of
from services.cli.top.samples import WorkerSample, read_metrics

SCRAPE_SECONDS = 3.0
ONCE_SECONDS = 1.0
QUIT = (b"q", b"Q", b"\x1b")


async def top(*, interval: float, once: bool, output: Output) -> None:
    """Show the fleet; one picture where `once` is asked for or no terminal reads it."""
    state_dir = load_settings().state_dir
    with stop_on_interrupt() as stop:
        if once or output is Output.JSON or not sys.stdout.isatty():
            _print(await _one(state_dir, min(interval, ONCE_SECONDS), stop), output)
        else:
            await _live(state_dir, interval, stop)


def look_at(state_dir: Path) -> Look:
    """Ask every worker of the fleet, side by side. One that does not answer in time has no sample. Blocks."""
    rows = fleet_now(state_dir)
    with ThreadPoolExecutor(16) as pool:
        samples = list(pool.map(lambda row: _scrape(row["port"]), rows))
    heard = {row["name"]: sample for row, sample in zip(rows, samples, strict=True) if sample is not None}
    return Look(time.monotonic(), time.time(), rows, heard)


def _scrape(port: int | None) -> WorkerSample | None:
    text = None if port is None else metrics_of(port, timeout=SCRAPE_SECONDS)
    try:
        return None if text is None else read_metrics(text)
    except ValueError:
        return None


async def _one(state_dir: Path, seconds: float, stop: asyncio.Event) -> Frame:
    before = await asyncio.to_thread(look_at, state_dir)
    if not before.rows or await wait_or_stop(stop, seconds):
        return frame_of(before, None)
    return frame_of(await asyncio.to_thread(look_at, state_dir), before)


def _print(frame: Frame, output: Output) -> None:
    if output is Output.JSON:
        print_json(asdict(frame))
        return
    from services.cli.top.screen import draw

    page = console()
    page.print(draw(frame, page.width))


async def _live(state_dir: Path, interval: float, stop: asyncio.Event) -> None:
    from rich.live import Live

    from services.cli.top.screen import draw

    page = console()
    before: Look | None = None
    with _keys(stop.set), Live(console=page, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            look = await asyncio.to_thread(look_at, state_dir)
            live.update(draw(frame_of(look, before), page.width, page.height), refresh=True)
            before = look
            await wait_or_stop(stop, interval)


@contextmanager
def _keys(quit_asked: Callable[[], None]) -> Iterator[None]:
    """Keys are heard as they are pressed, without being shown; the terminal is left as it was found."""
    if not sys.stdin.isatty():
        yield
        return
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    found = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed() -> None:
        # An arrow key begins like Escape, but comes with more.
        with suppress(OSError):
            if os.read(descriptor, 64) in QUIT:
                quit_asked()

    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, found)
