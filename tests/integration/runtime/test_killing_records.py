"""A record that takes its whole worker with it is found, record by record, and parked; every other record is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from tests.integration.runtime.conftest import Spawn, WorkerProcess
from tests.integration.runtime.worker_process import KILLING
from tests.mesh import Mesh, command_record, create, new_id, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]


async def deaths_until_parked(mesh: Mesh, spawn: Spawn, limit: int, **settings: object) -> int:
    """Start the worker again each time it dies, as a supervisor does, until a record is parked; answers how often it died."""
    for died in range(limit + 1):
        worker = await spawn(mesh, "killing", **settings)

        async def over(worker: WorkerProcess = worker) -> bool:
            return worker.process.returncode is not None or bool(await mesh.letters(statuses=["parked"]))

        await wait_for(over, 30, "the death of the worker, or a parked record")
        if await mesh.letters(statuses=["parked"]):
            return died
    raise AssertionError(f"not parked after {limit} deaths")


async def all_done(mesh: Mesh, requests: Sequence[str]) -> None:
    async def look() -> bool:
        found = await mesh.store.outcomes([(each, "c1") for each in requests])
        return len(found) == len(requests) and {outcome.kind for outcome in found.values()} == {OutcomeKind.EVENTS}

    await wait_for(look, 30, "every other command done")


async def test_a_record_that_kills_its_worker_is_found_and_parked(mesh_settings: MeshSettings, spawn: Spawn, marker: Path) -> None:
    async with Mesh(mesh_settings, attempts_before_parking=2) as mesh:
        requests = [new_id() for _ in range(40)]
        killer = requests[25]
        records = [
            command_record("CreateRequest", each, create(each, message=KILLING if each == killer else "Text"), command_id="c1")
            for each in requests
        ]
        await mesh.publish_many([*records, command_record("CreateRequest", killer, create(killer), command_id="c2")])
        # Once in its batch, once as a record that is tried alone.
        assert await deaths_until_parked(mesh, spawn, limit=4, attempts_before_parking=2) == 2
        await all_done(mesh, [each for each in requests if each != killer])
        letters = await mesh.letters(count=2)
        assert [(letter.aggregate_id, letter.command_id, letter.cause, letter.error_type, letter.attempts) for letter in letters] == [
            (killer, "c1", "defect", "WorkerDied", 2),
            (killer, "c2", "behind", "WaitsBehind", 0),
        ]
        assert await mesh.store.head() == 39 + 2
        assert marker.read_text().count("died") == 2  # noqa: ASYNC240


async def test_a_killing_record_deep_in_the_backlog_is_found_too(mesh_settings: MeshSettings, spawn: Spawn, marker: Path) -> None:
    """It comes batches after the last committed offset: each start must get further than the one before."""
    async with Mesh(mesh_settings, partitions=1) as mesh:
        requests = [new_id() for _ in range(30)]
        killer = requests[22]
        records = [
            command_record("CreateRequest", each, create(each, message=KILLING if each == killer else "Text"), command_id="c1")
            for each in requests
        ]
        await mesh.publish_many(records)
        died = await deaths_until_parked(mesh, spawn, limit=8, attempts_before_parking=1, batch_max_records=5)
        assert 2 <= died <= 3
        await all_done(mesh, [each for each in requests if each != killer])
        assert [letter.aggregate_id for letter in await mesh.letters()] == [killer]


async def test_a_record_that_kills_its_worker_again_when_it_is_redriven_is_parked_again(
    mesh_settings: MeshSettings, spawn: Spawn, marker: Path
) -> None:
    """It was requeued before the fix was there: the workers must not die of it for ever."""
    async with Mesh(mesh_settings, attempts_before_parking=1) as mesh:
        killer, other = new_id(), new_id()
        poisoned = mesh.planted({}, evolve=_fails)
        await mesh.start(poisoned)
        await mesh.publish("CreateRequest", killer, create(killer, message=KILLING), command_id="c1")
        (letter,) = await mesh.letters(count=1)
        await mesh.stop(poisoned)
        await mesh.requeue(letter.position)
        await mesh.publish("CreateRequest", other, create(other), command_id="c1")
        assert await deaths_until_parked(mesh, spawn, limit=4, attempts_before_parking=2) == 1
        assert (await mesh.letters())[0].error_type == "WorkerDied"
        await all_done(mesh, [other])


def _fails(request: object, event: object) -> object:
    raise RuntimeError("planted")
