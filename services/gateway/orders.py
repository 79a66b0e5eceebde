"""What a caller wants done: a command's value in, an acknowledged command and what became of it within a bounded wait out (API-13)."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from contracts.envelope import Metadata
from contracts.ids import derived_uuid, new_command_id
from infra.commands.base import CommandPublisher, OutgoingCommand
from infra.event_store.base import Outcome, OutcomeKind, payload_hash
from infra.identity.base import Principal
from infra.outcomes.base import Outcomes, ShownVersions
from services.gateway.calls import Call
from services.gateway.errors import ApiError, broken_rule, internal, of_rejection
from services.gateway.settings import GatewaySettings

SOURCE = "/agentmesh/gateway"
IDEMPOTENCY = uuid5(NAMESPACE_URL, "urn:agentmesh:idempotency-key")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE | re.ASCII)


class Ids(NamedTuple):
    """The ids of a command and, for one that begins an aggregate, of that."""

    command_id: str
    aggregate_uuid: str
    repeatable: bool
    """True for ids that follow from an Idempotency-Key: the caller may have sent the same before."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command, ready to be published, and for how long its outcome is waited for."""

    context: str
    aggregate_id: str
    type_name: str
    value: bytes
    ids: Ids
    wait: float
    shown_in: str
    """The read model that shows what came of it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known at the end of the wait: the outcome, if there is one, and whether the read model shows it."""

    outcome: Outcome | None
    shown: bool = False


def ids_of(principal: Principal, route: str, key: str | None) -> Ids:
    """Without an Idempotency-Key new ids; with one the same ids for the same tenant, caller, route and key, whatever process answers.

    The route is method and path. Raises ApiError, 422, for a key of a form that cannot be one.
    """
    if key is None:
        return Ids(new_command_id(), new_command_id(), False)
    if not _KEY.fullmatch(key):
        raise broken_rule("Idempotency-Key", "Should have 1 to 255 visible ASCII characters", key, where="header")
    name = json.dumps([principal.tenant_id, principal.id, route, key])
    return Ids(derived_uuid(IDEMPOTENCY, name + "command"), derived_uuid(IDEMPOTENCY, name + "aggregate"), True)


def preferred_wait(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), or None; what cannot be read is ignored, as the standard asks."""
    found = _WAIT.search(prefer or "")
    return None if found is None else int(found[1])


def waiting_time(prefer: str | None, settings: GatewaySettings) -> float:
    """For how many seconds a caller is made to wait at most: as it prefers, within the limit, else by default."""
    wanted = preferred_wait(prefer)
    return settings.wait_seconds if wanted is None else min(float(wanted), settings.longest_wait_seconds)


def applied_preference(prefer: str | None, seconds: float) -> dict[str, str]:
    """The header that confirms a preference, where there was one."""
    return {} if preferred_wait(prefer) is None else {"Preference-Applied": f"wait={math.floor(seconds)}"}


class Orders:
    """Publishes commands and waits for what becomes of them. A command that was acknowledged is never reported as failed: where its
    outcome cannot be learned in time, `Settled` says so."""

    def __init__(self, publisher: CommandPublisher, outcomes: Outcomes, versions: Mapping[str, ShownVersions]) -> None:
        self._publisher = publisher
        self._outcomes = outcomes
        self._versions = versions

    async def repeated(self, order: Order) -> Settled | None:
        """What became of the same command, where its Idempotency-Key has been used and it has its outcome; else None.

        Raises ApiError: the refusal that it got, and 422 for a key that was used with another body."""
        if not order.ids.repeatable:
            return None
        known = await self._outcomes.find(order.context, order.aggregate_id, order.ids.command_id)
        return None if known is None else await self._settled(order, known, time.monotonic() + order.wait)

    async def carry_out(self, call: Call, principal: Principal, order: Order) -> Settled:
        """Publish and wait. Raises ApiError for a refusal, TransientError when the broker did not acknowledge."""
        await self._publisher.publish(self._outgoing(call, principal, order))
        if order.wait <= 0:
            return Settled(None)
        deadline = time.monotonic() + order.wait
        outcome = await self._outcomes.wait(order.context, order.aggregate_id, order.ids.command_id, deadline)
        return Settled(None) if outcome is None else await self._settled(order, outcome, deadline)

    async def exists(self, context: str, aggregate_id: str, tenant_id: str) -> bool:
        """Whether the tenant has such an aggregate, be it so new that no read model shows it."""
        return await self._outcomes.tenant_of(context, aggregate_id) == tenant_id

    async def _settled(self, order: Order, outcome: Outcome, deadline: float) -> Settled:
        if outcome.payload_hash != payload_hash(order.value):
            raise ApiError("IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was used with another body.")
        if outcome.kind is OutcomeKind.REJECTED:
            rejection = await self._outcomes.rejection(order.context, outcome)
            raise internal() if rejection is None else of_rejection(rejection)
        if outcome.kind is OutcomeKind.PARKED:  # a defect of ours: the command is kept, and applied when that is mended
            return Settled(None)
        return Settled(outcome, await self._versions[order.shown_in].wait(order.aggregate_id, outcome.version, deadline))

    def _outgoing(self, call: Call, principal: Principal, order: Order) -> OutgoingCommand:
        metadata = Metadata(
            message_id=order.ids.command_id,
            type_name=order.type_name,
            source=SOURCE,
            subject=order.aggregate_id,
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            tenant_id=principal.tenant_id,
            auth_type=principal.auth_type,
            auth_id=principal.id,
            correlation_id=call.correlation_id,
            causation_id=order.ids.command_id,
            traceparent=call.traceparent,
        )
        return OutgoingCommand(order.context, order.aggregate_id, order.value, metadata)
