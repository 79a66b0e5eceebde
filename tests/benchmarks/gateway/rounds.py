"""The rounds of the gateway's load benchmark: the whole fleet and a gateway in one arena, calls at rising rates, then many clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any

import httpx2

from contracts.topics import TopicSpec
from infra.identity.base import Principal
from infra.identity.settings import TokenSettings, token_issuer
from infra.kafka.topics import create_topics
from infra.local_stack.ports import free_port
from services.cli.fleet import GATEWAY
from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.children import Child
from tests.benchmarks.gateway.attack import Attack, Call, attack
from tests.benchmarks.gateway.crowd import Crowd, crowd
from tests.benchmarks.measure import rss_mib, used
from tests.benchmarks.pipelines import wait_ready
from tests.benchmarks.workflow.cases import TENANT
from tests.benchmarks.workflow.contenders import Product

KEY = "the-key-of-the-benchmark-of-the-gateway"
REQUESTS = "/api/v1/requests"
FLOOR = TopicSpec("floor", 12, 3_600_000, "delete")
KNOWN = 200
DRAIN_SECONDS = 240.0
# A gateway keeps a tenant's limit for ten seconds.
LIMIT_SECONDS = 11.0
CLIENTS, CLIENT_SECONDS, CLIENT_PAUSE = 1_000, 15.0, 5.0
OPEN = b"SELECT count(*) FROM read_requests.requests WHERE status IN ('pending', 'triaged', 'in_progress', 'approved')"

Say = Callable[[str], None]


@dataclass(slots=True)
class GatewayLoad:
    """What was measured: attacks by what was called, the fate of what was answered 202, many clients, CPU by process."""

    attacks: dict[str, list[Attack]] = field(default_factory=dict)
    accepted: int = 0
    lost: int = 0
    crowd: Crowd | None = None
    cpu_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """CPU milliseconds a call of each process, at the middle rate of each kind of call."""


class LoadedGateway:
    """The whole fleet with a gateway, and the floor beside it."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.fleet = Product(arena)
        self.url = f"http://127.0.0.1:{free_port(set())}"
        self.floor_url = f"http://127.0.0.1:{free_port(set())}"
        issuer = token_issuer(TokenSettings(secret_key=KEY))
        token = issuer.issue(Principal("bench", TENANT, "admin", None), datetime.now(UTC), timedelta(hours=2))
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.gateway: Child | None = None

    def start(self) -> None:
        """Start all, raise the tenant's limit as its admin would, and make the requests that are read."""
        self.fleet.start()
        port = self.url.rpartition(":")[2]
        variables = {"JWT_SECRET_KEY": KEY, "AGENTMESH_GATEWAY_PORT": port}
        self.gateway = self.fleet.launch(GATEWAY, "tests.benchmarks.workflow.process", GATEWAY, GATEWAY, **variables)
        self.gateway.drain()
        wait_ready(self.arena, self.gateway)
        asyncio.run(create_topics(self.arena.bootstrap, [FLOOR], self.arena.prefix))
        topic, floor_port = self.arena.prefix + FLOOR.name, self.floor_url.rpartition(":")[2]
        floor = self.fleet.launch("floor", "tests.benchmarks.gateway.floor", self.arena.bootstrap, topic, floor_port)
        floor.hear()
        self._call("POST", "/api/v1/tenants", {"name": "Bench", "settings": {"requests_per_minute": 1_000_000}}, 201)
        time.sleep(LIMIT_SECONDS)

    def known(self, count: int) -> list[str]:
        """The ids of requests that are shown."""
        made = [self._call("POST", REQUESTS, body(number), 201)["request_id"] for number in range(count)]
        return [str(each) for each in made]

    def _call(self, method: str, path: str, content: dict[str, Any], status: int) -> Any:
        headers = {**self.headers, "Prefer": "wait=10"}
        answer = httpx2.request(method, self.url + path, json=content, headers=headers, timeout=60)
        if answer.status_code != status:
            raise RuntimeError(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def drained(self) -> None:
        """Wait until no request is in work."""
        deadline = time.monotonic() + DRAIN_SECONDS
        with self.arena.connect() as connection:
            while time.monotonic() < deadline:
                row = connection.execute(OPEN).fetchone()
                if row is not None and row[0] == 0:
                    return
                time.sleep(0.5)

    def lost(self, answers: list[dict[str, Any]]) -> int:
        """How many of the commands that were answered with 202 have no outcome in the event store."""
        pairs = {(each["request_id"], each["command_id"]) for each in answers if "command_id" in each}
        deadline = time.monotonic() + DRAIN_SECONDS
        with self.arena.connect() as connection:
            while True:
                rows = connection.execute("SELECT aggregate_id, command_id FROM requests.inbox").fetchall()
                missing = len(pairs - {(str(row[0]), str(row[1])) for row in rows})
                if not missing or time.monotonic() > deadline:
                    return missing
                time.sleep(0.5)


def body(number: int) -> dict[str, Any]:
    """The body of a request that nothing is wrong with."""
    return {
        "customer_id": f"cust-{number % 100:04d}",
        "message": f"I forgot my password and cannot sign in, case {number}",
        "category": "account",
    }


def posts(url: str, path: str, headers: dict[str, str], count: int, **more: str) -> Iterator[Call]:
    """Calls that create requests."""
    return (Call("POST", url + path, {**headers, **more}, json.dumps(body(number)).encode()) for number in range(count))


def gateway_load(servers: Servers, say: Say, rates: list[int], waiting_rates: list[int], seconds: float) -> GatewayLoad:
    """The whole benchmark on one set of servers."""
    found = GatewayLoad()
    with Arena(servers, "gateway") as arena:
        loaded = LoadedGateway(arena)
        loaded.start()
        ids = loaded.known(KNOWN)
        loaded.drained()
        _attack(loaded, found, say, "floor: produce only", rates, seconds, lambda n: posts(loaded.floor_url, "/floor", loaded.headers, n))
        reads = [Call("GET", f"{loaded.url}{REQUESTS}/{each}", loaded.headers) for each in ids]
        _attack(loaded, found, say, "GET one request", rates, seconds, lambda n: islice(cycle(reads), n))
        pages = [Call("GET", f"{loaded.url}{REQUESTS}?limit=20", loaded.headers)]
        _attack(loaded, found, say, "GET a page of 20", rates[: len(rates) // 2], seconds, lambda n: islice(cycle(pages), n))
        at_once = {"Prefer": "wait=0"}
        _attack(loaded, found, say, "POST wait=0", rates, seconds, lambda n: posts(loaded.url, REQUESTS, loaded.headers, n, **at_once))
        _attack(loaded, found, say, "POST, default wait", waiting_rates, seconds, lambda n: posts(loaded.url, REQUESTS, loaded.headers, n))
        found.crowd = _crowd(loaded, ids[0], say)
    return found


def _attack(
    loaded: LoadedGateway, found: GatewayLoad, say: Say, name: str, rates: list[int], seconds: float, calls: Callable[[int], Iterator[Call]]
) -> None:
    kept = name.startswith("POST")
    for rate in rates:
        before = loaded.arena.meter.snapshot()
        count = int(rate * seconds)
        done = attack(loaded.arena.folder, f"{len(found.attacks)}-{rate}", calls(count), rate, seconds, keep_answers=kept)
        loaded.arena.children.check()
        spent = used(before, loaded.arena.meter.snapshot())
        found.cpu_ms[f"{name} at {rate}"] = {process: value * 1e3 / count for process, value in spent.items()}
        say(f"{name}: {rate}/s p95 {done.at(0.95):,.1f} ms, {dict(done.statuses)}")
        found.attacks.setdefault(name, []).append(done)
        accepted = [each for each in done.answers if "command_id" in each]
        found.accepted += len(accepted)
        found.lost += loaded.lost(accepted) if accepted else 0
        done.answers.clear()
        if kept:
            loaded.drained()


def _crowd(loaded: LoadedGateway, request_id: str, say: Say) -> Crowd:
    assert loaded.gateway is not None
    idle = rss_mib(loaded.gateway.pid)
    headers = {"Authorization": loaded.headers["Authorization"]}
    path = f"{REQUESTS}/{request_id}"
    found = asyncio.run(crowd(loaded.url, path, headers, clients=CLIENTS, seconds=CLIENT_SECONDS, pause=CLIENT_PAUSE))
    found.idle_memory_mib, found.memory_mib = idle, rss_mib(loaded.gateway.pid)
    say(f"{CLIENTS} clients: {found.calls} calls, {found.failures} failures, {found.memory_mib:.0f} MiB")
    return found
