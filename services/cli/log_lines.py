"""One line of a worker's log: read from its file, judged by a filter, shown to a person; pure, used by `logs`."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from infra.telemetry.levels import LEVELS

# A traceback of the interpreter itself, or of a program that is not ours, before the line that tells when it was.
MOST_PLAIN = 1_000
# What terminals obey; a customer's words could hold it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_IDS = ("request_id", "correlation_id", "tenant_id", "user_id", "causation_id")
STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red", "critical": "bold red"}
NAME_WIDTH = 14


class LogLine(NamedTuple):
    """`time` as the line tells it, of a plain line that of the one before; `fields` is None of a line that is not JSON of ours."""

    time: str
    source: str
    raw: str
    fields: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines are shown; None takes all."""

    request: str | None = None
    tenant: str | None = None
    correlation: str | None = None
    level: str | None = None
    since: datetime | None = None

    @property
    def since_text(self) -> str:
        """The time in the form in which lines tell theirs, so that texts are compared."""
        return "" if self.since is None else self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def wants(self, line: LogLine) -> bool:
        """Whether this line is shown. A plain line belongs to no request, tenant or correlation, and has no level to be below."""
        if line.time < self.since_text:
            return False
        if not all(text in line.raw for text in (self.request, self.tenant, self.correlation) if text is not None):
            return False
        if line.fields is None:
            return self.request is None and self.tenant is None and self.correlation is None
        return self._of_ids(line) and self._of_level(line.fields)

    def _of_ids(self, line: LogLine) -> bool:
        assert line.fields is not None
        extra = line.fields.get("extra") or {}
        # A request may be spoken of by a line that was not written for it: `dead letter 7 of req-… was taken up again`.
        return (
            (self.tenant is None or self.tenant in (line.fields.get("tenant_id"), extra.get("tenant_id")))
            and (self.correlation is None or self.correlation == line.fields.get("correlation_id"))
            and (self.request is None or _names(line.raw, self.request))
        )

    def _of_level(self, fields: Mapping[str, Any]) -> bool:
        level = str(fields.get("level", "")).upper()
        return self.level is None or level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.level)


def _names(raw: str, request: str) -> bool:
    """Whether the id stands in the line as a whole, not as the beginning of another."""
    return re.search(rf"(?<![\w-]){re.escape(request)}(?![\w-])", raw) is not None


def parse_line(source: str, raw: str, time: str = "") -> LogLine:
    """The line; `time` is that of a line which does not tell its own."""
    if raw.startswith("{"):
        try:
            fields = json.loads(raw)
            return LogLine(str(fields["timestamp"]), source, raw, fields)
        except (ValueError, KeyError, TypeError):
            pass
    return LogLine(time, source, raw, None)


def newest_first(source: str, lines: Iterable[str]) -> Generator[LogLine]:
    """Lines read backwards; plain ones wait for the line before them, whose time is theirs."""
    plain: list[str] = []
    for raw in lines:
        line = parse_line(source, raw)
        if line.fields is None and len(plain) < MOST_PLAIN:
            plain.append(raw)
            continue
        yield from (parse_line(source, each, line.time) for each in plain)
        plain = []
        yield line
    yield from (parse_line(source, each) for each in plain)


# -- for a person ------------------------------------------------------------------------------------------------------------------------


def shown(line: LogLine, *, coloured: bool) -> str:
    """Time, level, worker, message, extra and ids in one line; an exception below it. What a terminal would obey is escaped."""
    if line.fields is None:
        return f"{line.time[:23].replace('T', ' '):<23} {'':<8} {line.source:<{NAME_WIDTH}} {harmless(line.raw)}"
    fields = line.fields
    level = str(fields.get("level", ""))
    parts = [
        line.time[:23].replace("T", " "),
        _styled(f"{level.upper():<8}", STYLES.get(level, ""), coloured),
        _styled(f"{line.source:<{NAME_WIDTH}}", "cyan", coloured),
        harmless(str(fields.get("message", ""))),
    ]
    details = " ".join([*_extra(fields.get("extra")), *_ids(fields)])
    if details:
        parts.append(_styled(harmless(details), "dim", coloured))
    error = fields.get("exception")
    below = "" if not isinstance(error, dict) else "\n" + _styled(_indented(str(error.get("traceback", ""))), "red", coloured)
    return " ".join(parts) + below


def _extra(extra: object) -> Iterator[str]:
    if isinstance(extra, dict):
        yield from (f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for key, value in extra.items())


def _ids(fields: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name}={fields[name]}" for name in _IDS if fields.get(name))


def _indented(text: str) -> str:
    return "\n".join(f"    {harmless(line)}" for line in text.rstrip().split("\n"))


def harmless(text: str) -> str:
    """The text with every character that a terminal would obey written as what it is."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\\n")


def _styled(text: str, style: str, coloured: bool) -> str:
    if not coloured or not style:
        return text
    from rich.style import Style

    return Style.parse(style).render(text)


def as_json(line: LogLine) -> str:
    """The line as it was written; a plain one as an object, so that every line can be read by a program."""
    if line.fields is not None:
        return line.raw
    return json.dumps({"timestamp": line.time or None, "message": line.raw, "service": line.source}, ensure_ascii=False)
