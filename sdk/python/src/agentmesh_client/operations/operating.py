"""What operators need: analytics, dead letters, how far read models are; arguments in, calls out."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from agentmesh_client.calls import Call, OperatorOptions, OrderOptions, ReadOptions, background, body_of, get, order, path_of
from agentmesh_client.models import Analytics, DeadLetter, Page, Projections, Rebuild, Requeued, WholeDeadLetter


def get_analytics(*, since: datetime | None = None, until: datetime | None = None, **options: Unpack[ReadOptions]) -> Call[Analytics]:
    """Counts of a span of time; times need a zone."""
    return get(Analytics, path_of("v1", "analytics"), options, since=since and since.isoformat(), until=until and until.isoformat())


def list_dead_letters(
    *,
    context: str | None = None,
    error_type: str | None = None,
    aggregate_id: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[OperatorOptions],
) -> Call[Page[DeadLetter]]:
    """A page of parked records."""
    filters = {"context": context, "error_type": error_type, "aggregate_id": aggregate_id, "status": status}
    return get(Page[DeadLetter], path_of("v1", "dead-letters"), _read(options), **filters, limit=limit, cursor=cursor)


def get_dead_letter(context: str, position: int, **options: Unpack[OperatorOptions]) -> Call[WholeDeadLetter]:
    """A parked record."""
    return get(WholeDeadLetter, path_of("v1", "dead-letters", context, position), _read(options))


def requeue_dead_letters(
    context: str,
    reason: str,
    *,
    error_type: str | None = None,
    aggregate_id: str | None = None,
    after: int | None = None,
    through: int | None = None,
    rate: float | None = None,
    dry_run: bool = False,
    **options: Unpack[OperatorOptions],
) -> Call[Requeued]:
    """Have those that match tried again, `rate` a second at most; a part of them where the answer is not `complete`."""
    filters = {"error_type": error_type, "aggregate_id": aggregate_id, "after": after, "through": through, "rate": rate}
    body = body_of(context=context, reason=reason, dry_run=dry_run, **filters)
    return order(Requeued, path_of("v1", "dead-letters", "requeue"), options, body)


def requeue_dead_letter(context: str, position: int, reason: str, **options: Unpack[OperatorOptions]) -> Call[WholeDeadLetter]:
    """Have one tried again."""
    return order(WholeDeadLetter, path_of("v1", "dead-letters", context, position, "requeue"), options, body_of(reason=reason))


def discard_dead_letter(context: str, position: int, reason: str, **options: Unpack[OperatorOptions]) -> Call[WholeDeadLetter]:
    """Have one never tried again."""
    return order(WholeDeadLetter, path_of("v1", "dead-letters", context, position, "discard"), options, body_of(reason=reason))


def list_projections(**options: Unpack[OperatorOptions]) -> Call[Projections]:
    """How far the read models are."""
    return get(Projections, path_of("v1", "projections"), _read(options))


def rebuild_projection(name: str, **options: Unpack[OrderOptions]) -> Call[Rebuild]:
    """Have a read model built anew; the order of it that waits or runs, where there is one."""
    return background(Rebuild, path_of("v1", "projections", name, "rebuild"), options)


def get_rebuild(name: str, order_id: str, **options: Unpack[OperatorOptions]) -> Call[Rebuild]:
    """What became of an order to build a read model anew."""
    return get(Rebuild, path_of("v1", "projections", name, "rebuilds", order_id), _read(options))


def _read(options: OperatorOptions) -> ReadOptions:
    return {"correlation_id": options["correlation_id"]} if "correlation_id" in options else {}
