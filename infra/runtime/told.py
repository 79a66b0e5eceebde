"""Tells the log what became of commands, each line with the ids of its command; called when a batch is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from infra.event_store.base import OutcomeKind
from infra.runtime.decide import Decision
from infra.runtime.decode import Unreadable
from infra.telemetry.context import REQUEST_TYPES, bind, bind_message

logger = logging.getLogger(__name__)

# What most commands come to is told at DEBUG: at tens of thousands a second a line each would cost more than the work.
_LEVELS = {OutcomeKind.REJECTED: logging.INFO, OutcomeKind.PARKED: logging.WARNING}


def tell_outcomes(aggregate_id: str, decision: Decision) -> None:
    """One line a command: parked ones as warnings, rejected ones as information, the others where DEBUG is on."""
    everything = logger.isEnabledFor(logging.DEBUG)
    for item, outcome in zip(decision.settled, decision.append.outcomes, strict=False):
        level = _LEVELS.get(outcome.kind)
        if level is None and not everything:
            continue
        # No id in the text: it is what a flood of the same is known by.
        kind, code = item.metadata.type_name.split(".")[-2:][0], f" with {outcome.code}" if outcome.code else ""
        request_id = aggregate_id if item.metadata.type_name.startswith(REQUEST_TYPES) else None
        with bind_message(item.metadata), bind(tenant_id=item.tenant_id, request_id=request_id):
            extra = {"aggregate_id": aggregate_id, "command_id": item.metadata.message_id}
            logger.log(level or logging.DEBUG, "%s: %s%s", kind, outcome.kind.value, code, extra=extra)


def tell_unreadable(records: Sequence[Unreadable]) -> None:
    """One line a record that no command was found in, and that is parked alone."""
    for each in records:
        place = {"topic": each.record.topic, "partition": each.record.partition, "offset": each.record.offset}
        logger.warning("a record holds no command and was parked: %s", each.error_type, extra=place)
