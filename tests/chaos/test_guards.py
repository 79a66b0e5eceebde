"""The proof that the checker would see it: the same kill with a guard in place loses nothing, without the guard it does.

Deterministic: the worker stops at the moment in question, says so, and is killed there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.topics import commands_topic
from tests.chaos.arena import PARTITIONS, Arena, collect, eventually, settled
from tests.chaos.checker import Report, check
from tests.chaos.fleet import Fleet
from tests.chaos.launch import HOLD_VARIABLE
from tests.chaos.publisher import Publisher
from tests.chaos.workload import Workload

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(180)]

COMMANDS = 300
SETTLE_SECONDS = 60.0


@pytest.fixture
def held(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file by which a sabotaged worker says that the moment has come; asked for before the fleet, which hands it on."""
    path = tmp_path / "held"
    monkeypatch.setenv(HOLD_VARIABLE, str(path))
    return path


async def run(arena: Arena, fleet: Fleet, held: Path, worker: str, sabotage: str) -> Report:
    """Publish; kill `worker` at the moment that the sabotage names; let an unchanged one take its place; see what is left."""
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    replica = f"{worker}-1"
    for name in {"requests", "relay", "projections"} - {worker}:
        fleet.start(f"{name}-1")
    fleet.start(replica, worker, sabotage, restart=False)
    await publisher.publish(Workload(11).take(COMMANDS))
    await publisher.close()
    await eventually(held.exists, 60, f"{sabotage} at {replica}")
    fleet.kill(replica)
    await eventually(lambda: not fleet.running(replica), 10, f"the end of {replica}")
    fleet.start(replica)
    # Something newer of every partition is through: what was passed over before it is not merely late.
    before = len(publisher.journal)
    await publisher.publish(Workload(12).take(100))
    await publisher.close()
    assert await settled(arena, publisher.journal[before:], SETTLE_SECONDS) is not None, fleet.tails()
    return check(await collect(arena, publisher.journal))


@pytest.mark.parametrize(("worker", "moment"), [("requests", "hold-before-append"), ("relay", "hold-before-publish")])
async def test_a_kill_in_the_middle_costs_nothing_with_the_guard(held: Path, arena: Arena, fleet: Fleet, worker: str, moment: str) -> None:
    report = await run(arena, fleet, held, worker, moment)
    assert report.clean, report.text() + "\n" + fleet.tails()


async def test_offsets_committed_before_the_append_lose_commands_and_the_checker_sees_it(held: Path, arena: Arena, fleet: Fleet) -> None:
    report = await run(arena, fleet, held, "requests", "commit-first")
    assert report.count("lost") > 0, report.text() + "\n" + fleet.tails()


async def test_a_relay_that_advances_before_it_publishes_leaves_holes_and_the_checker_sees_it(
    held: Path, arena: Arena, fleet: Fleet
) -> None:
    report = await run(arena, fleet, held, "relay", "advance-first")
    assert report.count("missing_in_kafka") > 0, report.text() + "\n" + fleet.tails()


async def test_a_checkpoint_saved_before_its_rows_leaves_holes_and_the_checker_sees_it(held: Path, arena: Arena, fleet: Fleet) -> None:
    report = await run(arena, fleet, held, "projections", "checkpoint-first")
    assert report.count("missing_in_read_model") > 0, report.text() + "\n" + fleet.tails()
