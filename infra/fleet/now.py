"""The fleet as it is now: run files, the supervisor's record and the fleet topic in, workers and hosts out; built by the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from contracts.fleet import HostHeartbeat
from infra.errors import TransientError
from infra.fleet.base import WorkerNow, last_words
from infra.fleet.kafka import KafkaFleetTopic
from infra.settings import MeshSettings
from infra.supervisor.fleet_file import ReplicaRecord, read_fleet
from infra.supervisor.readiness import health_of, is_ready

ANSWER_SECONDS = 2.0
HOSTS_SECONDS = 5.0
NO_ANSWER = "It does not answer: its process may be gone."


class FleetNow:
    """See the port. A worker of another machine cannot be asked: it is not there."""

    def __init__(self, settings: MeshSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id

    async def workers(self) -> Sequence[WorkerNow]:
        """See the port."""
        known = await asyncio.to_thread(_known, self._settings.state_dir)
        return await asyncio.gather(*(asyncio.to_thread(_now, replica) for replica in known))

    async def hosts(self) -> Sequence[HostHeartbeat]:
        """See the port."""
        topic = KafkaFleetTopic(self._settings, self._client_id)
        try:
            async with asyncio.timeout(HOSTS_SECONDS):
                await topic.start()
                return last_words(await topic.read_to_end())
        except TimeoutError:
            raise TransientError(f"the fleet topic was not read within {HOSTS_SECONDS:g} s") from None
        finally:
            await topic.close()


def _known(state_dir: Path) -> list[ReplicaRecord]:
    """Every worker that a supervisor or its own run file tells of, by name."""
    fleet = read_fleet(state_dir)
    found = {replica.name: replica for replica in (fleet.replicas if fleet is not None and fleet.supervised() else ())}
    for file in sorted((state_dir / "run").glob("*.json")):
        replica = _replica(file)
        if replica is not None and replica.name not in found:
            found[replica.name] = replica
    return sorted(found.values(), key=lambda replica: replica.name)


def _replica(file: Path) -> ReplicaRecord | None:
    """What a process wrote into its run file; None for a file that is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return ReplicaRecord(
            str(content["name"]), "running", int(content["pid"]), port=int(content["port"]), started_at=str(content["started_at"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _now(replica: ReplicaRecord) -> WorkerNow:
    ready = replica.port is not None and is_ready(replica.port, timeout=ANSWER_SECONDS)
    health = None if replica.port is None else health_of(replica.port, timeout=ANSWER_SECONDS)
    supervised = replica.token is not None
    return WorkerNow(
        name=replica.name,
        ready=ready,
        health=None if health is None else str(health.get("overall_status")),
        components=_components(health),
        restarts=replica.restarts if supervised else None,
        started_at=None if replica.started_at is None else datetime.fromisoformat(replica.started_at),
        message=replica.message or (NO_ANSWER if health is None else None),
    )


def _components(health: dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    found = (health or {}).get("dependencies")
    return tuple((str(name), str(status)) for name, status in found.items()) if isinstance(found, dict) else ()
