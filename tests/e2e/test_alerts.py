"""Operators are told: the worker of the read models dies while commands flow, its alerts fire in a real Alertmanager and reach a webhook;
it is started again, and they are resolved.

Two state folders stand for two machines; the second runs the projections and is lost whole, supervisor and worker, by SIGKILL. Rules and
configs are the committed ones. By default every duration in them is divided by 20 (`scaled`), and the first machine is this process, with
the workers that the proof needs. AGENTMESH_CHAOS=long takes the rules as they are and the whole fleet by `agentmesh up`: a healthy one must
be quiet first, and at the end a read model stands still though its worker is well, which is told too.
"""

import asyncio
import json
import os
import signal
import string
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import start_http_server
from psycopg import AsyncConnection

from infra.settings import MeshSettings
from infra.supervisor.fleet_file import read_fleet
from infra.supervisor.scrape_targets import JOB, targets_path
from services.cli.fleet import DEFAULT_FLEET
from services.monitor.worker import build as build_monitor
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from tests.alert_rules import ROOT, RULES, scaled
from tests.mesh import TENANT, Mesh, wait_for
from tests.prometheus_server import (
    AlertmanagerServer,
    PrometheusServer,
    WebhookReceiver,
    alertmanager,
    needs,
    prometheus_of,
    webhook_receiver,
)

LONG = os.environ.get("AGENTMESH_CHAOS") == "long"
DIVISOR = 1 if LONG else 20
SCRAPE = "5s" if LONG else "1s"
# How long an alert may take on a busy machine: it waits for scrapes, `for`, the groups of Alertmanager, the discovery of targets.
PATIENCE = 600.0 if LONG else 60.0
QUIET_SECONDS = 180.0
PAUSE = 1.0 if LONG else 0.1
DOWN, LAG = "WorkerDown", "ProjectionLagGrowing"
AGENTMESH = [sys.executable, "-m", "services.cli.main"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3_000 if LONG else 300), needs("prometheus", "alertmanager")]


@dataclass
class Machine:
    """A state folder with a fleet of its own in it."""

    home: Path
    environment: dict[str, str]
    members: tuple[str, ...]
    supervisor: subprocess.Popen[bytes] | None = None

    async def up(self) -> None:
        """Start the fleet, and wait until it is ready."""
        counts = ",".join(f"{member.name}={int(member.name in self.members)}" for member in DEFAULT_FLEET)
        await asyncio.to_thread(*((self._run, "up", "-d", "--replicas", counts) if LONG else (self._supervise, counts)))

    def lose(self) -> None:
        """The machine is gone: the supervisor first, so that it starts nothing anew."""
        record = read_fleet(self.state_dir)
        assert record is not None
        for pid in (record.pid, *(replica.pid for replica in record.replicas)):
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        if self.supervisor is not None:
            self.supervisor.wait()

    def down(self) -> None:
        """Stop what still runs."""
        if LONG:
            subprocess.run([*AGENTMESH, "down"], env=self.environment, capture_output=True, check=False, timeout=120)
        elif self.supervisor is not None and self.supervisor.poll() is None:
            self.lose()

    def announced(self) -> bool:
        """Whether its processes have told where they are scraped, which they do before they are ready."""
        path = targets_path(self.state_dir)
        return path.exists() and not any(":0" in place for each in json.loads(path.read_text()) for place in each["targets"])

    @property
    def state_dir(self) -> Path:
        """Where its fleet writes."""
        return self.home / ".agentmesh"

    def _supervise(self, counts: str) -> None:
        """What `up -d` starts once servers, schema and topics are there, as they are here."""
        log = self.home / "supervisor.log"
        with log.open("ab") as output:
            self.supervisor = subprocess.Popen(
                [*AGENTMESH, "supervise", "--replicas", counts], env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 200
        while not ((record := read_fleet(self.state_dir)) and record.pid == self.supervisor.pid and all(r.ready for r in record.replicas)):
            assert self.supervisor.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([*AGENTMESH, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@dataclass
class Watch:
    """Looks at Prometheus and Alertmanager all the time. `moments` says when a state of an alert was seen first since `forget`."""

    server: PrometheusServer
    manager: AlertmanagerServer
    moments: dict[tuple[str, str], float] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What Alertmanager holds of the projections now, by name."""

    def forget(self) -> None:
        """Begin anew."""
        self.moments.clear()

    def look(self) -> None:
        """One look."""
        shown = {(alert["labels"]["alertname"], alert["state"]) for alert in self.server.alerts() if _ours(alert)}
        self.held = {alert["labels"]["alertname"]: alert for alert in self.manager.alerts() if _ours(alert)}
        shown |= {(name, alert["status"]["state"]) for name, alert in self.held.items()}
        for state in shown:
            self.moments.setdefault(state, time.time())

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds after a look."""
        deadline = time.monotonic() + PATIENCE
        while True:
            await asyncio.to_thread(self.look)
            if holds():
                return
            assert time.monotonic() < deadline, f"{what} not within {PATIENCE:g} s; seen {self.moments}, held {self.held}"
            await asyncio.sleep(0.1)

    async def inhibited(self, name: str) -> None:
        """Wait until Alertmanager holds an alert and keeps it back, because another speaks for it."""

        def holds() -> bool:
            return bool(name in self.held and self.held[name]["status"]["inhibitedBy"])

        await self.until(holds, f"{name} inhibited")

    async def gone(self, *names: str) -> None:
        """Wait until Alertmanager holds none of these any more."""
        await self.until(lambda: not set(names) & set(self.held), f"{names} gone")


def _ours(alert: dict[str, Any]) -> bool:
    return bool(alert["labels"].get("worker") == "projections")


@dataclass
class Told:
    """The times of the proof, printed at its end."""

    began: float = field(default_factory=time.time)
    lines: list[tuple[float, str]] = field(default_factory=list)

    def say(self, what: str, at: float | None = None) -> None:
        """Note what happened, and when."""
        self.lines.append(((at or time.time()) - self.began, what))

    def __str__(self) -> str:
        return "\n".join(f"  {at:7.1f} s  {what}" for at, what in sorted(self.lines))

    def of_watch(self, watch: Watch, since: float) -> None:
        """Note what was seen, with the seconds since the fault."""
        for (name, state), at in watch.moments.items():
            where = {"pending": "pending in Prometheus", "firing": "firing in Prometheus", "active": "in Alertmanager"}
            self.say(f"{name} {where.get(state, 'in Alertmanager, ' + state)} ({at - since:.1f} s after the fault)", at)


@pytest.fixture
def machines(mesh_environment: dict[str, str], tmp_path: Path) -> Any:
    """Two machines of one mesh."""
    rest = tuple(member.name for member in DEFAULT_FLEET if member.name != "projections")
    made = []
    for name, members in (("a", rest), ("b", ("projections",))):
        (tmp_path / name).mkdir()
        environment = {
            **mesh_environment,
            "AGENTMESH_HOME": str(tmp_path / name),
            "AGENTMESH_PARTITIONS": "3",
            "AGENTMESH_POOL_MIN_SIZE": "1",
        }
        made.append(Machine(tmp_path / name, environment, members))
    yield made
    with ThreadPoolExecutor() as threads:
        list(threads.map(Machine.down, made))


def configured(folder: Path, hook: WebhookReceiver, machines: list[Machine]) -> tuple[Path, Callable[[str], Path]]:
    """The committed configs with the addresses of this test: Alertmanager's, and how Prometheus' is made once Alertmanager has its port."""
    rules = folder / "rules"
    rules.mkdir()
    for path in RULES.glob("*.yml"):
        (rules / path.name).write_text(
            scaled(path.read_text(encoding="utf-8"), DIVISOR) if DIVISOR > 1 else path.read_text(encoding="utf-8")
        )
    text = (ROOT / "infra" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    text = string.Template(text).substitute({f"AGENTMESH_{severity}_URL": hook.url for severity in ("PAGE", "TICKET", "INFO")})
    (folder / "alertmanager.yml").write_text(scaled(text, DIVISOR) if DIVISOR > 1 else text)

    def of_prometheus(address: str) -> Path:
        config = yaml.safe_load((ROOT / "infra" / "prometheus" / "prometheus-local.yml").read_text(encoding="utf-8"))
        config["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), SCRAPE)
        config["rule_files"] = [str(rules / "*.yml")]
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [address]
        discovery = config["scrape_configs"][0]["file_sd_configs"][0]
        discovery["files"] = [str(targets_path(machine.state_dir)) for machine in machines]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        return folder / "prometheus.yml"

    return folder / "alertmanager.yml", of_prometheus


@contextmanager
def told_from_here(mesh: Mesh, machine: Machine) -> Iterator[None]:
    """Serves the metrics of the workers in this process, as those of a machine."""
    server, thread = start_http_server(0, "127.0.0.1", mesh.telemetry.metrics.registry)
    labels = {"job": JOB, "worker": "workflow", "replica": "1", "instance": "workflow-1"}
    machine.state_dir.mkdir(exist_ok=True)
    targets_path(machine.state_dir).write_text(json.dumps([{"targets": [f"127.0.0.1:{server.server_port}"], "labels": labels}]))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def starting(mesh: Mesh, machines: list[Machine]) -> AsyncIterator[asyncio.Future[Any]]:
    """Both machines start; done when they are ready. What they will be scraped at is known by now."""
    with ExitStack() as stack:
        others = machines[0].up
        if not LONG:
            stack.enter_context(told_from_here(mesh, machines[0]))
            workers = mesh.requests_worker(), mesh.relay(), build_monitor(mesh.settings, mesh.telemetry)
            others = partial(mesh.start, *workers)
        ready = asyncio.gather(others(), machines[1].up())

        async def announced() -> bool:
            return ready.done() or all(machine.announced() for machine in machines)

        await wait_for(announced, 60, "the ports of the machines")
        yield ready


async def agents(mesh: Mesh) -> None:
    """The built-in agents are registered, with slots enough."""
    for agent in (TriageAgent, ResearchAgent, ResolutionAgent):
        capabilities = [{"name": name, "level": level} for name, level in agent.capabilities.items()]
        payload = {"agent_id": f"agent-{agent.kind}", "name": agent.kind, "kind": agent.kind, "limit": 20, "capabilities": capabilities}
        await mesh.do_in("agents", "RegisterAgent", f"agent-{agent.kind}", payload)


@asynccontextmanager
async def working(mesh: Mesh) -> AsyncIterator[None]:
    """Requests are created all the time; with the whole fleet agents carry them to their end."""
    if LONG:
        await agents(mesh)

    async def create() -> None:
        while True:
            request_id = f"req-{uuid.uuid4()}"
            body = {"tenant_id": TENANT, "request_id": request_id, "customer_id": "cust-0042", "message": "My invoice of May is wrong"}
            await mesh.publish("CreateRequest", request_id, body)
            await asyncio.sleep(PAUSE)

    creating = asyncio.create_task(create())
    try:
        yield
        assert not creating.done(), "commands stopped flowing"
    finally:
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)


async def test_a_worker_that_dies_is_told_and_its_return_too(
    mesh_settings: MeshSettings,
    machines: list[Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = Told()
    if not LONG:
        monkeypatch.setenv("AGENTMESH_MONITOR_INTERVAL_SECONDS", "0.5")
    with ExitStack() as stack:
        hook = stack.enter_context(webhook_receiver())
        manager_config, of_prometheus = configured(tmp_path, hook, machines)
        manager = stack.enter_context(alertmanager(tmp_path / "alertmanager", manager_config))
        async with Mesh(mesh_settings, partitions=3) as mesh, starting(mesh, machines) as ready:
            looking = prometheus_of(tmp_path / "prometheus", of_prometheus(manager.address))
            server = await asyncio.to_thread(stack.enter_context, looking)
            await ready
            async with working(mesh):
                watch = Watch(server, manager)
                await asyncio.to_thread(server.wait_for, 'up{worker="projections"} == 1 and on () agentmesh_monitor_leader == 1', PATIENCE)
                await asyncio.to_thread(server.wait_for, 'kind_name:agentmesh_lag_seconds:max{kind="projection",name="requests"}', PATIENCE)
                await calm(watch, hook)
                told.say("the fleet is scraped, commands flow")
                if LONG:
                    await healthy_and_quiet(server, hook, told)
                await the_worker_dies(machines[1], watch, hook, told)
                if LONG:
                    await the_read_model_stands_still(mesh, watch, hook, told)
        if LONG:
            told.say(f"all that came to the webhook: {', '.join(f'{name} {status}' for name, status in hook.told())}")
    with capsys.disabled():
        form = "the committed rules" if LONG else f"the committed rules with every duration divided by {DIVISOR}"
        print(f"\nthe alert proof, with {form}:", told, sep="\n")


async def calm(watch: Watch, hook: WebhookReceiver) -> None:
    """What was told of the start is over, and told to be: Prometheus does not know its targets at once, and takes them for absent."""
    await watch.gone(DOWN)

    async def taken_back() -> bool:
        told = [alert["status"] for _, alert in hook.alerts() if alert["labels"]["alertname"] == DOWN and _ours(alert)]
        return told[-1:] != ["firing"]

    await wait_for(taken_back, PATIENCE, f"the end of {DOWN} of the start")


async def healthy_and_quiet(server: PrometheusServer, hook: WebhookReceiver, told: Told) -> None:
    """With the whole fleet nothing fires."""
    began = time.time()  # before, while the fleet was starting, its workers were down
    await asyncio.sleep(QUIET_SECONDS)
    assert server.query('ALERTS{alertstate="firing"}') == []
    assert [name for name, status in hook.told(began) if status == "firing"] == []
    told.say(f"for {QUIET_SECONDS:g} s no alert fired")


async def the_worker_dies(machine: Machine, watch: Watch, hook: WebhookReceiver, told: Told) -> None:
    """Its being down reaches the webhook, its lag is in Alertmanager, kept back by that; both end when it is back."""
    machine.lose()
    lost = time.time()
    told.say("SIGKILL to the projections worker and its supervisor", lost)
    watch.forget()
    await watch.until(lambda: (DOWN, "active") in watch.moments, f"{DOWN} in Alertmanager")
    arrived, alert = await asyncio.to_thread(hook.wait_for, DOWN, "firing", PATIENCE, since=lost, worker="projections")
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/worker-down.md"
    assert "runbooks" not in alert["labels"]
    await watch.inhibited(LAG)
    lag = watch.server.value('kind_name:agentmesh_lag_seconds:max{kind="projection",name="requests"}')
    told.of_watch(watch, lost)
    told.say(f"{DOWN} at the webhook ({arrived - lost:.1f} s after the fault)", arrived)
    told.say(f"the lag of the read model is {lag:.0f} s; {LAG} is held back by {DOWN}")
    assert LAG not in {name for name, _ in hook.told(lost)}

    started = time.time()
    told.say("the machine is started again", started)
    await machine.up()
    ready = time.time()
    told.say(f"the worker is ready ({ready - started:.1f} s)", ready)
    resolved, _ = await asyncio.to_thread(hook.wait_for, DOWN, "resolved", PATIENCE, since=started, worker="projections")
    assert arrived < started < resolved
    told.say(f"{DOWN} resolved at the webhook ({resolved - started:.1f} s after the start)", resolved)
    await watch.gone(DOWN, LAG)
    told.say("Alertmanager holds neither alert any more")


async def the_read_model_stands_still(mesh: Mesh, watch: Watch, hook: WebhookReceiver, told: Told) -> None:
    """A lock that somebody holds: the worker is up, so its lag speaks for itself."""
    connection = await AsyncConnection.connect(mesh.settings.postgres_dsn)
    watch.forget()
    try:
        await connection.execute("LOCK TABLE read_requests.requests IN EXCLUSIVE MODE")  # others may read
        held = time.time()
        told.say("somebody locks the table of the read model", held)
        arrived, alert = await asyncio.to_thread(hook.wait_for, LAG, "firing", PATIENCE, since=held, name="requests")
        assert alert["labels"]["severity"] == "page"
        told.say(f"{LAG} at the webhook ({arrived - held:.1f} s after the fault)", arrived)
    finally:
        await connection.close()
    released = time.time()
    told.say("the lock is released", released)
    resolved, _ = await asyncio.to_thread(hook.wait_for, LAG, "resolved", PATIENCE, since=released, name="requests")
    told.say(f"{LAG} resolved at the webhook ({resolved - released:.1f} s later)", resolved)
    await watch.gone(DOWN, LAG)
    assert alert["annotations"]["summary"] == "The read model requests falls behind"
