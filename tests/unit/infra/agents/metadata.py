"""Envelopes for commands of tests."""

from __future__ import annotations

from contracts.envelope import Metadata
from contracts.message import Command


def metadata_of(command: Command) -> Metadata:
    """Some envelope of a command."""
    return Metadata(
        message_id="c-1",
        type_name=command.type_name,
        source="/tests",
        subject=command.aggregate_id,
        time="2026-01-01T00:00:00.000Z",
        tenant_id=command.tenant_id,
        auth_type="agent",
        auth_id="agent-1",
        correlation_id="c-1",
        causation_id="c-1",
    )
