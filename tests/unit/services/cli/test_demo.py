"""The demo's plan holds what it promises, and its sums find what does not match."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from contracts.errors import DomainError
from contracts.requests.commands import CreateRequest
from contracts.requests.values import Category
from infra.event_store.base import Outcome, OutcomeKind
from infra.runtime.base import DecisionContext
from infra.runtime.decode import Incoming, decode_record
from infra.settings import load_settings
from services.cli.demo import texts
from services.cli.demo.count import Recorded, Totals, problems
from services.cli.demo.plan import Plan, Planner, pages
from services.cli.demo.run import _percentile
from services.cli.demo.watch import Watch
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS
from tests.unit.services.cli.records import Record

SETTINGS = load_settings()
FAULTS = {
    "script in the message", "customer id of another form", "request that does not exist", "request that exists already",
    "request in another state", "request of another tenant", "unknown type",
}  # fmt: skip


def plan_of(requests: int, seed: int = 1) -> Plan:
    return Planner(SETTINGS, seed).plan(requests)


@pytest.mark.parametrize("requests", [1, 2, 20, 300])
def test_a_plan_holds_every_request_every_fault_and_some_duplicates(requests: int) -> None:
    plan = plan_of(requests)
    creates = [each for each in plan.commands().values() if each.command.type_name == CreateRequest.type_name and each.fault is None]
    assert len(creates) == len(set(plan.requests)) == requests
    assert set(plan.faults()) == FAULTS
    assert plan.duplicates() >= 1
    assert all((each.expected is OutcomeKind.REJECTED) == (each.fault is not None) for each in plan.records)


def test_the_same_seed_gives_the_same_cases_with_new_ids() -> None:
    first, second = plan_of(50, seed=7), plan_of(50, seed=7)
    assert [each.command.type_name for each in first.records] == [each.command.type_name for each in second.records]
    assert not set(first.commands()) & set(second.commands())
    assert [each.command.type_name for each in plan_of(50, seed=8).records] != [each.command.type_name for each in first.records]


def test_the_domain_answers_as_the_plan_expects() -> None:
    """Every command of the plan, through the real decisions, in the plan's order."""
    commands = {type_.type_name: type_ for type_ in DECISIONS}
    states: dict[str, Request] = {}
    versions: Counter[str] = Counter()
    now = datetime.now(UTC)
    seen = set()
    for planned in plan_of(200).records:
        command = planned.command
        if command.command_id in seen:
            continue
        seen.add(command.command_id)
        item = decode_record(Record(command.record), commands)
        assert isinstance(item, Incoming)
        kind = OutcomeKind.REJECTED
        if item.command is not None:
            context = DecisionContext(now, now, item.tenant_id, "user", "me", command.command_id)
            try:
                events = DECISIONS[type(item.command)](states.get(command.aggregate_id), item.command, context)
            except DomainError:
                kind = OutcomeKind.REJECTED
            else:
                kind = OutcomeKind.EVENTS if events else OutcomeKind.UNCHANGED
                for event in events:
                    states[command.aggregate_id] = evolve(states.get(command.aggregate_id), event)
                versions[command.aggregate_id] += len(events)
        assert kind is planned.expected
        if kind is OutcomeKind.EVENTS:
            assert versions[command.aggregate_id] == planned.version


@pytest.mark.parametrize("category", list(Category))
def test_every_text_is_a_message_that_customers_may_send(category: Category) -> None:
    gaps = {"month": "May", "product": "the API", "plan": "Team", "amount": 20, "number": "2026-10000", "day": 4, "code": 500, "seconds": 5}
    for text in texts.CASES[category]:
        fields = {"tenant_id": "acme", "request_id": "req-1", "customer_id": "cust-0042", "message": text.format(**gaps)}
        assert CreateRequest.from_json(json.dumps(fields).encode()).message == fields["message"]
    assert len(texts.ANSWERS[category]) >= 2


def test_pages_keep_order_and_lose_nothing() -> None:
    plan = plan_of(30)
    assert [each for page in pages(plan, 7) for each in page] == plan.records


def done(plan: Plan) -> tuple[Watch, Recorded, Totals, dict[str, int]]:
    """Everything as it should be after this plan."""
    watch = Watch(plan, published=len(plan.records))
    recorded = Recorded()
    for position, ((aggregate_id, command_id), planned) in enumerate(plan.commands().items(), start=1):
        watch.outcomes[aggregate_id, command_id] = Outcome(planned.expected, None, planned.version, position, b"")
        if planned.expected is OutcomeKind.EVENTS:
            recorded.causes[command_id] += 1
            recorded.versions[aggregate_id] = max(planned.version, recorded.versions.get(aggregate_id, 0))
        elif planned.expected is OutcomeKind.REJECTED:
            recorded.rejections[command_id] += 1
    totals = Totals(
        published=watch.published,
        commands=len(plan.commands()),
        duplicates_sent=plan.duplicates(),
        duplicates_absorbed=None,
        outcomes=Counter(),
        rejected_by_code=Counter(),
        events=Counter(),
        rejections_recorded=0,
        dead_letters=0,
        read_model_rows=0,
        rows_by_status=Counter(),
    )
    return watch, recorded, totals, dict(recorded.versions)


def test_sums_that_match_have_no_problem() -> None:
    plan = plan_of(40)
    assert problems(plan, *done(plan)) == []


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("lost", "records published, but"),
        ("twice", "applied more than once"),
        ("without event", "not those that have events"),
        ("rejected twice", "rejected more than once"),
        ("no rejection", "not those that have a rejection"),
        ("parked", "were parked"),
        ("row behind", "the read model does not show"),
        ("otherwise", "otherwise than planned"),
    ],
)
def test_each_sum_that_does_not_match_is_a_sentence(fault: str, sentence: str) -> None:
    plan = plan_of(40)
    watch, recorded, totals, rows = done(plan)
    with_events = next(pair for pair, planned in plan.commands().items() if planned.expected is OutcomeKind.EVENTS)
    rejected = next(pair for pair, planned in plan.commands().items() if planned.expected is OutcomeKind.REJECTED)
    match fault:
        case "lost":
            del watch.outcomes[next(pair for pair, each in plan.commands().items() if each.expected is OutcomeKind.REJECTED)]
        case "twice":
            recorded.causes[with_events[1]] += 1
        case "without event":
            del recorded.causes[with_events[1]]
        case "rejected twice":
            recorded.rejections[rejected[1]] += 1
        case "no rejection":
            del recorded.rejections[rejected[1]]
        case "parked":
            totals.dead_letters = 2
        case "row behind":
            rows[with_events[0]] -= 1
        case "otherwise":
            watch.outcomes[with_events] = watch.outcomes[with_events]._replace(kind=OutcomeKind.UNCHANGED)
    assert any(sentence in problem for problem in problems(plan, watch, recorded, totals, rows))


def test_latency_is_from_publishing_to_showing() -> None:
    plan = plan_of(5)
    watch = Watch(plan)
    page = [each for each in plan.records if each.command.aggregate_id == plan.shown_request and each.fault is None][:4]
    watch.note_published(page, 10.0)
    assert watch.not_shown() == [plan.shown_request]
    watch.note_shown({plan.shown_request: 2}, 10.5)
    watch.note_published(page[:1], 11.0)
    watch.note_shown({plan.shown_request: 4}, 12.0)
    assert sorted(watch.latencies) == [0.5, 0.5, 2.0, 2.0]
    assert watch.not_shown() == []


def test_percentiles() -> None:
    assert _percentile([], 0.5) is None
    assert _percentile([0.001, 0.002, 0.003], 0.5) == 2.0
    assert _percentile([0.001, 0.002], 0.99) == 2.0
