"""Turns every log record of the process, ours or a library's, into one JSON line on stdout; set up by the process's `main`."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog
from opentelemetry import trace

from infra.telemetry.context import current
from infra.telemetry.names import SERVICE_PREFIX
from infra.telemetry.traceparent import parse_traceparent

# Libraries that bring their own handlers and formats; theirs are taken away so that their lines go the same way as ours.
FOREIGN = ("faststream", "uvicorn", "alembic", "aiokafka", "sqlalchemy", "py")
# Libraries whose DEBUG lines (one a request or heartbeat) say nothing about our work.
NOISY = ("aiokafka", "faststream", "asyncio", "urllib3", "psycopg.pool", "opentelemetry")

_OF_FORMATTERS = {"message", "asctime", "taskName", "color_message", "_logger", "_name"}
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | _OF_FORMATTERS
_NOT_EXTRA = frozenset({"event", "exc_info", "stack_info", "_record", "_from_structlog"})


def service_name(worker: str) -> str:
    """The name of a worker as logs and traces show it."""
    return worker if worker.startswith(SERVICE_PREFIX) else SERVICE_PREFIX + worker


def configure_logging(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logging of this process through one JSON handler on `stream` (default: stdout). May be called again."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_extra_of_record],
            processors=[_JsonLine(service_name(service))],
            keep_exc_info=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    adopt_foreign_loggers()
    for name in NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING if name == "psycopg.pool" else logging.INFO))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def adopt_foreign_loggers() -> None:
    """Take away the handlers that libraries installed since; called again after workers have started."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in FOREIGN:
            logger.handlers.clear()
            logger.propagate = True


def flush_logs() -> None:
    """Write out what handlers still hold; a stream that is gone is no error at the end of a process."""
    for handler in logging.getLogger().handlers:
        try:
            handler.flush()
        except (OSError, ValueError):
            continue


def _extra_of_record(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The `extra={…}` of a stdlib call, which logging puts among the record's own attributes."""
    record: logging.LogRecord = event["_record"]
    event.update({key: value for key, value in vars(record).items() if key not in _PLAIN_RECORD and key not in _NOT_EXTRA})
    return event


class _JsonLine:
    """The last processor: one record in, one line of JSON out, its fields always the same and in the same order."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        record: logging.LogRecord = event["_record"]
        bound = current()
        trace_id, span_id = _trace_ids(bound.traceparent)
        line: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            # From the record, never from the text or the method: what alerts count as an error must be one.
            "level": record.levelname.lower(),
            "message": str(event.get("event", "")),
            "service": self._service,
            "name": record.name,
            "trace_id": trace_id,
            "span_id": span_id,
            "correlation_id": bound.correlation_id,
            "causation_id": bound.causation_id,
            "request_id": bound.request_id,
            "user_id": bound.user_id,
            "tenant_id": bound.tenant_id,
        }
        extra = {key: value for key, value in event.items() if key not in _NOT_EXTRA}
        if event.get("stack_info"):
            extra["stack"] = event["stack_info"]
        if extra:
            line["extra"] = extra
        error = _exception(event.get("exc_info"))
        if error is not None:
            line["exception"] = error
        return _json(line)


def _trace_ids(traceparent: str | None) -> tuple[str | None, str | None]:
    """The running span's ids; where no span is recorded, those of the message that is handled."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"
    parsed = parse_traceparent(traceparent)
    return (parsed.trace_id, parsed.span_id) if parsed else (None, None)


def _exception(exc_info: object) -> dict[str, str] | None:
    error = _error_of(exc_info)
    if error is None:
        return None
    text = "".join(traceback.format_exception(error))
    return {"type": type(error).__qualname__, "message": str(error), "traceback": text}


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((part for part in exc_info if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if exc_info else None


def _json(line: dict[str, object]) -> str:
    try:
        return orjson.dumps(line, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        # A lone surrogate, a circular value, a key of an odd type: the line must come out all the same.
        return orjson.dumps({key: _safe(value) for key, value in line.items()}).decode()


def _safe(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    return _clean(value)


def _clean(value: object) -> str:
    return _text(value).encode("utf-8", "backslashreplace").decode()


def _text(value: object) -> str:
    render: Callable[[object], str] = str if isinstance(value, (str, BaseException)) else repr
    try:
        return render(value)
    except Exception:  # a broken __repr__ must not cost the line
        return f"<{type(value).__name__}>"
