"""Brings a mesh's servers to what this release needs: schema, read models' tables, topics; run by `migrate`, `up` and `dev`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from contracts.topics import topics
from infra.kafka.topics import create_topics
from infra.migrations.runner import migrate
from infra.settings import MeshSettings
from projections.catalogue import read_models


class Migrated(NamedTuple):
    """What was done: the revisions applied and the topics created; empty where there was nothing to do."""

    revisions: list[str]
    topics: list[str]


def migrate_mesh(settings: MeshSettings, tell: Callable[[str], None]) -> Migrated:
    """Schema, read models and topics. Safe to run twice and at the same time. Blocks."""
    revisions = migrate(settings.postgres_dsn, read_models())
    tell(f"schema: {'migrated to ' + revisions[-1] if revisions else 'up to date'}")
    specs = topics(settings.partitions)
    created = asyncio.run(create_topics(settings.kafka_bootstrap, specs, settings.topic_prefix))
    tell(f"topics: {len(created)} created, {len(specs) - len(created)} were there")
    return Migrated(revisions, created)
