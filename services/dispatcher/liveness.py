"""Which kinds of agents have a live host: records of the fleet topic and the time in, a judgement out; pure, fed by FleetWatch.

Silence proves death only to a listener that would have heard. So probes of our own go through every partition, and nothing is judged
unless they come back: a listener who has read his own word has read all that was written before it. A pause in what we hear (the broker
away, this process stopped) tells nothing of the hosts, and after it every lease starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contracts.fleet import FleetProbe, HostGone, HostHeartbeat

DEFAULT_SILENCE_SECONDS = 15.0
DEFAULT_GAP_SECONDS = 5.0
DEFAULT_GRACE_SECONDS = 60.0
DEFAULT_FORGET_SECONDS = 3_600.0
REMEMBERED_PROBES = 100


class KindState(Enum):
    """What is known of the hosts of a kind."""

    ANSWERS = auto()
    """A host was heard since we hear at all, and its lease is not over."""
    UNKNOWN = auto()
    """It is too early to say."""
    SILENT = auto()
    """No host is live."""


@dataclass(slots=True)
class _Host:
    kinds: tuple[str, ...]
    heard_at: float


class Liveness:
    """Times are the caller's monotonic seconds and never fall. One probe is under way per partition and second or so."""

    def __init__(
        self,
        prober_id: str,
        partitions: int,
        *,
        silence_seconds: float = DEFAULT_SILENCE_SECONDS,
        gap_seconds: float = DEFAULT_GAP_SECONDS,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        forget_seconds: float = DEFAULT_FORGET_SECONDS,
    ) -> None:
        self._prober_id = prober_id
        self._partitions = range(partitions)
        self._silence = silence_seconds
        self._gap = gap_seconds
        self._grace = grace_seconds
        self._forget = forget_seconds
        self._sent: dict[int, float] = {}
        self._number = 0
        self._heard_up_to: dict[int, float] = {}
        """Of each partition, when the last probe that came back was sent: all that was written before is read."""
        self._hears_since: float | None = None
        self._kinds: dict[str, float] = {}
        self._expected: dict[str, float] = {}
        self._hosts: dict[str, _Host] = {}

    # --- probes and records ------------------------------------------------------------------------------------------

    def next_probe(self, now: float) -> int:
        """The number of a probe that is sent now."""
        self._number += 1
        self._sent[self._number] = now
        while len(self._sent) > REMEMBERED_PROBES:
            self._sent.pop(next(iter(self._sent)))
        return self._number

    def heard(self, partition: int, said: HostHeartbeat | FleetProbe | HostGone, now: float) -> None:
        """A record was read."""
        if isinstance(said, FleetProbe):
            if said.prober_id == self._prober_id:
                self._returned(partition, said.number, now)
        elif isinstance(said, HostGone):
            self._hosts.pop(said.host_id, None)
        else:
            self._hosts[said.host_id] = _Host(said.kinds, now)
            for kind in said.kinds:
                self._kinds[kind] = now

    def _returned(self, partition: int, number: int, now: float) -> None:
        sent = self._sent.get(number)
        if sent is None:
            return
        # Also when nobody asked meanwhile: two probes that came back too far apart had a pause between them.
        if sent - self._heard_up_to.get(partition, sent) > self._gap:
            self._hears_since = None
        self._heard_up_to[partition] = sent
        self.hears(now)

    # --- judgements --------------------------------------------------------------------------------------------------

    def hears(self, now: float) -> bool:
        """Whether silence would be noticed now. After a pause it starts the leases anew."""
        nothing = float("-inf")
        if any(now - self._heard_up_to.get(partition, nothing) > self._gap for partition in self._partitions):
            self._hears_since = None
        elif self._hears_since is None:
            self._hears_since = now
        return self._hears_since is not None

    def state(self, kind: str, now: float) -> KindState:
        """What is known of the hosts of a kind; a kind that is asked for the first time has its time of grace before it."""
        if not self.hears(now) or self._hears_since is None:
            return KindState.UNKNOWN
        heard_at = self._kinds.get(kind)
        if heard_at is None:
            since = max(self._expected.setdefault(kind, now), self._hears_since)
            return KindState.SILENT if now - since > self._grace else KindState.UNKNOWN
        if now - max(heard_at, self._hears_since) > self._silence:
            return KindState.SILENT
        # What was written before we heard says that a host was there, not that it is.
        return KindState.ANSWERS if heard_at >= self._hears_since else KindState.UNKNOWN

    def live_hosts(self, now: float) -> int:
        """Hosts whose lease is not over."""
        return sum(now - max(host.heard_at, self._hears_since or host.heard_at) <= self._silence for host in self._hosts.values())

    def take_forgotten(self, now: float) -> list[str]:
        """Hosts that were silent for very long: their records can be deleted. Each is answered once."""
        if not self.hears(now) or self._hears_since is None:
            return []
        since = self._hears_since
        gone = [host_id for host_id, host in self._hosts.items() if now - max(host.heard_at, since) > self._forget]
        for host_id in gone:
            del self._hosts[host_id]
        return gone
