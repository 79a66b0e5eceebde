"""The kinds of metrics that this product uses: those of prometheus_client with bounded labels (OBS-33), and a timer for them.

Used by `infra.telemetry.metrics`, which defines every metric of a process.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram

from infra.telemetry import names
from infra.telemetry.traceparent import parse_traceparent

DEFAULT_LABEL_LIMIT = 1_000
# Partitions are bounded by the broker; a gauge of "other partitions" would mean nothing.
ENUMERATED_LABELS = frozenset({"partition"})


class BoundedChildren:
    """The children of one metric, with at most `limit` values of each label (OBS-33); what comes later is counted as `other`."""

    def __init__(self, label_names: tuple[str, ...], limit: int) -> None:
        self._names = label_names
        self._limit = limit
        self._seen: dict[str, set[str]] = {name: set() for name in label_names if name not in ENUMERATED_LABELS}
        self.cache: dict[tuple[object, ...], Any] = {}
        # The keys of children that were asked for in another form than text: the number 0 beside "0".
        self._other_forms: dict[tuple[str, ...], set[tuple[object, ...]]] = {}

    def keep(self, values: tuple[object, ...], texts: tuple[str, ...], child: Any) -> None:
        """This child is the one for these values from now on."""
        self.cache[values] = child
        if values != texts:
            self._other_forms.setdefault(texts, set()).add(values)

    def bounded(self, values: tuple[object, ...]) -> tuple[tuple[str, ...], bool]:
        """The values to use, and whether they are the given ones."""
        texts = tuple(str(value) for value in values)
        result = tuple(self._bound(name, text) for name, text in zip(self._names, texts, strict=True))
        return result, result == texts

    def _bound(self, name: str, text: str) -> str:
        seen = self._seen.get(name)
        if seen is None or text in seen:
            return text
        if len(seen) >= self._limit:
            return names.OTHER_LABEL
        seen.add(text)
        return text

    def forget_one(self, values: tuple[object, ...]) -> None:
        """One child is gone."""
        texts = tuple(str(value) for value in values)
        for key in (texts, *self._other_forms.pop(texts, ())):
            self.cache.pop(key, None)

    def forget(self) -> None:
        """The children are gone. Which values have a place of their own stays, so that a series comes back under its own name."""
        self.cache.clear()
        self._other_forms.clear()


class Bounded:
    """Mixed into a metric class: its `labels` is bounded and cached."""

    _children: BoundedChildren | None = None
    _labelnames: tuple[str, ...]

    def bound(self, limit: int) -> None:
        """Start to bound the labels of this metric."""
        self._children = BoundedChildren(tuple(self._labelnames), limit)

    def labels(self, *values: object, **by_name: object) -> Any:
        """The child for these label values, given by place or by name."""
        children = self._children
        if children is None:
            return super().labels(*values, **by_name)  # type: ignore[misc]
        key = values or tuple(by_name.values())
        if by_name and tuple(by_name) != self._labelnames:
            key = self._in_order(by_name)
        child = children.cache.get(key)
        if child is not None:
            return child
        if len(key) != len(self._labelnames):
            raise ValueError(f"{self} takes the labels {', '.join(self._labelnames)}")
        texts, as_given = children.bounded(key)
        child = super().labels(*texts)  # type: ignore[misc]
        if as_given:
            children.keep(key, texts, child)
        return child

    def remove(self, *values: object) -> None:
        """Show the child of these label values no more; one that is not there is none."""
        if self._children is not None:
            self._children.forget_one(values)
        with suppress(KeyError):
            super().remove(*values)  # type: ignore[misc]

    def clear(self) -> None:
        """Show no child any more."""
        super().clear()  # type: ignore[misc]
        if self._children is not None:
            self._children.forget()

    def _in_order(self, by_name: dict[str, object]) -> tuple[object, ...]:
        if set(by_name) != set(self._labelnames):
            raise ValueError(f"{self} takes the labels {', '.join(self._labelnames)}")
        return tuple(by_name[name] for name in self._labelnames)


class BoundedCounter(Bounded, Counter):
    """A counter whose labels cannot grow without end."""


class BoundedGauge(Bounded, Gauge):
    """A gauge whose labels cannot grow without end."""

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these values and no others, by their labels; those that are counted as `other` are added up."""
        children = self._children
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for labels, value in values.items():
            sums[labels if children is None else children.bounded(labels)[0]] += value
        # In this order, so that who reads meanwhile, in a thread, misses nothing that is there before and after.
        for labels, value in sums.items():
            self.labels(*labels).set(value)
        for shown in [shown for shown in self._metrics if shown not in sums]:
            self.remove(*shown)


class BoundedHistogram(Bounded, Histogram):
    """A histogram whose labels cannot grow without end."""


class Observer(Protocol):
    """What `timed` needs: a histogram without labels, or a child of one."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None: ...


def exemplar() -> dict[str, str] | None:
    """The running span's trace as an observation names it, for OpenMetrics readers; None where no span is recorded."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.trace_flags.sampled else None


def exemplar_of(traceparent: str | None) -> dict[str, str] | None:
    """The trace of a header as an observation names it; None where there is none or nobody records it."""
    found = parse_traceparent(traceparent)
    return {"trace_id": found.trace_id} if found is not None and found.sampled else None


class timed:
    """`with timed(histogram):` observes the seconds of the block, when it fails as when it succeeds (OBS-33).

    Inside a recorded span the observation carries the trace id as exemplar, which OpenMetrics readers show.
    """

    __slots__ = ("_histogram", "_started")

    def __init__(self, histogram: Observer) -> None:
        self._histogram = histogram

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None) -> None:
        self._histogram.observe(time.perf_counter() - self._started, exemplar())
