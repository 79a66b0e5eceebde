"""Asks a Kafka for its brokers and groups, and explains why it cannot be asked; run by `agentmesh doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.diagnosis.base import Fault, try_place
from infra.errors import TransientError

SECONDS = 4.0
SERVER = "Kafka (agentmesh up starts a local one)"


class Broker(NamedTuple):
    """A broker as the cluster tells it to its clients, and why it cannot be reached from here."""

    place: str
    fault: Fault | None


class GroupState(NamedTuple):
    """A consumer group: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty` or `Dead`, and how many members it has."""

    state: str
    members: int


async def ask_kafka(bootstrap: str, seconds: float = SECONDS) -> Sequence[Broker] | Fault:
    """Every broker that the cluster names, each tried from here; or why nobody can be asked. Never raises for what a network does."""
    places = bootstrap.split(",")
    faults = await asyncio.gather(*(try_place(place, SERVER, seconds) for place in places))
    reached = [place for place, fault in zip(places, faults, strict=True) if fault is None]
    if not reached:
        return next(fault for fault in faults if fault is not None)
    try:
        advertised = await _advertised(",".join(reached), seconds)
    except TimeoutError:
        found = f"{', '.join(reached)} takes connections, but does not say within {seconds:g} s who its brokers are"
        return Fault("no answer", found, "wait, if it starts just now or is overloaded; else check the port in KAFKA_BOOTSTRAP_SERVERS")
    except (KafkaError, OSError):
        found = f"what listens at {', '.join(reached)} does not speak as Kafka does, or wants encryption"
        return Fault("no kafka", found, "check the port in KAFKA_BOOTSTRAP_SERVERS: it must be that of a plain listener")
    tried = await asyncio.gather(*(try_place(place, SERVER, seconds) for place in advertised))
    return [Broker(place, fault) for place, fault in zip(advertised, tried, strict=True)]


async def _advertised(bootstrap: str, seconds: float) -> list[str]:
    """Host and port of each broker as the cluster advertises them."""
    # Its own limit is longer, so that who says nothing is told from who says what is no answer.
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=int(seconds * 2000), client_id="agentmesh-doctor")
    try:
        async with asyncio.timeout(seconds):
            await client.bootstrap()
        return [f"{broker.host}:{broker.port}" for broker in client.cluster.brokers()]
    finally:
        with suppress(KafkaError, OSError):
            await client.close()


async def group_states(bootstrap: str, groups: Collection[str], seconds: float = SECONDS) -> Mapping[str, GroupState]:
    """State and members of each group. Raises TransientError when Kafka does not tell."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="agentmesh-doctor", request_timeout_ms=int(seconds * 1000))
    try:
        async with asyncio.timeout(seconds):
            await admin.start()
            # One question a group: the client cannot read an answer about several.
            answers = await asyncio.gather(*(admin.describe_consumer_groups([group]) for group in groups))
        found = [group for answer in answers for response in answer for group in response.groups]
        return {str(group[1]): GroupState(str(group[2]), len(group[5])) for group in found}
    except (KafkaError, OSError) as error:
        raise TransientError(f"Kafka does not tell who is in its groups: {type(error).__name__}") from error
    finally:
        with suppress(KafkaError, OSError):
            await admin.close()
