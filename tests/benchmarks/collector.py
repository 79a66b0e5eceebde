"""An OTLP collector as a process of its own: reads every export as one does, counts its spans, and tells the count when asked."""

from __future__ import annotations

import sys
import threading

from tests.benchmarks.children import tell
from tests.otlp_receiver import OtlpReceiver, count_of


class CountingReceiver(OtlpReceiver):
    """Keeps no spans: a benchmark sends more than fit in memory."""

    def __init__(self) -> None:
        self.counted = 0
        self._counting = threading.Lock()
        super().__init__()

    def take(self, body: bytes) -> None:
        """Count one export."""
        count = count_of(body)
        with self._counting:
            self.counted += count


def main() -> None:
    """Tells where it listens, then the count for each line it reads; ends with the benchmark."""
    receiver = CountingReceiver()
    tell({"url": receiver.url})
    for _ in sys.stdin:
        tell({"spans": receiver.counted})
    receiver.close()


if __name__ == "__main__":
    main()
