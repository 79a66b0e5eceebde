"""Tables for people and JSON for programs, out of what the benchmarks measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.latency import Latency
from tests.benchmarks.million import Memory
from tests.benchmarks.stages import Stage
from tests.benchmarks.throughput import Round

QUIET = 0.1
SERVERS = ("postgres", "kafka", "publisher", "collector", "others", "stolen")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table; numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(column), *(len(row[index]) for row in texts)) if texts else len(column) for index, column in enumerate(columns)]
    print(f"\n{title}")
    print("  " + "  ".join(_pad(column, widths[index], rows, index) for index, column in enumerate(columns)).rstrip())
    for row in texts:
        print("  " + "  ".join(_pad(text, widths[index], rows, index) for index, text in enumerate(row)).rstrip())


def _pad(text: str, width: int, rows: Sequence[Sequence[object]], index: int) -> str:
    numeric = all(isinstance(row[index], int | float) for row in rows)
    return text.rjust(width) if numeric else text.ljust(width)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def medians(rounds: Sequence[Round], kind: str) -> Round | None:
    """The median of each figure over the rounds of one kind."""
    mine = [each for each in rounds if each.kind == kind]
    if not mine:
        return None
    return Round(
        kind,
        mine[0].commands,
        median(each.seconds for each in mine),
        median(each.stored_seconds for each in mine),
        {name: median(each.cpu_us[name] for each in mine) for name in mine[0].cpu_us},
        {name: max(each.memory_mib[name] for each in mine) for name in mine[0].memory_mib},
    )


def stage_cpu(each: Round | None) -> float:
    """CPU microseconds a command in the pipeline's own processes."""
    return 0.0 if each is None else sum(us for name, us in each.cpu_us.items() if name not in SERVERS)


def all_cpu(each: Round) -> float:
    """The same with Postgres and Kafka."""
    return stage_cpu(each) + each.cpu_us.get("postgres", 0.0) + each.cpu_us.get("kafka", 0.0)


def show_throughput(rounds: Sequence[Round]) -> dict[str, float]:
    """Every round, the medians, the ratios; answers the ratios."""
    table(
        "Throughput, round by round (commands/s end to end; CPU in microseconds a command)",
        ["pipeline", "commands", "commands/s", "stored/s", "stages", "postgres", "kafka", "others", "stolen"],
        [
            [each.kind, each.commands, each.rate, each.commands / each.stored_seconds, stage_cpu(each)]
            + [each.cpu_us.get(name, 0.0) for name in ("postgres", "kafka", "others", "stolen")]
            for each in rounds
        ],
    )
    kinds = list(dict.fromkeys(each.kind for each in rounds))
    for kind in kinds:
        middle = medians(rounds, kind)
        assert middle is not None
        stages = [name for name in middle.cpu_us if name not in SERVERS]
        table(
            f"{kind}: medians, {middle.rate:,.0f} commands/s",
            ["process", "CPU us/command", "resident MiB"],
            [[name, middle.cpu_us[name], middle.memory_mib.get(name, 0.0)] for name in stages]
            + [[name, middle.cpu_us.get(name, 0.0), "-"] for name in ("postgres", "kafka", "publisher")],
        )
    if (share := disturbance(rounds)) > QUIET:
        print(f"\nWARNING: others used up to {share:.0%} of this machine meanwhile. Rates and latencies mean little; ratios are rough.")
    return _ratios(rounds, kinds)


def disturbance(rounds: Sequence[Round]) -> float:
    """The share of the machine that others used, or the host took, while the rounds ran; of the worst round."""
    cores = os.cpu_count() or 1
    return max((each.cpu_us.get("others", 0.0) + each.cpu_us.get("stolen", 0.0)) * each.rate / 1e6 / cores for each in rounds)


def _ratios(rounds: Sequence[Round], kinds: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    product = medians(rounds, "product")
    for kind in kinds:
        reference = medians(rounds, kind)
        if product is None or reference is None or kind == "product":
            continue
        # Round by round, because what the rest of the machine does drifts.
        pairs = zip([each for each in rounds if each.kind == "product"], [each for each in rounds if each.kind == kind], strict=True)
        found[f"product/{kind} commands/s"] = median(mine.rate / its.rate for mine, its in pairs)
        found[f"{kind}/product CPU of the stages"] = stage_cpu(reference) / stage_cpu(product)
        found[f"{kind}/product CPU with servers"] = all_cpu(reference) / all_cpu(product)
    if found:
        table("Ratios (target 0.5, aim 0.7; CPU ratios suffer less from a noisy machine)", ["ratio", "value"], list(found.items()))
    return found


def show_latency(found: Sequence[Latency]) -> None:
    """One line a pipeline and rate."""
    table(
        "Latency from the moment a command is due, ms (target: read model p99 < 60 at 10 %, < 250 at 50 %)",
        ["pipeline", "load", "commands/s", "event p50", "event p99", "read model p50", "read model p99", "samples", "publisher late"],
        [
            [each.kind, f"{each.share:.0%}", each.rate, each.event_p50, each.event_p99, each.row_p50, each.row_p99, each.samples,
             each.publisher_late_ms]
            for each in found
        ],
    )  # fmt: skip


def show_stages(found: Sequence[Stage]) -> None:
    """One line a stage."""
    table(
        "Stages alone (target: relay, projection and rebuild >= 30,000 events/s)",
        ["stage", "events", "events/s", "client us/event", "postgres us/event", "also"],
        [
            [
                each.name,
                each.events,
                each.rate,
                each.client_us,
                each.postgres_us,
                _facts(each.more),
            ]
            for each in found
        ],
    )


def _facts(more: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in more.items())


def show_memory(found: Memory) -> None:
    """Each worker along the way."""
    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    along = [found.at(share) for share in shares]
    largest = found.largest()
    table(
        f"Resident MiB over {found.events:,} events in {found.seconds:,.0f} s (target: < 150 and flat)",
        ["worker", *(f"at {share:.0%}" for share in shares), "largest"],
        [[name, *(memory[name] for memory in along), largest[name]] for name in largest],
    )


def show_facts(facts: Mapping[str, object]) -> None:
    """What the figures depend on."""
    print("\n" + ", ".join(f"{name}: {value}" for name, value in facts.items()))


def write_json(path: Path, facts: Mapping[str, object], results: Mapping[str, Any]) -> None:
    """Everything, for programs."""
    path.write_text(json.dumps({"machine": facts, **{name: _plain(value) for name, value in results.items()}}, indent=2) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Round):
        return {**asdict(value), "rate": value.rate}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
