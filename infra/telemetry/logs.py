"""Turns every log record of the process, ours or a library's, into one JSON line on stdout; set up by the process's `main`."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog
from opentelemetry import trace

from infra.telemetry.context import current
from infra.telemetry.names import SERVICE_PREFIX
from infra.telemetry.sampling import CONTEXT, LEFT_OUT, TEMPLATE, WINDOW_SECONDS, Sampler, SampleRate
from infra.telemetry.scrub import Scrubber, cut_middle, text_of
from infra.telemetry.traceparent import parse_traceparent

# Libraries that bring their own handlers and formats; theirs are taken away so that their lines go the same way as ours.
FOREIGN = ("faststream", "uvicorn", "alembic", "aiokafka", "sqlalchemy", "py")
# Libraries whose DEBUG lines (one a request or heartbeat) say nothing about our work.
NOISY = ("aiokafka", "faststream", "asyncio", "urllib3", "psycopg.pool", "opentelemetry")

_OF_FORMATTERS = {"message", "asctime", "taskName", "color_message", "_logger", "_name", CONTEXT}
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | _OF_FORMATTERS
_NOT_EXTRA = frozenset({"event", "exc_info", "stack_info", "_record", "_from_structlog", TEMPLATE})

MESSAGE_CHARACTERS = 8_192
# No line is longer: what reads logs cuts or drops longer ones, and with them the closing brace.
LINE_CHARACTERS = 65_536
SHORTENED_CHARACTERS = 2_048

CountLine = Callable[[str], None]
_put_in = structlog.stdlib.PositionalArgumentsFormatter()


def service_name(worker: str) -> str:
    """The name of a worker as logs and traces show it."""
    return worker if worker.startswith(SERVICE_PREFIX) else SERVICE_PREFIX + worker


def configure_logging(
    service: str,
    level: str = "INFO",
    stream: TextIO | None = None,
    *,
    levels: Mapping[str, str] | None = None,
    sample: SampleRate | None = None,
    scrubber: Scrubber | None = None,
) -> None:
    """Send all logging of this process through one JSON handler on `stream` (default: stdout). May be called again.

    `levels` are those of single loggers, above or below `level`; `sample` thins out what is repeated; `scrubber` knows secrets by heart.
    """
    handler = LinesHandler(stream or sys.stdout, Sampler(sample))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_extra_of_record],
            processors=[_JsonLine(service_name(service), scrubber or Scrubber())],
            keep_exc_info=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    adopt_foreign_loggers()
    for name in NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING if name == "psycopg.pool" else logging.INFO))
    for name, own_level in (levels or {}).items():
        logging.getLogger(name).setLevel(own_level)
    logging.captureWarnings(True)
    _log_what_nobody_caught()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _keep_template,
            _put_values_in,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def count_lines(count: CountLine) -> None:
    """Call `count(level)` for every record that this process logs from now on, written or told with a count."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LinesHandler):
            handler.count = count


class LinesHandler(logging.StreamHandler[TextIO]):
    """Writes the lines that the sampler lets through; what it left out last is told when its second has ended, whatever comes then."""

    def __init__(self, stream: TextIO, sampler: Sampler) -> None:
        super().__init__(stream)
        self.count: CountLine | None = None
        self._sampler = sampler
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Count the record, and write what is to be written now that it came. Called with the handler's lock held."""
        if self.count is not None:
            self.count(record.levelname.lower())
        _fit(record)
        for each in self._sampler.take(record):
            self._write(each)
        if self._sampler.waiting and self._timer is None:
            self._timer = threading.Timer(WINDOW_SECONDS, self.tell)
            self._timer.daemon = True
            self._timer.start()

    def tell(self) -> None:
        """Write what was left out and has not been told."""
        with self.lock or threading.Lock():
            self._timer = None
            for each in self._sampler.told():
                self._write(each)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say that a line could not be written, and why. What logging would show has the record's values in it, as they came."""
        with suppress(OSError, ValueError):
            print(f"a line of {record.name} was lost: {type(sys.exc_info()[1]).__name__}", file=sys.stderr)

    def _write(self, record: logging.LogRecord) -> None:
        context = getattr(record, CONTEXT, None)
        if context is None:
            super().emit(record)
        else:
            context.run(super().emit, record)


def _fit(record: logging.LogRecord) -> None:
    """A call whose values do not fit its text is a mistake in the call: the text is told, and the work that made the call goes on."""
    if not isinstance(record.msg, dict):
        try:
            record.getMessage()
        except Exception as error:
            record.msg, record.args = _without_values(record.msg, error), None


def _put_values_in(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same for calls of structlog's loggers, which put the values in."""
    try:
        _put_in(logger, method, event)
        event["event"] = str(event.get("event", ""))
    except Exception as error:
        event["event"] = _without_values(event.get("event", ""), error)
        event.pop("positional_args", None)
    return event


def _without_values(text: object, error: Exception) -> str:
    return f"{text_of(text)} [its values do not fit: {type(error).__name__}]"


def _keep_template(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The text before values are put in: what the sampler knows lines of a kind by."""
    event[TEMPLATE] = event.get("event")
    return event


def _log_what_nobody_caught() -> None:
    """Uncaught exceptions of threads and of the process become lines too; asyncio logs those of its tasks by itself."""
    logger = logging.getLogger("python")

    def of_process(kind: type[BaseException], error: BaseException, trace_back: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace_back)
        else:
            logger.critical("uncaught exception: the process ends", exc_info=error)

    def of_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
            logger.critical("uncaught exception in the thread %s", found.thread and found.thread.name, exc_info=found.exc_value)

    def of_finalizer(found: Any) -> None:
        logger.error("%s %s", found.err_msg or "exception ignored in", type(found.object).__name__, exc_info=found.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, of_finalizer


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
            if isinstance(handler, LinesHandler):
                handler.tell()
            handler.flush()
        except (OSError, ValueError):
            continue


def _extra_of_record(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The `extra={…}` of a stdlib call, which logging puts among the record's own attributes."""
    record: logging.LogRecord = event["_record"]
    event.update({key: value for key, value in vars(record).items() if key not in _PLAIN_RECORD and key not in _NOT_EXTRA})
    return event


class _JsonLine:
    """The last processor: one record in, one line of JSON out, its fields always the same and in the same order, and scrubbed."""

    def __init__(self, service: str, scrubber: Scrubber) -> None:
        self._service = service
        self._scrub = scrubber

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        record: logging.LogRecord = event["_record"]
        bound = current()
        trace_id, span_id = _trace_ids(bound.traceparent)
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            # From the record, never from the text or the method: what alerts count as an error must be one.
            "level": record.levelname.lower(),
            "message": self._scrub.text(str(event.get("event", "")), MESSAGE_CHARACTERS),
            "service": self._service,
            "name": record.name,
            "trace_id": trace_id,
            "span_id": span_id,
            "correlation_id": self._id(bound.correlation_id),
            "causation_id": self._id(bound.causation_id),
            "request_id": self._id(bound.request_id),
            "user_id": self._id(bound.user_id),
            "tenant_id": self._id(bound.tenant_id),
        }
        extra = {key: value for key, value in event.items() if key not in _NOT_EXTRA}
        if getattr(record, LEFT_OUT, 0):
            extra[LEFT_OUT] = getattr(record, LEFT_OUT)
        if extra:
            line["extra"] = self._scrub.value(extra)
        if event.get("stack_info"):
            line["extra"] = {**line.get("extra", {}), "stack": self._scrub.traceback(event["stack_info"])}
        error = _exception(event.get("exc_info"), self._scrub)
        if error is not None:
            line["exception"] = error
        text = _json(line)
        return text if len(text) <= LINE_CHARACTERS else _json(_shortened(line))

    def _id(self, text: str | None) -> str | None:
        """Ids come from outside too: a person's address may stand where an id should."""
        return text if text is None else self._scrub.text(text, 200)


def _shortened(line: dict[str, Any]) -> dict[str, Any]:
    """The same line with its long parts cut, so that it is whole JSON and not a part of it."""
    short = {**line, "message": cut_middle(str(line["message"]), SHORTENED_CHARACTERS)}
    if "extra" in line:
        text = _json({"extra": line["extra"]})
        short["extra"] = {"shortened": cut_middle(text, SHORTENED_CHARACTERS), "characters": len(text)}
    error = line.get("exception")
    if isinstance(error, dict):
        short["exception"] = {key: cut_middle(text, SHORTENED_CHARACTERS) for key, text in error.items()}
    return short


def _trace_ids(traceparent: str | None) -> tuple[str | None, str | None]:
    """The running span's ids; where no span is recorded, those of the message that is handled."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"
    parsed = parse_traceparent(traceparent)
    return (parsed.trace_id, parsed.span_id) if parsed else (None, None)


def _exception(exc_info: object, scrub: Scrubber) -> dict[str, str] | None:
    error = _error_of(exc_info)
    if error is None:
        return None
    lines = "".join(traceback.format_exception(error))
    message = scrub.text(text_of(error), MESSAGE_CHARACTERS)
    return {"type": type(error).__qualname__, "message": message, "traceback": scrub.traceback(lines)}


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((part for part in exc_info if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if exc_info else None


def _json(line: dict[str, object]) -> str:
    try:
        return orjson.dumps(line, default=text_of, option=orjson.OPT_NON_STR_KEYS).decode()
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
    return text_of(value).encode("utf-8", "backslashreplace").decode()
