"""`make bench`: raw pipeline and product by turns on the same servers; prints tables and ratios, writes JSON on request."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from infra.local_stack import LocalStackError
from tests.benchmarks import report
from tests.benchmarks.agents import AGENT_STAGES
from tests.benchmarks.arena import AnotherRun, Servers, servers
from tests.benchmarks.children import ChildFailed
from tests.benchmarks.latency import latency_round
from tests.benchmarks.measure import machine_facts
from tests.benchmarks.million import million
from tests.benchmarks.pipelines import TooSlow
from tests.benchmarks.stages import STAGES, Stage
from tests.benchmarks.throughput import Round, throughput_round

QUICK_COMMANDS, FULL_COMMANDS = 40_000, 100_000
QUICK_ROUNDS, FULL_ROUNDS = 2, 5
QUICK_SECONDS, FULL_SECONDS = 6.0, 20.0
QUICK_WORKFLOW_ROUNDS, FULL_WORKFLOW_ROUNDS = 3, 5
QUICK_GATEWAY_SECONDS, FULL_GATEWAY_SECONDS = 6.0, 20.0
GATEWAY_RATES, GATEWAY_WAITING_RATES = (50, 100, 200, 300, 400, 600), (10, 25, 50)
QUICK_TELEMETRY_ROUNDS, FULL_TELEMETRY_ROUNDS = 4, 8
CONTENDERS = ("product", "celery", "dbos")
MILLION = 1_000_000
ALL_STAGES = {**STAGES, **AGENT_STAGES}


def say(message: str) -> None:
    """Progress, apart from the answer."""
    print(message, file=sys.stderr, flush=True)


class Bench:
    """One run: the chosen benchmarks on one set of servers."""

    def __init__(self, found: Servers, chosen: argparse.Namespace) -> None:
        self._servers = found
        self._chosen = chosen
        self._full = chosen.full
        self.results: dict[str, Any] = {}

    def throughput(self) -> None:
        """Raw and product by turns."""
        count = self._chosen.commands or (FULL_COMMANDS if self._full else QUICK_COMMANDS)
        kinds = ["raw", "product"] + (["raw+history"] if self._chosen.raw_history else [])
        rounds: list[Round] = []
        for number in range(self._chosen.rounds or (FULL_ROUNDS if self._full else QUICK_ROUNDS)):
            for kind in kinds:
                done = throughput_round(self._servers, kind, count)
                say(f"round {number + 1}: {kind} {done.rate:,.0f} commands/s")
                rounds.append(done)
        self.results["throughput"] = rounds
        self.results["ratios"] = report.show_throughput(rounds)

    def latency(self) -> None:
        """Both pipelines at shares of the product's top rate."""
        seconds = FULL_SECONDS if self._full else QUICK_SECONDS
        top = self._chosen.top_rate or self._top_rate()
        found = []
        for kind in ("product", "raw"):
            say(f"latency of {kind} at shares of {top:,.0f} commands/s")
            found += latency_round(self._servers, kind, top, seconds)
        self.results["latency"] = found
        report.show_latency(found)

    def _top_rate(self) -> float:
        middle = report.medians(self.results.get("throughput", []), "product")
        return middle.rate if middle else throughput_round(self._servers, "product", QUICK_COMMANDS).rate

    def stage(self, name: str) -> None:
        """One of the benchmarks of a stage alone."""
        work, quick, full = ALL_STAGES[name]
        found: list[Stage] = work(self._servers, self._chosen.commands or (full if self._full else quick))
        self.results.setdefault("stages", []).extend(found)
        report.show_stages(found)

    def million(self) -> None:
        """Memory over a million events."""
        found = million(self._servers, self._chosen.commands or MILLION, say)
        self.results["memory"] = found
        report.show_memory(found)

    def workflow(self) -> None:
        """Whole workflows, beside Celery and DBOS; needs the packages of the extra `bench`."""
        from tests.benchmarks.workflow.report import show_workflows
        from tests.benchmarks.workflow.rounds import KINDS, workflow_rounds

        chosen = self._chosen
        rounds, halves = workflow_rounds(
            self._servers,
            say,
            rounds=chosen.rounds or (FULL_WORKFLOW_ROUNDS if self._full else QUICK_WORKFLOW_ROUNDS),
            kinds=list(chosen.contender or KINDS),
            count=chosen.commands,
            profiles=chosen.profiles,
        )
        self.results |= {"workflows": rounds, "half_load": halves, "workflow_ratios": show_workflows(rounds, halves)}

    def gateway(self) -> None:
        """Calls to the gateway at rising rates, beside a bare endpoint; needs vegeta, or Go to build it with."""
        from tests.benchmarks.gateway.attack import NoGenerator, vegeta
        from tests.benchmarks.gateway.report import show_gateway
        from tests.benchmarks.gateway.rounds import gateway_load

        try:
            vegeta()
        except NoGenerator as error:
            say(str(error))
            return
        seconds = FULL_GATEWAY_SECONDS if self._full else QUICK_GATEWAY_SECONDS
        found = gateway_load(self._servers, say, list(GATEWAY_RATES), list(GATEWAY_WAITING_RATES), seconds)
        self.results |= {"gateway": found, "gateway_p95": show_gateway(found)}

    def telemetry(self) -> None:
        """The product without telemetry, with metrics, and with traces of 1 % and of all."""
        from tests.benchmarks.telemetry import show_telemetry, telemetry_rounds

        count = self._chosen.commands or (FULL_COMMANDS if self._full else QUICK_COMMANDS)
        rounds = self._chosen.rounds or (FULL_TELEMETRY_ROUNDS if self._full else QUICK_TELEMETRY_ROUNDS)
        found = telemetry_rounds(self._servers, say, rounds, count)
        self.results |= {"telemetry": found, "telemetry_ratios": show_telemetry(found)}

    def work(self, name: str) -> Callable[[], None]:
        """The benchmark of this name."""
        if name in ALL_STAGES:
            return partial(self.stage, name)
        return {
            "throughput": self.throughput,
            "latency": self.latency,
            "million": self.million,
            "workflow": self.workflow,
            "gateway": self.gateway,
            "telemetry": self.telemetry,
        }[name]


NAMES = ("throughput", "latency", *ALL_STAGES, "workflow", "gateway", "telemetry")


def chosen_names(chosen: argparse.Namespace) -> tuple[str, ...]:
    """The benchmarks to run, in order; the long memory run only when asked for."""
    if chosen.million:
        return (*chosen.names, *(chosen.only or ()), "million")
    return tuple(dict.fromkeys((*chosen.names, *(chosen.only or ())))) or NAMES


def _name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; choose of: {', '.join(NAMES)}")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks of AgentMesh beside a raw pipeline.")
    made.add_argument("names", metavar="NAME", nargs="*", type=_name, help=f"what to measure, default all: {', '.join(NAMES)}")
    size = made.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a few minutes (the default)")
    size.add_argument("--full", action="store_true", help="more rounds and larger counts")
    made.add_argument("--only", metavar="NAME", action="append", choices=NAMES, help="the same as NAME; may be repeated")
    made.add_argument("--commands", type=int, help="commands of a throughput round, events of a stage, or workflows of a round")
    made.add_argument("--million", action="store_true", help="memory of each worker over 1,000,000 events (or --commands); takes minutes")
    made.add_argument("--rounds", type=int, help="rounds of each pipeline or contender")
    made.add_argument("--top-rate", type=float, help="the rate that the shares of the latency benchmark refer to")
    made.add_argument("--raw-history", action="store_true", help="also a raw pipeline that writes the history row, for the second ratio")
    made.add_argument("--contender", action="append", choices=CONTENDERS, help="workflow: only this one; may be repeated")
    made.add_argument("--profiles", type=Path, help="workflow: write a profile of each process of the fleet to this folder (slows it down)")
    made.add_argument("--json", type=Path, help="write everything to this file")
    made.add_argument("--keep", action="store_true", help="leave the benchmark's servers running")
    return made


def main() -> int:
    """Exit code 0: measured (whatever the figures), 1: something broke, 130: interrupted."""
    chosen = parser().parse_args()
    # Also where a shell started this in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    facts = machine_facts()
    try:
        with servers(say, keep=chosen.keep) as found:
            bench = Bench(found, chosen)
            for name in chosen_names(chosen):
                say(f"— {name}")
                bench.work(name)()
    except (AnotherRun, ChildFailed, TooSlow, LocalStackError, RuntimeError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    report.show_facts(facts)
    if chosen.json:
        report.write_json(chosen.json, facts, bench.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
