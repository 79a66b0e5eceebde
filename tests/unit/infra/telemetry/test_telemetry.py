"""One object gives a worker its logs, spans and metrics."""

import io
import json
import logging
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from infra.settings import load_settings
from infra.telemetry import telemetry as module
from infra.telemetry.telemetry import Telemetry, installed_version
from tests.otlp_receiver import otlp_receiver

ROOT = Path(__file__).resolve().parents[4]


def test_telemetry_is_made_of_the_settings_of_the_process() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    try:
        telemetry = Telemetry("requests", load_settings(environment="production", log_level="WARNING", metrics_label_limit=1), stream=out)
        telemetry.logger.warning("hello")
        telemetry.logger.info("not said")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        logging.captureWarnings(False)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["service"] == "agentmesh-requests"
    assert not telemetry.tracing.enabled
    assert telemetry.metrics.registry.get_sample_value("app_info", {"version": telemetry.version, "environment": "production"})
    retries = telemetry.metrics.retries_total
    assert retries.labels("a") is not retries.labels("b")
    assert retries.labels("b") is retries.labels("c")
    telemetry.shutdown()
    telemetry.shutdown()


def test_tracing_is_made_of_the_settings_and_secrets_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "correct-horse")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with otlp_receiver() as receiver:
        try:
            settings = load_settings(otel_exporter_otlp_endpoint=receiver.url, trace_sample_ratio=1.0, trace_foreign_per_second=0)
            telemetry = Telemetry("requests", settings, stream=io.StringIO())
            with telemetry.tracing.message_spans("process", "t") as spans:
                asked = SimpleNamespace(message_id="1", source="shop", subject="a", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
                assert str(spans.traceparent(asked)).endswith("-00")  # type: ignore[arg-type]
            with pytest.raises(OSError, match="correct"), telemetry.tracing.traced_operation("work"):
                raise OSError("correct-horse is refused")
            telemetry.shutdown()
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.reset_defaults()
            logging.captureWarnings(False)
        (span,) = receiver.spans()
    assert (span.name, span.service, span.said) == ("work", "agentmesh-requests", "[secret] is refused")


def test_telemetry_for_tests_touches_nothing_of_the_process() -> None:
    handlers = logging.getLogger().handlers[:]
    telemetry = Telemetry.for_tests()
    assert logging.getLogger().handlers == handlers
    assert not telemetry.tracing.enabled
    telemetry.metrics.active_requests.inc()
    telemetry.shutdown(0.1)


def test_a_source_tree_that_was_never_installed_has_the_version_of_its_project(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "version", missing)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert installed_version() == project["version"]
