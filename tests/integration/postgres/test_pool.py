"""The pool of a worker: the limits of PER-03, connections replaced by count, and clear errors."""

from __future__ import annotations

import logging

import pytest

from infra.errors import ConfigurationError, DataError, TransientError
from infra.postgres.pool import Database
from infra.settings import MeshSettings

pytestmark = pytest.mark.integration


async def test_the_limits_of_the_pool_are_the_settings(mesh_settings: MeshSettings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="infra.postgres.pool"):
        database = Database(mesh_settings, mesh_settings.postgres_dsn)
        await database.open()
        await database.pool.wait()
        shown = {}
        for name in ("application_name", "jit", "statement_timeout"):
            shown[name] = (await database.fetch(f"SELECT current_setting('{name}')".encode(), {}))[0][0]
        assert shown == {"application_name": "agentmesh", "jit": "off", "statement_timeout": "30s"}
        pool = database.pool
        assert (pool.min_size, pool.max_size, pool.timeout, pool.max_idle) == (5, 20, 30.0, 300.0)
        await database.close()
    assert "5 to 20 connections" in caplog.text
    assert "closed" in caplog.text


async def test_a_connection_is_replaced_after_its_statements(mesh_settings: MeshSettings) -> None:
    settings = mesh_settings.model_copy(update={"pool_min_size": 1, "pool_max_size": 1, "pool_max_queries": 3})
    database = Database(settings, settings.postgres_dsn)
    await database.open()
    pids = [(await database.fetch(b"SELECT pg_backend_pid()", {}))[0][0] for _ in range(8)]
    await database.close()
    assert pids[0] == pids[3]
    assert len(set(pids)) == 2


async def test_use_before_open_is_a_clear_error(mesh_settings: MeshSettings) -> None:
    database = Database(mesh_settings, mesh_settings.postgres_dsn)
    with pytest.raises(ConfigurationError, match="before it was opened"):
        await database.fetch(b"SELECT 1", {})
    await database.close()


async def test_what_the_data_causes_is_told_apart_from_what_may_pass(mesh_settings: MeshSettings) -> None:
    database = Database(mesh_settings, mesh_settings.postgres_dsn)
    await database.open()
    with pytest.raises(DataError):
        await database.fetch(b"SELECT 1 / 0", {})
    with pytest.raises(TransientError):
        await database.fetch(b"SELECT * FROM a_table_that_is_missing", {})
    with pytest.raises(TransientError):
        await database.fetch(b"SELECT pg_terminate_backend(pg_backend_pid())", {})
    assert (await database.fetch(b"SELECT 1", {}))[0][0] == 1
    await database.close()
