"""What is found out about a server: facts, or the fault that keeps them from us, in words and with what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple


class Fault(NamedTuple):
    """Why a server cannot be used: `cause` is one of a few words that code compares, `found` and `advice` are for people."""

    cause: str
    found: str
    advice: str


def explain_connection(error: BaseException, place: str, server: str) -> Fault:
    """Why no connection to `place` (host:port) came to be, before anything was said on it; `server` is what should be there."""
    if isinstance(error, socket.gaierror):
        return Fault("no such host", f"the name of {place} is not known", "check the name, or the name server of this machine")
    if isinstance(error, ConnectionRefusedError):
        return Fault("refused", f"nothing listens at {place}", f"start {server}, or name another port")
    if isinstance(error, TimeoutError):
        return Fault("no answer", f"{place} does not answer", "see whether the host runs and a firewall lets this machine in")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return Fault("not reached", f"{place} is not reached: {reason}", "check the network between here and there")


async def try_place(place: str, server: str, seconds: float) -> Fault | None:
    """Why no connection to host:port comes to be from here; None when one does."""
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError as error:
        return explain_connection(error, place, server)
    writer.close()
    return None
