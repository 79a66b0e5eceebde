"""The panel proof: a fleet of processes under a load of everything, scraped by a real Prometheus, and no panel is empty or fails.

AGENTMESH_CHAOS=long runs one process a worker for some minutes. AGENTMESH_PANEL_RESULTS=FILE keeps the answers for tests/panel_pictures.py.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from psycopg import sql

from infra.local_stack import Endpoints
from infra.local_stack.ports import free_port
from infra.settings import MeshSettings
from services.cli.fleet import DEFAULT_FLEET
from tests.chaos.fleet import Fleet
from tests.integration.dashboards.load import LIMITED, TENANTS, Load
from tests.integration.dashboards.panel_fleet import MARKER
from tests.integration.gateway.conftest import KEY, MANY, Caller
from tests.mesh import Mesh, wait_for
from tests.model_endpoint import ModelEndpoint, model_endpoint
from tests.panel_queries import PanelQuery, annotations, documents, of_rules, of_runbooks, queries, variables
from tests.panel_results import Judge, Result, Shown, faults, summary, write
from tests.prometheus_server import Target, needs, prometheus
from tests.proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(900), needs("prometheus")]
ROOT = Path(__file__).resolve().parents[3]
LONG = os.environ.get("AGENTMESH_CHAOS") == "long"
RULES = sorted((ROOT / "infra" / "prometheus" / "rules").glob("*.y*ml"))
MEMBERS = {member.name: member.arguments for member in DEFAULT_FLEET}
APART = ("gateway",)
EACH = {f"{name}-1": arguments for name, arguments in MEMBERS.items()}
# What follows `projections` would name read models, so it comes last.
TOGETHER = [each for name, arguments in MEMBERS.items() if name not in (*APART, "projections") for each in arguments] + ["projections"]
FEW = {"core-1": tuple(TOGETHER), **{f"{name}-1": MEMBERS[name] for name in APART}}
PROCESSES = EACH if LONG else FEW
# Besides the load of everything, how long the usual one lasts.
SECONDS, GAP = (240.0, 0.35) if LONG else (0.0, 0.0)
QUICK = {
    "AGENTMESH_PARTITIONS": "3",
    "AGENTMESH_POOL_MIN_SIZE": "1",
    "AGENTMESH_OUTAGE_PATIENCE_SECONDS": "0",
    "AGENTMESH_GATEWAY_TENANT_LIMIT_SECONDS": "0.2",
    "AGENTMESH_RATE_LIMIT_REQUESTS": MANY,
    "AGENTMESH_MODEL_NAME": "gpt-4o-mini",
    "AGENTMESH_MODEL_TIMEOUT_SECONDS": "5",
    # Sampled traces, so that histograms carry exemplars; nobody takes the spans, which is a fault that operators see, too.
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "AGENTMESH_TRACE_SAMPLE_RATIO": "0.5",
    "AGENTMESH_MONITOR_INTERVAL_SECONDS": "1",
    "AGENTMESH_CACHE_OPERATION_SECONDS": "0.2",
}


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint() as server:
        yield server


@pytest.fixture
async def redis(endpoints: Endpoints) -> AsyncIterator[Proxy]:
    """What stands between the fleet and Redis."""
    parts = urlsplit(endpoints.redis_url)
    async with Proxy(parts.hostname or "127.0.0.1", parts.port or 6379) as proxy:
        yield proxy


@pytest.fixture
def observer(mesh_settings: MeshSettings, endpoints: Endpoints) -> Iterator[psycopg.Connection[Any]]:
    """Grafana's own login: a member of the observer's role, read-only."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(16)
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as admin:
        made = "CREATE ROLE {} LOGIN PASSWORD {} IN ROLE agentmesh_observer"
        admin.execute(sql.SQL(made).format(sql.Identifier(name), sql.Literal(password)))
        parts = urlsplit(mesh_settings.postgres_dsn)
        dsn = parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
        with psycopg.connect(dsn, autocommit=True, options="-c default_transaction_read_only=on -c statement_timeout=10s") as connection:
            yield connection
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def environment(mesh_environment: dict[str, str], endpoint: ModelEndpoint, redis: Proxy, tmp_path: Path) -> dict[str, str]:
    """What the processes of the fleet are told."""
    return {
        **mesh_environment,
        **QUICK,
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
        "JWT_SECRET_KEY": KEY,
        "AGENTMESH_GATEWAY_PORT": str(free_port(set())),
        "AGENTMESH_MODEL_URL": endpoint.url,
        MARKER: str(tmp_path / "mended"),
    }


async def serving(fleet: Fleet) -> bool:
    """Whether each process has said where it is scraped, which it does before it is ready."""
    return all(fleet.serves(name) for name in PROCESSES)


def targets(fleet: Fleet) -> list[Target]:
    """What Prometheus scrapes: each process by its place in the fleet."""
    found = []
    for name in PROCESSES:
        worker, _, replica = name.rpartition("-")
        found.append(Target(f"127.0.0.1:{fleet.port(name)}", worker, replica))
    return found


async def under_load(load: Load) -> None:
    """The whole of it, and in the long form what is usual before and after, as pictures tell most."""
    await load.prepare()
    try:
        if SECONDS:
            await load.usual(SECONDS / 2, GAP)
        await asyncio.gather(load.usual(SECONDS / 4, GAP), load.faults(), load.approval(wait=True), load.limited())
        await load.redis_away()
        if SECONDS:
            await load.usual(SECONDS / 4, GAP)
    finally:
        await load.close()


@dataclass(frozen=True)
class Looked:
    """What a person sees who opens every dashboard."""

    panels: list[Result]
    choices: list[Result]
    marks: list[Result]
    beside: list[Result]
    """What rules evaluate and runbooks ask."""
    planted: list[Result]
    without_traces: list[str]
    """Panels that should lead to traces, and do not."""


PLANTED = (
    ("unknown metric", "promql", "sum(agentmesh_no_such_metric)"),
    ("broken expression", "promql", "sum(rate(http_requests_total))"),
    ("only NaN", "promql", "0 * vector(NaN)"),
    ("no rows", "sql", "SELECT 1 WHERE false"),
    ("not for observers", "sql", "SELECT message FROM read_requests.requests"),
)


def look(judge: Judge) -> Looked:
    """Ask everything of every dashboard, and faults that the judge must find."""

    def asked(of: Callable[[str, Mapping[str, Any]], Iterable[PanelQuery]]) -> list[Result]:
        return [judge.ask(query) for board, document in documents().items() for query in of(board, document)]

    shown = asked(queries)
    traced = [result.query for result in shown if result.query.exemplar]
    assert traced
    return Looked(
        shown,
        asked(variables),
        asked(annotations),
        [judge.ask(query) for query in (*of_rules(), *of_runbooks())],
        [judge.ask(PanelQuery("planted", kind, "stat", "A", language, text)) for kind, language, text in PLANTED],
        [query.place for query in traced if not judge.traced(query)],
    )


async def test_no_panel_is_empty_and_none_fails(
    mesh_settings: MeshSettings,
    environment: dict[str, str],
    endpoint: ModelEndpoint,
    redis: Proxy,
    observer: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    url = f"http://127.0.0.1:{environment['AGENTMESH_GATEWAY_PORT']}"
    began = time.time()
    async with (
        Mesh(mesh_settings) as mesh,
        Fleet(environment, tmp_path / "logs", "tests.integration.dashboards.panel_fleet") as fleet,
        httpx2.AsyncClient(base_url=url, timeout=60) as client,
    ):
        for name, workers in PROCESSES.items():
            fleet.start(name, "run", *workers, restart=False)
        await wait_for(partial(serving, fleet), 60, "the ports of the fleet")
        with prometheus(tmp_path / "prometheus", targets=targets(fleet), rule_files=RULES) as server:
            await fleet.wait_ready(*PROCESSES)
            await asyncio.to_thread(server.wait_for_targets, len(PROCESSES), 20)
            start = time.time()
            load = Load(mesh, Caller(client), endpoint, redis, Path(environment[MARKER]))
            try:
                await under_load(load)
            except Exception:
                print(fleet.tails())
                raise
            await asyncio.to_thread(server.wait_for, "max(agentmesh_circuit_state) == 1", 10)
            await asyncio.to_thread(server.wait_for, f"min(timestamp(up)) > {time.time() + 1:.3f}", 10)
            shown = Shown(start - 2, time.time(), "15s" if LONG else "8s")
            looked = await asyncio.to_thread(look, Judge(server, observer, [*TENANTS, LIMITED], shown))
    if "AGENTMESH_PANEL_RESULTS" in os.environ:
        write(Path(os.environ["AGENTMESH_PANEL_RESULTS"]), looked.panels, shown)
    with capsys.disabled():
        print(f"\nthe load: {'; '.join(load.done)}\npanel proof: {summary(looked.panels)}; {time.time() - began:.0f} s")
    found = faults([*looked.panels, *looked.choices])
    assert not found, "\n".join(f"{place}: {why}" for place, why in sorted(found.items()))
    # Nothing to mark and nothing to look into are good news.
    assert {each.query.place: each.error for each in [*looked.marks, *looked.beside] if each.error} == {}
    assert looked.without_traces == []
    assert fleet.died == []
    verdicts = faults(looked.planted)
    assert len(verdicts) == len(PLANTED), "a planted fault was not caught"
    assert [verdicts[f"planted / {kind} / A"] for kind in ("unknown metric", "only NaN", "no rows")] == ["empty"] * 3
    assert "expected type range vector" in verdicts["planted / broken expression / A"]
    assert "permission denied" in verdicts["planted / not for observers / A"]
