"""Claims of task runs in Postgres: one host runs an attempt, a lost host's runs are taken over, a stored result is never made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.agents.runs import Answer, Claim, Run, TaskRuns
from infra.postgres.pool import Database
from infra.settings import MeshSettings
from tests.mesh import wait_for

pytestmark = pytest.mark.integration

ONE, TWO, SECOND_ATTEMPT = Run("task-1", 1), Run("task-2", 1), Run("task-1", 2)
LONG, SHORT = 60.0, 0.05
COMPLETE = "agentmesh.tasks.CompleteTask.v1"
RESULT = (COMPLETE, {"task_id": "task-1", "result": {"text": "Zürich ☂", "list": [1, None, {"a": 0.5}]}})
CLAIMED, HELD = Claim(Answer.CLAIMED, None, None), Claim(Answer.HELD, None, None)


@pytest.fixture
async def tables(mesh_settings: MeshSettings) -> AsyncIterator[Database]:
    settings = mesh_settings.model_copy(update={"pool_min_size": 2})
    database = Database(settings, settings.postgres_dsn, name="test")
    await database.open()
    yield database
    await database.close()


def host(tables: Database, name: str, lease: float = LONG) -> TaskRuns:
    return TaskRuns(tables, name, lease)


async def lease_is_over(tables: Database, run: Run) -> None:
    """Leases are judged by the clock of the database."""

    async def look() -> bool:
        sql = b"SELECT lease_until < clock_timestamp() FROM mesh.task_runs WHERE task_id = %(task)s AND attempt = %(attempt)s"
        rows = await tables.fetch(sql, {"task": run.task_id, "attempt": run.attempt})
        return bool(rows[0][0])

    await wait_for(look, 5, "the end of the lease")


async def test_of_two_hosts_one_gets_the_run(tables: Database) -> None:
    assert await host(tables, "a").claim([ONE, TWO]) == {ONE: CLAIMED, TWO: CLAIMED}
    assert await host(tables, "b").claim([ONE, TWO]) == {ONE: HELD, TWO: HELD}


async def test_of_many_hosts_that_claim_at_the_same_time_each_run_has_one(tables: Database) -> None:
    runs = [Run(f"task-{number}", 1) for number in range(40)]
    claims = await asyncio.gather(*(host(tables, f"h{number}").claim(runs if number % 2 else runs[::-1]) for number in range(6)))
    for run in runs:
        answers = sorted(claim[run].answer for claim in claims)
        assert answers == [Answer.CLAIMED, *[Answer.HELD] * 5]


async def test_attempts_of_a_task_are_runs_apart(tables: Database) -> None:
    assert await host(tables, "a").claim([ONE]) == {ONE: CLAIMED}
    assert await host(tables, "b").claim([ONE, SECOND_ATTEMPT]) == {ONE: HELD, SECOND_ATTEMPT: CLAIMED}


async def test_a_host_gets_its_own_run_again(tables: Database) -> None:
    """It asks only for what it does not run: it was started anew under its name, or the record came again."""
    await host(tables, "a").claim([ONE])
    assert await host(tables, "a").claim([ONE]) == {ONE: CLAIMED}


async def test_a_lease_that_ran_out_is_taken_over_and_its_former_holder_is_told_by_every_answer(tables: Database) -> None:
    slow, other = host(tables, "slow", SHORT), host(tables, "other")
    await slow.claim([ONE])
    await lease_is_over(tables, ONE)
    assert await other.claim([ONE]) == {ONE: CLAIMED}
    assert await slow.renew([ONE]) == set()
    assert await slow.finish({ONE: RESULT}) == set()
    assert await slow.claim([ONE]) == {ONE: HELD}
    await slow.release([ONE])
    assert await host(tables, "third").claim([ONE]) == {ONE: HELD}, "a release of what was lost takes it from nobody"
    assert await other.renew([ONE]) == {ONE}
    assert await other.finish({ONE: RESULT}) == {ONE}


async def test_a_lease_that_ran_out_and_was_not_taken_over_is_renewed(tables: Database) -> None:
    slow = host(tables, "slow", SHORT)
    await slow.claim([ONE])
    await lease_is_over(tables, ONE)
    assert await host(tables, "slow").renew([ONE]) == {ONE}
    assert await host(tables, "other").claim([ONE]) == {ONE: HELD}


async def test_a_renewed_lease_outlives_its_first_time(tables: Database) -> None:
    await host(tables, "a", SHORT).claim([ONE, TWO])
    assert await host(tables, "a").renew([ONE, SECOND_ATTEMPT]) == {ONE}
    await lease_is_over(tables, TWO)
    assert await host(tables, "b").claim([ONE, TWO]) == {ONE: HELD, TWO: CLAIMED}


async def test_a_finished_run_answers_its_result_to_whoever_claims_it(tables: Database) -> None:
    mine = host(tables, "a", SHORT)
    await mine.claim([ONE, TWO])
    assert await mine.finish({ONE: RESULT}) == {ONE}
    await lease_is_over(tables, ONE)
    finished = Claim(Answer.FINISHED, COMPLETE, RESULT[1])
    assert await mine.claim([ONE]) == {ONE: finished}
    assert await host(tables, "b").claim([ONE, TWO]) == {ONE: finished, TWO: CLAIMED}
    assert await mine.renew([ONE]) == set()


async def test_a_result_is_recorded_once(tables: Database) -> None:
    mine = host(tables, "a")
    await mine.claim([ONE])
    await mine.finish({ONE: RESULT})
    assert await mine.finish({ONE: ("agentmesh.tasks.FailTask.v1", {"reason": "late"})}) == set()
    assert await mine.finish({ONE: RESULT}) == {ONE}, "an answer that was lost on its way"
    await mine.release([ONE])
    claims = await host(tables, "b").claim([ONE])
    assert claims[ONE].result_type == COMPLETE


async def test_results_of_many_runs_are_recorded_together_each_with_its_own(tables: Database) -> None:
    mine = host(tables, "a")
    runs = [Run(f"task-{number}", 1) for number in range(30)]
    await mine.claim(runs[:20])
    results = {run: (COMPLETE, {"number": number}) for number, run in enumerate(runs)}
    assert await mine.finish(results) == set(runs[:20])
    claims = await host(tables, "b").claim(runs[:20])
    assert [claims[run].result for run in runs[:20]] == [{"number": number} for number in range(20)]


async def test_a_released_run_is_free_at_once(tables: Database) -> None:
    mine, other = host(tables, "a"), host(tables, "b")
    await mine.claim([ONE, TWO])
    await mine.release([ONE])
    assert await other.claim([ONE, TWO]) == {ONE: CLAIMED, TWO: HELD}
    assert await mine.renew([ONE, TWO]) == {TWO}


async def test_a_run_that_nobody_claimed_is_nobodys(tables: Database) -> None:
    mine = host(tables, "a")
    assert await mine.renew([ONE]) == set()
    assert await mine.finish({ONE: RESULT}) == set()
    await mine.release([ONE])
    assert await mine.claim([]) == {}
    assert await mine.claim([ONE]) == {ONE: CLAIMED}
