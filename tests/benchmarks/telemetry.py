"""What telemetry costs: the spine with none of it, with metrics, and with traces of 1 % and of all commands, by turns in one run.

"Off" is a worker whose metrics are objects that do nothing, made for this benchmark only: a worker of the product always counts. Publishers
send no `traceparent`, so the sampler of the command worker decides. Spans go over OTLP to a collector in another process on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.arena import BENCH_ROOT, Servers
from tests.benchmarks.children import Child
from tests.benchmarks.launch import SILENT
from tests.benchmarks.report import disturbance, stage_cpu, table
from tests.benchmarks.throughput import Round, throughput_round

OFF, METRICS, ONE_PERCENT, ALL = "off", "metrics", "metrics, traces 1 %", "metrics, traces 100 %"
QUIET = 0.1
TARGET = 0.95


@dataclass(slots=True)
class Traced:
    """One round, and the spans that the collector got of it."""

    round: Round
    spans: int


def environments(url: str) -> Mapping[str, dict[str, str]]:
    """What the processes of each kind of round are told."""
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    return {
        OFF: {SILENT: "1"},
        METRICS: {},
        ONE_PERCENT: {**traced, "AGENTMESH_TRACE_SAMPLE_RATIO": "0.01"},
        ALL: {**traced, "AGENTMESH_TRACE_SAMPLE_RATIO": "1.0"},
    }


@contextmanager
def collector() -> Iterator[tuple[Child, str]]:
    """The collector's process, and where it listens."""
    child = Child("collector", "tests.benchmarks.collector", [], os.environ, BENCH_ROOT / "collector.log")
    try:
        yield child, child.hear()["url"]
    finally:
        child.stop()


def telemetry_rounds(servers: Servers, say: Callable[[str], None], rounds: int, count: int) -> list[Traced]:
    """Rounds of all kinds, each time in another order, so that none is always the first after the same other one."""
    found: list[Traced] = []
    with collector() as (child, url):
        kinds = list(environments(url).items())
        for number in range(rounds):
            for kind, environment in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
                before = _spans(child)
                done = throughput_round(servers, "product", count, {"collector": child.pid}, **environment)
                done.kind = kind
                found.append(Traced(done, _spans(child) - before))
                say(f"round {number + 1}: {kind}: {done.rate:,.0f} commands/s, {found[-1].spans:,} spans")
    return found


def _spans(child: Child) -> int:
    child.say("spans")
    return int(child.hear()["spans"])


def show_telemetry(found: Sequence[Traced]) -> dict[str, float]:
    """Every round, the ratios to the rounds without telemetry; answers the ratios."""
    table(
        "Telemetry, round by round (commands/s end to end; CPU in microseconds a command)",
        ["telemetry", "commands", "commands/s", "stages", "collector", "spans"],
        [
            [
                each.round.kind,
                each.round.commands,
                each.round.rate,
                stage_cpu(each.round),
                each.round.cpu_us.get("collector", 0.0),
                each.spans,
            ]
            for each in found
        ],
    )
    rounds = [each.round for each in found]
    if (share := disturbance(rounds)) > QUIET:
        print(f"\nWARNING: others used up to {share:.0%} of this machine meanwhile. Rates mean little; ratios are rough.")
    ratios: dict[str, float] = {}
    without = [each for each in rounds if each.kind == OFF]
    for kind in dict.fromkeys(each.kind for each in rounds if each.kind != OFF):
        pairs = list(zip([each for each in rounds if each.kind == kind], without, strict=True))
        ratios[f"{kind} / off commands/s"] = median(mine.rate / its.rate for mine, its in pairs)
        ratios[f"{kind} / off CPU of the stages"] = median(stage_cpu(mine) / stage_cpu(its) for mine, its in pairs)
    title = f"Ratios, medians of pairs of rounds (target: commands/s with traces of 1 % above {TARGET} of those without)"
    table(title, ["ratio", "value"], list(ratios.items()))
    return ratios
