"""The hosts of agents as they tell of themselves on the fleet topic; the work behind `agents hosts`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.fleet import HostHeartbeat
from infra.fleet.base import is_silent, last_words
from infra.fleet.kafka import KafkaFleetTopic
from services.cli.mesh import mesh_settings
from services.cli.output import Output, print_json, print_table

COLUMNS = ("host", "kinds", "state", "runs", "capacity", "heard s ago")


async def list_(kind: str | None, output: Output) -> None:
    """Every host that did not leave, the one heard last first. Raises TransientError when the broker is away."""
    topic = KafkaFleetTopic(mesh_settings(), "agentmesh-cli-hosts")
    try:
        await topic.start()
        records = await topic.read_to_end()
    finally:
        await topic.close()
    now = datetime.now(UTC)
    rows = [host_row(host, now) for host in last_words(records) if kind in (None, *host.kinds)]
    if output is Output.JSON:
        print_json(rows)
    else:
        cells = [[row["host_id"], ", ".join(row["kinds"]), row["state"], len(row["running"]), row["capacity"], row["age"]] for row in rows]
        print_table(COLUMNS, cells, empty="No host has told of itself. Start one: agentmesh agents run module:Class.")


def host_row(host: HostHeartbeat, now: datetime) -> dict[str, Any]:
    """A host as JSON shows it; its age is by its own clock and ours."""
    age = max(0.0, (now - host.sent_at).total_seconds())
    state = "silent" if is_silent(host, now) else "live"
    return host.model_dump(mode="json") | {"state": state, "age": round(age, 1)}
