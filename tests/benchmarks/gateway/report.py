"""Tables of the gateway's load benchmark: latencies by rate, the knee, what was lost, what many clients cost."""

from __future__ import annotations

from tests.benchmarks.gateway.attack import Attack
from tests.benchmarks.gateway.rounds import GatewayLoad
from tests.benchmarks.report import table

TARGET_RATE, TARGET_P95_MS = 300, 25.0
KNEE_P95_MS = 100.0
SHOWN_PROCESSES = 5


def knee(attacks: list[Attack]) -> float:
    """The highest rate with no failed call and a p95 under 100 ms, of rates that rise; 0 where the lowest is above."""
    held = 0.0
    for each in attacks:
        if each.failed or each.at(0.95) >= KNEE_P95_MS:
            break
        held = each.rate
    return held


def show_gateway(found: GatewayLoad) -> dict[str, float]:
    """Every rate, the verdicts; answers the figures at the target's rate."""
    rows = [
        [name, each.rate, each.at(0.5), each.at(0.95), each.at(0.99), each.failed, str(dict(sorted(each.statuses.items())))]
        for name, attacks in found.attacks.items()
        for each in attacks
    ]
    table(
        "The gateway under load, the whole fleet beside it (open loop, ms)",
        ["call", "a second", "p50", "p95", "p99", "failed", "statuses"],
        rows,
    )
    for name, attacks in found.attacks.items():
        print(f"{name}: the knee is at {knee(attacks):,.0f}/s (highest rate without failures and with p95 < {KNEE_P95_MS:g} ms)")
    verdicts = {
        name: next(each.at(0.95) for each in attacks if each.rate == TARGET_RATE)
        for name, attacks in found.attacks.items()
        if any(each.rate == TARGET_RATE for each in attacks)
    }
    for name in ("GET one request", "POST wait=0"):
        if name in verdicts:
            said = "held" if verdicts[name] < TARGET_P95_MS else "missed"
            print(f"{name} at {TARGET_RATE}/s: p95 {verdicts[name]:,.1f} ms, target {TARGET_P95_MS:g}: {said}")
    print(f"of {found.accepted:,} commands that were answered 202, {found.lost} have no outcome")
    for name, spent in found.cpu_ms.items():
        if name.endswith(f"at {TARGET_RATE}"):
            most = sorted(spent.items(), key=lambda item: -item[1])[:SHOWN_PROCESSES]
            print(f"{name}: CPU ms a call: " + ", ".join(f"{process} {value:.2f}" for process, value in most))
    if found.crowd is not None:
        crowd = found.crowd
        print(
            f"{crowd.clients:,} clients connected: {crowd.calls:,} calls, {crowd.failures} failures, p50 {crowd.at(0.5):,.1f} ms, "
            f"p99 {crowd.at(0.99):,.1f} ms; the gateway has {crowd.memory_mib:.0f} MiB, {crowd.idle_memory_mib:.0f} before"
        )
    return verdicts
