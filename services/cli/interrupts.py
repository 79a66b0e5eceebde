"""Ctrl-C and SIGTERM as an event that a command looks at, so that it ends between two steps and can say how far it got."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[asyncio.Event]:
    """An event that is set by the first Ctrl-C or SIGTERM; the second one ends the process as usual. Needs a running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def asked() -> None:
        stop.set()
        _forget()

    def _forget() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, asked)
    try:
        yield stop
    finally:
        _forget()


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True when it was ended by `stop`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), timeout=seconds)
    return stop.is_set()
