"""One line of the doctor's answer, and the bound that keeps a question from taking longer than it may; used by every check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from infra.diagnosis.base import Fault
from infra.errors import ConfigurationError, MeshError

# Of one check; all run side by side, one after another at most two.
CHECK_SECONDS = 6.0


class Verdict(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One line of the answer; `advice` says what to do about it, a command where there is one."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def well(what: str, found: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(what, Verdict.OK, found)


def of_fault(what: str, fault: Fault, verdict: Verdict = Verdict.FAIL) -> Finding:
    """A server that cannot be used."""
    return Finding(what, verdict, fault.found, fault.advice)


async def asked(
    what: str, advice: str, look: Callable[[], Awaitable[Finding | Sequence[Finding]]], seconds: float = CHECK_SECONDS
) -> list[Finding]:
    """What a check finds. One that raises or takes too long is a finding itself, never the end of the others."""
    try:
        async with asyncio.timeout(seconds):
            found = await look()
    except ConfigurationError as error:
        return [Finding(what, Verdict.FAIL, str(error))]
    except MeshError as error:
        return [Finding(what, Verdict.FAIL, str(error), advice)]
    except TimeoutError:
        return [Finding(what, Verdict.FAIL, f"not answered within {seconds:g} s", advice)]
    except Exception as error:  # what nobody thought of must not hide what the other checks found
        return [Finding(what, Verdict.FAIL, f"cannot be judged: {type(error).__name__}", advice)]
    return [found] if isinstance(found, Finding) else list(found)
