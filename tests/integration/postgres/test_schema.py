"""Schema and topics are checked when a worker starts; what is wrong is refused with the command that mends it."""

from __future__ import annotations

import pytest

from contracts.topics import TopicSpec, commands_topic
from infra.errors import ConfigurationError
from infra.kafka.topics import create_topics, verify_topics
from infra.migrations.runner import check_schema, migrate
from infra.settings import MeshSettings
from projections.catalogue import read_models
from tests.mesh import Mesh

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("revision", "advice"), [("0000", "Run: agentmesh migrate"), ("9999", "newer than this release")])
async def test_an_older_or_newer_schema_is_refused(mesh_settings: MeshSettings, revision: str, advice: str) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.database.execute(b"UPDATE public.schema_version SET version_num = %(v)s", {"v": revision})
        with pytest.raises(ConfigurationError, match=advice):
            await check_schema(mesh.database)
        worker = mesh.requests_worker()
        await mesh.start(worker)
        with pytest.raises(ConfigurationError, match=advice):
            await worker.wait_failed()


async def test_a_newer_schema_is_not_migrated(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.database.execute(b"UPDATE public.schema_version SET version_num = '9999'", {})
    with pytest.raises(ConfigurationError, match="newer than this release"):
        migrate(mesh_settings.postgres_dsn, read_models())


async def test_a_missing_topic_and_other_partitions_are_refused_by_name(mesh_settings: MeshSettings) -> None:
    spec = TopicSpec("agentmesh.test.v1", 2, 60_000, "delete")
    bootstrap, prefix = mesh_settings.kafka_bootstrap, mesh_settings.topic_prefix
    with pytest.raises(ConfigurationError, match="is missing: run agentmesh migrate"):
        await verify_topics(bootstrap, [spec], prefix)
    assert await create_topics(bootstrap, [spec], prefix) == [prefix + spec.name]
    assert await create_topics(bootstrap, [spec], prefix) == []
    await verify_topics(bootstrap, [spec], prefix)
    with pytest.raises(ConfigurationError, match="has 2 partitions, 3 are configured"):
        await verify_topics(bootstrap, [TopicSpec(spec.name, 3, 60_000, "delete")], prefix)


async def test_a_worker_refuses_to_start_on_topics_of_another_count(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        other = Mesh(mesh_settings, partitions=mesh.settings.partitions + 1)
        worker = other.requests_worker()
        await mesh.start(worker)
        with pytest.raises(ConfigurationError, match=commands_topic("requests")):
            await worker.wait_failed()
