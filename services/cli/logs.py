"""Shows the logs of this folder's fleet, merged by time, filtered, and goes on as they grow; the work behind `logs`."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from infra.settings import load_settings
from infra.supervisor.fleet_file import read_fleet
from infra.supervisor.log_files import LogFollower, lines_backwards, log_files
from services.cli.errors import NotFound
from services.cli.interrupts import stop_on_interrupt, wait_or_stop
from services.cli.log_lines import LogFilter, LogLine, as_json, newest_first, parse_line, shown
from services.cli.output import Output, tell

FOLLOW_SECONDS = 0.2
# Lines that were logged before others may have been written after them, for a moment: a repeated line is told when its second is over.
DISORDER_SECONDS = 2.0
MOST_LINES = 10_000


async def logs(wanted: LogFilter, workers: Sequence[str], *, lines: int, follow: bool, output: Output) -> None:
    """Show the last lines that the filter wants, then new ones until Ctrl-C. Raises NotFound where no fleet ever ran."""
    state_dir = load_settings().state_dir
    files = chosen_files(state_dir, workers)
    if not _runs(state_dir):
        if not files and not follow:
            raise NotFound(f"No fleet runs here and none has left logs{_of(workers)} in {state_dir / 'logs'}. Start one: agentmesh up")
        tell("no fleet runs here now" + ("; these are the logs of the last one" if files else "; waiting for one: agentmesh up"))
    elif not files and not follow:
        raise NotFound(f"No worker of the fleet here is called {' or '.join(workers)}. See: agentmesh ps")
    follower = LogFollower(files)
    with suppress(BrokenPipeError):
        found = last_lines(files, wanted, lines, follower.ends())
        for line in found:
            _print(line, output)
        if not found and lines and not follow:
            tell("no line fits; what a command did is told at DEBUG: agentmesh down, then LOG_LEVEL=DEBUG agentmesh up -d")
        if follow:
            await _follow(follower, state_dir, workers, wanted, output)
        sys.stdout.flush()
        return
    # Whoever read on (`| head`) has seen enough; Python would complain when it closes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen_files(state_dir: Path, workers: Sequence[str]) -> dict[str, Path]:
    """The log files of the workers named: `requests-1`, or `requests` for all of that kind; of all where none is named."""
    files = log_files(state_dir)
    return {name: path for name, path in files.items() if not workers or name in workers or name.rpartition("-")[0] in workers}


def _runs(state_dir: Path) -> bool:
    record = read_fleet(state_dir)
    return record is not None and (record.supervised() or any(replica.alive() for replica in record.replicas))


def _of(workers: Sequence[str]) -> str:
    return f" of {' or '.join(workers)}" if workers else ""


def last_lines(files: Mapping[str, Path], wanted: LogFilter, count: int, ends: Mapping[int, int]) -> list[LogLine]:
    """The newest `count` lines that are wanted, the oldest of them first. Reads backwards, so old lines are not looked at in vain."""
    found: list[LogLine] = []
    if count <= 0:
        return found
    sources = [newest_first(name, lines_backwards(path, ends)) for name, path in files.items()]
    since = wanted.since_text
    for line in heapq.merge(*sources, key=lambda each: each.time, reverse=True):
        if line.time < since and line.fields is not None and _surely_older(line.time, since):
            break
        if wanted.wants(line):
            found.append(line)
            if len(found) >= count:
                break
    for source in sources:
        source.close()
    found.reverse()
    found.sort(key=lambda each: each.time)  # stable: lines of one moment stay as they were written
    return found


def _surely_older(time: str, since: str) -> bool:
    """Whether a line is older than what can still be followed by one that is not."""
    try:
        return datetime.fromisoformat(since) - datetime.fromisoformat(time) > timedelta(seconds=DISORDER_SECONDS)
    except (ValueError, TypeError):
        return False


async def _follow(follower: LogFollower, state_dir: Path, workers: Sequence[str], wanted: LogFilter, output: Output) -> None:
    times: dict[str, str] = {}
    with stop_on_interrupt() as stop:
        while not stop.is_set():
            follower.add(chosen_files(state_dir, workers))
            for line in sorted(_new(follower, times), key=lambda each: each.time):
                if wanted.wants(line):
                    _print(line, output)
            sys.stdout.flush()
            await wait_or_stop(stop, FOLLOW_SECONDS)


def _new(follower: LogFollower, times: dict[str, str]) -> Iterator[LogLine]:
    for source, raw in follower.new_lines():
        if raw:
            line = parse_line(source, raw, times.get(source, ""))
            times[source] = line.time
            yield line


def _print(line: LogLine, output: Output) -> None:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(as_json(line) if output is Output.JSON else shown(line, coloured=coloured))
