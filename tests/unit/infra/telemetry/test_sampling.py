"""Lines that repeat are thinned out below WARNING, and only told with a count where they are the very same above; nothing goes unsaid."""

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.settings import SettingsError, load_settings
from infra.telemetry.context import bind
from infra.telemetry.levels import parse_levels
from infra.telemetry.logs import configure_logging, count_lines, flush_logs
from infra.telemetry.sampling import LEFT_OUT, MOST_KEYS, Sampler, SampleRate, parse_sample

RATE = SampleRate(per_second=5, one_in=10)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def record(
    message: Any, *values: object, level: int = logging.INFO, name: str = "t", error: BaseException | None = None
) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord(name, level, "f.py", 1, message, values, exc_info)


def written(sampler: Sampler, records: list[logging.LogRecord]) -> list[logging.LogRecord]:
    return [each for given in records for each in sampler.take(given)]


def left_out(records: list[logging.LogRecord]) -> int:
    return sum(getattr(each, LEFT_OUT, 0) for each in records)


def test_below_warning_one_in_m_beyond_n_is_written_and_tells_how_many_were_left_out() -> None:
    sampler = Sampler(RATE, Clock())
    out = written(sampler, [record("batch of %d", number) for number in range(36)])
    assert [each.args for each in out] == [(0,), (1,), (2,), (3,), (4,), (14,), (24,), (34,)]
    assert [getattr(each, LEFT_OUT, 0) for each in out][5:] == [9, 9, 9]
    assert len(out) + left_out(out) + len(told := list(sampler.told())) + left_out(told) == 36


def test_a_new_second_tells_what_the_last_one_left_out_and_counts_anew() -> None:
    clock = Clock()
    sampler = Sampler(RATE, clock)
    written(sampler, [record("batch of %d", number) for number in range(9)])
    clock.now += 1
    out = written(sampler, [record("other"), record("batch of %d", 100)])
    assert [(each.getMessage(), getattr(each, LEFT_OUT, 0)) for each in out] == [("batch of 8", 3), ("other", 0), ("batch of 100", 0)]
    assert not list(sampler.told())


def test_warnings_and_errors_are_never_thinned_out_but_floods_of_the_same_are_told_with_a_count() -> None:
    sampler = Sampler(RATE, Clock())
    different = written(sampler, [record("no broker %d", number, level=logging.WARNING) for number in range(300)])
    assert len(different) == 300
    same = written(sampler, [record("down", level=logging.ERROR, error=OSError("x")) for _ in range(500)])
    assert len(same) == 5
    others = written(sampler, [record("down", level=logging.ERROR, error=OSError(str(number))) for number in range(20)])
    assert len(others) == 20
    (told,) = sampler.told()
    assert (told.levelname, told.getMessage(), getattr(told, LEFT_OUT)) == ("ERROR", "down", 494)


def test_kinds_are_apart_by_logger_level_and_template() -> None:
    sampler = Sampler(SampleRate(1, 1000), Clock())
    kinds = [record("a"), record("b"), record("a", name="u"), record("a", level=logging.DEBUG)]
    assert len(written(sampler, kinds * 3)) == 4


def test_more_kinds_than_are_counted_are_all_written() -> None:
    sampler = Sampler(SampleRate(1, 1000), Clock())
    assert len(written(sampler, [record(f"{number}") for number in range(MOST_KEYS + 50)] + [record(f"{MOST_KEYS}")] * 9)) == MOST_KEYS + 59


def test_without_a_rate_everything_is_written() -> None:
    assert len(written(Sampler(None), [record("same")] * 1000)) == 1000


@pytest.mark.parametrize(("text", "rate"), [("50/100", SampleRate(50, 100)), (" 1 / 1 ", SampleRate(1, 1)), ("off", None), ("OFF", None)])
def test_the_setting_is_read(text: str, rate: SampleRate | None) -> None:
    assert parse_sample(text) == rate


@pytest.mark.parametrize("text", ["", "50", "0/1", "1/0", "-1/5", "a/b", "1/2/3", "1.5/2"])
def test_another_form_of_the_setting_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="LINES/ONE_IN"):
        parse_sample(text)


def test_the_settings_name_variable_and_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_LOG_SAMPLE", "often")
    monkeypatch.setenv("AGENTMESH_LOG_LEVELS", "infra.kafka=LOUD")
    with pytest.raises(SettingsError, match=r"AGENTMESH_LOG_LEVELS: must be LOGGER=LEVEL.*AGENTMESH_LOG_SAMPLE: must be off") as caught:
        load_settings()
    assert "LOUD" not in str(caught.value)


def test_levels_of_single_loggers_are_read() -> None:
    assert parse_levels(" infra.kafka = debug, aiokafka=INFO ,") == {"infra.kafka": "DEBUG", "aiokafka": "INFO"}
    for text in ("infra.kafka", "=DEBUG", "a b=INFO", "x=NOTSET"):
        with pytest.raises(ValueError, match="LOGGER=LEVEL"):
            parse_levels(text)


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """A process's stdout with a rate of five a second; what was set up is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    out = io.StringIO()
    configure_logging("requests", "INFO", out, levels={"quiet": "ERROR", "loud": "DEBUG"}, sample=RATE)
    yield out
    flush_logs()
    for name in ("quiet", "loud"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_levels_of_single_loggers_win_over_the_root(stream: io.StringIO) -> None:
    logging.getLogger("quiet.inner").warning("no")
    structlog.stdlib.get_logger("loud").debug("yes")
    logging.getLogger("other").debug("no")
    assert [line["message"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("make", [logging.getLogger, structlog.stdlib.get_logger])
def test_lines_are_of_one_kind_by_their_template_whoever_writes_them(stream: io.StringIO, make: Any) -> None:
    for number in range(15):
        make("t").info("batch of %d", number)
    assert [line["message"] for line in lines(stream)] == [f"batch of {number}" for number in (0, 1, 2, 3, 4, 14)]
    assert lines(stream)[-1]["extra"] == {LEFT_OUT: 9}


def test_what_was_left_out_last_is_told_within_two_seconds_with_its_own_ids(stream: io.StringIO) -> None:
    for number in range(8):
        with bind(tenant_id=f"tenant-{number}"):
            logging.getLogger("t").info("again")
    assert len(lines(stream)) == 5
    deadline = time.monotonic() + 10
    while len(lines(stream)) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    last = lines(stream)[-1]
    assert (last["message"], last["extra"], last["tenant_id"]) == ("again", {LEFT_OUT: 2}, "tenant-7")


def test_flushing_tells_what_was_left_out(stream: io.StringIO) -> None:
    for _ in range(9):
        logging.getLogger("t").error("down")
    flush_logs()
    assert [line.get("extra") for line in lines(stream)][-1] == {LEFT_OUT: 3}


def test_every_record_is_counted_by_its_level_written_or_not(stream: io.StringIO) -> None:
    counted: list[str] = []
    count_lines(counted.append)
    for _ in range(20):
        logging.getLogger("t").info("again")
    logging.getLogger("t").error("down")
    logging.getLogger("t").debug("not logged")
    assert (counted.count("info"), counted.count("error"), len(counted)) == (20, 1, 21)


def test_uncaught_exceptions_of_process_and_threads_are_lines(stream: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError("password=hunter2")

    thread = threading.Thread(target=fail, name="planted")
    thread.start()
    thread.join()
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.unraisablehook(type("Unraisable", (), {"err_msg": None, "object": fail, "exc_value": error})())
    of_thread, of_process, of_finalizer = lines(stream)
    assert (of_thread["level"], of_process["level"], of_finalizer["level"]) == ("critical", "critical", "error")
    assert "planted" in of_thread["message"]
    assert all(line["exception"]["type"] == "RuntimeError" for line in lines(stream))
    assert "hunter2" not in stream.getvalue()


async def test_an_exception_of_a_task_that_nobody_awaits_is_a_line(stream: io.StringIO) -> None:
    import asyncio
    import gc

    async def fail() -> None:
        raise RuntimeError("Authorization: Bearer hunter2hunter2")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(None)
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    (line,) = lines(stream)
    assert (line["level"], line["name"], line["exception"]["type"]) == ("error", "asyncio", "RuntimeError")
    assert "hunter2" not in stream.getvalue()


def test_a_line_is_whole_json_and_bounded_whatever_it_is_made_of(stream: io.StringIO) -> None:
    for text in ("\N{PILE OF POO}" * 40_000, "\x01" * 40_000, "x y" * 40_000):
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("t").exception("long %s", text, extra={"values": [text] * 20, "more": {text[:50]: text}})
    assert len(lines(stream)) == 3
    for raw, line in zip(stream.getvalue().splitlines(), lines(stream), strict=True):
        assert len(raw) <= 65_536
        assert line["exception"]["type"] == "ValueError"


def test_a_long_traceback_keeps_both_ends_and_no_part_of_a_value(stream: io.StringIO) -> None:
    words = "my cat broke the blue vase " * 2_000

    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        raise ValueError(f"planted end: CreateRequest(message={words!r})")

    try:
        try:
            deep(200)
        except ValueError as error:
            raise KeyError(f"message={words!r}") from error
    except KeyError:
        logging.getLogger("t").exception("failed")
    assert "cat" not in stream.getvalue()
    assert len(stream.getvalue()) < 40_000
