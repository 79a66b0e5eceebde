"""The ledger of effects on Postgres: the suite of the port, and the interleavings that only real transactions and processes have."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.agents.runs import Answer, Run, TaskRuns
from infra.effects.base import Begun, ClaimLost, Effect, EffectFilter, EffectRecord, Move, Rule, Status, Step
from infra.effects.once import HostEffects
from infra.effects.postgres import PostgresEffectLedger
from infra.errors import TransientError
from infra.postgres.pool import Database
from infra.resilience.retry import TransientRetry
from infra.settings import load_settings
from tests.conformance.effect_runs import EVERY, MAIL, Outside, Runs, answers, claim_of, only
from tests.conformance.effects import EffectLedgerSuite
from tests.mesh import wait_for

pytestmark = pytest.mark.integration

PROCESS = Path(__file__).with_name("agent_process.py")
ROOT = Path(__file__).resolve().parents[3]
LEASE_SECONDS = 30.0


class PostgresRuns:
    """The claims of real hosts, as the suite asks for them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def claim(self, task_id: str, attempt: int, host_id: str) -> None:
        await self.end(task_id, attempt)
        run = Run(task_id, attempt)
        claimed = await TaskRuns(self.database, host_id, LEASE_SECONDS).claim([run])
        assert claimed[run].answer is Answer.CLAIMED

    async def end(self, task_id: str, attempt: int) -> None:
        sql = b"""UPDATE mesh.task_runs SET lease_until = clock_timestamp() - interval '1 ms'
                  WHERE task_id = %(task)s::text AND attempt = %(attempt)s::int"""
        await self.database.execute(sql, {"task": task_id, "attempt": attempt})


@pytest.fixture
def database(shared_database: str) -> str:
    """A database without effects and runs."""
    with psycopg.connect(shared_database, autocommit=True) as admin:
        admin.execute("TRUNCATE mesh.effects, mesh.task_runs")
    return shared_database


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(pool_min_size=1, database_url=database), database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def runs(pool: Database) -> Runs:
    return PostgresRuns(pool)


@pytest.fixture
def ledger(pool: Database) -> PostgresEffectLedger:
    return PostgresEffectLedger(pool)


class TestPostgresEffectLedger(EffectLedgerSuite):
    """The suite over the adapter on Postgres."""


# -- two transactions ------------------------------------------------------------------------------------------------------------------


EFFECT = Effect("acme", "task-1", "mail", 1, "{}")


async def waits_for_a_lock(pool: Database) -> bool:
    rows = await pool.fetch(b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", {})
    return bool(rows)


async def test_two_hosts_that_begin_the_same_effect_at_once_begin_it_once(pool: Database, ledger: PostgresEffectLedger) -> None:
    """Two attempts whose leases are both live; each begins with a connection of its own, again and again."""
    runs = PostgresRuns(pool)
    for number in range(30):
        task = f"task-{number}"
        await runs.claim(task, 1, "host-a")
        effect = Effect("acme", task, "mail", 1, "{}")
        one, two = claim_of(1, "host-a", task=task), claim_of(2, "host-b", task=task)
        first = asyncio.create_task(ledger.begin(effect, Rule.REPEAT, one, "t1"))
        await runs.claim(task, 2, "host-b")
        found = await asyncio.gather(first, ledger.begin(effect, Rule.REPEAT, two, "t2"), return_exceptions=True)
        steps = [each.step if isinstance(each, Begun) else type(each) for each in found]
        assert steps in ([Step.CALL, Step.BUSY], [ClaimLost, Step.CALL])


async def test_a_claim_is_not_taken_over_while_an_outcome_is_written_under_it(pool: Database, ledger: PostgresEffectLedger) -> None:
    """The record has looked at the claim and waits for the effect's row; the lease runs out; the takeover waits for the record."""
    runs = PostgresRuns(pool)
    await TaskRuns(pool, "host-a", 0.5).claim([Run("task-1", 1)])
    await ledger.begin(EFFECT, Rule.PERSON, claim_of(), "t1")
    async with pool.connection() as blocker, blocker.transaction():
        await blocker.execute("SELECT FROM mesh.effects FOR UPDATE")
        record = asyncio.create_task(ledger.move(EFFECT, claim_of(), "t1", Move(Status.RECORDED, "1", "call")))
        await wait_for(lambda: waits_for_a_lock(pool), 5, "the record waits")
        await asyncio.sleep(0.5)
        takeover = asyncio.create_task(TaskRuns(pool, "host-b", LEASE_SECONDS).claim([Run("task-1", 1)]))
        await asyncio.sleep(0.2)
        assert not takeover.done()
    await record
    assert (await takeover)[Run("task-1", 1)].answer is Answer.CLAIMED
    assert (await ledger.begin(EFFECT, Rule.PERSON, claim_of(1, "host-b"), "t2")).step is Step.RECORDED
    await runs.end("task-1", 1)


async def test_a_claim_is_not_taken_over_while_an_intent_is_written_under_it(pool: Database, ledger: PostgresEffectLedger) -> None:
    """The same with an intent: else the call would be made by a host whose run is another's already."""
    await PostgresRuns(pool).claim("task-1", 1, "host-a")
    await ledger.begin(EFFECT, Rule.REPEAT, claim_of(), "t1")
    await TaskRuns(pool, "host-a", 0.5).renew([Run("task-1", 1)])
    async with pool.connection() as blocker, blocker.transaction():
        await blocker.execute("SELECT FROM mesh.effects FOR UPDATE")
        intent = asyncio.create_task(ledger.begin(EFFECT, Rule.REPEAT, claim_of(), "t2"))
        await wait_for(lambda: waits_for_a_lock(pool), 5, "the intent waits")
        await asyncio.sleep(0.5)
        takeover = asyncio.create_task(TaskRuns(pool, "host-b", LEASE_SECONDS).claim([Run("task-1", 1)]))
        await asyncio.sleep(0.2)
        assert not takeover.done()
    assert (await intent).step is Step.REPEAT
    assert (await takeover)[Run("task-1", 1)].answer is Answer.CLAIMED


async def test_a_record_that_waits_for_a_takeover_is_refused(pool: Database, ledger: PostgresEffectLedger) -> None:
    await PostgresRuns(pool).claim("task-1", 1, "host-a")
    await ledger.begin(EFFECT, Rule.PERSON, claim_of(), "t1")
    async with pool.connection() as other:
        async with other.transaction():
            await other.execute("UPDATE mesh.task_runs SET host_id = 'host-b'")
            record = asyncio.create_task(ledger.move(EFFECT, claim_of(), "t1", Move(Status.RECORDED, "1", "call")))
            await wait_for(lambda: waits_for_a_lock(pool), 5, "the record waits")
        with pytest.raises(ClaimLost):
            await record
    assert (await only(ledger)).outcome is None


async def test_a_finished_run_records_no_more(pool: Database, ledger: PostgresEffectLedger) -> None:
    await PostgresRuns(pool).claim("task-1", 1, "host-a")
    await ledger.begin(EFFECT, Rule.PERSON, claim_of(), "t1")
    await TaskRuns(pool, "host-a", LEASE_SECONDS).finish({Run("task-1", 1): ("type", {})})
    with pytest.raises(ClaimLost):
        await ledger.move(EFFECT, claim_of(), "t1", Move(Status.RECORDED, "1", "call"))
    assert (await only(ledger)).status is Status.INTERRUPTED


# -- the database is away, the run is cancelled ------------------------------------------------------------------------------------------


class Losing(PostgresEffectLedger):
    """Does each step, but the first answer of each is lost with the connection."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.lost: set[str] = set()

    async def begin(self, *arguments: Any) -> Any:
        return self._lose("begin", await super().begin(*arguments))

    async def move(self, *arguments: Any) -> None:
        self._lose("move", await super().move(*arguments))

    def _lose(self, name: str, answer: Any) -> Any:
        if name not in self.lost:
            self.lost.add(name)
            raise TransientError("the connection broke after the commit")
        return answer


async def test_an_answer_lost_after_the_commit_is_asked_for_again(pool: Database, runs: Runs) -> None:
    await runs.claim("task-1", 1, "host-a")
    outside, ledger = Outside(), Losing(pool)
    host = HostEffects(ledger, retry=lambda: TransientRetry(asyncio.Event(), lambda: None, lambda name, error: None))
    assert await host.of_run(claim_of()).once("mail", outside.call, input=MAIL) == {"number": 1}
    record = await only(ledger)
    assert (outside.done, record.calls, record.status, ledger.lost) == (1, 1, Status.RECORDED, {"begin", "move"})


async def test_a_cancellation_after_the_call_still_records_its_outcome(pool: Database, ledger: PostgresEffectLedger, runs: Runs) -> None:
    await runs.claim("task-1", 1, "host-a")
    async with pool.connection() as blocker:
        running = asyncio.current_task()
        assert running is not None

        async def call() -> str:
            await blocker.execute("BEGIN")
            await blocker.execute("SELECT FROM mesh.effects FOR UPDATE")
            return "done"

        once = asyncio.create_task(HostEffects(ledger).of_run(claim_of()).once("mail", call, input=MAIL))
        await wait_for(lambda: waits_for_a_lock(pool), 5, "the record waits")
        once.cancel()
        await asyncio.sleep(0.05)
        await blocker.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await once
    record = await only(ledger)
    assert (record.status, record.outcome) == (Status.RECORDED, '"done"')


async def test_a_cancelled_call_is_marked_as_interrupted_at_once(ledger: PostgresEffectLedger, runs: Runs) -> None:
    await runs.claim("task-1", 1, "host-a")
    started = asyncio.Event()

    async def call() -> None:
        started.set()
        await asyncio.sleep(60)

    once = asyncio.create_task(HostEffects(ledger).of_run(claim_of()).once("mail", call, input=MAIL, rule=Rule.REPEAT))
    await started.wait()
    once.cancel()
    with pytest.raises(asyncio.CancelledError):
        await once
    await runs.claim("task-1", 2, "host-b")
    second = HostEffects(ledger).of_run(claim_of(2, "host-b"))
    assert await second.once("mail", answers("again"), input=MAIL, rule=Rule.REPEAT) == "again"


# -- real processes and a real other side --------------------------------------------------------------------------------------------------


class Bank(BaseHTTPRequestHandler):
    """Counts what is posted to it by Idempotency-Key; tells it on GET."""

    posted: list[str]

    def do_POST(self) -> None:
        self.posted.append(self.headers["Idempotency-Key"])
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        count = self.posted.count(self.headers["Idempotency-Key"])
        body = f'{{"refund": {count}}}'.encode() if count else b"null"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


class Crashes:
    """Starts attempts as processes against one bank."""

    def __init__(self, pool: Database, dsn: str, url: str, posted: list[str]) -> None:
        self.runs = PostgresRuns(pool)
        self.ledger = PostgresEffectLedger(pool)
        self.posted = posted
        self._arguments = (dsn, url)

    async def start(self, number: int, rule: str, dies: str = "never") -> asyncio.subprocess.Process:
        """The attempt's process; its claim is live, that of the attempt before has ended."""
        if number > 1:
            await self.runs.end("task-1", number - 1)
        await self.runs.claim("task-1", number, f"host-{number}")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return await asyncio.create_subprocess_exec(
            sys.executable, str(PROCESS), *self._arguments, str(number), rule, dies,
            cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, number: int, rule: str, dies: str = "never") -> str:
        """What the attempt says at its end; `killed` when it killed itself."""
        process = await self.start(number, rule, dies)
        said, _ = await process.communicate()
        assert process.returncode == (0 if dies == "never" else -signal.SIGKILL)
        return said.decode().strip() or "killed"

    async def record(self) -> EffectRecord:
        return await only(self.ledger)


@pytest.fixture
def bank() -> Iterator[tuple[str, list[str]]]:
    """A bank's address and what was posted to it."""
    posted: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneBank", (Bank,), {"posted": posted}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", posted
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def crashes(pool: Database, database: str, bank: tuple[str, list[str]]) -> Crashes:
    return Crashes(pool, database, *bank)


@pytest.mark.parametrize(
    ("rule", "dies", "said", "posts", "calls"),
    [
        ("repeat", "before", '{"refund": 1}', 1, 2),
        ("repeat", "after", '{"refund": 2}', 2, 2),
        ("probe", "before", '{"refund": 1}', 1, 2),
        ("probe", "after", '{"refund": 1}', 1, 1),
        ("person", "before", "EffectNeedsPerson", 0, 1),
        ("person", "after", "EffectNeedsPerson", 1, 1),
    ],
)
async def test_a_killed_attempt_is_settled_by_its_rule(crashes: Crashes, rule: str, dies: str, said: str, posts: int, calls: int) -> None:
    assert await crashes.run(1, rule, dies) == "killed"
    assert (await crashes.record()).status is Status.INTENDED
    for number in (2, 3):
        assert await crashes.run(number, rule) == said
    record = await crashes.record()
    assert (len(crashes.posted), record.calls) == (posts, calls)
    assert set(crashes.posted) <= {record.effect_id}


async def test_a_person_settles_what_a_killed_attempt_left(crashes: Crashes) -> None:
    await crashes.run(1, "person", "after")
    assert await crashes.run(2, "person") == "EffectNeedsPerson"
    effect_id = (await crashes.record()).effect_id
    assert effect_id == crashes.posted[0]
    assert await crashes.ledger.settle(effect_id, '{"refund": "by hand"}', "ann", "the bank says so")
    assert await crashes.run(3, "person") == '{"refund": "by hand"}'
    assert len(crashes.posted) == 1
    assert await crashes.ledger.find(EffectFilter(), 10) == []


async def test_a_process_frozen_in_its_call_is_refused_after_its_lease_moved(crashes: Crashes) -> None:
    frozen = await crashes.start(1, "repeat", "frozen")
    assert frozen.stdout is not None
    assert await frozen.stdout.readline() == b"frozen\n"
    assert await crashes.run(2, "repeat") == '{"refund": 2}'
    await crashes.runs.claim("task-1", 1, "host-1")
    os.kill(frozen.pid, signal.SIGCONT)
    said, _ = await frozen.communicate()
    assert said == b"ClaimLost\n"
    record = await crashes.record()
    assert (record.outcome, record.host_id, len(crashes.posted)) == ('{"refund": 2}', "host-2", 2)
    assert len(set(crashes.posted)) == 1
    assert len(await crashes.ledger.find(EVERY, 10)) == 1
