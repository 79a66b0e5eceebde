"""Claims of task runs in Postgres: who may run an attempt, and what came of it; used by the agent host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from infra.postgres.pool import Database

CLAIM = (
    b"SELECT task_id, attempt, answer, result_type, result FROM mesh.claim_runs(%(ids)s::text[], %(attempts)s::int[], %(host)s, %(lease)s)"
)
RENEW = b"""
UPDATE mesh.task_runs SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM unnest(%(ids)s::text[], %(attempts)s::int[]) AS w (id, number)
WHERE task_id = w.id AND attempt = w.number AND host_id = %(host)s AND finished_at IS NULL
RETURNING task_id, attempt
"""
# The same result again is an answer that was lost on its way, not another result.
FINISH = b"""
UPDATE mesh.task_runs r SET result_type = f.type, result = f.result, finished_at = clock_timestamp()
FROM unnest(%(ids)s::text[], %(attempts)s::int[], %(types)s::text[], %(results)s::jsonb[]) AS f (id, number, type, result)
WHERE task_id = f.id AND attempt = f.number AND host_id = %(host)s AND (finished_at IS NULL OR (result_type, r.result) = (f.type, f.result))
RETURNING task_id, attempt
"""
RELEASE = b"""
UPDATE mesh.task_runs SET lease_until = clock_timestamp() FROM unnest(%(ids)s::text[], %(attempts)s::int[]) AS w (id, number)
WHERE task_id = w.id AND attempt = w.number AND host_id = %(host)s AND finished_at IS NULL
"""


class Run(NamedTuple):
    """One attempt at a task."""

    task_id: str
    attempt: int


class Answer(StrEnum):
    """What a claim comes to."""

    CLAIMED = "claimed"
    FINISHED = "finished"
    HELD = "held"


class Claim(NamedTuple):
    """The answer to a claim; a finished run has the type and payload of the command that told its result."""

    answer: Answer
    result_type: str | None
    result: Mapping[str, Any] | None


class TaskRuns:
    """The runs of one host. Every method raises TransientError when the database is away, and may then be called again."""

    def __init__(self, database: Database, host_id: str, lease_seconds: float) -> None:
        self._database = database
        self._host = host_id
        self._lease = lease_seconds

    async def claim(self, runs: Sequence[Run]) -> dict[Run, Claim]:
        """Claim runs; each is started by whoever gets `claimed`, and by nobody else while the lease is renewed."""
        rows = await self._database.fetch(CLAIM, {**_columns(runs), "host": self._host, "lease": self._lease})
        return {Run(task_id, attempt): Claim(Answer(answer), kind, result) for task_id, attempt, answer, kind, result in rows}

    async def renew(self, runs: Sequence[Run]) -> set[Run]:
        """Renew leases; answers those that are still ours."""
        rows = await self._database.fetch(RENEW, {**_columns(runs), "host": self._host, "lease": self._lease})
        return {Run(task_id, attempt) for task_id, attempt in rows}

    async def finish(self, results: Mapping[Run, tuple[str, Mapping[str, Any]]]) -> set[Run]:
        """Record results before they are published; answers those whose run was still ours."""
        parameters = {
            **_columns(list(results)),
            "host": self._host,
            "types": [type_name for type_name, _ in results.values()],
            "results": [json.dumps(payload) for _, payload in results.values()],
        }
        rows = await self._database.fetch(FINISH, parameters)
        return {Run(task_id, attempt) for task_id, attempt in rows}

    async def release(self, runs: Sequence[Run]) -> None:
        """Give runs back that were not finished: another host may claim them at once."""
        await self._database.execute(RELEASE, {**_columns(runs), "host": self._host})


def _columns(runs: Sequence[Run]) -> dict[str, Any]:
    return {"ids": [run.task_id for run in runs], "attempts": [run.attempt for run in runs]}
