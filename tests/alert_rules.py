"""Reads the rules of Prometheus and their tests, says what is wrong with them, and makes them faster for a test of the real fleet.

`Rule` and `Case` are what infra/prometheus/rules and infra/prometheus/tests hold. `faults` judges them against the metrics that a worker
exposes; `scaled` divides every duration of a rule file or of an Alertmanager config.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.metrics import MetricWrapperBase

from infra.supervisor.scrape_targets import JOB
from infra.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "infra" / "prometheus" / "rules"
CASES = ROOT / "infra" / "prometheus" / "tests"
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_URL = "{{ $externalLabels.runbooks }}/"
SEVERITIES = ("page", "ticket", "info")
# What the scrape config adds to every series; a metric's own label `worker` becomes `exported_worker`.
TARGET_LABELS = frozenset({"job", "instance", "worker", "replica", "exported_worker", "__name__"})
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
    "gauge": ("",),
}
# Prometheus makes these itself.
ITS_OWN: Mapping[str, frozenset[str]] = {"up": frozenset()}

Document = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule of a file: an alert, or a recorded series."""

    file: str
    body: Document

    @property
    def name(self) -> str:
        """The alert, or the series."""
        return str(self.body.get("alert") or self.body["record"])

    @property
    def is_alert(self) -> bool:
        """False for a recorded series."""
        return "alert" in self.body

    @property
    def severity(self) -> str:
        """The label, empty where there is none."""
        return str(self.body.get("labels", {}).get("severity", ""))


@dataclass(frozen=True)
class Case:
    """One question of a promtool test: does this alert fire then, and with which severities; over which series."""

    file: str
    alert: str
    severities: frozenset[str]
    series: frozenset[str]


@dataclass(frozen=True)
class Exposed:
    """A series that workers expose: its own labels, and the bounds of its buckets as they are written."""

    labels: frozenset[str]
    bounds: frozenset[str] = frozenset()


def kebab(alert: str) -> str:
    """GatewayLatencyP95BudgetBurn -> gateway-latency-p95-budget-burn"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", alert).lower()


def rules_of(text: str, file: str = "") -> list[Rule]:
    """The rules of one file."""
    return [Rule(file, body) for group in yaml.safe_load(text)["groups"] for body in group["rules"]]


@functools.cache
def all_rules(folder: Path = RULES) -> tuple[Rule, ...]:
    """The committed rules."""
    return tuple(rule for path in sorted(folder.glob("*.yml")) for rule in rules_of(path.read_text(encoding="utf-8"), path.name))


def cases_of(text: str, file: str = "") -> list[Case]:
    """The questions of one test file."""
    return [
        Case(
            file,
            asked["alertname"],
            frozenset(expected["exp_labels"].get("severity", "") for expected in asked["exp_alerts"] or ()),
            frozenset(re.split(r"[{ ]", each["series"])[0] for each in test["input_series"]),
        )
        for test in yaml.safe_load(text)["tests"]
        for asked in test["alert_rule_test"]
    ]


def all_cases(folder: Path = CASES) -> list[Case]:
    """The committed tests."""
    return [case for path in sorted(folder.glob("*.yml")) for case in cases_of(path.read_text(encoding="utf-8"), path.name)]


@functools.cache
def exposed_series() -> dict[str, Exposed]:
    """Every series that a worker may expose, by name, as its registry says."""
    metrics = Metrics()
    found = {sample.name: Exposed(frozenset()) for family in metrics.registry.collect() for sample in family.samples}
    for metric in (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)):
        labels = frozenset(metric._labelnames)
        for suffix in SUFFIXES[metric._type]:
            found[metric._name + suffix] = Exposed(labels)
        if metric._type == "histogram":
            bounds = frozenset("+Inf" if bound == float("inf") else str(bound) for bound in metric._upper_bounds)  # type: ignore[attr-defined]
            found[metric._name + "_bucket"] = Exposed(labels | {"le"}, bounds)
    return found | {name: Exposed(labels) for name, labels in ITS_OWN.items()}


def code_lines(text: str, language: str) -> list[str]:
    """The lines of every code block of a language on a page."""
    return [line for block in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines() if line]


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every selector of an expression. Raises ValueError for one that is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def asks_our_job(selector: promql_parser.VectorSelector) -> bool:
    """Whether a selector takes the series of our processes alone."""
    return any((matcher.name, matcher.value) == ("job", JOB) for matcher in selector.matchers.matchers)


def expression_faults(expression: str, exposed: Mapping[str, Exposed], recorded: frozenset[str]) -> Iterator[str]:
    """Series, labels and bounds of buckets that nobody exposes, and common names asked of everybody."""
    try:
        selected = selectors(expression)
    except ValueError as error:
        yield f"is no PromQL: {error}"
        return
    for selector in selected:
        name = str(selector.name)
        if name in recorded:
            continue
        if name not in exposed:
            yield f"names the series {name}, which no worker exposes"
            continue
        if not name.startswith("agentmesh_") and not asks_our_job(selector):
            yield f"asks {name} of every job, though other programs have that name, too"
        for matcher in selector.matchers.matchers:
            if matcher.name not in exposed[name].labels | TARGET_LABELS:
                yield f"asks {name} for the label {matcher.name}, which it does not have"
            elif matcher.name == "le" and matcher.op == promql_parser.MatchOp.Equal and matcher.value not in exposed[name].bounds:
                yield f"asks {name} for the bound {matcher.value}, which it does not have"


def form_faults(rule: Rule, runbooks: frozenset[str]) -> Iterator[str]:
    """What an alert must have, and does not."""
    annotations = rule.body.get("annotations", {})
    if not re.fullmatch(r"(?:[A-Z][a-z]*[0-9]*)+", rule.name):
        yield "is not named in CamelCase"
    if rule.severity not in SEVERITIES:
        yield f"has the severity {rule.severity!r}: one of {', '.join(SEVERITIES)} is wanted"
    if not rule.body.get("for"):
        yield "has no `for`"
    yield from (f"has no {name}" for name in ("summary", "description", "runbook_url") if not annotations.get(name))
    page = f"{kebab(rule.name)}.md"
    if annotations.get("runbook_url") != RUNBOOK_URL + page:
        yield f"does not link its runbook: {RUNBOOK_URL}{page}"
    if page not in runbooks:
        yield f"has no runbook docs/runbooks/{page}"


def case_faults(rule: Rule, cases: Sequence[Case], needed: frozenset[str]) -> Iterator[str]:
    """Whether a test lets this alert fire with its severity, and another shows over the same series that it does not."""
    mine = [case for case in cases if case.alert == rule.name]
    if not any(rule.severity in case.severities for case in mine):
        yield f"fires in no test with the severity {rule.severity!r}"
    if not any(rule.severity not in case.severities and case.series & needed for case in mine):
        yield "is quiet in no test that has its series"


def faults(rules: Sequence[Rule], cases: Sequence[Case], runbooks: Iterable[str]) -> list[str]:
    """Everything that is wrong, each with the alert or series and the file."""
    exposed, pages = exposed_series(), frozenset(runbooks)
    sources = {rule.name: rule for rule in rules if not rule.is_alert}
    recorded = frozenset(sources)
    found = []
    for rule in rules:
        wrong = list(expression_faults(rule.body["expr"], exposed, recorded))
        if rule.is_alert and not wrong:
            wrong += [*form_faults(rule, pages), *case_faults(rule, cases, _read_by(rule, sources))]
        elif not re.fullmatch(r"[a-z_]+:[a-zA-Z0-9_]+:[a-z0-9_]+", rule.name) and not rule.is_alert:
            wrong.append("is not named level:metric:operations")
        found += [f"{rule.file}: {rule.name} {each}" for each in wrong]
    alerts = {rule.name for rule in rules if rule.is_alert}
    found += [f"{case.file}: tests {case.alert}, which is no alert" for case in cases if case.alert not in alerts]
    found += [f"docs/runbooks/{page}: is the runbook of no alert" for page in sorted(pages - {f"{kebab(name)}.md" for name in alerts})]
    return found


def _read_by(rule: Rule, sources: Mapping[str, Rule]) -> frozenset[str]:
    """The series that workers expose and a rule reads, recorded series resolved."""
    names = {str(selector.name) for selector in selectors(rule.body["expr"])}
    resolved = [_read_by(sources[name], sources) if name in sources else frozenset({name}) for name in names]
    return frozenset().union(*resolved)


# -- the same rules, faster --------------------------------------------------------------------------------------------------------------

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = r"(\d+)(ms|s|m|h|d)"


def scaled(text: str, divisor: int) -> str:
    """A rule file or an Alertmanager config with every duration divided by `divisor`: `for`, ranges, offsets, waits and intervals, and the
    thresholds that a series of seconds is compared with. What a rule says is the same; only its clock runs faster."""
    document = yaml.safe_load(text)
    return yaml.safe_dump(_scaled(document, divisor), sort_keys=False, width=1_000)


def _scaled(node: Any, divisor: int, key: str = "") -> Any:
    if isinstance(node, dict):
        return {name: _scaled(value, divisor, name) for name, value in node.items()}
    if isinstance(node, list):
        return [_scaled(value, divisor, key) for value in node]
    if isinstance(node, str) and key == "expr":
        return _faster(node, divisor)
    if isinstance(node, str) and key not in ("record", "expr") and re.fullmatch(DURATION, node):
        return _divided(node, divisor)
    return node


def _faster(expression: str, divisor: int) -> str:
    ranges = re.sub(rf"\[{DURATION}\]", lambda found: f"[{_divided(found[0][1:-1], divisor)}]", expression)
    offsets = re.sub(rf"(?<=offset ){DURATION}", lambda found: _divided(found[0], divisor), ranges)
    seconds = r"(_seconds(?::[a-z]+)?(?:\{[^}]*\})?\)* [<>]=? )(\d+)\b(?! \*)"
    return re.sub(seconds, lambda found: f"{found[1]}{int(found[2]) / divisor:g}", offsets)


def _divided(duration: str, divisor: int) -> str:
    number, unit = re.fullmatch(DURATION, duration).groups()  # type: ignore[union-attr]
    return f"{max(1, int(number) * UNITS[unit] // divisor)}ms"
