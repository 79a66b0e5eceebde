"""Every line of a process is one JSON object with the same fields, whoever wrote it."""

import asyncio
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from infra.telemetry.context import bind_message
from infra.telemetry.logs import adopt_foreign_loggers, configure_logging, flush_logs, service_name
from infra.telemetry.sampling import SampleRate
from infra.telemetry.tracing import Tracing

FIELDS = [
    "timestamp", "level", "message", "service", "name", "trace_id", "span_id",
    "correlation_id", "causation_id", "request_id", "user_id", "tenant_id",
]  # fmt: skip
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A process's stdout; what pytest set up is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure_logging("requests", "DEBUG", out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = lines(stream)
    return line


def test_a_line_has_exactly_the_agreed_fields(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("agentmesh.test").info("started")
    line = only(stream)
    assert list(line) == FIELDS
    assert (line["message"], line["service"], line["name"], line["level"]) == ("started", "agentmesh-requests", "agentmesh.test", "info")
    assert line["timestamp"].endswith("Z")
    assert {line[field] for field in FIELDS[5:]} == {None}


@pytest.mark.parametrize("name", ["aiokafka.consumer", "faststream.access.kafka", "uvicorn.error", "alembic.runtime", "any.library"])
def test_a_line_of_a_foreign_stdlib_logger_has_the_same_fields(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("joined group %s", "agentmesh.requests", extra={"partition": 3})
    line = only(stream)
    assert list(line) == [*FIELDS, "extra"]
    assert (line["message"], line["level"], line["name"]) == ("joined group agentmesh.requests", "warning", name)
    assert line["extra"] == {"partition": 3}


def test_handlers_that_a_library_installs_are_taken_away(stream: io.StringIO) -> None:
    logger = logging.getLogger("faststream.access.planted")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(sys.stderr))
    adopt_foreign_loggers()
    logger.error("own way")
    assert only(stream)["message"] == "own way"
    assert not logger.handlers


def test_values_by_keyword_go_into_extra(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("t").info("batch of %d", 3, group="g", odd={1: object()}, when=b"\xff")
    line = only(stream)
    assert line["message"] == "batch of 3"
    assert line["extra"]["group"] == "g"
    assert line["extra"]["odd"]["1"].startswith("<object object")


@pytest.mark.parametrize(
    ("method", "level"),
    [("debug", "debug"), ("info", "info"), ("warning", "warning"), ("error", "error"), ("critical", "critical"), ("exception", "error")],
)
@pytest.mark.parametrize("make", [logging.getLogger, structlog.stdlib.get_logger])
def test_a_line_really_has_the_level_it_was_logged_with(stream: io.StringIO, make: Any, method: str, level: str) -> None:
    getattr(make("t"), method)("text that says ERROR")
    assert only(stream)["level"] == level


@pytest.mark.parametrize("make", [logging.getLogger, structlog.stdlib.get_logger])
def test_an_exception_is_told_by_type_message_and_traceback(stream: io.StringIO, make: Any) -> None:
    try:
        raise ValueError("bad invoice")
    except ValueError:
        make("t").exception("failed")
    error = only(stream)["exception"]
    assert list(error) == ["type", "message", "traceback"]
    assert (error["type"], error["message"]) == ("ValueError", "bad invoice")
    assert 'raise ValueError("bad invoice")' in error["traceback"]
    assert "exc_info" not in only(stream).get("extra", {})


def test_an_exception_object_may_be_handed_over_outside_its_handler(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("t").error("died", exc_info=KeyError("x"))
    logging.getLogger("t").error("no exception at hand", exc_info=True)
    died, none = lines(stream)
    assert died["exception"]["type"] == "KeyError"
    assert "exception" not in none


def test_a_stack_is_told_in_extra(stream: io.StringIO) -> None:
    logging.getLogger("t").info("where", stack_info=True)
    assert "test_a_stack_is_told_in_extra" in only(stream)["extra"]["stack"]


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize("value", [Unprintable(), "lone \udc80 surrogate", circle(), 1 << 70, {("a", 1): 2}, {"nested": Unprintable()}])
def test_no_value_can_cost_a_line(stream: io.StringIO, value: Any) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if getattr(handler, "stream", None) is stream]  # pytest's cannot take it
    structlog.stdlib.get_logger("t").info("kept", value=value)
    logging.getLogger("t").info("kept", extra={"value": value})
    assert [line["message"] for line in lines(stream)] == ["kept", "kept"]
    assert all(list(line)[:12] == FIELDS and "value" in line["extra"] for line in lines(stream))


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("sample", [None, SampleRate(50, 100)])
@pytest.mark.parametrize("make", [logging.getLogger, structlog.stdlib.get_logger])
@pytest.mark.parametrize("level", ["info", "warning"])
@pytest.mark.parametrize(
    ("message", "values", "said"),
    [
        ("%d items", ("hunter2",), "%d items"),
        ("two %s %s", ("hunter2",), "two %s %s"),
        ("got %s", (Unprintable(),), "got %s"),
        (Unprintable(), (), "<Unprintable>"),
    ],
)
def test_values_that_do_not_fit_cost_neither_the_work_nor_the_line(
    stream: io.StringIO, capsys: Any, message: Any, values: tuple[Any, ...], said: str, make: Any, level: str, sample: SampleRate | None
) -> None:
    configure_logging("requests", "DEBUG", stream, sample=sample)
    getattr(make("t"), level)(message, *values)
    line = only(stream)
    assert line["message"].startswith(f"{said} [")
    assert line["level"] == level
    assert "hunter2" not in stream.getvalue() + "".join(capsys.readouterr())


def test_an_exception_without_words_costs_neither_the_work_nor_the_line(stream: io.StringIO) -> None:
    configure_logging("requests", "DEBUG", stream, sample=SampleRate(50, 100))
    logging.getLogger("t").error("failed", exc_info=Speechless())
    assert only(stream)["exception"]["type"] == "Speechless"


def test_a_line_that_cannot_be_written_is_lost_without_its_values(stream: io.StringIO, capsys: Any) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    configure_logging("requests", "DEBUG", Full())
    logging.getLogger("t").info("password=%s", "hunter2")
    said = "".join(capsys.readouterr())
    assert "a line of t was lost: OSError" in said
    assert "hunter2" not in said


def test_a_message_that_is_not_utf8_comes_out_escaped(stream: io.StringIO) -> None:
    logging.getLogger("t").info("name \udcff")
    assert only(stream)["message"] == "name \\udcff"


def test_lines_below_the_level_are_not_written() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    try:
        configure_logging("requests", "WARNING", out)
        structlog.stdlib.get_logger("t").info("no")
        logging.getLogger("t").info("no")
        structlog.stdlib.get_logger("t").warning("yes")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        logging.captureWarnings(False)
    assert [line["message"] for line in lines(out)] == ["yes"]


def test_libraries_do_not_flood_the_log_at_debug(stream: io.StringIO) -> None:
    logging.getLogger("aiokafka.conn").debug("one line a request")
    logging.getLogger("infra.t").debug("ours")
    assert [line["name"] for line in lines(stream)] == ["infra.t"]


def test_the_ids_of_the_message_are_in_every_line_without_the_callers_help(stream: io.StringIO) -> None:
    message = SimpleNamespace(
        correlation_id="c-1", causation_id="cmd-1", tenant_id="acme", traceparent=TRACEPARENT,
        type_name="agentmesh.requests.CreateRequest.v1", subject="req-1", auth_type="user", auth_id="u-1",
    )  # fmt: skip
    with bind_message(message):
        logging.getLogger("aiokafka").info("inside")
    logging.getLogger("aiokafka").info("outside")
    inside, outside = lines(stream)
    assert {field: inside[field] for field in FIELDS[7:]} == {
        "correlation_id": "c-1", "causation_id": "cmd-1", "request_id": "req-1", "user_id": "u-1", "tenant_id": "acme",
    }  # fmt: skip
    assert (inside["trace_id"], inside["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert outside["correlation_id"] is None


async def test_tasks_do_not_see_each_others_ids(stream: io.StringIO) -> None:
    async def handle(tenant: str) -> None:
        with bind_message(SimpleNamespace(correlation_id=tenant, causation_id=None, tenant_id=tenant, traceparent=None)):
            await asyncio.sleep(0)
            logging.getLogger("t").info(tenant)

    await asyncio.gather(*(handle(f"t{number}") for number in range(5)))
    assert all(line["tenant_id"] == line["message"] for line in lines(stream))


def test_a_running_span_gives_the_trace_ids_as_hex(stream: io.StringIO) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    tracing = Tracing.to_exporter(InMemorySpanExporter())
    with tracing.message_span("process", "topic", TRACEPARENT) as span:
        logging.getLogger("t").info("traced")
    tracing.shutdown(1)
    line = only(stream)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["span_id"] == f"{span.get_span_context().span_id:016x}"


def test_warnings_of_python_are_lines_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", UserWarning, stacklevel=1)
    assert only(stream)["level"] == "warning"


def test_the_service_is_the_worker_with_the_meshs_prefix() -> None:
    assert service_name("relay") == "agentmesh-relay"
    assert service_name("agentmesh-relay") == "agentmesh-relay"


def test_lines_go_to_stdout(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("requests", "INFO")
    logging.getLogger("t").info("said")
    assert json.loads(capsys.readouterr().out)["message"] == "said"


def test_flushing_a_stream_that_is_gone_is_no_error(stream: io.StringIO) -> None:
    class Gone(logging.StreamHandler[io.StringIO]):
        def flush(self) -> None:
            raise ValueError("I/O operation on closed file")

    logging.getLogger().addHandler(Gone(io.StringIO()))
    flush_logs()
    logging.getLogger().handlers.pop()
