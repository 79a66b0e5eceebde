"""Writes the reference of metrics: the metrics of a process in, the table of docs/metrics.md out; run by a test that holds the page equal,
and by `python -m infra.telemetry.reference`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from infra.telemetry.metrics import Metrics

SUFFIXES = {"counter": "_total", "info": "_info"}
INFO_LABELS = ("version", "environment")


def metric_table(metrics: Metrics) -> str:
    """One row for each metric of ours, by name: kind, labels, meaning, and where a histogram has its bounds."""
    rows = sorted(_row(each) for each in vars(metrics).values() if isinstance(each, MetricWrapperBase))
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])


def _row(metric: MetricWrapperBase) -> str:
    kind = str(metric._type)
    labels = ", ".join(f"`{label}`" for label in (metric._labelnames or (INFO_LABELS if kind == "info" else ()))) or "–"
    bounds = ", ".join(f"{bound:g}" for bound in _bounds(metric))
    meaning = metric._documentation + (f" Bounds: {bounds}." if bounds else "")
    return f"| `{metric._name}{SUFFIXES.get(kind, '')}` | {kind} | {labels} | {meaning} |"


def _bounds(metric: MetricWrapperBase) -> Iterator[float]:
    """The upper bounds of a histogram's buckets, without the last one that holds all."""
    given = metric._kwargs.get("buckets", ())
    yield from (bound for bound in given if bound != float("inf"))


if __name__ == "__main__":
    print(metric_table(Metrics()))
