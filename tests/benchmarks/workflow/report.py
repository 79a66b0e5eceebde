"""Tables of the workflow benchmark: what is ahead, what is not, and where the CPU goes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.benchmarks.measure import percentile
from tests.benchmarks.report import table
from tests.benchmarks.workflow.rounds import HalfLoad, WorkflowRound

TARGET_RATE = 250.0
TARGET_ALONE_MS = 400.0
TIMES_DBOS = 4.0
NOT_OURS = ("others", "stolen")


def kinds_of(rounds: Sequence[WorkflowRound]) -> list[str]:
    """The contenders, in order."""
    return list(dict.fromkeys(each.kind for each in rounds))


def rate_of(rounds: Sequence[WorkflowRound], kind: str) -> float:
    """The median rate of a contender."""
    return median(each.rate for each in rounds if each.kind == kind)


def cpu_of(rounds: Sequence[WorkflowRound], kind: str) -> dict[str, float]:
    """The median CPU of each process, milliseconds a workflow."""
    mine = [each for each in rounds if each.kind == kind]
    return {name: median(each.cpu_ms.get(name, 0.0) for each in mine) for name in mine[0].cpu_ms}


def total_cpu(rounds: Sequence[WorkflowRound], kind: str) -> float:
    """What a workflow costs in all, without the rest of the machine."""
    return sum(value for name, value in cpu_of(rounds, kind).items() if name not in NOT_OURS)


def show_workflows(rounds: Sequence[WorkflowRound], halves: Sequence[HalfLoad]) -> dict[str, float]:
    """Every round, the medians, the verdicts; answers the ratios."""
    table(
        "Whole workflows of three tasks, round by round (CPU in milliseconds a workflow)",
        ["contender", "workflows", "workflows/s", "commands/s inside", "CPU in all", "others", "stolen"],
        [
            [each.kind, each.workflows, each.rate, each.commands / each.seconds if each.commands else "-",
             sum(value for name, value in each.cpu_ms.items() if name not in NOT_OURS)]
            + [each.cpu_ms.get(name, 0.0) for name in NOT_OURS]
            for each in rounds
        ],
    )  # fmt: skip
    kinds = kinds_of(rounds)
    for kind in kinds:
        cpu = cpu_of(rounds, kind)
        memory = next(each.memory_mib for each in reversed(rounds) if each.kind == kind)
        rows = [
            [name, value, memory.get(name, 0.0)] for name, value in sorted(cpu.items(), key=lambda item: -item[1]) if name not in NOT_OURS
        ]
        table(f"{kind}: medians, {rate_of(rounds, kind):,.1f} workflows/s", ["process", "CPU ms/workflow", "resident MiB"], rows)
    alone = {kind: [ms for each in rounds if each.kind == kind for ms in each.alone_ms] for kind in kinds}
    table(
        "One workflow alone on the idle system, ms (DBOS in the process that asks, without its queue)",
        ["contender", "p50", "largest", "samples"],
        [[kind, percentile(found, 0.5), max(found), len(found)] for kind, found in alone.items()],
    )
    if found_hops := [each.hops for each in rounds if each.hops]:
        rows = [list(hop) for hop in sorted(found_hops[-1], key=lambda hop: -hop.total_ms)]
        table("Where one alone spends its time (product, last round, medians)", ["hop", "times", "ms each", "ms in all"], rows)
    table(
        "Half load (of each one's own median), ms from the moment a workflow is due",
        ["contender", "workflows/s", "p50", "p99", "samples", "driver late"],
        [[each.kind, each.rate, each.p50, each.p99, each.samples, each.driver_late_ms] for each in halves],
    )
    return _verdicts(rounds, percentile(alone.get("product", []), 0.5))


def _verdicts(rounds: Sequence[WorkflowRound], alone_ms: float) -> dict[str, float]:
    kinds = kinds_of(rounds)
    if "product" not in kinds:
        return {}
    found = {}
    lines = [
        _verdict("workflows/s", rate_of(rounds, "product"), TARGET_RATE),
        _verdict("one alone, ms", alone_ms, TARGET_ALONE_MS, most=True),
    ]
    for kind, needed in (("celery", 1.0), ("dbos", TIMES_DBOS)):
        if kind not in kinds:
            continue
        mine = [each for each in rounds if each.kind == "product"]
        its = [each for each in rounds if each.kind == kind]
        # Round by round, because what the rest of the machine does drifts.
        found[f"product/{kind} workflows/s"] = median(a.rate / b.rate for a, b in zip(mine, its, strict=True))
        found[f"{kind}/product CPU a workflow"] = total_cpu(rounds, kind) / total_cpu(rounds, "product")
        lines.append(_verdict(f"product/{kind} workflows/s", found[f"product/{kind} workflows/s"], needed))
    table("Ratios", ["ratio", "value"], list(found.items()))
    table("Against the targets", ["figure", "measured", "target", "verdict"], lines)
    return found


def _verdict(name: str, value: float, target: float, *, most: bool = False) -> list[object]:
    held = value < target if most else value >= target
    return [name, value, f"{'<' if most else '>='} {target:g}", "held" if held else "missed"]
