"""Calls at a fixed rate, whatever the answers take (open loop): targets in, one result a call out; vegeta makes the calls."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.arena import BENCH_ROOT
from tests.benchmarks.measure import percentile

VEGETA = "github.com/tsenart/vegeta/v12@v12.12.0"
MAX_WORKERS = 2_000
BUILD_SECONDS = 300


class NoGenerator(Exception):
    """There is no vegeta, and no Go to build it with."""


def vegeta() -> str:
    """The program: the one on the PATH, or one that is built once with Go and kept. Raises NoGenerator."""
    kept = BENCH_ROOT / "bin" / "vegeta"
    found = shutil.which("vegeta") or (str(kept) if kept.exists() else None)
    if found is not None:
        return found
    if shutil.which("go") is None:
        raise NoGenerator("The load benchmark of the gateway needs vegeta on the PATH, or Go to build it with. It is left out.")
    kept.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(kept.parent), "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "install", VEGETA], env=environment, check=True, capture_output=True, timeout=BUILD_SECONDS)
    return str(kept)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def to_json(self) -> bytes:
        """A line of the generator's JSON format."""
        target = {"method": self.method, "url": self.url, "header": {name: [value] for name, value in self.headers.items()}}
        return json.dumps({**target, "body": base64.b64encode(self.body).decode()}).encode()


@dataclass(slots=True)
class Attack:
    """What came of calls at one rate. Latencies are milliseconds, ascending."""

    rate: float
    seconds: float
    latencies: list[float]
    statuses: Counter[int]
    errors: Counter[str]
    answers: list[dict[str, Any]] = field(default_factory=list)
    """The JSON bodies of calls that were answered 202 or 201, where they were asked for."""

    def at(self, share: float) -> float:
        """A percentile of the latencies."""
        return percentile(self.latencies, share)

    @property
    def failed(self) -> int:
        """Calls without an answer, or with one of 500 or above, or 429."""
        return sum(count for status, count in self.statuses.items() if status == 0 or status == 429 or status >= 500)


def attack(folder: Path, name: str, calls: Iterable[Call], rate: int, seconds: float, *, keep_answers: bool = False) -> Attack:
    """Make the calls at `rate` a second for `seconds`."""
    program = vegeta()
    targets, results = folder / f"{name}.targets", folder / f"{name}.results"
    targets.write_bytes(b"\n".join(call.to_json() for call in calls))
    command = [
        program,
        "attack",
        "-format=json",
        f"-targets={targets}",
        f"-rate={rate}/1s",
        f"-duration={seconds:g}s",
        f"-output={results}",
    ]
    options = ["-timeout=40s", f"-max-workers={MAX_WORKERS}", "-workers=50", "-max-connections=0", "-connections=2000", "-http2=false"]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=seconds + 90)
    encoded = subprocess.run([program, "encode", "-to=json", str(results)], check=True, capture_output=True, timeout=120).stdout
    return _read(encoded, rate, seconds, keep_answers)


def _read(encoded: bytes, rate: float, seconds: float, keep_answers: bool) -> Attack:
    found = Attack(rate, seconds, [], Counter(), Counter())
    for line in encoded.splitlines():
        result = json.loads(line)
        found.latencies.append(result["latency"] / 1e6)
        found.statuses[result["code"]] += 1
        if result["error"] and result["code"] == 0:
            found.errors[result["error"][:120]] += 1
        if keep_answers and result["code"] in (201, 202):
            found.answers.append(json.loads(base64.b64decode(result["body"])))
    found.latencies.sort()
    return found
