"""The gateway's application in the test's own process: real routes, real tokens, and ports that the test fills."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx2
from fastapi import APIRouter

from contracts.fleet import HostHeartbeat
from contracts.rejections import CommandRejected
from infra.cache.cached import CacheAside
from infra.cache.memory import InMemoryCache
from infra.cache.settings import CacheSettings
from infra.commands.base import OutgoingCommand
from infra.dead_letters.base import LetterDetail, ParkedFilter, ParkedItem
from infra.event_store.base import Outcome, OutcomeKind, payload_hash
from infra.fleet.base import WorkerNow
from infra.identity.accounts_memory import InMemoryAccounts
from infra.identity.base import Principal
from infra.identity.directory import AccountDirectory
from infra.identity.permissions import permits
from infra.identity.tokens import TokenIssuer
from infra.models.base import RecordedCall
from infra.positions.base import Followed, ReadModelState
from infra.rate_limit.base import Limit
from infra.rate_limit.memory import InMemoryRateLimiter
from infra.rebuild_orders.base import NewOrder, OrderState, RebuildOrder
from infra.telemetry.context import bind
from infra.telemetry.metrics import Metrics
from projections.requests.queries import RequestView
from services.gateway.access import Access, ApiKeys
from services.gateway.app import build_app
from services.gateway.cached_reads import CachedReads
from services.gateway.console.console import Around, Console
from services.gateway.console.people import People
from services.gateway.edge import Edge
from services.gateway.limits import RateLimits, TenantLimits
from services.gateway.operators import OPEN_IN, Operators
from services.gateway.orders import Orders
from services.gateway.resources.base import Parts
from services.gateway.settings import GatewaySettings
from services.gateway.token_route import TokenRoute
from services.gateway.worker import ROUTES, SHOWN_VERSIONS
from tests.conformance.accounts import World

KEY = "a-key-for-tests-that-is-long-enough"
BASE = "https://mesh.example"
TRACES = "https://traces.example/trace/{trace_id}"
TENANT = "test-tenant"
OWN, OTHERS = "cust-0042", "cust-0099"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ISSUER = TokenIssuer(KEY, issuer="agentmesh", audience="agentmesh-api")
CREATE = {"customer_id": OWN, "message": "My invoice of May is wrong"}


def principal(role: str = "admin", tenant: str = TENANT, customer: str | None = OWN) -> Principal:
    return Principal(f"{role}-1", tenant, role, customer if role == "customer" else None)


def bearer(role: str = "admin", tenant: str = TENANT, customer: str | None = OWN) -> dict[str, str]:
    return {"Authorization": f"Bearer {ISSUER.issue(principal(role, tenant, customer), datetime.now(UTC))}"}


def view(request_id: str = "req-1", **changes: Any) -> RequestView:
    values = {
        "request_id": request_id,
        "tenant_id": TENANT,
        "customer_id": OWN,
        "thread_id": "thread-1",
        "message": "My invoice of May is wrong",
        "priority": 2,
        "category": "billing",
        "status": "pending",
        "confidence": None,
        "escalated": False,
        "escalation_reasons": (),
        "financial_impact": None,
        "approval_threshold": None,
        "approved_by": None,
        "resolution": None,
        "reason": None,
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "completed_at": None,
        "version": 1,
        "position": 7,
    }
    return RequestView(**{**values, **changes})


def row(found: RequestView) -> tuple[Any, ...]:
    """A view as the database answers it."""
    names = [name for name in RequestView.model_fields if name not in ("decisions", "history")]
    values = {name: getattr(found, name) for name in names} | {"escalation_reasons": None, "metadata": "{}"}
    return tuple(values[name] for name in names)


@dataclass
class Reads:
    """A read model that holds these requests; remembers what it was asked."""

    views: dict[str, RequestView] = field(default_factory=dict)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    canned: dict[bytes, Sequence[Sequence[Any]]] = field(default_factory=dict)
    """Rows of other read models: what is answered to a query that holds this text."""
    queries: list[bytes] = field(default_factory=list)

    def of(self, tenant_id: str) -> Reads:
        return self

    def put(self, found: RequestView) -> None:
        self.views[found.request_id] = found

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float = 30.0) -> Sequence[Sequence[Any]]:
        self.asked.append(parameters)
        if self.error is not None:
            raise self.error
        self.queries.append(query)
        for text, rows in self.canned.items():
            if text in query:
                return rows
        if b"request_history" in query:
            return []
        mine = [each for each in self.views.values() if each.tenant_id == parameters["tenant" if "tenant" in parameters else "tenant_id"]]
        if "id" in parameters:
            return [row(each) for each in mine if each.request_id == parameters["id"]]
        wanted = {name: parameters[name] for name in ("customer_id", "status") if name in parameters}
        found = [each for each in mine if all(getattr(each, name) == value for name, value in wanted.items())]
        if b"<> 'deleted'" in query:
            found = [each for each in found if each.status != "deleted"]
        found.sort(key=lambda each: (each.created_at, each.request_id), reverse=True)
        if "after_time" in parameters:
            after = (parameters["after_time"], parameters["after_id"])
            found = [each for each in found if (each.created_at, each.request_id) < after]
        return [row(each) for each in found[: parameters["limit"]]]


@dataclass
class TenantSettings:
    """A read model of tenants that holds their limits; remembers whom it was asked for, or is away."""

    limits: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: Exception | None = None

    def of(self, tenant_id: str) -> TenantSettings:
        return self

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float = 30.0) -> Sequence[Sequence[Any]]:
        tenant_id = parameters["tenant"]
        self.asked.append(tenant_id)
        if self.error is not None:
            raise self.error
        if tenant_id not in self.limits:
            return []
        threshold = '{"amount": "1000.00", "currency": "USD"}'
        return [(tenant_id, "Acme", threshold, 72, False, "[]", self.limits[tenant_id], NOW, NOW, 1, 1)]


class Ticks:
    """Nanoseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000_000)


@dataclass
class Published:
    """A broker that takes everything, or fails as it is told to."""

    commands: list[OutgoingCommand] = field(default_factory=list)
    error: Exception | None = None
    then: Callable[[OutgoingCommand], None] = lambda _: None

    async def publish(self, command: OutgoingCommand) -> None:
        if self.error is not None:
            raise self.error
        self.commands.append(command)
        self.then(command)


@dataclass
class Recorded:
    """Outcomes that the test records; nothing is waited for."""

    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    rejections: dict[int, CommandRejected] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    shown: bool = True

    async def find(self, context: str, aggregate_id: str, command_id: str) -> Outcome | None:
        return self.outcomes.get((aggregate_id, command_id))

    async def wait(self, *arguments: Any) -> Any:
        if len(arguments) == 3:  # a read model's version
            return self.shown
        _, aggregate_id, command_id, _ = arguments
        return self.outcomes.get((aggregate_id, command_id))

    async def rejection(self, context: str, outcome: Outcome) -> CommandRejected | None:
        return self.rejections.get(outcome.position or 0)

    async def tenant_of(self, context: str, aggregate_id: str) -> str | None:
        return self.tenants.get(aggregate_id)


@dataclass
class Reached:
    """How far each read model is; remembers what was waited for."""

    positions: dict[Followed, int] = field(default_factory=dict)
    asked: list[tuple[Followed, int, str | None]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def reach(self, followed: Followed, position: int, aggregate_id: str | None, deadline: float) -> int:
        self.asked.append((followed, position, aggregate_id))
        self.seconds.append(deadline - time.monotonic())
        return self.positions.get(followed, 0)


@dataclass
class Letters:
    """Dead letters that the test puts, by tenant and context; remembers who marked what."""

    details: dict[tuple[str, str], list[LetterDetail]] = field(default_factory=dict)
    marks: list[tuple[str, str, list[int], str, str]] = field(default_factory=list)

    def of(self, tenant_id: str, context: str) -> LettersOf:
        return LettersOf(self, tenant_id, context)


@dataclass
class LettersOf:
    """Those of one tenant in one context."""

    kept: Letters
    tenant_id: str
    context: str

    @property
    def mine(self) -> list[LetterDetail]:
        return self.kept.details.get((self.tenant_id, self.context), [])

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        found = [each.item for each in self.mine if after < each.item.position <= (wanted.through or 2**63)]
        equal = {"aggregate_id": wanted.aggregate_id, "error_type": wanted.error_type}
        found = [each for each in found if all(value in (None, getattr(each, name)) for name, value in equal.items())]
        found = [each for each in found if each.error_type not in wanted.but]
        return [each for each in found if wanted.statuses is None or each.status in wanted.statuses][:limit]

    async def end(self) -> int:
        return 1_000

    async def detail(self, position: int) -> LetterDetail | None:
        return next((each for each in self.mine if each.item.position == position), None)

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        return self._become("requeued", [each for each in positions if self._status(each) == "parked"], who, why)

    async def discard(self, position: int, who: str, why: str) -> bool:
        waits = self._status(position) in ("parked", "requeued")
        return bool(waits and self._become("discarded", [position], who, why))

    def _status(self, position: int) -> str:
        return next(each.item.status for each in self.mine if each.item.position == position)

    def _become(self, status: str, positions: list[int], who: str, why: str) -> list[int]:
        self.kept.marks.append((self.tenant_id, status, positions, who, why))
        for place, each in enumerate(self.mine):
            if each.item.position in positions:
                self.mine[place] = each._replace(item=each.item._replace(status=status), marked_by=who, marked_reason=why)
        return positions


@dataclass
class States:
    """Read models that the test puts."""

    found: list[ReadModelState] = field(default_factory=list)
    error: Exception | None = None

    async def all(self) -> list[ReadModelState]:
        if self.error is not None:
            raise self.error
        return self.found


@dataclass
class Rebuilds:
    """Orders of rebuilds, of the read models that the test names."""

    names: set[str] = field(default_factory=lambda: {"requests", "tasks"})
    orders: dict[str, RebuildOrder] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    async def place(self, new: NewOrder) -> RebuildOrder | None:
        if new.read_model not in self.names:
            return None
        known = self.orders.get(self.keys.get(new.key or "", ""))
        found = known or next((each for each in self.orders.values() if each.read_model == new.read_model and not each.is_over), None)
        if found is None:
            place = (new.ordered_by, new.tenant_id, NOW, None, None, 0, None, 0, None, 0, None, None)
            found = self.orders[new.order_id] = RebuildOrder(new.order_id, new.read_model, OrderState.WAITING, *place)
        if new.key is not None:
            self.keys[new.key] = found.order_id
        return found

    async def find(self, read_model: str, order_id: str) -> RebuildOrder | None:
        found = self.orders.get(order_id)
        return found if found is not None and found.read_model == read_model else None

    async def latest(self) -> dict[str, RebuildOrder]:
        return {each.read_model: each for each in self.orders.values()}

    def become(self, order_id: str, **changes: Any) -> None:
        self.orders[order_id] = replace(self.orders[order_id], **changes)


@dataclass
class Fleet:
    """Workers and hosts that the test puts."""

    workers_now: list[WorkerNow] = field(default_factory=list)
    hosts_now: list[HostHeartbeat] = field(default_factory=list)
    error: Exception | None = None

    async def workers(self) -> list[WorkerNow]:
        return self.workers_now

    async def hosts(self) -> list[HostHeartbeat]:
        if self.error is not None:
            raise self.error
        return self.hosts_now


@dataclass
class ModelCalls:
    """Calls of models that the test puts."""

    calls: list[RecordedCall] = field(default_factory=list)

    async def of_tasks(self, tenant_id: str, task_ids: Sequence[str]) -> list[RecordedCall]:
        return self.calls


@dataclass
class Counts:
    """What the edge counted."""

    ended_calls: list[tuple[str, str, int]] = field(default_factory=list)
    active: int = 0
    refused: list[str] = field(default_factory=list)

    def began(self) -> None:
        self.active += 1

    def forbidden(self, permission: str) -> None:
        self.refused.append(permission)

    def limited(self, route_class: str) -> None:
        self.refused.append(route_class)

    def ended(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.active -= 1
        self.ended_calls.append((method, endpoint, status))


class Built(NamedTuple):
    """An application, and the parts that its routes hold on to."""

    held: tuple[Any, ...]
    routers: list[APIRouter]
    console: Console
    app: Edge


SPARES: list[Built] = []
"""Applications whose arena is gone. Building one takes longer than most tests, so the next arena takes it over, with state of its own."""


def _spare(parts: tuple[Any, ...]) -> Built | None:
    if not SPARES:
        return None
    spare = SPARES.pop()
    for held, part in zip(spare.held, parts, strict=True):
        held.__dict__ = part.__dict__  # one state from now on: nothing of the arena before is left
    return spare


class Arena:
    """One gateway. `settle` makes each published command end in an outcome, as its consumer would."""

    def __init__(self, calls_per_minute: int = 1_000_000, environment: str = "test", **changes: Any) -> None:
        self.settings = GatewaySettings(base_url=BASE, **changes)
        self.reads = Reads()
        self.published = Published()
        self.recorded = Recorded()
        self.counts = Counts()
        self.world = World(InMemoryAccounts())
        self.clock = Ticks()
        self.tenants = TenantSettings()
        tenant_limits = TenantLimits(self.tenants, Limit(calls_per_minute, 60), self.settings.tenant_limit_seconds)
        limits = RateLimits(InMemoryRateLimiter(clock=self.clock), tenant_limits)
        self.access = Access(ISSUER, ApiKeys(self.world.sign_in, self.settings.api_key_seconds), permits, limits)
        orders = Orders(self.published, self.recorded, dict.fromkeys(SHOWN_VERSIONS, self.recorded))
        # Keeps nothing, so that what a test puts into the rows is what the next call shows.
        cached = CachedReads(CacheAside(InMemoryCache(max_entries=0), Metrics(), CacheSettings()), self.reads)
        self.reached = Reached()
        self.letters = Letters()
        self.states = States()
        self.rebuilds = Rebuilds()
        operators = Operators(self.settings.operator_tenants, environment)
        self.fleet = Fleet()
        self.calls = ModelCalls()
        people = People(AccountDirectory(self.world.accounts.users), permits, others=environment in OPEN_IN)
        held = (
            self.reads,
            self.published,
            self.recorded,
            self.counts,
            self.world.sign_in,
            self.reached,
            self.letters,
            self.states,
            self.rebuilds,
            self.fleet,
            self.calls,
            people,
        )
        mine = (*held, self.access, limits, orders, cached)
        spare = None if changes or environment != "test" else _spare(mine)
        if spare is None:
            parts = Parts(
                self.settings, self.access, self.reads, orders, cached, self.reached, self.letters, self.states, self.rebuilds, operators
            )
            routers = [routes(parts).router() for routes in ROUTES]
            token = TokenRoute(self.world.sign_in, ISSUER, limits).router()
            around = Around(self.world.sign_in, ISSUER, limits, people, self.fleet, self.calls, TRACES, environment, "1.0.0")
            console = Console(parts, around)
            spare = Built(mine, routers, console, build_app([token, *routers], self.settings, self.counts, bind, pages=console))
        self.routers = spare.routers
        self.console = spare.console
        self.app: Edge = spare.app
        if not changes and environment == "test":
            weakref.finalize(self, SPARES.append, spare)

    def settle(self, kind: OutcomeKind = OutcomeKind.EVENTS, shows: RequestView | None = None, **rejected: Any) -> None:
        """What becomes of each command from now on."""

        def then(command: OutgoingCommand) -> None:
            pair = (command.aggregate_id, command.metadata.message_id)
            code = rejected.get("code")
            self.recorded.outcomes[pair] = Outcome(kind, code, 1, 7, payload_hash(command.value))
            if rejected:
                self.recorded.rejections[7] = CommandRejected(
                    tenant_id=TENANT,
                    aggregate_id=command.aggregate_id,
                    command_id=pair[1],
                    command_type=command.metadata.type_name,
                    **rejected,
                )
            if shows is not None:
                self.reads.put(shows.model_copy(update={"request_id": command.aggregate_id}))

        self.published.then = then

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of this gateway."""
        transport = httpx2.ASGITransport(app=self.app)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://caller.example") as client:
            yield client

    async def call(
        self, method: str, path: str, *, role: str | None = "admin", headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        """One call; `role` None sends no token."""
        signed = {} if role is None else bearer(role)
        async with self.client() as client:
            return await client.request(method, path, headers={**signed, **(headers or {})}, **more)
