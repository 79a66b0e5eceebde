"""What libraries need that make spans of their own: a provider that records below a running span only, and the names they shall use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from infra.telemetry import names


class SpansBelow(trace.TracerProvider):
    """A provider whose tracers make a span where one is running and recorded, and nothing elsewhere: a worker that polls its database
    would otherwise begin a trace with every look. A span that has ended counts as none, so nothing is added to a trace that is over."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        """A tracer of the provider behind this one, held to running spans."""
        return _TracerBelow(self._provider.get_tracer(*args, **options))


class _TracerBelow(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(self, *args: Any, **options: Any) -> Span:
        return self._tracer.start_span(*args, **options) if trace.get_current_span().is_recording() else INVALID_SPAN

    @contextmanager
    def start_as_current_span(self, *args: Any, **options: Any) -> Iterator[Span]:  # type: ignore[override]
        if trace.get_current_span().is_recording():
            with self._tracer.start_as_current_span(*args, **options) as span:
                yield span
        else:
            yield INVALID_SPAN


def ask_for_stable_names() -> None:
    """Make the instrumentations of HTTP and databases use the stable names of the conventions, and none that are deprecated. They read the
    variable once in a process, so this comes before the first of them is used."""
    asked = [each.strip() for each in os.environ.get(names.SEMCONV_OPT_IN, "").split(",") if each.strip()]
    missing = [signal for signal in names.STABLE_SIGNALS if not any(each.partition("/")[0] == signal for each in asked)]
    if missing:
        os.environ[names.SEMCONV_OPT_IN] = ",".join([*asked, *missing])
