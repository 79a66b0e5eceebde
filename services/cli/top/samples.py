"""What one worker counts, out of the text of its `/metrics`; pure, used by `top`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from infra.telemetry import names

CPU_SECONDS, MEMORY_BYTES = "process_cpu_seconds_total", "process_resident_memory_bytes"
ERROR_LEVELS = ("error", "critical")
OPEN, HALF_OPEN = 1, 2
# Counters whose growth is shown as a rate, by what they are called there.
RATES: Mapping[str, str] = {
    "commands": names.COMMANDS_HANDLED_TOTAL,
    "events": names.EVENTS_APPENDED_TOTAL,
    "finished": f"{names.REQUEST_DURATION_SECONDS}_count",
    "tokens": names.LLM_TOKENS_USED_TOTAL,
    "calls": names.HTTP_REQUESTS_TOTAL,
    "errors": names.LOG_LINES_TOTAL,
}
_RATE_OF = {metric: rate for rate, metric in RATES.items()}

CONSUMER_GROUP, RELAY, PROJECTION = "consumer_group", "relay", "projection"
Lag = tuple[float, float]
"""Messages, seconds."""


@dataclass(slots=True)
class WorkerSample:
    """One scrape. What the leading monitor tells of the whole mesh is in `lags`, `waiting` and `parked`; `own_lags` is the worker's."""

    cpu_seconds: float | None = None
    memory_bytes: float | None = None
    attempts: dict[str, float] = field(default_factory=dict)
    """Of each worker of the process, when it last made an attempt (seconds of the epoch)."""
    health: dict[str, int] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    breakers: dict[str, int] = field(default_factory=dict)
    monitors: bool = False
    lags: dict[tuple[str, str], Lag] = field(default_factory=dict)
    own_lags: dict[tuple[str, str], Lag] = field(default_factory=dict)
    waiting: dict[str, Lag] = field(default_factory=dict)
    parked: dict[str, Lag] = field(default_factory=dict)
    """Of each context: keys, and seconds since the oldest was parked."""


Read = Callable[[WorkerSample, Mapping[str, str], float], None]


def read_metrics(text: str) -> WorkerSample:
    """The sample that a text holds. Raises ValueError for what is no exposition."""
    found = WorkerSample()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            _take(found, sample)
    return found


def _take(found: WorkerSample, sample: Sample) -> None:
    rate = _RATE_OF.get(sample.name)
    if rate is not None:
        if rate != "errors" or sample.labels.get("level") in ERROR_LEVELS:
            found.counters[rate] = found.counters.get(rate, 0.0) + sample.value
        return
    read = _READERS.get(sample.name)
    if read is not None:
        read(found, sample.labels, sample.value)


def _cpu(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    found.cpu_seconds = value


def _memory(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    found.memory_bytes = value


def _attempt(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    found.attempts[labels.get("worker", "")] = value


def _health(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    found.health[labels.get("component", "")] = int(value)


def _breaker(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    if value in (OPEN, HALF_OPEN):
        found.breakers[labels.get("name", "")] = int(value)


def _leader(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
    found.monitors = found.monitors or value == 1


def _lag_reader(target: str, place: int, *key_labels: str, kind: str = "", total: bool = False) -> Read:
    """Puts a value into the pair of its key; `total` adds messages up over partitions, else and of seconds the largest counts."""

    def read(found: WorkerSample, labels: Mapping[str, str], value: float) -> None:
        parts = tuple(labels.get(label, "") for label in key_labels)
        key = (kind, *parts) if kind else parts
        pairs: dict[object, Lag] = getattr(found, target)
        pair = list(pairs.get(key if len(key) > 1 else key[0], (0.0, 0.0)))
        pair[place] = pair[place] + value if total else max(pair[place], value)
        pairs[key if len(key) > 1 else key[0]] = (pair[0], pair[1])

    return read


_READERS: Mapping[str, Read] = {
    CPU_SECONDS: _cpu,
    MEMORY_BYTES: _memory,
    names.WORKER_ATTEMPT_TIMESTAMP_SECONDS: _attempt,
    names.COMPONENT_HEALTH: _health,
    names.CIRCUIT_STATE: _breaker,
    names.MONITOR_LEADER: _leader,
    names.LAG_MESSAGES: _lag_reader("lags", 0, "kind", "name"),
    names.LAG_SECONDS: _lag_reader("lags", 1, "kind", "name"),
    names.WAITING: _lag_reader("waiting", 0, "kind"),
    names.OLDEST_WAITING_SECONDS: _lag_reader("waiting", 1, "kind"),
    names.PARKED_KEYS: _lag_reader("parked", 0, "context"),
    names.OLDEST_PARKED_SECONDS: _lag_reader("parked", 1, "context"),
    names.CONSUMER_LAG_MESSAGES: _lag_reader("own_lags", 0, "group", kind=CONSUMER_GROUP, total=True),
    names.CONSUMER_LAG_SECONDS: _lag_reader("own_lags", 1, "group", kind=CONSUMER_GROUP),
    names.OUTBOX_PENDING: _lag_reader("own_lags", 0, "context", kind=RELAY),
    names.PROJECTION_LAG_EVENTS: _lag_reader("own_lags", 0, "projection", kind=PROJECTION),
    names.PROJECTION_LAG_SECONDS: _lag_reader("own_lags", 1, "projection", kind=PROJECTION),
}
