"""A fleet topic on a virtual clock for the dispatcher's tests: hosts that speak, a listener that sends probes, a broker that goes."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.fleet import FleetProbe, HostGone, HostHeartbeat
from services.dispatcher.liveness import Liveness

MOMENT = datetime(2026, 5, 4, tzinfo=UTC)
PARTITIONS = 3
ME = "dispatcher-1"
SILENCE, GAP, GRACE, FORGET = 15.0, 5.0, 60.0, 600.0
INTERVAL = 3.0


def liveness(partitions: int = PARTITIONS) -> Liveness:
    return Liveness(ME, partitions, silence_seconds=SILENCE, gap_seconds=GAP, grace_seconds=GRACE, forget_seconds=FORGET)


def heartbeat(host_id: str, *kinds: str) -> HostHeartbeat:
    return HostHeartbeat(sent_at=MOMENT, host_id=host_id, kinds=kinds or ("triage",), capacity=10, load=0, interval_seconds=INTERVAL)


def probe(number: int, prober_id: str = ME) -> FleetProbe:
    return FleetProbe(sent_at=MOMENT, prober_id=prober_id, number=number)


class Listening:
    """Seconds pass; in each the broker carries a probe through every partition, and heartbeats of the hosts that are alive."""

    def __init__(self, *hosts: str) -> None:
        self.now = 1_000.0
        self.judge = liveness()
        self.alive = dict.fromkeys(hosts, ("triage",))
        self.broker = True
        self.deaf: set[int] = set()

    def says(self, host_id: str, *kinds: str) -> None:
        self.judge.heard(0, heartbeat(host_id, *kinds), self.now)

    def leaves(self, host_id: str) -> None:
        self.alive.pop(host_id, None)
        self.judge.heard(0, HostGone(host_id), self.now)

    def second(self) -> None:
        self.now += 1
        number = self.judge.next_probe(self.now)
        if not self.broker:
            return
        for partition in range(PARTITIONS):
            if partition not in self.deaf:
                self.judge.heard(partition, probe(number), self.now)
        if self.now % INTERVAL == 0:
            for host_id, kinds in self.alive.items():
                self.says(host_id, *kinds)

    def seconds(self, count: float) -> None:
        for _ in range(round(count)):
            self.second()
