"""Bundles logs, spans and metrics for one process; made by its `main`, handed to every worker, shut down last."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any, Protocol, TextIO

import structlog

from infra.telemetry.bounded import DEFAULT_LABEL_LIMIT
from infra.telemetry.known_secrets import secrets_of
from infra.telemetry.levels import parse_levels
from infra.telemetry.logs import configure_logging, count_lines, flush_logs, service_name
from infra.telemetry.metrics import Metrics
from infra.telemetry.sampling import parse_sample
from infra.telemetry.scrub import Scrubber
from infra.telemetry.tracing import Tracing

# What a source tree that was never installed calls itself; the same as in pyproject.toml.
UNINSTALLED_VERSION = "1.0.0"
SHUTDOWN_SECONDS = 3.0


class LogSettings(Protocol):
    """The settings that logging reads; `infra.settings.MeshSettings` has them."""

    @property
    def log_level(self) -> str: ...
    @property
    def log_levels(self) -> str: ...
    @property
    def log_sample(self) -> str: ...


class TelemetrySettings(LogSettings, Protocol):
    """The settings that telemetry reads; `infra.settings.MeshSettings` has them."""

    @property
    def environment(self) -> str: ...
    @property
    def otel_exporter_otlp_endpoint(self) -> str | None: ...
    @property
    def jaeger_agent_host(self) -> str | None: ...
    @property
    def trace_sample_ratio(self) -> float: ...
    @property
    def trace_foreign_per_second(self) -> int: ...
    @property
    def metrics_label_limit(self) -> int: ...


class Telemetry:
    """One per process. Making it configures the whole process's logging and, where an endpoint is set, starts the span exporter.

    `metrics`, `tracing` and `logger` never fail the work that uses them.
    """

    def __init__(self, service: str, settings: TelemetrySettings, *, stream: TextIO | None = None) -> None:
        scrubber = log_by_settings(service, settings, stream)
        version = installed_version()
        metrics = Metrics(version=version, environment=settings.environment, label_limit=settings.metrics_label_limit)
        self._assemble(
            service_name(service),
            version,
            metrics,
            Tracing.start(
                service_name(service),
                version=version,
                environment=settings.environment,
                endpoint=settings.otel_exporter_otlp_endpoint,
                jaeger_host=settings.jaeger_agent_host,
                sample_ratio=settings.trace_sample_ratio,
                foreign_per_second=settings.trace_foreign_per_second,
                dropped=metrics.spans_dropped_total.inc,
                scrubber=scrubber,
            ),
        )
        count_lines(lambda level: self.metrics.log_lines_total.labels(level).inc())

    def _assemble(self, service: str, version: str, metrics: Metrics, tracing: Tracing) -> None:
        self.service = service
        self.version = version
        self.metrics = metrics
        self.tracing = tracing
        self.logger: Any = structlog.stdlib.get_logger(service)

    @classmethod
    def for_tests(cls, tracing: Tracing | None = None, *, label_limit: int = DEFAULT_LABEL_LIMIT) -> Telemetry:
        """Metrics of its own, no spans unless given, logging as the test runner set it up."""
        telemetry = cls.__new__(cls)
        metrics = Metrics(version=UNINSTALLED_VERSION, environment="test", label_limit=label_limit)
        telemetry._assemble(service_name("test"), UNINSTALLED_VERSION, metrics, tracing or Tracing())
        return telemetry

    def shutdown(self, seconds: float = SHUTDOWN_SECONDS) -> None:
        """Send what spans are left, within `seconds`, and flush the logs. Blocks; safe to call twice."""
        self.tracing.shutdown(seconds)
        flush_logs()


def log_by_settings(service: str, settings: LogSettings, stream: TextIO | None = None) -> Scrubber:
    """Send all logging of this process as JSON lines to `stream` (default: stdout), by its settings, without its own secrets; answers what
    takes them out."""
    scrubber = Scrubber(secrets_of(os.environ, settings))
    configure_logging(
        service,
        settings.log_level,
        stream,
        levels=parse_levels(settings.log_levels),
        sample=parse_sample(settings.log_sample),
        scrubber=scrubber,
    )
    return scrubber


def installed_version() -> str:
    """The version of the installed package."""
    try:
        return importlib.metadata.version("agentmesh")
    except importlib.metadata.PackageNotFoundError:
        return UNINSTALLED_VERSION
