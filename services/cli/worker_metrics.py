"""Reads a metric from the workers of this folder's fleet, over their own ports; used by the demo and the doctor."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from infra.supervisor.fleet_file import read_fleet
from infra.supervisor.readiness import metrics_of
from infra.telemetry.names import POOL_CONNECTIONS

POOLS_SECONDS = 2.0
MOST_AT_ONCE = 32


def sum_of(state_dir: Path, member: str, metric: str) -> float | None:
    """The sum of a counter over the replicas of one member of the fleet; None when one of them does not answer."""
    record = read_fleet(state_dir)
    replicas = [] if record is None else [each for each in record.replicas if each.name.rpartition("-")[0] == member]
    texts = [None if replica.port is None else metrics_of(replica.port) for replica in replicas]
    if not texts or None in texts:
        return None
    return sum(_value(text, metric) for text in texts if text is not None)


def pools_of(ports: Iterable[int | None]) -> int:
    """How many pools of database connections the processes on these ports have; those that do not answer have none."""
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        texts = list(pool.map(lambda port: metrics_of(port, timeout=POOLS_SECONDS), [port for port in ports if port is not None]))
    return sum(len(_labels(text, POOL_CONNECTIONS, "pool")) for text in texts if text is not None)


def _labels(text: str, metric: str, label: str) -> set[str]:
    families = text_string_to_metric_families(text)
    return {sample.labels[label] for family in families for sample in family.samples if sample.name == metric}


def _value(text: str, metric: str) -> float:
    families = text_string_to_metric_families(text)
    return sum(float(sample.value) for family in families for sample in family.samples if sample.name == metric)
