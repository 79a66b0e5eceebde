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
from services.cli.demo.carried import Carried
from services.cli.demo.count import STEPS, Recorded, Tasks, Totals, problems, workflow_problems
from services.cli.demo.plan import Plan, Planner, pages
from services.cli.demo.run import _percentile
from services.cli.demo.setup import registrations
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
    assert all((each.expected is OutcomeKind.REJECTED) == (each.fault is not None) for each in plan.all())
    shown = next(each for each in plan.records if each.command.aggregate_id == plan.shown_request and each.fault is None)
    assert json.loads(shown.command.record.value)["category"] == "refund"
    assert shown.command.tenant_id == plan.shown_tenant


def test_the_same_seed_gives_the_same_cases_with_new_ids() -> None:
    first, second = plan_of(50, seed=7), plan_of(50, seed=7)
    assert [each.command.type_name for each in first.records] == [each.command.type_name for each in second.records]
    assert not set(first.commands()) & set(second.commands())
    messages = [json.loads(each.command.record.value).get("message") for each in first.records]
    assert messages == [json.loads(each.command.record.value).get("message") for each in second.records]
    assert messages != [json.loads(each.command.record.value).get("message") for each in plan_of(50, seed=8).records]


def test_the_domain_answers_as_the_plan_expects() -> None:
    """Every command of the plan, through the real decisions, in the plan's order."""
    commands = {type_.type_name: type_ for type_ in DECISIONS}
    states: dict[str, Request] = {}
    versions: Counter[str] = Counter()
    now = datetime.now(UTC)
    seen = set()
    for planned in plan_of(200).all():
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


def test_each_tenant_has_agents_of_each_kind_and_customers_of_its_own() -> None:
    made = list(registrations(SETTINGS))
    customers = [each.aggregate_id for each in made if each.context == "customers"]
    assert len(customers) == len(set(customers))
    for tenant in texts.TENANTS:
        payloads = [json.loads(each.record.value) for each in made if each.tenant_id == tenant]
        assert {each["kind"] for each in payloads if "kind" in each} == {"triage", "research", "resolution"}
        assert {each["tier"] for each in payloads if "tier" in each} >= {"standard", "premium", "enterprise"}
    used = {json.loads(each.command.record.value).get("customer_id") for each in plan_of(200).records if each.fault is None}
    assert used <= set(customers)


def test_pages_keep_order_and_lose_nothing() -> None:
    plan = plan_of(30)
    assert [each for page in pages(plan.records, 7) for each in page] == plan.records


def done(plan: Plan) -> tuple[Watch, Recorded, Totals]:
    """Everything as it should be after this plan."""
    watch = Watch(plan, published=len(plan.all()))
    recorded = Recorded()
    for position, ((aggregate_id, command_id), planned) in enumerate(plan.commands().items(), start=1):
        watch.outcomes[aggregate_id, command_id] = Outcome(planned.expected, None, planned.version, position, b"")
        if planned.expected is OutcomeKind.EVENTS:
            recorded.causes[command_id] += 1
            recorded.versions[aggregate_id] = 4
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
        tasks=Counter(),
        rejections_recorded=0,
        dead_letters=0,
        read_model_rows=0,
        rows_by_status=Counter(),
        host_killed=None,
        approval_granted=True,
    )
    return watch, recorded, totals


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
        ("otherwise", "otherwise than planned"),
    ],
)
def test_each_sum_that_does_not_match_is_a_sentence(fault: str, sentence: str) -> None:
    plan = plan_of(40)
    watch, recorded, totals = done(plan)
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
        case "otherwise":
            watch.outcomes[with_events] = watch.outcomes[with_events]._replace(kind=OutcomeKind.UNCHANGED)
    assert any(sentence in problem for problem in problems(plan, watch, recorded, totals))


def carried(plan: Plan) -> tuple[Recorded, Tasks, dict[str, tuple[int, str]], Totals]:
    """What a fleet should make of this plan: everything completed."""
    _, recorded, totals = done(plan)
    tasks = Tasks()
    for request_id in plan.requests:
        tasks.succeeded[request_id] = STEPS
        tasks.ends.update(f"{request_id}-{step}" for step in range(STEPS))
    rows = {request_id: (version, "completed") for request_id, version in recorded.versions.items()}
    return recorded, tasks, rows, totals


def test_a_workflow_that_matches_has_no_problem() -> None:
    plan = plan_of(10)
    assert workflow_problems(plan, *carried(plan)) == []


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("lost", "not those that were published"),
        ("row behind", "the read model does not show"),
        ("standing", "neither ended nor wait"),
        ("open task", "no end, or more than one"),
        ("task ended twice", "no end, or more than one"),
        ("step left out", "without 3 tasks that ended well"),
        ("not approved", "whose approval was granted"),
    ],
)
def test_each_sum_of_the_workflow_that_does_not_match_is_a_sentence(fault: str, sentence: str) -> None:
    plan = plan_of(10)
    recorded, tasks, rows, totals = carried(plan)
    one = plan.requests[1]
    match fault:
        case "lost":
            del recorded.versions[one]
        case "row behind":
            rows[one] = (3, "completed")
        case "standing":
            rows[one] = (4, "in_progress")
        case "open task":
            tasks.ends[f"{one}-0"] = 0
        case "task ended twice":
            tasks.ends[f"{one}-0"] = 2
        case "step left out":
            tasks.succeeded[one] -= 1
        case "not approved":
            totals.approval_granted = False
    assert any(sentence in problem for problem in workflow_problems(plan, recorded, tasks, rows, totals))


def test_a_request_is_at_rest_when_it_has_ended_or_waits_for_a_person() -> None:
    seen = Carried({"a": "completed", "b": "awaiting_approval", "c": "in_progress", "d": "failed"})
    assert seen.at_rest() == 3
    assert seen.count()["completed"] == 1


def test_a_request_counts_from_its_first_publication() -> None:
    plan = plan_of(5)
    watch = Watch(plan)
    watch.note_published(plan.records, 10.0)
    watch.note_published(plan.late, 12.0)
    assert watch.published == len(plan.all())
    assert {watch.request_published_at(each) for each in plan.requests} == {10.0}
    assert watch.request_published_at("req-unknown") is None


def test_percentiles() -> None:
    assert _percentile([], 0.5) is None
    assert _percentile([0.001, 0.002, 0.003], 0.5) == 2.0
    assert _percentile([0.001, 0.002], 0.99) == 2.0
