"""The heads of several logs in one query: true, shared by those who ask at once, and told as away when the database is."""

from __future__ import annotations

import asyncio

import pytest

from infra.errors import TransientError
from infra.event_store.heads import LogHeads
from infra.postgres.pool import Database
from infra.settings import MeshSettings
from tests.mesh import Mesh, create, new_id

pytestmark = pytest.mark.integration


async def test_heads_are_those_of_the_logs_and_empty_logs_have_none(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        heads = LogHeads(mesh.database, ("requests", "tasks"))
        assert await heads.look() == {"requests": 0, "tasks": 0}
        await mesh.start(mesh.requests_worker())
        request = new_id()
        await mesh.do("CreateRequest", request, create(request))
        assert await heads.look() == {"requests": 1, "tasks": 0}
        assert await heads.of("requests") == await mesh.store.head() == 1


async def test_who_asks_at_the_same_time_shares_one_query(mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Mesh(mesh_settings) as mesh:
        heads = LogHeads(mesh.database, ("requests", "tasks"))
        asked = 0
        ask = heads._ask

        async def counted() -> object:
            nonlocal asked
            asked += 1
            return await ask()

        monkeypatch.setattr(heads, "_ask", counted)
        assert await asyncio.gather(*(heads.of(context) for context in ("requests", "tasks") * 5)) == [0] * 10
        assert asked == 1
        waiting = asyncio.create_task(heads.of("tasks"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await heads.of("tasks") == 0, "one who gives up stops nobody else"


async def test_a_database_that_is_away_is_told_to_everyone(mesh_settings: MeshSettings) -> None:
    settings = mesh_settings.model_copy(update={"pool_min_size": 0, "pool_acquire_timeout_seconds": 0.5})
    database = Database(settings, "postgresql://nobody@127.0.0.1:1/nothing", name="test")
    await database.open()
    try:
        heads = LogHeads(database, ("requests",))
        found = await asyncio.gather(heads.look(), heads.look(), return_exceptions=True)
        assert [type(each) for each in found] == [TransientError, TransientError]
    finally:
        await database.close()
